//! The command line of `consilium-coordinator`.
//!
//! Exit codes: 0 done, 1 an error (a file, the network), 2 a wrong command line, 5 the coordinator refused the
//! request. `run`, `report` and `watch` tell how the study stands: 0 finished, 3 halted or aborted, 4 not over (the same
//! `run` goes on). `serve` ends with 0 when it was asked to stop.

use std::net::{AddrParseError, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Parser, Subcommand};
use consilium_audit::command::AuditCommand;
use consilium_pki::Lifetime;
use consilium_process::{describe, shutdown_signal, start_profiling};
use consilium_protocol::coordinator::Coordinator;
use consilium_transport::{Congestion, Tuning};

use crate::config::{Config, read_study};
use crate::event_log::EventLog;
use crate::model_export::ModelCommand;
use crate::notice::NoticeFormat;
use crate::registry::Terms;
use crate::remote::{self, RemoteArgs, StudyCommand, WatchArgs};
use crate::report::{Report, StudyOutcome};
use crate::report_command::ReportCommand;
use crate::service::{ServiceConfig, serve};
use crate::site_command::SiteArgs;
use crate::surroundings::now;
use crate::web::{WebArgs, WebTokenArgs};
use crate::weights::{DEFAULT_STORE, WeightsCommand, WeightsStore};
use crate::{run, taking_up};

/// How a request ends that the coordinator refused.
pub(crate) const REFUSED: u8 = 5;

/// Owns federated studies: hands out work to sites, sums their updates, reports.
#[derive(Debug, Parser)]
#[command(name = "consilium-coordinator", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve a consortium: studies come from admins, one after another or side by side.
    Serve(ServeArgs),
    /// Submit, list, show, pause, resume and abort studies of a coordinator that serves, from any machine.
    Study {
        #[command(subcommand)]
        command: StudyCommand,
        #[command(flatten)]
        remote: RemoteArgs,
    },
    /// Run one study to its end, or go on with one that was stopped.
    Run(RunArgs),
    /// Print the report of a study: of a coordinator that serves, or from an event log on this machine. `report render`
    /// makes its page.
    Report(ReportArgs),
    /// Check a study file and print its hash.
    Check {
        /// The study file.
        study: PathBuf,
    },
    /// Invite, list and revoke sites.
    Site(SiteArgs),
    /// Import, list, show and export pretrained weights.
    #[command(subcommand)]
    Weights(WeightsCommand),
    /// Verify or export the audit log: what left the coordinator, and what came.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Make a signed model package of a finished study.
    #[command(subcommand)]
    Model(ModelCommand),
    /// Follow a study of a coordinator that serves, from any machine, to its end.
    Watch {
        #[command(flatten)]
        watch: WatchArgs,
        #[command(flatten)]
        remote: RemoteArgs,
    },
    /// Make a new access token for the live page, in the place of the old one.
    WebToken(WebTokenArgs),
}

