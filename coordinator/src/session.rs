//! One connection of one site: greet, hand out work, take answers.
//!
//! What is said is checked here only as far as the conversation goes; whether it may happen is the conductor's to
//! say. A site that connects again has two sessions until its older connection is found dead: the latest one that
//! said hello speaks for its presence.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use consilium_audit::WitnessError;
use consilium_domain::{OrderId, Role, SiteId, StudyHash, Task};
use consilium_privacy::{Grid, UpdatePayload};
use consilium_protocol::coordinator::{Event, Phase};
use consilium_protocol::{
    Features, Outcome, Rejection, SignedHead, ToCoordinator, ToSite, TrainingOutcome, VersionRange,
    bounded_reason,
};
use consilium_transport::{
    BlobStore, CloseCode, Closed, Connection, ControlError, ControlReceiver, ServeError, serve_blobs,
};
use tokio::sync::Mutex;

use crate::access::StudyAccess;
use crate::audited_access::AuditedAccess;
use crate::auditing::{Audit, SessionAudit};
use crate::conductor::{Desk, Stopped};
use crate::outgoing::{Outgoing, SendError};

/// How long a fresh connection may take to say hello. Longer than any handshake, short for a silent stranger.
const HELLO_TIMEOUT: Duration = Duration::from_secs(15);
/// Longest name of a site's program that is logged.
const MAX_SOFTWARE_BYTES: usize = 100;
/// How long a told site may take to hang up after the end of the study.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(5);
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
    audit: Audit,
    /// The number of every site's latest session. Locked while the conductor is told of one, so that it hears of
    /// them in their order.
    latest: Arc<Mutex<BTreeMap<SiteId, u64>>>,
}

