//! The one place where a study changes: admit, write down, apply, carry out.
//!
//! Sessions send it events and read the state; it alone writes. Heavy work (sums) runs on blocking threads, so the
//! loop stays responsive. Deliberately ignorant of connections: presence comes in as events like everything else.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use consilium_audit::StudyStep;
use consilium_domain::{BlobRef, Digest, Lane, Round, SiteId};
use consilium_protocol::Rejection;
use consilium_protocol::coordinator::{Coordinator, Effect, Event, Phase};
use consilium_transport::{BlobStore, StoreError, Traffic, aside};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::access::is_wanted;
use crate::aggregation::{Aggregated, Aggregation, AggregationError};
use crate::auditing::{Audit, waiting_here};
use crate::contributors::{self, Contributors, ContributorsError};
use crate::event_log::{EventLog, EventLogError};
use crate::notice::{Notice, Progress, Teller};
use crate::surroundings::WallClock;
use crate::uploads::Uploads;
use crate::watched::watched;

/// Requests that may wait for the conductor: a few for each of the 500 sites a study can have.
const PENDING_REQUESTS: usize = 2_000;
/// Sums taken at once, each with a model, an update and an accumulator in memory: a second one computes while the
/// first waits for the disk. Lanes may close in any number at once, after a restart above all.
const SUMS_AT_ONCE: usize = 2;

/// Why the state's lock is never poisoned.
const UNPOISONED: &str = "the state is only changed by panic-free code";

/// Why a coordinator stops although the study is not over.
#[derive(Debug, thiserror::Error)]
pub enum ConductorError {
    /// The log cannot be written: what happened cannot be remembered, so nothing may happen.
    #[error(transparent)]
    Log(#[from] EventLogError),
    /// A closed round cannot be summed.
    #[error(transparent)]
    Aggregation(#[from] AggregationError),
    /// What a site sends cannot be kept.
    #[error(
        "an update cannot be kept: {0}; check the disk's space and permissions, then start again: nothing is lost"
    )]
    Upload(StoreError),
    /// A blob cannot be stored.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The audit log cannot be written.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// The list of who is in a model cannot be written.
    #[error(transparent)]
    Contributors(#[from] ContributorsError),
    /// A sum panicked.
    #[error("an aggregation ended abnormally: {0}")]
    Task(#[from] tokio::task::JoinError),
}

enum Request {
    Event { event: Event, reply: oneshot::Sender<Result<(), Rejection>> },
    Traffic { site: SiteId, traffic: Traffic, reply: oneshot::Sender<()> },
    Accounts { reply: oneshot::Sender<BTreeMap<SiteId, Traffic>> },
    GiveUp(StoreError),
}

/// A handle for sessions: read the state, submit events, wait for changes.
#[derive(Clone)]
pub(crate) struct Desk {
    state: Arc<RwLock<Coordinator>>,
    changes: watch::Receiver<u64>,
    requests: mpsc::Sender<Request>,
    uploads: Arc<Uploads>,
}

/// The conductor has stopped; nothing more will happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the coordinator is shutting down")]
pub struct Stopped;

impl Desk {
    /// Reads the state.
    pub(crate) fn read<T>(&self, look: impl FnOnce(&Coordinator) -> T) -> T {
        look(&self.state.read().expect(UNPOISONED))
    }

    /// What sites have uploaded and not replied with yet.
    pub(crate) const fn uploads(&self) -> &Arc<Uploads> {
        &self.uploads
    }

    /// A receiver that is notified of every change.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.clone()
    }

    /// Makes `event` happen; `Ok(Ok(()))` means it is durable.
    ///
    /// # Errors
    /// [`Stopped`] when the conductor is gone; the inner error when the event may not happen.
    pub(crate) async fn submit(&self, event: Event) -> Result<Result<(), Rejection>, Stopped> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(Request::Event { event, reply }).await.map_err(|_| Stopped)?;
        watched("an event that waits for its turn", answer).await.map_err(|_| Stopped)
    }

    /// Ends the conductor: its disk does not keep what sites send, so that no round can be completed.
    pub(crate) fn give_up(&self, error: StoreError) {
        tracing::error!(%error, "an update cannot be kept");
        // Where there is no room for it now, the site's next try says it again.
        let _ = self.requests.try_send(Request::GiveUp(error));
    }