/// What `report` needs: a study and a coordinator to ask, or a folder.
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct ReportArgs {
    #[command(subcommand)]
    command: Option<ReportCommand>,
    /// The study's hash, or at least its first eight digits, at the coordinator of --connect.
    #[arg(required_unless_present = "state")]
    study: Option<String>,
    /// The state folder of the study on this machine (of `run`, or studies/HASH of `serve`).
    #[arg(long, conflicts_with = "study")]
    state: Option<PathBuf>,
    /// JSON instead of a table.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// What `serve` needs.
#[derive(Debug, Clone, Args)]
pub struct ServeArgs {
    /// Folder for all studies; created where absent.
    #[arg(long)]
    pub state: PathBuf,
    /// Folder with ca.pem, cert.pem and key.pem of the coordinator.
    #[arg(long)]
    pub identity: PathBuf,
    /// Folder of imported weights: the only ones that studies can name.
    #[arg(long, default_value = DEFAULT_STORE)]
    pub weights_store: PathBuf,
    #[command(flatten)]
    service: DaemonArgs,
}

/// What `run` and `serve` have in common.
#[derive(Debug, Clone, Args)]
pub struct DaemonArgs {
    /// UDP address to listen on.
    #[arg(long, default_value = "0.0.0.0:4433")]
    pub listen: SocketAddr,
    /// TCP address to listen on, for callers whose network drops UDP, or `off`; by default that of --listen.
    #[arg(long, value_name = "ADDR|off")]
    pub listen_tcp: Option<ListenTcp>,
    /// How progress is told on standard output.
    #[arg(long, value_enum, default_value = "plain")]
    pub notices: NoticeFormat,
    /// How to send when the network loses packets: cubic or bbr.
    #[arg(long, default_value = "cubic")]
    pub congestion: Congestion,
    /// Seconds of silence after which a connection counts as lost.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u16).range(2..=600))]
    pub idle_timeout_secs: u16,
    /// How long certificates of sites are valid, for instance 30d; they are renewed at two thirds.
    #[arg(long, default_value_t = Terms::default().certificate_life)]
    pub certificate_life: Lifetime,
    #[command(flatten)]
    web: WebArgs,
    /// Write where time and memory go to this file, for ui.perfetto.dev (docs/profiling.md).
    #[arg(long, value_name = "FILE")]
    pub profile: Option<PathBuf>,
    /// Stop when standard input ends, as it does when the program that started this one dies.
    #[arg(long, hide = true)]
    pub stop_with_stdin: bool,
}

/// What `run` needs; the simulator starts coordinators with the same arguments.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// The agreed plan (TOML).
    #[arg(long)]
    pub study: PathBuf,
    /// Folder for the event log and the blobs; created where absent.
    #[arg(long)]
    pub state: PathBuf,
    /// Folder with ca.pem, cert.pem and key.pem of the coordinator.
    #[arg(long)]
    pub identity: PathBuf,
    /// Pretrained MedicalNet backbone: a name or digest of `weights list`, or a safetensors file.
    #[arg(long)]
    pub weights: Option<PathBuf>,
    /// Folder of imported weights.
    #[arg(long, default_value = DEFAULT_STORE)]
    pub weights_store: PathBuf,
    /// Where the report goes.
    #[arg(long, default_value = "report.json")]
    pub report: PathBuf,
    #[command(flatten)]
    service: DaemonArgs,
}

/// Where to listen on TCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListenTcp {
    /// There.
    At(SocketAddr),
    /// Nowhere.
    Off,
}

impl FromStr for ListenTcp {
    type Err = AddrParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "off" { Ok(Self::Off) } else { text.parse().map(Self::At) }
    }
}

impl DaemonArgs {
    fn tcp(&self) -> Option<SocketAddr> {
        match self.listen_tcp {
            None => Some(self.listen),
            Some(ListenTcp::At(address)) => Some(address),
            Some(ListenTcp::Off) => None,
        }
    }

    fn tuning(&self) -> Tuning {
        let idle_timeout = Duration::from_secs(self.idle_timeout_secs.into());
        Tuning { congestion: self.congestion, idle_timeout }
    }
}

/// Parses the arguments of the process and carries them out.
pub fn main() -> ExitCode {
    exit(match Cli::parse().command {
        Command::Serve(args) => serve_consortium(args),
        Command::Study { command, remote } => block_on(command.run(&remote)),
        Command::Run(args) => run_study(args),
        Command::Report(args) => block_on(report(args)),
        Command::Check { study } => check(&study),
        Command::Site(command) => block_on(command.run()),
        Command::Weights(command) => command.run(),
        Command::Audit(command) => command.run().map_err(Into::into),
        Command::Model(command) => block_on(command.run()),
        Command::Watch { watch, remote } => block_on(watch.run(&remote)),
        Command::WebToken(args) => args.run(),
    })
}

