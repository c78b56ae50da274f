//! The client's life: connect, let the participant machine decide, carry out its actions, reconnect.
//!
//! What is to be said and when is `consilium_protocol::participant`'s to decide; this file moves bytes.

use std::sync::Arc;

use consilium_domain::{BlobRef, OrderId, Role, SiteId};
use consilium_protocol::participant::{Action, Input, Participant};
use consilium_protocol::{ToCoordinator, ToSite};
use consilium_transport::{
    BlobStore, CloseCode, Connection, ControlError, ControlSender, Identity, IdentityError, StoreError,
};
use tokio::sync::mpsc;

use crate::config::Config;
use crate::connection::{Pauses, reach};
use crate::model_cache::ModelCache;
use crate::worker::{Done, Job, Worker, Workplace};

/// What this program calls itself.
const SOFTWARE: &str = concat!("consilium-client ", env!("CARGO_PKG_VERSION"));

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
    let (worker, results) = Worker::start(Workplace {
        site: site.clone(),
        layout: config.layout,
        folders: config.data.clone(),
        predictions: config.state.join("predictions"),
        device: config.device.clone(),
    });
    let (transfers, transferred) = mpsc::unbounded_channel();
    let client = Client {
        participant: Participant::new(site.clone(), SOFTWARE.to_owned()),
        store,
        worker,
        results,
        transfers,
        transferred,
        models: ModelCache::default(),
        base: None,
        sent: None,
        ending: None,
    };
    tokio::select! {
        ending = client.live(&config, &identity, &site) => ending,
        () = shutdown => Ok(Ending::Interrupted),
    }
}

struct Client {
    participant: Participant,
    store: BlobStore,
    worker: Worker,
    results: mpsc::UnboundedReceiver<Done>,
    transfers: mpsc::UnboundedSender<Input>,
    transferred: mpsc::UnboundedReceiver<Input>,
    models: ModelCache,
    /// The pretrained backbone, once fetched.
    base: Option<(BlobRef, Arc<Vec<u8>>)>,
    /// The update of the answer that waits for its acknowledgement.
    sent: Option<(OrderId, BlobRef)>,
    ending: Option<Ending>,
}

/// An established connection.
struct Link<'a> {
    connection: &'a Connection,
    sender: ControlSender,
}

impl Client {
    async fn live(
        mut self,
        config: &Config,
        identity: &Identity,
        site: &SiteId,
    ) -> Result<Ending, DaemonError> {
        let mut pauses = Pauses::new(site);
        loop {
            let connection = tokio::select! {
                connection = reach(config, identity, &mut pauses) => connection,
                worked = self.work_offline() => return Err(worked),
            };
            let reason = match self.session(&connection, &mut pauses).await? {
                Ok(()) => "done".to_owned(),
                Err(error) => error.to_string(),
            };
            connection.close(CloseCode::DONE, "good-bye");
            connection.drained().await;
            if let Some(ending) = self.ending {
                return Ok(ending);
            }
            tracing::warn!(reason, "connection lost");
            self.participant.handle(Input::Disconnected);
            tokio::time::sleep(pauses.next()).await;
        }
    }

    /// Takes in results while there is no connection. Only ever returns an error.
    async fn work_offline(&mut self) -> DaemonError {
        loop {
            let Some(done) = self.results.recv().await else { return DaemonError::WorkerDied };
            match self.finished(done).await {
                Ok(input) => self.participant.handle(input),
                Err(error) => return error.into(),
            };
        }
    }

    /// Serves one connection until it or the study ends. The outer error ends the client, the inner the connection.
    async fn session(
        &mut self,
        connection: &Connection,
        pauses: &mut Pauses,
    ) -> Result<Result<(), ControlError>, DaemonError> {
        let (sender, mut receiver) = match connection.open_control().await {
            Ok(halves) => halves,
            Err(error) => return Ok(Err(error)),
        };
        let mut link = Link { connection, sender };
        let mut input = Input::Connected;
        loop {
            let actions = self.participant.handle(input);
            for action in actions {
                if let Err(error) = self.carry_out(action, &mut link).await? {
                    return Ok(Err(error));
                }
            }
            if self.ending.is_some() {
                return Ok(Ok(()));
            }
            input = tokio::select! {
                message = receiver.receive::<ToSite>() => match message {
                    Ok(Some(message)) => {
                        pauses.reset();
                        self.settle(&message).await;
                        Input::Received(message)
                    }
                    Ok(None) => return Ok(Ok(())),
                    Err(error) => return Ok(Err(error)),
                },
                done = self.results.recv() => self.finished(done.ok_or(DaemonError::WorkerDied)?).await?,
                Some(input) = self.transferred.recv() => input,
            };
        }
    }