#[derive(Debug, thiserror::Error)]
enum SessionError {
    #[error(transparent)]
    Control(#[from] ControlError),
    #[error(transparent)]
    Stopped(#[from] Stopped),
    #[error("the receipt of an audit log: {0}")]
    Witness(#[from] WitnessError),
    #[error("{MAX_IDLE_MESSAGES} messages settled nothing: the site's program is not ours, or broken")]
    Chatty,
    #[error("no hello within {} s", HELLO_TIMEOUT.as_secs())]
    Silent,
    #[error("the site hung up")]
    HungUp,
    #[error("{0}")]
    Refused(Rejection),
    #[error("{0}")]
    Ended(Closed),
    #[error("blobs cannot be served: {0}")]
    Blobs(#[from] ServeError),
}

impl From<SendError> for SessionError {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Control(error) => error.into(),
            SendError::Stopped(stopped) => stopped.into(),
        }
    }
}

impl Sessions {
    /// Sessions over one study, written down in `audit`.
    pub(crate) fn new(desk: Desk, store: BlobStore, audit: Audit) -> Self {
        let access = Arc::new(StudyAccess::new(desk.clone()));
        Self { desk, store, access, audit, latest: Arc::default() }
    }

    /// Serves one connection to its end.
    pub(crate) async fn serve(self, connection: Connection) {
        let Role::Site(site) = connection.peer().clone() else { return };
        let mut session = Session {
            site: site.clone(),
            sessions: &self,
            number: None,
            version: 0,
            features: Features::default(),
            ready: false,
            told: false,
            heads_due: 0,
            idle_messages: 0,
        };
        let ended = session.converse(&connection).await;
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
    async fn enter(&self, site: &SiteId) -> Result<Result<u64, Rejection>, Stopped> {
        let mut latest = self.latest.lock().await;
        let connected = Event::SiteConnected { site: site.clone() };
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
    /// Its place among the site's sessions, once the site has said hello.
    number: Option<u64>,
    /// The version that is spoken, once hello was said.
    version: u16,
    /// What both sides can do beyond it.
    features: Features,
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
    async fn converse(&mut self, connection: &Connection) -> Result<(), SessionError> {
        let audit = self.sessions.audit.connected(connection).await?;
        let ended = self.greet_and_work(connection, &audit).await;
        audit.disconnected(connection.traffic()).await?;
        ended
    }

    async fn greet_and_work(
        &mut self,
        connection: &Connection,
        audit: &SessionAudit,
    ) -> Result<(), SessionError> {
        let hello = tokio::time::timeout(HELLO_TIMEOUT, hear_hello(connection, audit));
        let (hello, mut outgoing, mut receiver) = hello.await.map_err(|_| SessionError::Silent)??;
        audit.arrived(&hello, |_| None).await?;
        if let Err(rejection) = self.admit(&hello).await? {
            outgoing.send(&ToSite::Rejected { order: None, rejection: rejection.clone() }).await?;
            let _ = tokio::time::timeout(FAREWELL_TIMEOUT, connection.closed()).await;
            return Err(SessionError::Refused(rejection));
        }
        outgoing.send(&self.welcome()).await?;
        self.heads_due = 1;
        let Sessions { store, access, .. } = self.sessions;
        let access = Arc::new(AuditedAccess::new(access.clone(), audit.clone()));
        let conversation = self.work(connection, &mut outgoing, &mut receiver);
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
        outgoing: &mut Outgoing,
        receiver: &mut ControlReceiver,
    ) -> Result<(), SessionError> {
        let mut changes = self.sessions.desk.changes();
        loop {
            if let Some(farewell) = self.farewell() {
                outgoing.send(&farewell).await?;
                self.heads_due += 1;
                let last_heads = self.last_heads(connection, outgoing, receiver);
                return tokio::time::timeout(FAREWELL_TIMEOUT, last_heads).await.unwrap_or(Ok(()));
            }
            if !self.told
                && let Some(exclusion) = self.exclusion()
            {
                self.told = true;
                outgoing.send(&exclusion).await?;
            }
            if self.ready
                && let Some(order) = self.sessions.desk.read(|state| state.next_order(&self.site))
            {
                self.ready = false;
                tracing::info!(site = %self.site, order = %order.task, "work handed out");
                outgoing.send(&ToSite::Work(order)).await?;
            }
            tokio::select! {
                message = receive(receiver) => self.take(message?, outgoing).await?,
                changed = changes.changed() => changed.map_err(|_| Stopped)?,
            }
        }
    }

    /// Before a told site hangs up, both sides see each other's audit logs once more. Nothing else counts any more.
    async fn last_heads(
        &mut self,
        connection: &Connection,
        outgoing: &mut Outgoing,
        receiver: &mut ControlReceiver,
    ) -> Result<(), SessionError> {
        loop {
            let message = tokio::select! {
                message = receive(receiver) => message,
                _ = connection.closed() => return Ok(()),
            };
            match message {
                Ok(ToCoordinator::AuditHead(head)) => self.exchange(head, outgoing).await?,
                Ok(ToCoordinator::Countersigned(receipt)) => {
                    outgoing.audit().keep(receipt).await??;
                    // The site waits for us to hang up: now it has nothing left to say.
                    if self.heads_due == 0 {
                        return Ok(());
                    }
                }
                Ok(message) => self.write_down(&message, outgoing).await?,
                Err(_) => return Ok(()),
            }
        }
    }

    /// The site's head: countersigned, and answered with ours.
    async fn exchange(&mut self, head: SignedHead, outgoing: &mut Outgoing) -> Result<(), SessionError> {
        let due = self.heads_due.checked_sub(1).filter(|_| self.version >= HEADS_SINCE);
        let Some(left) = due else {
            let rejection = Rejection::OutOfTurn("no head of an audit log is due".into());
            return Ok(outgoing.send(&ToSite::Rejected { order: None, rejection }).await?);
        };
        self.heads_due = left;
        for reply in outgoing.audit().exchange(head).await?? {
            outgoing.send(&reply).await?;
        }
        Ok(())
    }

    /// Before anything follows from `message`.
    async fn write_down(&mut self, message: &ToCoordinator, outgoing: &Outgoing) -> Result<(), SessionError> {
        self.idle_messages += 1;
        if self.idle_messages > MAX_IDLE_MESSAGES {
            return Err(SessionError::Chatty);
        }
        let desk = &self.sessions.desk;
        let task = |order: &OrderId| desk.read(|state| state.task(order).cloned());
        Ok(outgoing.audit().arrived(message, task).await?)
    }

    /// Something was settled: the site may say more, and state the head of its log.
    fn settled(&mut self, answer: &Result<(), Rejection>) {
        self.heads_due = self.heads_due.saturating_add(1);
        if answer.is_ok() {
            self.idle_messages = 0;
        }
    }

    /// Whether the site may talk to us. It is present from here on.
    async fn admit(&mut self, hello: &ToCoordinator) -> Result<Result<(), Rejection>, SessionError> {
        match hello {
            ToCoordinator::Hello { versions, features, software } if software.len() <= MAX_SOFTWARE_BYTES => {
                tracing::info!(site = %self.site, ?software, "hello");
                let Some(version) = VersionRange::OURS.common(*versions) else {
                    return Ok(Err(Rejection::Version { ours: VersionRange::OURS.newest }));
                };
                (self.version, self.features) = (version, Features::OURS.common(*features));
            }
            _ => return Ok(Err(Rejection::OutOfTurn("say hello first, with a short name".into()))),
        }
        let desk = &self.sessions.desk;
        if desk.read(|state| state.roster().member(&self.site).is_none()) {
            return Ok(Err(Rejection::NotInvited));
        }
        match self.sessions.enter(&self.site).await? {
            Ok(number) => self.number = Some(number),
            // Nothing happens any more, and the site is to hear how the study ended.
            Err(Rejection::Over) => {}
            Err(rejection) => return Ok(Err(rejection)),
        }
        Ok(Ok(()))
    }

    fn welcome(&self) -> ToSite {
        self.sessions.desk.read(|state| ToSite::Welcome {
            version: self.version,
            features: self.features,
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

    /// What to say when the study is over.
    fn farewell(&self) -> Option<ToSite> {
        self.sessions.desk.read(|state| match state.phase() {
            Phase::Finished { .. } => Some(ToSite::Finished),
            Phase::Halted { reason, .. } => Some(ToSite::Halted { reason: bounded_reason(reason) }),
            Phase::Enrolling | Phase::Running { .. } => None,
        })
    }

    async fn take(&mut self, message: ToCoordinator, outgoing: &mut Outgoing) -> Result<(), SessionError> {
        self.write_down(&message, outgoing).await?;
        let site = self.site.clone();
        let desk = &self.sessions.desk;
        match message {
            ToCoordinator::Ready => self.ready = true,
            ToCoordinator::Hello { .. } => {
                let rejection = Rejection::OutOfTurn("hello was said before".into());
                outgoing.send(&ToSite::Rejected { order: None, rejection }).await?;
            }
            ToCoordinator::Fingerprints { study, part, last, cases } => {
                // What a connection said that the site has given up would break into the parts of its next one.
                if !self.is_latest().await {
                    return Ok(());
                }
                let event = Event::FingerprintsSent { site, part, last, cases };
                if let Err(rejection) = self.submit_for(study, event).await? {
                    outgoing.send(&ToSite::Rejected { order: None, rejection }).await?;
                }
            }
            ToCoordinator::Enlist { study, cohort } => {
                let reply = match self.submit_for(study, Event::SiteEnlisted { site, cohort }).await? {
                    Ok(()) => ToSite::Enlisted,
                    Err(rejection) => ToSite::Rejected { order: None, rejection },
                };
                outgoing.send(&reply).await?;
            }
            ToCoordinator::Answer { order, outcome } => {
                let answer = self.answered(order, outcome).await?;
                self.discard_unused().await;
                self.settled(&answer);
                outgoing.send(&settle(order, answer)).await?;
            }
            ToCoordinator::Failed { order, reason } => {
                let reason = bounded_reason(&reason);
                tracing::warn!(%site, %order, reason, "the site could not do its work");
                let answer = desk.submit(Event::OrderFailed { site, order, reason }).await?;
                self.discard_unused().await;
                self.settled(&answer);
                outgoing.send(&settle(order, answer)).await?;
            }
            ToCoordinator::AuditHead(head) => self.exchange(head, outgoing).await?,
            ToCoordinator::Countersigned(receipt) => outgoing.audit().keep(receipt).await??,
        }
        Ok(())
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
        if let Outcome::Trained(training) = &outcome
            && let Err(rejection) = self.check_update(order, training).await
        {
            return Ok(Err(rejection));
        }
        let event = Event::OrderAnswered { site: self.site.clone(), order, outcome };
        Ok(self.sessions.desk.submit(event).await?)
    }

    /// Deletes what the site uploaded for the order it has just replied to and no round took: late or bad updates.
    async fn discard_unused(&self) {
        for digest in self.sessions.access.settle(&self.site) {
            if let Err(error) = self.sessions.store.remove(&digest).await {
                tracing::warn!(%error, "a refused update stays on the disk");
            }
        }
    }

    /// Reads the whole update before it may count: a sum must never meet a bad one.
    async fn check_update(&self, order: OrderId, training: &TrainingOutcome) -> Result<(), Rejection> {
        let (manifest, fixed_point) = self.sessions.desk.read(|state| {
            let Some(Task::Train { lane, .. }) = state.task(&order) else {
                return Err(Rejection::UnknownOrder);
            };
            Ok((state.study().trainable_tensors(lane.arm), state.study().federation.fixed_point))
        })?;
        let store = self.sessions.store.clone();
        let blob = training.update;
        let check = async move {
            let bytes = store.read(&blob).await.map_err(|error| error.to_string())?;
            let coordinates = manifest.iter().map(consilium_domain::network::TensorSpec::values).sum();
            let grid = Grid::new(fixed_point).map_err(|error| error.to_string())?;
            tokio::task::spawn_blocking(move || {
                UpdatePayload::parse(&bytes, coordinates, grid).map(|_| ()).map_err(|error| error.to_string())
            })
            .await
            .map_err(|error| error.to_string())?
        };
        check.await.map_err(|reason| Rejection::Update(bounded_reason(&reason)))
    }
}

async fn hear_hello(
    connection: &Connection,
    audit: &SessionAudit,
) -> Result<(ToCoordinator, Outgoing, ControlReceiver), SessionError> {
    let (outgoing, mut receiver) = Outgoing::accept(connection, audit.clone()).await?;
    let hello = receive(&mut receiver).await?;
    Ok((hello, outgoing, receiver))
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
