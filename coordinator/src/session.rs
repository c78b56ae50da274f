//! One connection of one site to its study: welcome it, hand out work, take answers.
//!
//! What is said is checked here only as far as the conversation goes; whether it may happen is the conductor's to
//! say. A site that connects again has two sessions until its older connection is found dead: the latest one that
//! said hello speaks for its presence.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use consilium_audit::WitnessError;
use consilium_domain::{OrderId, SiteId, StudyHash, Task, WorkOrder};
use consilium_privacy::Grid;
use consilium_protocol::coordinator::{Coordinator, Event, Phase};
use consilium_protocol::{
    FIRST_VERSION_WITH_RENEWAL, Outcome, Rejection, SignedHead, ToCoordinator, ToSite, TrainingOutcome,
    WITHDRAWALS_SINCE, bounded_reason,
};
use consilium_transport::{
    BlobStore, CloseCode, Closed, Connection, ControlError, ControlReceiver, ServeError, aside, serve_blobs,
};
use tokio::sync::Mutex;

use crate::access::StudyAccess;
use crate::aggregation::check_update;
use crate::audited_access::AuditedAccess;
use crate::conductor::{Desk, Stopped};
use crate::farewells::Farewells;
use crate::greeting::{Agreed, FAREWELL_TIMEOUT, GreetedSite, Voice, VoiceError};
use crate::registry::Registry;
use crate::renewing::renewed;
use crate::surroundings::now;

/// Messages of a site in a row that settle nothing: several times those of the longest fingerprints. Each costs a line of
/// the audit log, so that a site which says more is cut off.
const MAX_IDLE_MESSAGES: u32 = 2_000;
/// The first version of the conversation in which heads of audit logs are exchanged.
const HEADS_SINCE: u16 = 4;

/// What all sessions share.
#[derive(Clone)]
pub(crate) struct Sessions {
    desk: Desk,
    store: BlobStore,
    access: Arc<StudyAccess>,
    registry: Registry,
    /// The number of every site's latest session. Locked while the conductor is told of one, so that it hears of
    /// them in their order.
    latest: Arc<Mutex<BTreeMap<SiteId, u64>>>,
    /// Who has heard that the study is over.
    farewells: Arc<Farewells>,
}