    async fn carry_out(
        &mut self,
        action: Action,
        link: &mut Link<'_>,
    ) -> Result<Result<(), ControlError>, DaemonError> {
        match action {
            Action::Send(message) => {
                if let ToCoordinator::Answer { order, outcome } = &message {
                    self.sent = outcome.blob().map(|blob| (*order, blob));
                }
                return Ok(link.sender.send(&message).await);
            }
            Action::Prepare(study) => {
                tracing::info!(study = study.name, hash = %study.hash(), "preparing the site's data");
                self.worker.give(Job::Prepare(study));
            }
            Action::Fetch(blob) => self.fetch(blob, link.connection),
            Action::Execute(order) => {
                tracing::info!(task = %order.task, "working");
                let base = self.load_base().await?;
                let model = match order.task.model() {
                    Some(model) => {
                        self.models.used(model, &self.store).await;
                        Some(self.store.read(&model).await?)
                    }
                    None => None,
                };
                self.worker.give(Job::Execute { order, model, base });
            }
            Action::Upload { order, blob } => self.upload(order, blob, link.connection),
            Action::Note(note) => tracing::warn!("{note}"),
            Action::Finish => self.ending = Some(Ending::Finished),
            Action::Stop { reason } => self.ending = Some(Ending::Stopped { reason }),
        }
        Ok(Ok(()))
    }

    fn fetch(&self, blob: BlobRef, connection: &Connection) {
        let (connection, store, transfers) = (connection.clone(), self.store.clone(), self.transfers.clone());
        tokio::spawn(async move {
            let input = match connection.fetch(blob, &store).await {
                Ok(_) => Input::Fetched(blob),
                // A lost connection is not the blob's fault: it is asked for again on the next one.
                Err(_) if connection.close_reason().is_some() => return,
                Err(error) => Input::FetchFailed { blob, reason: error.to_string() },
            };
            let _ = transfers.send(input);
        });
    }

    fn upload(&self, order: OrderId, blob: BlobRef, connection: &Connection) {
        let (connection, store, transfers) = (connection.clone(), self.store.clone(), self.transfers.clone());
        tokio::spawn(async move {
            let input = match connection.upload(blob, &store).await {
                Ok(_) => Input::Uploaded(order),
                Err(_) if connection.close_reason().is_some() => return,
                Err(error) => Input::UploadFailed { order, reason: error.to_string() },
            };
            let _ = transfers.send(input);
        });
    }

    /// Turns a result of the worker into what the participant is told; an update is stored first.
    async fn finished(&self, done: Done) -> Result<Input, StoreError> {
        Ok(match done {
            Done::Prepared(result) => Input::Prepared(result),
            Done::Executed { order, result } => {
                let result = match result {
                    Ok((outcome, payload)) => {
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

    /// An update that is accepted or refused is not kept.
    async fn settle(&mut self, message: &ToSite) {
        let settled = match message {
            ToSite::Accepted { order } | ToSite::Rejected { order: Some(order), .. } => *order,
            _ => return,
        };
        if let Some((_, blob)) = self.sent.take_if(|(order, _)| *order == settled)
            && let Err(error) = self.store.remove(&blob.digest).await
        {
            tracing::warn!(%error, "a sent update stays on the disk");
        }
    }

    /// The backbone, read once.
    async fn load_base(&mut self) -> Result<Option<Arc<Vec<u8>>>, StoreError> {
        let Some(blob) = self.participant.base() else { return Ok(None) };
        if self.base.as_ref().is_none_or(|(loaded, _)| *loaded != blob) {
            self.base = Some((blob, Arc::new(self.store.read(&blob).await?)));
        }
        Ok(self.base.as_ref().map(|(_, bytes)| bytes.clone()))
    }
}
