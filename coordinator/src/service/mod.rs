//! A consortium's coordinator: many studies, one after another or side by side, and the people who run them.
//!
//! ```text
//! submitted --no earlier study needs one of its sites--> running <--> paused
//!                                                           |
//!                                     finished | halted | aborted        (failed: this program cannot carry it on)
//! ```
//!
//! Every study has its folder, its event log and its conductor, as under `run`. There is no second truth: what is on
//! the shelf and in what order follows from the folders, where each study stands from its log. A site serves one
//! study at a time, the oldest that needs it; a pause does not free it, an end does.

mod admin_session;
mod caller;
mod carrying;
mod listing;
pub(crate) mod overview;
mod reception;
mod requests;
mod shelf;
pub(crate) mod sites;
mod submitting;
mod under_way;
mod work_left;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use consilium_audit::AuditError;
use consilium_pki::Lifetime;
use consilium_transport::{Identity, IdentityError, Refusals, Sockets, Tuning};
use consilium_web::{WebError, WebSettings};
use tokio::sync::{Mutex, Semaphore, watch};

use crate::auditing::Audit;
use crate::door::{Door, DoorError};
use crate::notice::{Notice, NoticeFormat, Teller};
use crate::own_certificate::keep_fresh;
use crate::pace::Pace;
use crate::registry::{Registry, RegistryError, Terms};
use crate::state_dir::{StateDir, StateDirError};
use crate::web::{self, Consortium};
use crate::weights::WeightsStore;

pub use shelf::ShelfError;

use carrying::Entry;
use shelf::Shelf;

/// How long sessions may take to end when the coordinator is asked to stop: their sites are not waited for.
const STOPPING: Duration = Duration::from_secs(2);
/// People who are connected at once: a consortium has a handful of admins, and each holds at most one answer.
const MAX_ADMINS: usize = 32;

/// What a service is started with.
#[derive(Debug, Clone)]
pub struct ServiceConfig {
    /// Where the studies live.
    pub state_dir: PathBuf,
    /// Where `ca.pem`, `cert.pem` and `key.pem` of the coordinator lie.
    pub identity_dir: PathBuf,
    /// The UDP address to listen on.
    pub listen: SocketAddr,
    /// The TCP address to listen on, if any.
    pub listen_tcp: Option<SocketAddr>,
    /// Imported weights: the only ones a study can name.
    pub weights_store: WeightsStore,
    /// How progress is told.
    pub notices: NoticeFormat,
    /// How connections behave.
    pub tuning: Tuning,
    /// How long a site's certificate is valid that this coordinator issues.
    pub certificate_life: Lifetime,
    /// The live page, if there is one.
    pub web: Option<WebSettings>,
}

/// Why a service cannot run. Nothing is lost: the same command goes on.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The state folder.
    #[error(transparent)]
    StateDir(#[from] StateDirError),
    /// The studies in it.
    #[error(transparent)]
    Shelf(#[from] ShelfError),
    /// The certificates.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The registry of sites.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The audit log.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The socket.
    #[error(transparent)]
    Door(#[from] DoorError),
    /// The live page.
    #[error(transparent)]
    Web(#[from] WebError),
}

/// What everybody who is served shares.
pub(crate) struct Service {
    shelf: Shelf,
    weights: WeightsStore,
    teller: Teller,
    /// One log of everything, whichever study it belongs to.
    audit: Audit,
    /// All studies in the order of submission. Locked while one is begun, so that none begins twice.
    entries: Mutex<Vec<Entry>>,
    /// Held while a study is taken in: one at a time has its weights in memory.
    submitting: Mutex<()>,
    /// Grows whenever a study begins or ends: sites that wait look again.
    turns: watch::Sender<u64>,
    /// Callers that the door refused and requests that were: one count for the log and the admins.
    refusals: Refusals,
    admins: Semaphore,
    /// How often one person asks.
    pace: Pace,
    /// Who may connect at all.
    registry: Registry,
}

/// Serves a consortium until `shutdown`.
///
/// # Errors
/// When the state folder, the kit or the socket cannot be used. A study that cannot be carried on is no error: it is
/// listed as failed, and the others go on.
pub async fn serve(
    config: ServiceConfig,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServiceError> {
    let state = StateDir::open(&config.state_dir)?;
    let identity = Identity::load(&config.identity_dir)?;
    let audit = Audit::open(&config.state_dir, &config.identity_dir, identity.clone())?;
    let (shelf, found) = Shelf::open(&config.state_dir)?;
    let terms = Terms { certificate_life: config.certificate_life, ..Terms::default() };
    let registry = Registry::open(&state.registry(), Some(identity.clone()), terms).await?;
    registry.recorded_in(audit.clone());
    let mut door = Door::open(
        (config.listen, config.listen_tcp, Sockets::default()),
        &identity,
        registry.clone(),
        config.tuning,
        audit.clone(),
    )?;
    let teller = Teller::new(config.notices);
    let service = Arc::new(Service {
        shelf,
        weights: config.weights_store,
        teller: teller.clone(),
        audit: audit.clone(),
        entries: Mutex::default(),
        submitting: Mutex::default(),
        turns: watch::Sender::new(0),
        refusals: door.refusals().clone(),
        admins: Semaphore::new(MAX_ADMINS),
        pace: Pace::default(),
        registry: registry.clone(),
    });
    let shown = Consortium(service.clone());
    let _website = web::open(config.web, (&identity, &registry), &config.state_dir, &teller, shown).await?;
    let serving = async {
        for kept in found {
            service.place(kept).await;
        }
        service.advance().await;
        teller.tell(Notice::Listening(door.address()));
        door.let_in(|connection| service.clone().receive(connection), shutdown).await;
        tracing::info!("asked to stop; the same command goes on later");
        door.close("the coordinator was stopped");
        // Each session notes what it cost and that its site is gone.
        door.empty(STOPPING).await;
    };
    tokio::select! {
        biased;
        // What cannot be written down must not happen: every session ends with the door.
        error = audit.failed() => return Err(AuditError::Append(error).into()),
        () = keep_fresh(identity, &audit) => unreachable!("it goes on for ever"),
        () = serving => {}
    }
    Ok(audit.stopped("asked-to").await?)
}
