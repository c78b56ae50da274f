//! The client's life: one study after another, each with a participant, a worker and as many connections as it takes.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use consilium_audit::AuditError;
use consilium_domain::{Role, SiteId};
use consilium_transport::{BlobStore, Identity, IdentityError, Sockets, StoreError};
use consilium_web::WebError;
use tokio::sync::mpsc;

use crate::auditing::Auditor;
use crate::config::Config;
use crate::control::{Asked, ControlError, ControlSocket, serve};
use crate::dry_training::DryTraining;
use crate::outbox::{Outbox, OutboxError};
use crate::own_files::OwnFilesError;
use crate::renewal::Renewal;
use crate::session::Client;
use crate::steward::{Clock, DecisionsError, Request, Steward};
use crate::web::{self, Window};

/// What this program calls itself.
pub(crate) const SOFTWARE: &str = concat!("consilium-client ", env!("CARGO_PKG_VERSION"));
/// The first pause after a study that did not end well, or an end that the coordinator repeats.
const FIRST_REST: Duration = Duration::from_secs(10);
/// The longest: a new study is heard of within half an hour, and a folder that cannot be prepared is not read over and
/// over.
const LONGEST_REST: Duration = Duration::from_secs(30 * 60);

/// How a client's run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The study is complete.
    Finished,
    /// The study was halted, the site has withdrawn, or it cannot take part.
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
    /// The certificate is not a site's.
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
    /// The hospital's decisions cannot be kept, so nothing may happen.
    #[error(transparent)]
    Decisions(#[from] DecisionsError),
    /// Nobody could stop the client.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The hospital's own page.
    #[error(transparent)]
    Web(#[from] WebError),
    /// The outbox: what was computed cannot be kept, so it is not sent either.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    /// What the site keeps between orders: nobody else is at fault, so the order is not given back.
    #[error(transparent)]
    OwnFiles(#[from] OwnFilesError),
    /// The worker thread died.
    #[error("the worker ended abnormally; see the log, and start the client again")]
    WorkerDied,
}

/// How the client runs.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// Whether it ends after the first study; else it goes on to the next until it is asked to stop.
    pub once: bool,
    /// What time it is.
    pub clock: Clock,
    /// Where UDP sockets come from.
    pub sockets: Sockets,
    /// Where the hospital's own page is served, if anywhere. On this machine.
    pub web: Option<SocketAddr>,
    /// Pretends to work instead of working. For simulations: no file and no option of the client sets it.
    pub dry_training: Option<DryTraining>,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            once: false,
            clock: Clock::system(),
            sockets: Sockets::default(),
            web: None,
            dry_training: None,
        }
    }
}

/// Takes part in the coordinator's studies until `shutdown`, or in one of them.
///
/// # Errors
/// When the certificate or the state folder cannot be used.
pub async fn run(
    config: Config,
    options: RunOptions,
    shutdown: impl Future<Output = ()>,
) -> Result<Ending, DaemonError> {
    let identity = Identity::load(&config.identity)?;
    let Role::Site(site) = identity.role().clone() else { return Err(DaemonError::NotASite) };
    let mut steward = Steward::open(&config.state, config.policy.clone(), options.clock.clone())?;
    steward.now_doing().daemon = true;
    let store = BlobStore::open(&config.state.join("blobs"))?;
    store.discard_old_partials()?;
    let auditor = Auditor::open(&config.state, &config.identity, &identity)?;
    // After the audit log, which no second process of this site opens.
    let outbox = Outbox::open(&config.state.join("outbox")).await?;
    let (socket, requests) = serve(&config.state)?;
    let RunOptions { once, clock, sockets, dry_training, web } = options;
    let _website = match web {
        None => None,
        Some(listen) => {
            let window = Window::new(socket.asker(), auditor.log(), identity.clone());
            if dry_training.is_none() {
                window.check_data(&config);
            }
            Some(web::open(listen, window).await?)
        }
    };
    match &dry_training {
        None => {
            tracing::info!(device = %config.device, paused = steward.is_paused(), "training and prediction run here");
        }
        Some(_) => tracing::warn!("DRY TRAINING: this client only pretends to work"),
    }
    let renewal = Renewal::new(identity.clone(), &site);
    let mut house = House {
        config,
        identity,
        renewal,
        site,
        store,
        outbox,
        steward,
        auditor,
        clock,
        sockets,
        dry_training,
        requests,
        _socket: socket,
    };
    let ending = house.take_part(once, std::pin::pin!(shutdown)).await?;
    let reason = match &ending {
        Ending::Finished => "study-finished",
        Ending::Stopped { .. } => "cannot-take-part",
        Ending::Interrupted => "asked-to",
    };
    house.auditor.stopped(reason).await?;
    Ok(ending)
}

