//! One connection of one site: greet, hand out work, take answers.
//!
//! What is said is checked here only as far as the conversation goes; whether it may happen is the conductor's to
//! say. A site that connects again replaces its older session.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use consilium_domain::{OrderId, Role, SiteId, Task};
use consilium_privacy::{Grid, UpdatePayload};
use consilium_protocol::coordinator::{Event, Phase};
use consilium_protocol::{
    MAX_REASON_BYTES, Outcome, Rejection, ToCoordinator, ToSite, TrainingOutcome, VersionRange,
    bounded_reason,
};
use consilium_transport::{
    BlobStore, CloseCode, Closed, Connection, ControlError, ControlReceiver, ControlSender, ServeError,
    serve_blobs,
};

use crate::access::StudyAccess;
use crate::conductor::{Desk, Stopped};

/// How long a fresh connection may take to say hello. Longer than any handshake, short for a silent stranger.
const HELLO_TIMEOUT: Duration = Duration::from_secs(15);
/// Longest name of a site's program that is logged.
const MAX_SOFTWARE_BYTES: usize = 100;
/// How long a told site may take to hang up after the end of the study.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(5);

/// What all sessions share.
#[derive(Clone)]
pub(crate) struct Sessions {
    desk: Desk,
    store: BlobStore,
    access: Arc<StudyAccess>,
    current: Arc<Mutex<BTreeMap<SiteId, u64>>>,
}

