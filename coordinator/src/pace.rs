//! How often one party may come, or ask: each time writes lines into the audit log, which keeps all of them.
//!
//! Whoever comes more often waits, and whoever does not wait is sent away without a line. Nobody is punished: a program
//! that asks in a loop by mistake becomes slow, and its person is heard.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use consilium_domain::Role;
use consilium_transport::{CloseCode, Connection, RefusalCause, Refusals};
use tokio::time::Instant;

/// So often without waiting: more than a person does in a day, and a script that watches one study in ten minutes.
const AT_ONCE: u32 = 600;

/// Then once in this time: 5,760 a day, some twenty megabytes of the audit log where each is a command.
const THEN_EVERY: Duration = Duration::from_secs(15);

/// Nobody is kept waiting longer: who would have to is sent away. Below the time a command waits for its answer.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Counted where somebody is sent away.
pub(crate) const ASKED_TOO_OFTEN: RefusalCause = RefusalCause::new("asked-too-often");

/// How often each has come. Clones share it. It holds one moment for every holder of a certificate.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pace(Arc<Mutex<BTreeMap<Role, Instant>>>);

/// Somebody came far too often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("asked too often: try again in {wait_secs} s")]
pub(crate) struct TooOften {
    wait_secs: u64,
}

impl Pace {
    /// How long `party`, which comes `now`, has to wait for its turn.
    fn turn(&self, party: &Role, now: Instant) -> Result<Duration, TooOften> {
        let mut rested = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The moment from which on all of AT_ONCE is there again.
        let from = rested.get(party).map_or(now, |&moment| moment.max(now)) + THEN_EVERY;
        let wait = (from - now).saturating_sub(THEN_EVERY * AT_ONCE);
        if wait > LONGEST_WAIT {
            return Err(TooOften { wait_secs: wait.as_secs() });
        }
        rested.insert(party.clone(), from);
        Ok(wait)
    }

    /// As [`Pace::wait`], for a connection itself. An admin's is let in at once: a site must be revoked now, however often
    /// the admin's scripts have looked today.
    pub(crate) async fn wait_to_enter(
        &self,
        connection: &Connection,
        refusals: &Refusals,
    ) -> Result<(), TooOften> {
        match connection.peer() {
            Role::Admin(_) => Ok(()),
            _ => self.wait(connection, refusals).await,
        }
    }

    /// Waits for the turn of whom `connection` belongs to.
    ///
    /// # Errors
    /// When it would be too long: then the connection is closed and counted in `refusals`.
    pub(crate) async fn wait(&self, connection: &Connection, refusals: &Refusals) -> Result<(), TooOften> {
        match self.turn(connection.peer(), Instant::now()) {
            Ok(Duration::ZERO) => {}
            Ok(wait) => tokio::select! {
                () = tokio::time::sleep(wait) => {}
                // Whoever serves it finds out at once.
                _ = connection.closed() => {}
            },
            Err(too_often) => {
                refusals.count(ASKED_TOO_OFTEN);
                connection.close(CloseCode::TOO_MANY, &too_often.to_string());
                return Err(too_often);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observer(name: &str) -> Role {
        Role::Observer(name.parse().unwrap())
    }

    #[test]
    fn a_loop_is_slowed_down_and_everybody_else_is_not() {
        let (pace, now, olga) = (Pace::default(), Instant::now(), observer("olga"));
        for _ in 0..AT_ONCE {
            assert_eq!(pace.turn(&olga, now), Ok(Duration::ZERO));
        }
        assert_eq!(pace.turn(&olga, now), Ok(THEN_EVERY));
        assert_eq!(pace.turn(&observer("otto"), now), Ok(Duration::ZERO));
        assert_eq!(pace.turn(&Role::Admin("olga".parse().unwrap()), now), Ok(Duration::ZERO));
    }

    /// However fast and however many at once, a day of it is AT_ONCE and one for every THEN_EVERY.
    #[test]
    fn a_day_of_asking_without_end_is_bounded() {
        let (pace, begin, olga) = (Pace::default(), Instant::now(), observer("olga"));
        let mut served = 0;
        for second in 0..86_400 {
            let now = begin + Duration::from_secs(second);
            served += (0..16).filter(|_| pace.turn(&olga, now).is_ok()).count();
        }
        let bound = u64::from(AT_ONCE) + (86_400 + LONGEST_WAIT.as_secs()) / THEN_EVERY.as_secs();
        assert!(served as u64 <= bound && served as u64 + 5 >= bound, "{served} of {bound}");
    }

    #[test]
    fn being_sent_away_costs_nothing_more_and_rest_restores() {
        let (pace, now, olga) = (Pace::default(), Instant::now(), observer("olga"));
        while pace.turn(&olga, now).is_ok() {}
        let refused = pace.turn(&olga, now).unwrap_err();
        for _ in 0..1_000 {
            assert_eq!(pace.turn(&olga, now), Err(refused), "no debt is run up");
        }
        let rested = now + THEN_EVERY * (AT_ONCE + 4);
        for _ in 0..AT_ONCE {
            assert_eq!(pace.turn(&olga, rested), Ok(Duration::ZERO));
        }
    }
}