    /// Adds the bytes of an ended connection to a site's account.
    ///
    /// # Errors
    /// [`Stopped`] when the conductor is gone.
    pub(crate) async fn account(&self, site: SiteId, traffic: Traffic) -> Result<(), Stopped> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(Request::Traffic { site, traffic, reply }).await.map_err(|_| Stopped)?;
        answer.await.map_err(|_| Stopped)
    }

    /// The bytes of every site's ended connections.
    ///
    /// # Errors
    /// [`Stopped`] when the conductor is gone.
    pub(crate) async fn accounts(&self) -> Result<BTreeMap<SiteId, Traffic>, Stopped> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(Request::Accounts { reply }).await.map_err(|_| Stopped)?;
        answer.await.map_err(|_| Stopped)
    }
}

/// A stored sum, and the updates it was taken of.
struct Sum {
    lane: Lane,
    round: Round,
    sum: Aggregated,
    updates: Vec<BlobRef>,
}

/// The owner of a study.
pub(crate) struct Conductor {
    state: Arc<RwLock<Coordinator>>,
    log: EventLog,
    audit: Audit,
    store: BlobStore,
    /// The study's state folder.
    folder: PathBuf,
    changes: watch::Sender<u64>,
    requests: mpsc::Receiver<Request>,
    sums: JoinSet<Result<Sum, ConductorError>>,
    sum_places: Arc<Semaphore>,
    teller: Teller,
    uploads: Arc<Uploads>,
    shown: Option<Progress>,
    clock: WallClock,
}

impl Conductor {
    /// Takes charge of `state`, the fold over `log`, in the state folder `folder`.
    pub(crate) fn new(
        state: Coordinator,
        log: EventLog,
        audit: Audit,
        (store, folder): (BlobStore, PathBuf),
        teller: Teller,
    ) -> (Self, Desk) {
        let state = Arc::new(RwLock::new(state));
        let (changes, watching) = watch::channel(0);
        let (sender, requests) = mpsc::channel(PENDING_REQUESTS);
        let uploads = Arc::<Uploads>::default();
        let desk =
            Desk { state: state.clone(), changes: watching, requests: sender, uploads: uploads.clone() };
        let (sums, sum_places) = (JoinSet::new(), Arc::new(Semaphore::new(SUMS_AT_ONCE)));
        let (shown, clock) = (None, WallClock::default());
        let conductor = Self {
            state,
            log,
            audit,
            store,
            folder,
            changes,
            requests,
            sums,
            sum_places,
            teller,
            uploads,
            shown,
            clock,
        };
        (conductor, desk)
    }

    /// Takes the time from `clock`.
    pub(crate) fn by_clock(mut self, clock: WallClock) -> Self {
        self.clock = clock;
        self
    }

    /// Conducts until every desk is gone. After the study's end it only keeps the accounts.
    ///
    /// # Errors
    /// When the log, the store or a sum fails: the state folder then holds everything that happened before.
    pub(crate) async fn run(mut self) -> Result<EventLog, ConductorError> {
        self.resume().await?;
        loop {
            let timeout = self.until_timeout();
            tokio::select! {
                request = self.requests.recv() => match request {
                    Some(Request::Event { event, reply }) => {
                        let answer = self.happen(event).await?;
                        let _ = reply.send(answer);
                    }
                    Some(Request::Traffic { site, traffic, reply }) => {
                        self.log.add_traffic(&site, traffic).await?;
                        let _ = reply.send(());
                    }
                    Some(Request::Accounts { reply }) => {
                        let sites: Vec<SiteId> = self.read(|state| state.roster().sites().cloned().collect());
                        let _ = reply.send(self.log.accounts(&sites).await?);
                    }
                    Some(Request::GiveUp(error)) => return Err(ConductorError::Upload(error)),
                    None => return Ok(self.log),
                },
                Some(sum) = self.sums.join_next() => {
                    let Sum { lane, round, sum, updates } = sum??;
                    let Aggregated { model, movement, delta } = sum;
                    let (movement, delta) = (Some(movement), Some(delta));
                    let outdated = self.read(|state| state.delta_of(&lane));
                    let aggregated = Event::RoundAggregated { lane, round, model, movement, delta };
                    if let Err(rejection) = self.happen(aggregated).await? {
                        tracing::warn!(%lane, %round, %rejection, "a model was not needed any more");
                    }
                    self.forget(updates.into_iter().chain(outdated)).await;
                }
                () = tokio::time::sleep(timeout.unwrap_or(Duration::MAX)), if timeout.is_some() => {
                    // Refused when something else happened in the same millisecond: then it is not due any more.
                    let _ = self.happen(Event::TimePassed).await?;
                }
            }
        }
    }

