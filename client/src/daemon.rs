//! The client's life: connect, let the participant machine decide, carry out its actions, reconnect.
//!
//! What is to be said and when is `consilium_protocol::participant`'s to decide; this file moves bytes.

use std::sync::Arc;
use std::time::Duration;

use consilium_domain::{BlobRef, OrderId, Role, SiteId};
use consilium_protocol::ToSite;
use consilium_protocol::participant::{Action, Input, Participant};
use consilium_transport::{
    BlobStore, CloseCode, Connection, ControlReceiver, Identity, IdentityError, StoreError,
};
use tokio::sync::mpsc;

use crate::auditing::{AuditError, Auditor};
use crate::config::Config;
use crate::connection::{Pauses, reach};
use crate::model_cache::ModelCache;
use crate::outgoing::{LinkError, Outgoing};
use crate::transfers::{Ended, Transfers};
use crate::worker::{Done, Job, Worker, Workplace};

/// What this program calls itself.
const SOFTWARE: &str = concat!("consilium-client ", env!("CARGO_PKG_VERSION"));

/// How long the last exchange of audit heads may take: two signatures and a few lines on a slow disk.
const LAST_HEADS: Duration = Duration::from_secs(3);

/// How a client's run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The study is complete.
    Finished,
    /// The study was halted, or this site cannot take part.
    Stopped {
        /// Why, and what to do about it.
        reason: String,
    },
    /// The process was asked to stop.
    Interrupted,
}

/// Why a client cannot run.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The certificate.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The certificate is the coordinator's.
    #[error(
        "the certificate in the identity folder is the coordinator's: use the kit that was issued to this site"
    )]
    NotASite,
    /// The state folder.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The audit log: what cannot be written down does not leave.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The worker thread died.
    #[error("the worker ended abnormally; see the log, and start the client again")]
    WorkerDied,
}

/// Takes part in the coordinator's study until it is over, or until `shutdown`.
///
/// # Errors
/// When the certificate or the state folder cannot be used.
pub async fn run(config: Config, shutdown: impl Future<Output = ()>) -> Result<Ending, DaemonError> {
    let identity = Identity::load(&config.identity)?;
    let Role::Site(site) = identity.role().clone() else { return Err(DaemonError::NotASite) };
    let store = BlobStore::open(&config.state.join("blobs"))?;
    store.discard_partials()?;
    let auditor = Auditor::open(&config.state, &config.identity, &identity)?;
    tracing::info!(device = %config.device, "training and prediction run here");
    let (worker, results) = Worker::start(Workplace {
        site: site.clone(),
        layout: config.layout,
        folders: config.data.clone(),
        predictions: config.state.join("predictions"),
        fingerprint_key: config.identity.join("fingerprint.key"),
        cache: config.state.join("cache"),
        cache_settings: config.cache,
        device: config.device.clone(),
    });
    let (transfers, transferred) = Transfers::new(store.clone());
    let log = auditor.log().clone();
    let client = Client {
        participant: Participant::new(site.clone(), SOFTWARE.to_owned()),
        auditor,
        store,
        worker,
        results,
        transfers,
        transferred,
        models: ModelCache::default(),
        base: None,
        uploaded: None,
        ending: None,
    };
    let ending = client.live(&config, &identity, &site, shutdown).await?;
    let reason = match &ending {
        Ending::Finished => "study-finished",
        Ending::Stopped { .. } => "cannot-take-part",
        Ending::Interrupted => "asked-to",
    };
    Auditor::stopped(log, reason).await?;
    Ok(ending)
}

struct Client {
    participant: Participant,
    auditor: Auditor,
    store: BlobStore,
    worker: Worker,
    results: mpsc::UnboundedReceiver<Done>,
    transfers: Transfers,
    transferred: mpsc::UnboundedReceiver<Ended>,
    models: ModelCache,
    /// The pretrained backbone, once fetched.
    base: Option<(BlobRef, Arc<Vec<u8>>)>,
    /// The update of the answer that waits for its acknowledgement.
    uploaded: Option<(OrderId, BlobRef)>,
    ending: Option<Ending>,
}

