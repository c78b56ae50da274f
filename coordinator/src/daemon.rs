//! The coordinator's life: open or resume the study, serve sites until it is over, write the report.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use consilium_domain::{Study, StudyHash};
use consilium_protocol::coordinator::{Coordinator, Event, Opening};
use consilium_transport::{BindError, BlobStore, CloseCode, Identity, IdentityError, Listener};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::conductor::{Conductor, ConductorError, Desk, now};
use crate::config::Config;
use crate::event_log::{EventLog, EventLogError};
use crate::first_models::{FirstModelsError, first_models};
use crate::notice::Notice;
use crate::refusal_log::RefusalLog;
use crate::report::{Report, ReportError, StudyOutcome};
use crate::session::Sessions;
use crate::state_dir::{StateDir, StateDirError};
use crate::weights::{GivenWeightsError, given_weights};

/// Connections served at once: twice the largest roster, so that reconnecting sites do not lock each other out.
const MAX_CONNECTIONS: usize = 1_000;
/// How long sites that are just reconnecting may take to hear that the study is over.
const LINGER: Duration = Duration::from_millis(500);
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
    /// The log's events do not follow from each other.
    #[error("the event log cannot be replayed by this release: use the release that wrote it")]
    Replay,
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
    /// The socket.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The system lost the socket.
    #[error("the socket has no address: {0}")]
    Socket(std::io::Error),
    /// The study cannot go on.
    #[error(transparent)]
    Conductor(#[from] ConductorError),
    /// The report cannot be made.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// The report cannot be written.
    #[error(
        "the report {path} cannot be written: {source}; nothing is lost: mend it and give the same command again"
    )]
    WriteReport {
        /// Where.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}

/// Runs a study to its end, or until `shutdown`: then everything is kept and the same call goes on later.
///
/// # Errors
/// When the study cannot be opened, resumed or brought to an end.
pub async fn run(
    config: Config,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(StudyOutcome, Option<Report>), DaemonError> {
    let state_dir = StateDir::open(&config.state_dir)?;
    let store = state_dir.blobs()?;
    let identity = Identity::load(&config.identity_dir)?;
    let (mut log, events) = EventLog::open(&state_dir.event_log()).await?;
    let state = match events.first() {
        None => open(&config, &store, &mut log).await?,
        Some(_) => resume(&config.study, events, &mut log).await?,
    };
    let listener = Listener::bind_both(config.listen, config.listen_tcp, &identity, config.tuning)?;
    if let Some(tcp) = listener.tcp_addr() {
        tracing::info!(%tcp, "listening on TCP too");
    }
    let address = listener.local_addr().map_err(DaemonError::Socket)?;
    Notice::Listening(address).print(config.notices);
    let (conductor, desk) = Conductor::new(state, log, store.clone(), config.notices);
    let mut conducting = tokio::spawn(conductor.run());
    let serving = serve(listener, desk.clone(), store, shutdown);
    tokio::select! {
        ended = &mut conducting => {
            ended.map_err(ConductorError::from)??;
        }
        () = serving => {}
    }
    let state = desk.read(Clone::clone);
    drop(desk);
    let log = conducting.await.map_err(ConductorError::from)??;
    conclude(&config, &state, &log).await
}

async fn open(config: &Config, store: &BlobStore, log: &mut EventLog) -> Result<Coordinator, DaemonError> {
    let read = |given: &PathBuf| {
        let path = given_weights(given, &config.weights_store, config.study.network)?;
        std::fs::read(&path).map_err(|source| DaemonError::Weights { path, source })
    };
    let base = config.weights.as_ref().map(read).transpose()?;
    let models = first_models(&config.study, base.as_deref(), store).await?;
    let opening = Opening { study: config.study.clone(), models };
    let at = now();
    log.append(at, &Event::Opened(Box::new(opening.clone()))).await?;
    Ok(Coordinator::open(at, opening))
}

async fn resume(
    study: &Study,
    events: Vec<(consilium_protocol::Timestamp, Event)>,
    log: &mut EventLog,
) -> Result<Coordinator, DaemonError> {
    let mut state = Coordinator::replay(events).ok_or(DaemonError::Replay)?;
    if state.hash() != study.hash() {
        return Err(DaemonError::OtherStudy { found: state.hash(), asked: study.hash() });
    }
    let at = now();
    if state.admit(at, &Event::Resumed).is_ok() {
        log.append(at, &Event::Resumed).await?;
        for effect in state.apply(at, Event::Resumed) {
            tracing::info!(?effect, "resumed");
        }
    }
    Ok(state)
}

/// Accepts connections until the study is over and every session has said farewell, or until `shutdown`.
async fn serve(
    mut listener: Listener,
    desk: Desk,
    store: BlobStore,
    shutdown: impl Future<Output = ()> + Send,
) {
    let sessions = Sessions::new(desk.clone(), store);
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut running = JoinSet::new();
    let mut refused = RefusalLog::new(listener.refusals().clone());
    let mut over = std::pin::pin!(study_over(&desk));
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let arrival = async {
            let place = places.clone().acquire_owned().await.expect("the semaphore is never closed");
            (place, listener.accept().await)
        };
        tokio::select! {
            () = &mut over => break,
            () = &mut shutdown => {
                tracing::info!("asked to stop; the same command goes on later");
                listener.close(CloseCode::DONE, "the coordinator was stopped");
                // Each session notes what it cost and that its site is gone.
                return part(&mut running, STOPPING).await;
            }
            (place, arrival) = arrival => match arrival {
                Some(Ok(connection)) => {
                    let sessions = sessions.clone();
                    running.spawn(async move {
                        sessions.serve(connection).await;
                        drop(place);
                    });
                }
                Some(Err(error)) => refused.note(&error),
                None => return,
            },
            () = refused.minute() => {}
        }
        while running.try_join_next().is_some() {}
    }
    tokio::time::sleep(LINGER).await;
    part(&mut running, PARTING).await;
    listener.close(CloseCode::DONE, "the study is over");
    listener.drained().await;
}

/// Waits for the end of every session, but not for ever.
async fn part(running: &mut JoinSet<()>, patience: Duration) {
    let all = async { while running.join_next().await.is_some() {} };
    if tokio::time::timeout(patience, all).await.is_err() {
        tracing::warn!(sessions = running.len(), "cut off: their sites did not hang up");
    }
}

async fn study_over(desk: &Desk) {
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
) -> Result<(StudyOutcome, Option<Report>), DaemonError> {
    let report = report(state, log).await?;
    if !state.is_over() {
        return Ok((report.outcome, None));
    }
    let text = serde_json::to_string_pretty(&report).expect("a report has only text keys");
    let path = config.report.clone();
    std::fs::write(&path, text).map_err(|source| DaemonError::WriteReport { path: path.clone(), source })?;
    Notice::Report(path).print(config.notices);
    Ok((report.outcome.clone(), Some(report)))
}

/// The report of `state` with the bytes the log has accounted for.
pub(crate) async fn report(state: &Coordinator, log: &EventLog) -> Result<Report, DaemonError> {
    let mut report = Report::of(state, now())?;
    let mut traffic = BTreeMap::new();
    for (site, _) in state.roster().iter() {
        traffic.insert(site.clone(), log.traffic(site).await?);
    }
    report.set_traffic(&traffic);
    Ok(report)
}
