//! The processes of a trial: the daemons' own code with nothing replaced but the training.

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use consilium_client::{BusyMeter, DryTraining, Ending, Pace, PolicyFile, RunOptions, TransferLimits};
use consilium_coordinator::registry::Terms;
use consilium_coordinator::weights::WeightsStore;
use consilium_coordinator::{NoticeFormat, read_study};
use consilium_data::{CachePrecision, CacheSettings, Layout};
use consilium_domain::SiteId;
use consilium_process::shutdown_signal;
use consilium_transport::{Dialler, LinkChoice, ProxyChoice, Tuning};
use tokio::runtime::Runtime;
use tokio::task::{JoinSet, LocalSet};

use crate::stage::Stage;

/// Silence after which a connection is over: short, so that cuts are noticed within a trial.
const IDLE_TIMEOUT: Duration = Duration::from_secs(8);
/// Patients of each site.
const CASES: u32 = 14;
/// How a daemon ends that was asked to.
const STOPPED: u8 = 4;

fn tuning() -> Tuning {
    Tuning { idle_timeout: IDLE_TIMEOUT, ..Tuning::default() }
}

/// Conducts the stage's study to its end.
pub(crate) fn coordinator(stage: &Path, listen: SocketAddr) -> anyhow::Result<ExitCode> {
    let stage = Stage::at(stage);
    let config = consilium_coordinator::Config {
        study: read_study(&stage.study())?,
        state_dir: stage.coordinator(),
        identity_dir: stage.kit("coordinator"),
        listen,
        listen_tcp: None,
        weights: None,
        weights_store: WeightsStore::new(&stage.coordinator()),
        report: stage.report(),
        notices: NoticeFormat::Json,
        tuning: tuning(),
        certificate_life: Terms::default().certificate_life,
        web: None,
    };
    let conducted = Runtime::new()?.block_on(consilium_coordinator::run(config, shutdown_signal(false)));
    let (_, report) = conducted?;
    Ok(report.map_or(ExitCode::from(STOPPED), |_| ExitCode::SUCCESS))
}

/// Runs the clients of `names` in this process until their study is over.
pub(crate) fn sites(
    stage: &Path,
    coordinator: SocketAddr,
    training_millis: u64,
    names: &[SiteId],
) -> anyhow::Result<ExitCode> {
    let stage = Stage::at(stage);
    let training = Duration::from_millis(training_millis);
    let all = async {
        let mut clients = JoinSet::new();
        for name in names {
            let config = config(&stage, name, coordinator)?;
            let pace = Pace { preparing: Duration::ZERO, training, scoring: training / 10 };
            let dry_training = Some(DryTraining { cases: CASES, pace, busy: BusyMeter::default() });
            let options = RunOptions { once: true, dry_training, ..RunOptions::default() };
            clients.spawn_local(consilium_client::run(config, options, shutdown_signal(false)));
        }
        let endings: Vec<_> = clients.join_all().await;
        endings.into_iter().collect::<Result<Vec<Ending>, _>>().context("a client failed")
    };
    let endings = LocalSet::new().block_on(&Runtime::new()?, all)?;
    if let Some(Ending::Stopped { reason }) =
        endings.iter().find(|ending| matches!(ending, Ending::Stopped { .. }))
    {
        anyhow::bail!("a client gave up: {reason}");
    }
    let finished = endings.iter().all(|ending| *ending == Ending::Finished);
    Ok(if finished { ExitCode::SUCCESS } else { ExitCode::from(STOPPED) })
}

fn config(stage: &Stage, name: &SiteId, coordinator: SocketAddr) -> anyhow::Result<consilium_client::Config> {
    let policy = PolicyFile::of_simulation().check();
    let policy = policy.map_err(|problems| anyhow::anyhow!("the policy: {}", problems.join("; ")))?;
    let state = stage.site(name);
    std::fs::create_dir_all(&state).with_context(|| format!("{} cannot be made", state.display()))?;
    Ok(consilium_client::Config {
        coordinator: coordinator.to_string(),
        dialler: Dialler {
            host: coordinator.ip().to_string(),
            port: coordinator.port(),
            tcp_port: coordinator.port(),
            link: LinkChoice::Quic,
            proxy: ProxyChoice::None,
            tuning: tuning(),
        },
        identity: stage.kit(name.as_str()),
        state,
        data: Vec::new(),
        layout: Layout::UpennGbm,
        device: "cpu".parse()?,
        cache: CacheSettings { max_bytes: 1 << 30, precision: CachePrecision::F32 },
        tuning: tuning(),
        policy,
        transfers: TransferLimits::default(),
    })
}