impl Client {
    async fn live(
        mut self,
        config: &Config,
        identity: &Identity,
        site: &SiteId,
        shutdown: impl Future<Output = ()>,
    ) -> Result<Ending, DaemonError> {
        let mut shutdown = std::pin::pin!(shutdown);
        let mut pauses = Pauses::new(site);
        loop {
            let reached = tokio::select! {
                reached = self.reach(config, identity, &mut pauses) => reached?,
                () = &mut shutdown => return Ok(Ending::Interrupted),
            };
            let connection = match reached {
                Ok(connection) => connection,
                Err(ending) => return Ok(ending),
            };
            self.auditor.connected(&connection, identity).await?;
            let ended = tokio::select! {
                ended = self.session(&connection, &mut pauses) => ended,
                () = &mut shutdown => {
                    self.ending = Some(Ending::Interrupted);
                    Ok(Ok(()))
                }
            };
            // Said whatever happened: without it the coordinator finds out by its idle timeout.
            let goodbye = if self.ending.is_some() { "good-bye" } else { "the site gave the connection up" };
            connection.close(CloseCode::DONE, goodbye);
            connection.drained().await;
            self.auditor.disconnected(&connection).await?;
            let reason = match ended? {
                Ok(()) => "done".to_owned(),
                Err(error) => error.to_string(),
            };
            if let Some(ending) = self.ending {
                return Ok(ending);
            }
            tracing::warn!(reason, "connection lost");
            self.participant.handle(Input::Disconnected);
            tokio::select! {
                () = tokio::time::sleep(pauses.next()) => {}
                () = &mut shutdown => return Ok(Ending::Interrupted),
            }
        }
    }

    /// Connects, and takes in results until then. The inner error is the end of a site that cannot take part.
    ///
    /// A result that was received is always taken in to the end: the wait for the connection never cancels it.
    async fn reach(
        &mut self,
        config: &Config,
        identity: &Identity,
        pauses: &mut Pauses,
    ) -> Result<Result<Connection, Ending>, DaemonError> {
        let mut reached = std::pin::pin!(reach(config, identity, pauses));
        loop {
            let done = tokio::select! {
                connection = &mut reached => return Ok(Ok(connection)),
                done = self.results.recv() => done.ok_or(DaemonError::WorkerDied)?,
            };
            let input = self.finished(done).await?;
            for action in self.participant.handle(input) {
                // There is nobody to talk to: all that is left to do is to give up.
                if let Action::Stop { reason } = action {
                    return Ok(Err(Ending::Stopped { reason }));
                }
            }
        }
    }

    /// Serves one connection until it or the study ends. The outer error ends the client, the inner the connection.
    async fn session(
        &mut self,
        connection: &Connection,
        pauses: &mut Pauses,
    ) -> Result<Result<(), LinkError>, DaemonError> {
        let (mut outgoing, mut receiver) = match Outgoing::open(connection).await {
            Ok(halves) => halves,
            Err(error) => return Ok(Err(error.into())),
        };
        let mut input = Input::Connected;
        loop {
            let actions = self.participant.handle(input);
            for action in actions {
                if let Err(error) = self.carry_out(action, &mut outgoing).await? {
                    return Ok(Err(error));
                }
            }
            if self.ending.is_some() {
                let last_heads = self.last_heads(&mut outgoing, &mut receiver);
                return tokio::time::timeout(LAST_HEADS, last_heads).await.unwrap_or(Ok(Ok(())));
            }
            input = tokio::select! {
                message = receiver.receive::<ToSite>() => match message {
                    Ok(Some(message)) => {
                        pauses.reset();
                        if let Err(error) = self.take_in(&message, &mut outgoing).await? {
                            return Ok(Err(error));
                        }
                        Input::Received(message)
                    }
                    Ok(None) => return Ok(Ok(())),
                    Err(error) => return Ok(Err(error.into())),
                },
                done = self.results.recv() => self.finished(done.ok_or(DaemonError::WorkerDied)?).await?,
                Some(ended) = self.transferred.recv() => {
                    if let Some(blob) = ended.arrived {
                        self.auditor.fetched(blob, connection).await?;
                    }
                    ended.input
                }
            };
        }
    }

    /// Before the site hangs up at the end of a study, both sides see each other's audit logs once more.
    async fn last_heads(
        &mut self,
        outgoing: &mut Outgoing<'_>,
        receiver: &mut ControlReceiver,
    ) -> Result<Result<(), LinkError>, DaemonError> {
        let mut stated = false;
        loop {
            if !stated && !self.auditor.awaits_head() {
                let message = match self.auditor.last_head().await? {
                    Ok(messages) => messages.into_iter().next(),
                    Err(error) => return Ok(Err(error.into())),
                };
                let Some(message) = message else { return Ok(Ok(())) };
                stated = true;
                if let Err(error) = outgoing.send(&message, &self.auditor).await? {
                    return Ok(Err(error));
                }
            }
            // The coordinator hangs up when it has the last receipt: hanging up first would lose it.
            let Ok(Some(message)) = receiver.receive::<ToSite>().await else { return Ok(Ok(())) };
            if let Err(error) = self.take_in(&message, outgoing).await? {
                return Ok(Err(error));
            }
        }
    }