/// What outlives a study.
pub(crate) struct House {
    pub(crate) config: Config,
    pub(crate) identity: Identity,
    pub(crate) renewal: Renewal,
    pub(crate) site: SiteId,
    /// Models that were fetched.
    pub(crate) store: BlobStore,
    /// Answers that were not acknowledged yet.
    pub(crate) outbox: Outbox,
    pub(crate) steward: Steward,
    pub(crate) auditor: Auditor,
    pub(crate) clock: Clock,
    pub(crate) sockets: Sockets,
    pub(crate) dry_training: Option<DryTraining>,
    pub(crate) requests: mpsc::Receiver<Asked>,
    _socket: ControlSocket,
}

impl House {
    /// Where trainings stand between two epochs.
    pub(crate) fn half_trained(&self) -> PathBuf {
        self.config.state.join("half-trained")
    }

    /// One study after another, or one.
    async fn take_part(
        &mut self,
        once: bool,
        mut shutdown: Pin<&mut impl Future<Output = ()>>,
    ) -> Result<Ending, DaemonError> {
        let mut rest = FIRST_REST;
        loop {
            let ending = Client::new(self).live(shutdown.as_mut()).await?;
            if ending == Ending::Finished {
                // Models that nobody will ask for again.
                self.store.forget_partials()?;
            }
            if once || ending == Ending::Interrupted {
                return Ok(ending);
            }
            match &ending {
                Ending::Stopped { reason } => {
                    tracing::warn!(reason, ?rest, "stopped; trying again after a rest");
                }
                _ => tracing::info!(?ending, "the study is over for this site; the next one is waited for"),
            }
            if self.rest(rest, shutdown.as_mut()).await? {
                return Ok(Ending::Interrupted);
            }
            rest = if ending == Ending::Finished { FIRST_REST } else { (rest * 2).min(LONGEST_REST) };
        }
    }

    /// Answers somebody at the control socket.
    pub(crate) async fn attend(&mut self, Asked { request, answer }: Asked) -> Result<(), AuditError> {
        match request {
            // The hospital's page asks again and again.
            Request::Status | Request::Studies => tracing::debug!(?request, "asked"),
            _ => tracing::info!(?request, "asked at the control socket"),
        }
        let done = self.steward.answer(request);
        self.write_decisions().await?;
        // Whoever asked may be gone; what was decided is decided.
        let _ = answer.send(done);
        Ok(())
    }

    /// Writes down what was decided and what became of the certificate, before anything follows from it.
    pub(crate) async fn write_decisions(&mut self) -> Result<(), AuditError> {
        let records = [self.steward.take_unwritten(), self.renewal.take_unwritten()].concat();
        self.auditor.decided(records).await
    }

    /// Lets `pause` pass, and attends meanwhile; whether `shutdown` came first.
    pub(crate) async fn rest(
        &mut self,
        pause: Duration,
        mut shutdown: Pin<&mut impl Future<Output = ()>>,
    ) -> Result<bool, AuditError> {
        let mut over = std::pin::pin!(tokio::time::sleep(pause));
        loop {
            tokio::select! {
                () = &mut over => return Ok(false),
                () = &mut shutdown => return Ok(true),
                Some(asked) = self.requests.recv() => self.attend(asked).await?,
            }
        }
    }
}