#[derive(Debug, thiserror::Error)]
enum SessionError {
    #[error(transparent)]
    Control(#[from] ControlError),
    #[error(transparent)]
    Stopped(#[from] Stopped),
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

impl Sessions {
    /// Sessions over one study.
    pub(crate) fn new(desk: Desk, store: BlobStore) -> Self {
        let access = Arc::new(StudyAccess::new(desk.clone()));
        Self { desk, store, access, current: Arc::default() }
    }

    /// Serves one connection to its end.
    pub(crate) async fn serve(self, connection: Connection) {
        let Role::Site(site) = connection.peer().clone() else { return };
        let generation = self.enter(&site);
        let mut session = Session { site: site.clone(), sessions: &self, ready: false };
        let ended = session.converse(&connection).await;
        let reason = ended.map_or_else(|error| error.to_string(), |()| "said farewell".to_owned());
        tracing::info!(%site, reason, "session ended");
        connection.close(CloseCode::DONE, &reason);
        let _ = self.desk.account(site.clone(), connection.traffic()).await;
        if self.leave(&site, generation) {
            let reason = bounded_reason(&reason);
            let _ = self.desk.submit(Event::SiteGone { site, reason }).await;
        }
    }

    fn enter(&self, site: &SiteId) -> u64 {
        let mut current = self.current.lock().expect("no session panics while it holds the lock");
        let generation = current.get(site).map_or(0, |generation| generation + 1);
        current.insert(site.clone(), generation);
        generation
    }

    /// Whether this was the site's latest session.
    fn leave(&self, site: &SiteId, generation: u64) -> bool {
        let current = self.current.lock().expect("no session panics while it holds the lock");
        current.get(site) == Some(&generation)
    }
}

struct Session<'a> {
    site: SiteId,
    sessions: &'a Sessions,
    /// The site asked for work and there was none yet.
    ready: bool,
}

impl Session<'_> {
    async fn converse(&mut self, connection: &Connection) -> Result<(), SessionError> {
        let greeting = tokio::time::timeout(HELLO_TIMEOUT, self.greet(connection));
        let (mut sender, mut receiver) = greeting.await.map_err(|_| SessionError::Silent)??;
        let Sessions { store, access, .. } = self.sessions;
        let conversation = self.work(connection, &mut sender, &mut receiver);
        tokio::select! {
            ended = conversation => ended,
            ended = serve_blobs(connection.clone(), store.clone(), access.clone()) => match ended {
                Ok(closed) => Err(SessionError::Ended(closed)),
                Err(error) => Err(error.into()),
            },
        }
    }

    async fn work(
        &mut self,
        connection: &Connection,
        sender: &mut ControlSender,
        receiver: &mut ControlReceiver,
    ) -> Result<(), SessionError> {
        let mut changes = self.sessions.desk.changes();
        loop {
            if let Some(farewell) = self.farewell() {
                sender.send(&farewell).await?;
                let _ = tokio::time::timeout(FAREWELL_TIMEOUT, connection.closed()).await;
                return Ok(());
            }
            if self.ready
                && let Some(order) = self.sessions.desk.read(|state| state.next_order(&self.site))
            {
                self.ready = false;
                tracing::info!(site = %self.site, order = %order.task, "work handed out");
                sender.send(&ToSite::Work(order)).await?;
            }
            tokio::select! {
                message = receive(receiver) => self.take(message?, sender).await?,
                changed = changes.changed() => changed.map_err(|_| Stopped)?,
            }
        }
    }

    async fn greet(&self, connection: &Connection) -> Result<(ControlSender, ControlReceiver), SessionError> {
        let desk = &self.sessions.desk;
        let (mut sender, mut receiver) = connection.accept_control().await?;
        let hello = receive(&mut receiver).await?;
        let refusal = match &hello {
            ToCoordinator::Hello { versions, software } if software.len() <= MAX_SOFTWARE_BYTES => {
                match VersionRange::OURS.common(*versions) {
                    Some(_) => None,
                    None => Some(Rejection::Version { ours: VersionRange::OURS.newest }),
                }
            }
            _ => Some(Rejection::OutOfTurn("say hello first, with a short name".into())),
        };
        let refusal = match refusal {
            None if desk.read(|state| state.is_over()) => None,
            None => desk.submit(Event::SiteConnected { site: self.site.clone() }).await?.err(),
            refusal => refusal,
        };
        if let Some(rejection) = refusal {
            sender.send(&ToSite::Rejected { order: None, rejection: rejection.clone() }).await?;
            let _ = tokio::time::timeout(FAREWELL_TIMEOUT, connection.closed()).await;
            return Err(SessionError::Refused(rejection));
        }
        sender.send(&self.welcome()).await?;
        Ok((sender, receiver))
    }

    fn welcome(&self) -> ToSite {
        self.sessions.desk.read(|state| ToSite::Welcome {
            version: VersionRange::OURS.newest,
            site: self.site.clone(),
            study: state.study().to_json(),
            base: state.first_models().base,
            enlisted: state.roster().member(&self.site).is_some_and(|member| member.cohort.is_some()),
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

    async fn take(&mut self, message: ToCoordinator, sender: &mut ControlSender) -> Result<(), SessionError> {
        let site = self.site.clone();
        let desk = &self.sessions.desk;
        match message {
            ToCoordinator::Ready => self.ready = true,
            ToCoordinator::Hello { .. } => {
                let rejection = Rejection::OutOfTurn("hello was said before".into());
                sender.send(&ToSite::Rejected { order: None, rejection }).await?;
            }
            ToCoordinator::Enlist { study, cohort } => {
                let ours = desk.read(|state| state.hash());
                let answer = if study == ours {
                    desk.submit(Event::SiteEnlisted { site, cohort }).await?
                } else {
                    Err(Rejection::OtherStudy { theirs: study, ours })
                };
                let reply = match answer {
                    Ok(()) => ToSite::Enlisted,
                    Err(rejection) => ToSite::Rejected { order: None, rejection },
                };
                sender.send(&reply).await?;
            }
            ToCoordinator::Answer { order, outcome } => {
                let answer = self.answered(order, outcome).await?;
                sender.send(&settle(order, answer)).await?;
            }
            ToCoordinator::Failed { order, reason } => {
                tracing::warn!(%site, %order, reason, "the site could not do its work");
                let reason = reason.chars().take(MAX_REASON_BYTES).collect::<String>();
                let reason = bounded_reason(&reason);
                let answer = desk.submit(Event::OrderFailed { site, order, reason }).await?;
                sender.send(&settle(order, answer)).await?;
            }
        }
        Ok(())
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
        let blob = outcome.blob();
        let event = Event::OrderAnswered { site: self.site.clone(), order, outcome };
        let answer = self.sessions.desk.submit(event).await?;
        if let Some(blob) = blob {
            self.sessions.access.settled(&self.site, &blob.digest);
        }
        Ok(answer)
    }

    /// Reads the whole update before it may count: a sum must never meet a bad one.
    async fn check_update(&self, order: OrderId, training: &TrainingOutcome) -> Result<(), Rejection> {
        let (manifest, fixed_point) = self.sessions.desk.read(|state| {
            let Some(Task::Train { lane, .. }) = state.task(&order) else {
                return Err(Rejection::UnknownOrder);
            };
            Ok((state.study().network.trainable_tensors(lane.arm), state.study().federation.fixed_point))
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

async fn receive(receiver: &mut ControlReceiver) -> Result<ToCoordinator, SessionError> {
    receiver.receive().await?.ok_or(SessionError::HungUp)
}

fn settle(order: OrderId, answer: Result<(), Rejection>) -> ToSite {
    match answer {
        Ok(()) => ToSite::Accepted { order },
        Err(rejection) => ToSite::Rejected { order: Some(order), rejection },
    }
}