/// Carries out `consilium-coordinator site` as the whole process.
pub fn site_process(command: SiteArgs) -> ExitCode {
    exit(block_on(command.run()))
}

/// Runs `args` as the whole process.
pub fn run_process(args: RunArgs) -> ExitCode {
    exit(run_study(args))
}

fn exit(result: anyhow::Result<ExitCode>) -> ExitCode {
    result.unwrap_or_else(|error| {
        eprintln!("error: {}", describe(error.as_ref()));
        ExitCode::FAILURE
    })
}

fn block_on(task: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    tokio::runtime::Runtime::new().context("the runtime cannot be started")?.block_on(task)
}

fn run_study(args: RunArgs) -> anyhow::Result<ExitCode> {
    let _profile = start_profiling(args.service.profile.as_deref())?;
    let DaemonArgs { listen, notices, stop_with_stdin, .. } = args.service;
    let (tuning, listen_tcp) = (args.service.tuning(), args.service.tcp());
    let config = Config {
        study: read_study(&args.study)?,
        state_dir: args.state,
        identity_dir: args.identity,
        listen,
        listen_tcp,
        weights: args.weights,
        weights_store: WeightsStore::new(&args.weights_store),
        report: args.report,
        notices,
        tuning,
        certificate_life: args.service.certificate_life,
        web: args.service.web.settings(),
    };
    block_on(async move {
        let (outcome, report) = run(config, shutdown_signal(stop_with_stdin)).await?;
        if let Some(report) = report.filter(|_| notices == NoticeFormat::Plain) {
            println!("\n{report}");
        }
        Ok(exit_code(&outcome))
    })
}

fn serve_consortium(args: ServeArgs) -> anyhow::Result<ExitCode> {
    let _profile = start_profiling(args.service.profile.as_deref())?;
    let config = ServiceConfig {
        state_dir: args.state,
        identity_dir: args.identity,
        listen: args.service.listen,
        listen_tcp: args.service.tcp(),
        weights_store: WeightsStore::new(&args.weights_store),
        notices: args.service.notices,
        tuning: args.service.tuning(),
        certificate_life: args.service.certificate_life,
        web: args.service.web.settings(),
    };
    block_on(async move {
        serve(config, shutdown_signal(args.service.stop_with_stdin)).await?;
        Ok(ExitCode::SUCCESS)
    })
}

fn exit_code(outcome: &StudyOutcome) -> ExitCode {
    match outcome.status.as_str() {
        "finished" => ExitCode::SUCCESS,
        "halted" => ExitCode::from(3),
        _ => ExitCode::from(4),
    }
}

async fn report(args: ReportArgs) -> anyhow::Result<ExitCode> {
    let ReportArgs { command, study, state, json, remote } = args;
    if let Some(command) = command {
        return command.run();
    }
    let (report, text) = match (state, study) {
        (Some(state), _) => local_report(&state).await?,
        (None, study) => match remote::report(&remote, study.unwrap_or_default()).await? {
            Ok(report) => report,
            Err(refused) => return Ok(refused),
        },
    };
    println!("{}", if json { text } else { report.to_string() });
    Ok(exit_code(&report.outcome))
}

async fn local_report(state: &Path) -> anyhow::Result<(Report, String)> {
    let path = state.join("events.sqlite");
    if !path.is_file() {
        bail!(
            "{} holds no study: name the folder given to `run --state`, or studies/HASH of the one given to `serve`",
            state.display()
        );
    }
    let (log, events) = EventLog::open(&path).await?;
    let state = Coordinator::replay(events).context("the event log cannot be replayed by this release")?;
    let report = taking_up::report(&state, &log, now()).await?;
    let text = serde_json::to_string_pretty(&report)?;
    Ok((report, text))
}

fn check(study: &Path) -> anyhow::Result<ExitCode> {
    let study = read_study(study)?;
    println!("{}: {} lanes, {}", study.name, study.lanes().len(), study.hash());
    Ok(ExitCode::SUCCESS)
}
