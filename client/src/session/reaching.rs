//! Looking for the coordinator, and for how long.
//!
//! A client that goes from study to study looks for ever: networks, coordinators and hospitals come back. One that is there
//! for a single study must end some time after that study has, although nobody can tell it so any more.

use std::time::Duration;

use consilium_transport::Connection;
use tokio::time::{Instant, sleep_until};

use super::Client;
use crate::connection::{Pauses, reach};
use crate::daemon::{DaemonError, Ending};

/// How many of its deadlines a study waits for a site that it cannot do without and hears nothing of.
const STUDY_WAITS_DEADLINES: u32 = 3;
/// A client for one study looks for its coordinator so long at least: a machine that broke on a Friday is mended on a
/// Monday.
const LOOKS_AT_LEAST: Duration = Duration::from_hours(3 * 24);

impl Client<'_> {
    /// The coordinator is not there, since now if not before.
    pub(super) fn is_away(&mut self) {
        self.away_since.get_or_insert_with(Instant::now);
        let now = self.house.clock.now();
        self.house.steward.now_doing().out_of_reach_since.get_or_insert(now);
    }

    /// The coordinator was reached.
    pub(super) fn has_reached(&mut self) {
        self.away_since = None;
        let doing = self.house.steward.now_doing();
        (doing.connected, doing.out_of_reach_since) = (true, None);
    }

    /// Connects unless the site is paused, and takes in what happens until then. The inner error is the end of a site
    /// that cannot take part.
    pub(super) async fn reach(
        &mut self,
        pauses: &mut Pauses,
    ) -> Result<Result<Connection, Ending>, DaemonError> {
        loop {
            self.consider().await?;
            while self.house.steward.is_paused() {
                // Nobody looks for the coordinator in a pause.
                self.away_since = Some(Instant::now());
                let news = self.news().await?;
                self.offline(news).await?;
                if let Some(ending) = self.ending.take() {
                    return Ok(Err(ending));
                }
            }
            let (config, identity) = (self.house.config.clone(), self.house.identity.clone());
            let sockets = self.house.sockets.clone();
            let mut reached = std::pin::pin!(reach(&config, &sockets, &identity, pauses));
            let mut given_up = std::pin::pin!(given_up(self.away_since, self.patience()));
            while !self.house.steward.is_paused() {
                let news = tokio::select! {
                    connection = &mut reached => return Ok(Ok(connection)),
                    () = &mut given_up => return Ok(Err(Ending::OutOfReach)),
                    news = self.news() => news?,
                };
                // Never cancelled: a result that was received is taken in to the end.
                self.offline(news).await?;
                if let Some(ending) = self.ending.take() {
                    return Ok(Err(ending));
                }
            }
        }
    }

    /// How long the coordinator is looked for; none where that is for ever. Before the site knows its study there is nothing
    /// whose end it could miss.
    fn patience(&self) -> Option<Duration> {
        let study = self.offered.as_ref().filter(|_| self.once)?;
        let waits = STUDY_WAITS_DEADLINES.saturating_mul(study.federation.deadline_secs);
        Some(LOOKS_AT_LEAST.max(Duration::from_secs(waits.into())))
    }
}

async fn given_up(since: Option<Instant>, patience: Option<Duration>) {
    match since.zip(patience).and_then(|(since, patience)| since.checked_add(patience)) {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}
