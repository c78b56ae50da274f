//! The life of a coordinator of one study: open or resume it, serve sites until it is over, write the report.

use std::path::PathBuf;
use std::time::Duration;

use consilium_audit::{AuditError, StudyStep};
use consilium_domain::{Role, StudyHash};
use consilium_protocol::coordinator::{Coordinator, Opening};
use consilium_transport::{BlobStore, CloseCode, Connection, Identity, IdentityError};
use consilium_web::WebError;

use crate::auditing::{Audit, SessionAudit};
use crate::conductor::{Conductor, ConductorError, Desk};
use crate::config::Config;
use crate::door::{Door, DoorError};
use crate::event_log::{EventLog, EventLogError};
use crate::farewells::Farewells;
use crate::first_models::{FirstModelsError, first_models};
use crate::greeting::greet_site;
use crate::notice::{Notice, Teller};
use crate::own_certificate::keep_fresh;
use crate::registry::{Registry, RegistryError, Terms};
use crate::report::{RenderError, Report, ReportError, StudyOutcome, page_beside, write_page};
use crate::session::Sessions;
use crate::state_dir::{StateDir, StateDirError};
use crate::surroundings::{Surroundings, WallClock};
use crate::taking_up::{self, ReportOfLogError, TakeUpError};
use crate::web::{self, OneStudy};
use crate::weights::{GivenWeightsError, given_weights};
use crate::whole_file::write_whole;

/// How long sites that are just reconnecting may take to hear that the study is over.
const LINGER: Duration = Duration::from_millis(500);
/// How long the end of the study waits for sites that take part and are not connected: a client that looks for the
/// coordinator tries again after half a minute at the latest, and needs some seconds for it.
const COMING_BACK: Duration = Duration::from_secs(40);
/// How long all sessions together may take to end: a silent hello and a slow farewell, and no site can hold up the
/// report by not reading ours.
const PARTING: Duration = Duration::from_secs(30);
/// How long sessions may take to end when the coordinator is asked to stop: their sites are not waited for.
const STOPPING: Duration = Duration::from_secs(2);