    /// Writes down what came before anything follows from it, and answers what the audit logs are to each other.
    async fn take_in(
        &mut self,
        message: &ToSite,
        outgoing: &mut Outgoing<'_>,
    ) -> Result<Result<(), LinkError>, DaemonError> {
        let replies = match self.auditor.arrived(message, outgoing.connection()).await? {
            Ok(replies) => replies,
            Err(error) => return Ok(Err(error.into())),
        };
        self.settle(message).await;
        for reply in replies {
            if let Err(error) = outgoing.send(&reply, &self.auditor).await? {
                return Ok(Err(error));
            }
        }
        Ok(Ok(()))
    }

    async fn carry_out(
        &mut self,
        action: Action,
        outgoing: &mut Outgoing<'_>,
    ) -> Result<Result<(), LinkError>, DaemonError> {
        match action {
            Action::Send(message) => return Ok(outgoing.send(&message, &self.auditor).await?),
            Action::Fingerprint(study) => {
                tracing::info!(study = study.name, hash = %study.hash(), "fingerprinting the site's cases");
                self.worker.give(Job::Fingerprint(study));
            }
            Action::Prepare { study, exclude } => {
                let duplicates = exclude.len();
                tracing::info!(study = study.name, hash = %study.hash(), duplicates, "preparing the site's data");
                self.worker.give(Job::Prepare { study, exclude });
            }
            Action::Fetch(blob) => self.transfers.fetch(blob, outgoing.connection()),
            Action::Execute(order) => {
                tracing::info!(task = %order.task, "working");
                let base = self.load_base().await?;
                let model = match order.task.model() {
                    Some(model) => {
                        self.models.used(model, &self.store).await;
                        Some(self.read(model).await?)
                    }
                    None => None,
                };
                self.worker.give(Job::Execute { order, model, base });
            }
            Action::Upload { order, blob } => {
                self.uploaded = Some((order, blob));
                outgoing.upload(order, blob, &self.transfers, &self.auditor).await?;
            }
            Action::Note(note) => tracing::warn!("{note}"),
            Action::Finish => self.ending = Some(Ending::Finished),
            Action::Stop { reason } => self.ending = Some(Ending::Stopped { reason }),
        }
        Ok(Ok(()))
    }

    /// Turns a result of the worker into what the participant is told; an update is stored first.
    async fn finished(&mut self, done: Done) -> Result<Input, StoreError> {
        Ok(match done {
            Done::Fingerprinted(result) => Input::Fingerprinted(result),
            Done::Prepared(result) => Input::Prepared(result),
            Done::Executed { order, result } => {
                let result = match result {
                    Ok((outcome, payload)) => {
                        self.auditor.worked(order, &outcome);
                        if let Some(payload) = payload {
                            self.store.insert(payload).await?;
                        }
                        Ok(outcome)
                    }
                    Err(reason) => Err(reason),
                };
                Input::WorkDone { order, result }
            }
        })
    }

    /// An update that is accepted or refused is not kept, nor one whose upload was refused.
    async fn settle(&mut self, message: &ToSite) {
        let settled = match message {
            ToSite::Accepted { order } | ToSite::Rejected { order: Some(order), .. } => *order,
            _ => return,
        };
        if let Some((_, blob)) = self.uploaded.take_if(|(order, _)| *order == settled)
            && let Err(error) = self.store.remove(&blob.digest).await
        {
            tracing::warn!(%error, "a sent update stays on the disk");
        }
    }

    /// The backbone, read once.
    async fn load_base(&mut self) -> Result<Option<Arc<Vec<u8>>>, StoreError> {
        let Some(blob) = self.participant.base() else { return Ok(None) };
        if self.base.as_ref().is_none_or(|(loaded, _)| *loaded != blob) {
            self.base = Some((blob, Arc::new(self.read(blob).await?)));
        }
        Ok(self.base.as_ref().map(|(_, bytes)| bytes.clone()))
    }

    /// A blob that was fetched. A damaged one is deleted, so that it is fetched again after the error.
    async fn read(&self, blob: BlobRef) -> Result<Vec<u8>, StoreError> {
        let content = self.store.read(&blob).await;
        if let Err(StoreError::Mismatch { .. } | StoreError::Length { .. }) = &content {
            self.store.remove(&blob.digest).await?;
        }
        content
    }
}