    /// After a restart: sites have to come back, closed rounds without a model are summed again, and updates whose sum
    /// is durable go, as they would have gone.
    async fn resume(&mut self) -> Result<(), ConductorError> {
        let waiting = self.read(Coordinator::pending_aggregations);
        for effect in waiting {
            self.carry_out(effect);
        }
        waiting_here(|| {
            self.read(|state| contributors::write_missing(&self.folder, state, self.audit.signer()))
        })?;
        self.forget(self.read(summed)).await;
        if self.read(Coordinator::is_over) {
            self.keep_only_models().await;
        }
        self.show_progress();
        Ok(())
    }

    fn read<T>(&self, look: impl FnOnce(&Coordinator) -> T) -> T {
        look(&self.state.read().expect(UNPOISONED))
    }

    #[tracing::instrument(level = "debug", name = "event", skip_all)]
    async fn happen(&mut self, event: Event) -> Result<Result<(), Rejection>, ConductorError> {
        let at = self.clock.now();
        if let Err(rejection) = self.read(|state| state.admit(at, &event)) {
            tracing::debug!(%rejection, code = rejection.code(), "event rejected");
            return Ok(Err(rejection));
        }
        watched("an event on its way to the disk", self.log.append(at, &event)).await?;
        let aggregated = match &event {
            Event::RoundAggregated { lane, round, model, .. } => {
                Some(StudyStep::Aggregated { lane: *lane, round: *round, model: *model })
            }
            _ => None,
        };
        let enrolled = self.read(|state| *state.phase() != Phase::Enrolling);
        let effects = self.state.write().expect(UNPOISONED).apply(at, event);
        if !enrolled {
            self.warn_of_the_absent();
        }
        if let Some(StudyStep::Aggregated { lane, round, .. }) = aggregated {
            self.list_contributors(lane, round)?;
        }
        let study = self.read(Coordinator::hash);
        for step in aggregated.into_iter().chain(effects.iter().filter_map(step)) {
            watched("a line of the audit log", self.audit.study(study, step, self.log.head())).await?;
        }
        for effect in effects {
            self.carry_out(effect);
        }
        self.changes.send_modify(|version| *version += 1);
        self.show_progress();
        if self.read(Coordinator::is_over) {
            self.keep_only_models().await;
        }
        Ok(Ok(()))
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Aggregate { lane, round, start, contributions } => {
                let updates = contributions.iter().map(|contribution| contribution.update).collect();
                let sum =
                    self.read(|state| Aggregation::new(state.study(), lane, round, start, contributions));
                let (store, places) = (self.store.clone(), self.sum_places.clone());
                self.sums.spawn(async move {
                    let _place = places.acquire().await.expect("the semaphore is never closed");
                    let sum = watched("a sum", sum.run(&store)).await?;
                    Ok(Sum { lane, round, sum, updates })
                });
            }
            Effect::WentOnWithout { work, missing } => {
                for (site, reason) in missing {
                    tracing::warn!(work, %site, reason, "went on without a site");
                    self.teller.tell(Notice::Warning(format!("{work} went on without {site}: {reason}")));
                }
            }
            Effect::SiteWithdrew { site, reason } => {
                self.teller.tell(Notice::Warning(format!("{site} withdrew from the study: {reason}")));
            }
            Effect::Finish => tracing::info!("the study is complete"),
            Effect::Halt { reason } => {
                self.teller.tell(Notice::Warning(format!("the study was halted: {reason}")));
            }
        }
    }

    /// Says who was invited and is in no round, where enrolment has just ended.
    fn warn_of_the_absent(&self) {
        for site in self.read(absent) {
            tracing::warn!(%site, "the study began without a site");
            self.teller.tell(Notice::Warning(format!("{site} was invited and never enlisted")));
        }
    }

    /// Sealed updates are not kept once their sum is durable, unless a site has the same one under way; nor deltas once
    /// there is a later one.
    async fn forget(&self, blobs: impl IntoIterator<Item = BlobRef>) {
        for BlobRef { digest, .. } in blobs {
            let state = self.state.clone();
            let wanted = move || is_wanted(&state.read().expect(UNPOISONED), &digest);
            self.uploads.sweep(digest, &self.store, wanted).await;
        }
    }

    /// Says who is in the model of `round`, before anybody gets it.
    fn list_contributors(&self, lane: Lane, round: Round) -> Result<(), ContributorsError> {
        let list = self.read(|state| Contributors::of_round(state, lane, round));
        let list = list.expect("the model of this round has just been taken in");
        waiting_here(|| contributors::write(&self.folder, &list, self.audit.signer()))
    }

    /// At the end of a study nobody answers any more: updates that were uploaded and never answered with go too, and those
    /// that never arrived.
    async fn keep_only_models(&self) {
        let (state, store) = (self.state.clone(), self.store.clone());
        let wanted = move |digest: &Digest| is_wanted(&state.read().expect(UNPOISONED), digest);
        let retaining = move || store.forget_partials().and_then(|()| store.retain(wanted));
        if let Ok(Err(error)) = aside(retaining).await {
            tracing::warn!(%error, "updates that nobody needs stay on the disk");
        }
    }

    fn show_progress(&mut self) {
        let progress = self.read(Progress::of);
        if self.shown.as_ref() != Some(&progress) {
            self.teller.tell(Notice::Progress(progress.clone()));
            self.shown = Some(progress);
        }
    }

    fn until_timeout(&self) -> Option<Duration> {
        let due = self.read(Coordinator::next_timeout)?;
        Some(Duration::from_millis(due.0.saturating_sub(self.clock.now().0)))
    }
}