#[derive(Debug, thiserror::Error)]
enum SessionError {
    #[error(transparent)]
    Control(#[from] ControlError),
    #[error(transparent)]
    Voice(#[from] VoiceError),
    #[error(transparent)]
    Stopped(#[from] Stopped),
    #[error("the receipt of an audit log: {0}")]
    Witness(#[from] WitnessError),
    #[error("{MAX_IDLE_MESSAGES} messages settled nothing: the site's program is not ours, or broken")]
    Chatty,
    #[error("the site hung up")]
    HungUp,
    #[error("{0}")]
    Refused(Rejection),
    #[error("{0}")]
    Ended(Closed),
    #[error("blobs cannot be served: {0}")]
    Blobs(#[from] ServeError),
}

impl Sessions {
    /// Sessions over one study; who has heard its end is noted in `farewells`.
    pub(crate) fn new(desk: Desk, store: BlobStore, registry: Registry, farewells: Farewells) -> Self {
        let access = Arc::new(StudyAccess::new(desk.clone()));
        Self { desk, store, access, registry, latest: Arc::default(), farewells: Arc::new(farewells) }
    }

    /// The study.
    pub(crate) const fn desk(&self) -> &Desk {
        &self.desk
    }

    /// Waits until every site that takes part has heard that the study is over.
    pub(crate) async fn all_told(&self) {
        let taking_part = |state: &Coordinator| {
            let roster = state.roster();
            let here = roster.enlisted().filter(|(site, _)| !roster.has_withdrawn(site));
            here.map(|(site, _)| site.clone()).collect::<BTreeSet<SiteId>>()
        };
        self.farewells.of_all(&self.desk.read(taking_part)).await;
    }

    /// Serves one connection of a greeted site to its end.
    pub(crate) async fn serve(self, connection: Connection, site: SiteId, greeted: GreetedSite) {
        let GreetedSite { voice, receiver, agreed, software } = greeted;
        let mut session = Session {
            site: site.clone(),
            sessions: &self,
            number: None,
            software,
            agreed,
            ready: false,
            told: false,
            heads_due: 0,
            idle_messages: 0,
        };
        let ended = session.converse(&connection, voice, receiver).await;
        let reason = ended.map_or_else(|error| error.to_string(), |()| "said farewell".to_owned());
        tracing::info!(%site, reason, "session ended");
        connection.close(CloseCode::DONE, &reason);
        let number = session.number;
        let _ = self.desk.account(site.clone(), connection.traffic()).await;
        if let Some(number) = number {
            self.leave(site, number, &reason).await;
        }
    }

    /// Tells the conductor that `site` is there; the number of its session.
    async fn enter(&self, site: &SiteId, software: &str) -> Result<Result<u64, Rejection>, Stopped> {
        let mut latest = self.latest.lock().await;
        let software = software.chars().filter(|letter| !letter.is_control()).collect();
        let connected = Event::SiteConnected { site: site.clone(), software };
        if let Err(rejection) = self.desk.submit(connected).await? {
            return Ok(Err(rejection));
        }
        let number = latest.entry(site.clone()).or_default();
        *number += 1;
        Ok(Ok(*number))
    }

    /// Tells the conductor that `site` is gone, unless it has a later session.
    async fn leave(&self, site: SiteId, number: u64, reason: &str) {
        let latest = self.latest.lock().await;
        if latest.get(&site) == Some(&number) {
            let reason = bounded_reason(reason);
            // Refused or not heard: the study is over, and presence means nothing any more.
            let _ = self.desk.submit(Event::SiteGone { site, reason }).await;
        }
    }
}

struct Session<'a> {
    site: SiteId,
    sessions: &'a Sessions,
    /// Its place among the site's sessions, once it is admitted.
    number: Option<u64>,
    /// Name and version of its program.
    software: String,
    /// What both sides speak.
    agreed: Agreed,
    /// The site asked for work and there was none yet.
    ready: bool,
    /// Over this connection the site was told which duplicates to leave out.
    told: bool,
    /// Exchanges of heads that the site may begin: after its welcome, each settled order, and the farewell. Each costs
    /// two signatures and four lines.
    heads_due: u32,
    /// Messages since something was settled.
    idle_messages: u32,
}

impl Session<'_> {
    async fn converse(
        &mut self,
        connection: &Connection,
        mut voice: Voice,
        mut receiver: ControlReceiver,
    ) -> Result<(), SessionError> {
        if let Err(rejection) = self.admit().await? {
            voice.say(&ToSite::Rejected { order: None, rejection: rejection.clone() }).await?;
            let _ = tokio::time::timeout(FAREWELL_TIMEOUT, connection.closed()).await;
            return Err(SessionError::Refused(rejection));
        }
        voice.say(&self.welcome()).await?;
        self.heads_due = 1;
        let Sessions { store, access, .. } = self.sessions;
        let access = Arc::new(AuditedAccess::new(access.clone(), voice.audit().clone()));
        let conversation = self.work(connection, &mut voice, &mut receiver);
        tokio::select! {
            ended = conversation => ended,
            ended = serve_blobs(connection.clone(), store.clone(), access) => match ended {
                Ok(closed) => Err(SessionError::Ended(closed)),
                Err(error) => Err(error.into()),
            },
        }
    }

    async fn work(
        &mut self,
        connection: &Connection,
        voice: &mut Voice,
        receiver: &mut ControlReceiver,
    ) -> Result<(), SessionError> {
        let mut changes = self.sessions.desk.changes();
        loop {
            if let Some(farewell) = self.farewell() {
                voice.say(&farewell).await?;
                self.heads_due += 1;
                let last_heads = self.last_heads(connection, voice, receiver);
                if tokio::time::timeout(FAREWELL_TIMEOUT, last_heads).await.unwrap_or(Ok(false))? {
                    self.sessions.farewells.heard(&self.site);
                }
                return Ok(());
            }
            if !self.told
                && let Some(exclusion) = self.exclusion()
            {
                self.told = true;
                voice.say(&exclusion).await?;
            }
            if self.ready
                && let Some(order) = self.sessions.desk.read(|state| state.next_order(&self.site))
            {
                self.ready = false;
                tracing::info!(site = %self.site, order = %order.task, "work handed out");
                self.offer_delta(&order, voice).await?;
                voice.say(&ToSite::Work(order)).await?;
            }
            tokio::select! {
                message = receive(receiver) => self.take(message?, voice, connection).await?,
                changed = changes.changed() => changed.map_err(|_| Stopped)?,
            }
        }
    }

    /// Tells the shorter way to the model of `order`, where there is one.
    async fn offer_delta(&self, order: &WorkOrder, voice: &mut Voice) -> Result<(), SessionError> {
        let Some(model) = order.task.model() else { return Ok(()) };
        if let Some(delta) = self.sessions.desk.read(|state| state.delta_to(&model)) {
            let offer = ToSite::Delta(delta);
            if self.agreed.version >= offer.since() {
                voice.say(&offer).await?;
            }
        }
        Ok(())
    }

    /// Before a told site hangs up, both sides see each other's audit logs once more. Nothing else counts any more. Whether
    /// it has heard the farewell: it answers with its last head, or says good-bye.
    async fn last_heads(
        &mut self,
        connection: &Connection,
        voice: &mut Voice,
        receiver: &mut ControlReceiver,
    ) -> Result<bool, SessionError> {
        let said_goodbye = |closed: &Closed| closed.code() == Some(CloseCode::DONE);
        loop {
            let message = tokio::select! {
                message = receive(receiver) => message,
                closed = connection.closed() => return Ok(said_goodbye(&closed)),
            };
            match message {
                Ok(ToCoordinator::AuditHead(head)) => self.exchange(head, voice).await?,
                Ok(ToCoordinator::Countersigned(receipt)) => {
                    voice.audit().keep(receipt).await??;
                    // The site waits for us to hang up: now it has nothing left to say.
                    if self.heads_due == 0 {
                        return Ok(true);
                    }
                }
                Ok(message) => self.write_down(&message, voice).await?,
                Err(_) => return Ok(connection.close_reason().as_ref().is_some_and(said_goodbye)),
            }
        }
    }

    /// The site's head: countersigned, and answered with ours.
    async fn exchange(&mut self, head: SignedHead, voice: &mut Voice) -> Result<(), SessionError> {
        let due = self.heads_due.checked_sub(1).filter(|_| self.agreed.version >= HEADS_SINCE);
        let Some(left) = due else {
            let rejection = Rejection::OutOfTurn("no head of an audit log is due".into());
            return Ok(voice.say(&ToSite::Rejected { order: None, rejection }).await?);
        };
        self.heads_due = left;
        for reply in voice.audit().exchange(head).await?? {
            voice.say(&reply).await?;
        }
        Ok(())
    }

    /// Before anything follows from `message`.
    async fn write_down(&mut self, message: &ToCoordinator, voice: &Voice) -> Result<(), SessionError> {
        self.idle_messages += 1;
        if self.idle_messages > MAX_IDLE_MESSAGES {
            return Err(SessionError::Chatty);
        }
        let desk = &self.sessions.desk;
        let task = |order: &OrderId| desk.read(|state| state.task(order).cloned());
        Ok(voice.audit().arrived(message, task).await?)
    }

    /// Something was settled: the site may say more, and state the head of its log.
    fn settled(&mut self, answer: &Result<(), Rejection>) {
        self.heads_due = self.heads_due.saturating_add(1);
        if answer.is_ok() {
            self.idle_messages = 0;
        }
    }

    /// Whether the site may talk to us. It is present from here on.
    async fn admit(&mut self) -> Result<Result<(), Rejection>, SessionError> {
        let desk = &self.sessions.desk;
        if desk.read(|state| state.roster().member(&self.site).is_none()) {
            return Ok(Err(Rejection::NotInvited));
        }
        match self.sessions.enter(&self.site, &self.software).await? {
            Ok(number) => self.number = Some(number),
            // Nothing happens any more, and the site is to hear how the study ended.
            Err(Rejection::Over) => {}
            Err(rejection) => return Ok(Err(rejection)),
        }
        Ok(Ok(()))
    }

    fn welcome(&self) -> ToSite {
        self.sessions.desk.read(|state| ToSite::Welcome {
            version: self.agreed.version,
            features: self.agreed.features,
            site: self.site.clone(),
            study: state.study().to_json(),
            base: state.first_models().base,
            standing: state.standing(&self.site),
        })
    }

    /// Which duplicates the site leaves out, once that is known.
    fn exclusion(&self) -> Option<ToSite> {
        self.sessions.desk.read(|state| {
            let exclusion = state.exclusion(&self.site)?;
            Some(ToSite::Duplicates { of: exclusion.of, exclude: exclusion.cases.clone() })
        })
    }

    /// What to say when the study is over, or over for this site.
    fn farewell(&self) -> Option<ToSite> {
        self.sessions.desk.read(|state| match state.phase() {
            Phase::Finished { .. } => Some(ToSite::Finished),
            Phase::Halted { reason, .. } => Some(ToSite::Halted { reason: bounded_reason(reason) }),
            Phase::Enrolling | Phase::Running { .. } if !state.roster().has_withdrawn(&self.site) => None,
            Phase::Enrolling | Phase::Running { .. } if self.agreed.version >= WITHDRAWALS_SINCE => {
                Some(ToSite::Withdrawn)
            }
            // An older client that took the place of the one that withdrew.
            Phase::Enrolling | Phase::Running { .. } => {
                Some(ToSite::Halted { reason: "this site has withdrawn from the study".into() })
            }
        })
    }

    async fn take(
        &mut self,
        message: ToCoordinator,
        voice: &mut Voice,
        connection: &Connection,
    ) -> Result<(), SessionError> {
        self.write_down(&message, voice).await?;
        let site = self.site.clone();
        let desk = &self.sessions.desk;
        match message {
            ToCoordinator::Ready => self.ready = true,
            ToCoordinator::Hello { .. } => {
                let rejection = Rejection::OutOfTurn("hello was said before".into());
                voice.say(&ToSite::Rejected { order: None, rejection }).await?;
            }
            ToCoordinator::Renew { .. } if self.agreed.version < FIRST_VERSION_WITH_RENEWAL => {
                let rejection =
                    Rejection::OutOfTurn("this version of the conversation has no renewal".into());
                voice.say(&ToSite::Rejected { order: None, rejection }).await?;
            }
            ToCoordinator::Renew { request } => {
                let answer = renewed(&self.sessions.registry, &site, connection, &request).await;
                voice.say(&answer).await?;
            }
            ToCoordinator::Fingerprints { study, part, last, cases } => {
                // What a connection said that the site has given up would break into the parts of its next one.
                if !self.is_latest().await {
                    return Ok(());
                }
                let event = Event::FingerprintsSent { site, part, last, cases };
                if let Err(rejection) = self.submit_for(study, event).await? {
                    voice.say(&ToSite::Rejected { order: None, rejection }).await?;
                }
            }
            ToCoordinator::Enlist { study, cohort } => {
                let reply = match self.submit_for(study, Event::SiteEnlisted { site, cohort }).await? {
                    Ok(()) => ToSite::Enlisted,
                    Err(rejection) => ToSite::Rejected { order: None, rejection },
                };
                voice.say(&reply).await?;
            }
            ToCoordinator::Withdraw { study, reason } => {
                let reason = bounded_reason(&reason);
                tracing::warn!(%site, reason, "the site withdraws");
                // Recorded now or before: the farewell confirms it.
                if let Err(rejection) = self.submit_for(study, Event::SiteWithdrew { site, reason }).await?
                    && !self.has_withdrawn()
                {
                    voice.say(&ToSite::Rejected { order: None, rejection }).await?;
                }
                self.discard_unused(&Ok(())).await;
            }
            ToCoordinator::Answer { order, outcome } => {
                let answer = self.answered(order, outcome).await?;
                self.discard_unused(&answer).await;
                self.settled(&answer);
                voice.say(&settle(order, answer)).await?;
            }
            ToCoordinator::Failed { order, reason } => {
                let reason = bounded_reason(&reason);
                tracing::warn!(%site, %order, reason, "the site could not do its work");
                let answer = desk.submit(Event::OrderFailed { site, order, reason }).await?;
                self.discard_unused(&answer).await;
                self.settled(&answer);
                voice.say(&settle(order, answer)).await?;
            }
            ToCoordinator::Progress { order, progress } => {
                // Never answered: what is no progress changes nothing, and counts as idle talk.
                if desk.submit(Event::OrderProgressed { site, order, progress }).await?.is_ok() {
                    self.idle_messages = 0;
                }
            }
            ToCoordinator::AuditHead(head) => self.exchange(head, voice).await?,
            ToCoordinator::Countersigned(receipt) => voice.audit().keep(receipt).await??,
        }
        Ok(())
    }

    fn has_withdrawn(&self) -> bool {
        self.sessions.desk.read(|state| state.roster().has_withdrawn(&self.site))
    }

    /// Whether this is the last session that the site has begun.
    async fn is_latest(&self) -> bool {
        self.sessions.latest.lock().await.get(&self.site).copied() == self.number
    }

    /// Submits an event of a site that means the study `theirs`.
    async fn submit_for(
        &self,
        theirs: StudyHash,
        event: Event,
    ) -> Result<Result<(), Rejection>, SessionError> {
        let desk = &self.sessions.desk;
        let ours = desk.read(|state| state.hash());
        if theirs != ours {
            return Ok(Err(Rejection::OtherStudy { theirs, ours }));
        }
        Ok(desk.submit(event).await?)
    }

    async fn answered(
        &self,
        order: OrderId,
        outcome: Outcome,
    ) -> Result<Result<(), Rejection>, SessionError> {
        let event = Event::OrderAnswered { site: self.site.clone(), order, outcome };
        // First of all: the update of an answer that counts already need not be here any more.
        if let Err(rejection) = self.sessions.desk.read(|state| state.admit(now(), &event)) {
            return Ok(Err(rejection));
        }
        if let Event::OrderAnswered { outcome: Outcome::Trained(training), .. } = &event
            && let Err(rejection) = self.check_update(order, training).await
        {
            return Ok(Err(rejection));
        }
        Ok(self.sessions.desk.submit(event).await?)
    }

    /// Deletes what the site uploaded for the order it has just replied to and no round took: late or bad updates. A site
    /// that answered before its update was here goes on to upload it.
    async fn discard_unused(&self, answer: &Result<(), Rejection>) {
        let Sessions { access, store, .. } = self.sessions;
        access.settle(&self.site, store).await;
        if !answer.as_ref().is_err_and(Rejection::blames_the_answer) {
            access.forget_partials(&self.site, store).await;
        }
    }

    /// Reads the whole update before it may count: a sum must never meet a bad one.
    async fn check_update(&self, order: OrderId, training: &TrainingOutcome) -> Result<(), Rejection> {
        let (manifest, fixed_point, wire) = self.sessions.desk.read(|state| {
            let Some(Task::Train { lane, .. }) = state.task(&order) else {
                return Err(Rejection::UnknownOrder);
            };
            let federation = &state.study().federation;
            Ok((state.study().trainable_tensors(lane.arm), federation.fixed_point, federation.wire))
        })?;
        let (store, update) = (self.sessions.store.clone(), training.update);
        let check = move || {
            let coordinates = manifest.iter().map(consilium_domain::network::TensorSpec::values).sum();
            let grid = Grid::new(fixed_point).map_err(|error| error.to_string())?;
            check_update(&store, &update, wire, coordinates, grid).map_err(|error| error.to_string())
        };
        let checked = aside(check).await.map_err(|error| error.to_string());
        let relative_error = checked
            .and_then(|checked| checked)
            .map_err(|reason| Rejection::Update(bounded_reason(&reason)))?;
        tracing::info!(site = %self.site, %order, bytes = update.bytes, wire = wire.name(), relative_error, "update");
        Ok(())
    }
}

async fn receive(receiver: &mut ControlReceiver) -> Result<ToCoordinator, SessionError> {
    receiver.receive().await?.ok_or(SessionError::HungUp)
}

fn settle(order: OrderId, answer: Result<(), Rejection>) -> ToSite {
    match answer {
        Ok(()) => ToSite::Accepted { order },
        Err(rejection) => ToSite::Rejected { order: Some(order), rejection },
    }
}