/// Why a coordinator did not bring its study to an end. The state folder holds everything that happened before.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The state folder.
    #[error(transparent)]
    StateDir(#[from] StateDirError),
    /// The log.
    #[error(transparent)]
    Log(#[from] EventLogError),
    /// The log belongs to another study.
    #[error(
        "the state folder holds study {found}, the study file is {asked}: name another folder for another study"
    )]
    OtherStudy {
        /// What the folder holds.
        found: StudyHash,
        /// What was asked for.
        asked: StudyHash,
    },
    /// The study cannot be gone on with.
    #[error(transparent)]
    TakeUp(#[from] TakeUpError),
    /// The pretrained weights cannot be found.
    #[error(transparent)]
    GivenWeights(#[from] GivenWeightsError),
    /// The pretrained weights cannot be read.
    #[error("the weights {path} cannot be read: {source}")]
    Weights {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The first models cannot be made.
    #[error(transparent)]
    FirstModels(#[from] FirstModelsError),
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
    /// The study cannot go on.
    #[error(transparent)]
    Conductor(#[from] ConductorError),
    /// The report cannot be made.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// The report's page cannot be written; the report is.
    #[error("the report's page: {0}")]
    Page(RenderError),
    /// The report cannot be written.
    #[error(
        "the report {path} cannot be written: {source}; nothing is lost: check the disk's space and \
         permissions and give the same command again"
    )]
    WriteReport {
        /// Where.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}

impl From<RenderError> for DaemonError {
    fn from(error: RenderError) -> Self {
        Self::Page(error)
    }
}

impl From<ReportOfLogError> for DaemonError {
    fn from(error: ReportOfLogError) -> Self {
        match error {
            ReportOfLogError::Log(error) => error.into(),
            ReportOfLogError::Report(error) => error.into(),
            ReportOfLogError::Interrupted(error) => ConductorError::from(error).into(),
        }
    }
}

/// Runs a study to its end, or until `shutdown`: then everything is kept and the same call goes on later.
///
/// # Errors
/// When the study cannot be opened, resumed or brought to an end.
pub async fn run(
    config: Config,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(StudyOutcome, Option<Report>), DaemonError> {
    run_in(Surroundings::default(), config, shutdown).await
}

/// As [`run`], in surroundings that need not be the system's.
///
/// # Errors
/// As [`run`].
pub async fn run_in(
    surroundings: Surroundings,
    config: Config,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(StudyOutcome, Option<Report>), DaemonError> {
    let Surroundings { clock, sockets } = surroundings;
    let state_dir = StateDir::open(&config.state_dir)?;
    let store = state_dir.blobs()?;
    let identity = Identity::load(&config.identity_dir)?;
    let audit = Audit::open(&config.state_dir, &config.identity_dir, identity.clone())?;
    let (mut log, events) = EventLog::open(&state_dir.event_log()).await?;
    log.check_reaches(audit.event_log_of(&config.study.hash())).await?;
    let step = if events.is_empty() { StudyStep::Opened {} } else { StudyStep::Resumed {} };
    let state = match events.first() {
        None => open(&config, &store, &mut log, &clock).await?,
        Some(_) => {
            let mut state = taking_up::replay(events)?;
            let (found, asked) = (state.hash(), config.study.hash());
            if found != asked {
                return Err(DaemonError::OtherStudy { found, asked });
            }
            taking_up::resume(&mut state, &mut log, clock.now()).await?;
            state
        }
    };
    let terms = Terms { certificate_life: config.certificate_life, ..Terms::default() };
    let registry = Registry::open(&state_dir.registry(), Some(identity.clone()), terms).await?;
    registry.recorded_in(audit.clone());
    tokio::select! {
        Ok(()) = audit.study(state.hash(), step, log.head()) => {}
        error = audit.failed() => return Err(AuditError::Append(error).into()),
    }
    let door = Door::open(
        (config.listen, config.listen_tcp, sockets),
        &identity,
        registry.clone(),
        config.tuning,
        audit.clone(),
    )?;
    let teller = Teller::new(config.notices);
    teller.tell(Notice::Listening(door.address()));
    let disk = (store.clone(), config.state_dir.clone());
    let (conductor, desk) = Conductor::new(state, log, audit.clone(), disk, teller.clone());
    let shown = OneStudy {
        desk: desk.clone(),
        registry: registry.clone(),
        refusals: door.refusals().clone(),
        audit: audit.clone(),
        teller: teller.clone(),
    };
    let website = web::open(config.web, (&identity, &registry), &config.state_dir, &teller, shown).await?;
    let mut conducting = tokio::spawn(conductor.by_clock(clock.clone()).run());
    let sessions =
        Sessions::new(desk.clone(), store, registry.clone(), Farewells::open(state_dir.farewells()));
    let serving = serve(door, desk.clone(), sessions, registry, audit.clone(), shutdown);
    tokio::select! {
        biased;
        // What cannot be written down must not happen: every session ends with `serving`.
        error = audit.failed() => {
            conducting.abort();
            return Err(AuditError::Append(error).into());
        }
        () = keep_fresh(identity, &audit) => unreachable!("it goes on for ever"),
        ended = &mut conducting => {
            ended.map_err(ConductorError::from)??;
        }
        () = serving => {}
    }
    let state = desk.read(Clone::clone);
    // The conductor ends when every desk is gone, the website's too.
    if let Some(website) = website {
        website.close().await;
    }
    drop(desk);
    let ending = if state.is_over() { "study-over" } else { "asked-to" };
    audit.stopped(ending).await?;
    let log = conducting.await.map_err(ConductorError::from)??;
    conclude(&config, &state, &log, &clock).await
}

async fn open(
    config: &Config,
    store: &BlobStore,
    log: &mut EventLog,
    clock: &WallClock,
) -> Result<Coordinator, DaemonError> {
    let read = |given: &PathBuf| {
        let path = given_weights(given, &config.weights_store, config.study.network)?;
        std::fs::read(&path).map_err(|source| DaemonError::Weights { path, source })
    };
    let base = config.weights.as_ref().map(read).transpose()?;
    let models = first_models(&config.study, base.as_deref(), store).await?;
    Ok(taking_up::open(Opening { study: config.study.clone(), models }, log, clock.now()).await?)
}

/// Lets sites in until the study is over, everybody who takes part had time to hear so and every session has said farewell,
/// or until `shutdown`.
async fn serve(
    mut door: Door,
    desk: Desk,
    sessions: Sessions,
    registry: Registry,
    audit: Audit,
    shutdown: impl Future<Output = ()> + Send,
) {
    let mut stopped = false;
    let over = async {
        study_over(&desk).await;
        if tokio::time::timeout(COMING_BACK, sessions.all_told()).await.is_err() {
            tracing::warn!("the study is over, and not every site was there to hear it");
        }
    };
    let until = async {
        tokio::select! {
            () = over => {}
            () = shutdown => stopped = true,
        }
    };
    let receive = |connection| receive(sessions.clone(), registry.clone(), audit.clone(), connection);
    door.let_in(receive, until).await;
    drop(sessions);
    if stopped {
        tracing::info!("asked to stop; the same command goes on later");
        door.close("the coordinator was stopped");
        // Each session notes what it cost and that its site is gone.
        return door.empty(STOPPING).await;
    }
    tokio::time::sleep(LINGER).await;
    door.empty(PARTING).await;
    door.close("the study is over");
    door.drained().await;
}

async fn receive(sessions: Sessions, registry: Registry, audit: Audit, connection: Connection) {
    // Where something cannot be written down, `run` hears of it.
    let Ok(session) = audit.connected(&connection).await else { return };
    attend(sessions, &registry, &session, connection.clone()).await;
    let _ = session.disconnected(connection.traffic()).await;
}

async fn attend(sessions: Sessions, registry: &Registry, audit: &SessionAudit, connection: Connection) {
    let Role::Site(site) = connection.peer().clone() else {
        let reason =
            "this coordinator runs one study and takes no commands: `consilium-coordinator serve` does";
        return connection.close(CloseCode::WRONG_ROLE, reason);
    };
    if let Some(greeted) = greet_site(&connection, &site, registry, audit).await {
        sessions.serve(connection, site, greeted).await;
    }
}

/// Waits until the study is over, or nobody conducts it any more.
pub(crate) async fn study_over(desk: &Desk) {
    let mut changes = desk.changes();
    while !desk.read(Coordinator::is_over) {
        if changes.changed().await.is_err() {
            return;
        }
    }
}

async fn conclude(
    config: &Config,
    state: &Coordinator,
    log: &EventLog,
    clock: &WallClock,
) -> Result<(StudyOutcome, Option<Report>), DaemonError> {
    let report = taking_up::report(state, log, clock.now()).await?;
    if !state.is_over() {
        return Ok((report.outcome, None));
    }
    let text = serde_json::to_string_pretty(&report).expect("a report has only text keys");
    let path = config.report.clone();
    // The page first: where there is a report, there is its page.
    write_page(&report, &page_beside(&path))?;
    write_whole(&path, &text).map_err(|source| DaemonError::WriteReport { path: path.clone(), source })?;
    Teller::new(config.notices).tell(Notice::Report(path));
    Ok((report.outcome.clone(), Some(report)))
}