/// Once enrolment has ended: who was invited, did not enlist, and did not say why.
fn absent(state: &Coordinator) -> Vec<SiteId> {
    if !matches!(state.phase(), Phase::Running { .. }) {
        return Vec::new();
    }
    let silent =
        state.roster().iter().filter(|(_, member)| member.cohort.is_none() && member.withdrawal.is_none());
    silent.map(|(site, _)| site.clone()).collect()
}

/// The updates of rounds that have their model.
fn summed(state: &Coordinator) -> Vec<BlobRef> {
    let rounds = state.lanes().iter().flat_map(|lane| &lane.rounds).filter(|round| round.model.is_some());
    rounds.flat_map(|round| round.training.answers().values()).map(|answer| answer.value.update).collect()
}

/// What the audit log tells of an effect. Sums are told when they are there.
fn step(effect: &Effect) -> Option<StudyStep> {
    Some(match effect {
        Effect::Aggregate { .. } => return None,
        Effect::WentOnWithout { missing, .. } => StudyStep::WentOnWithout { sites: missing.len() as u32 },
        Effect::SiteWithdrew { site, .. } => StudyStep::SiteWithdrew { site: site.clone() },
        Effect::Finish => StudyStep::Finished {},
        Effect::Halt { .. } => StudyStep::Halted {},
    })
}

#[cfg(test)]
mod tests {
    use consilium_protocol::Timestamp;

    use super::*;
    use crate::scene::{Scene, site, study};

    #[test]
    fn who_never_enlisted_is_named_once_the_study_has_begun_without_them() {
        let mut scene = Scene::enrolling();
        scene.enlist("a");
        assert_eq!(absent(&scene.state), [], "there is time");
        let late = Timestamp(1_000).plus_secs(study().federation.enrolment_secs);
        scene.state.handle(late, Event::TimePassed).unwrap();
        assert_eq!(absent(&scene.state), [site("b")]);
        assert_eq!(absent(&Scene::running().state), []);
    }
}
