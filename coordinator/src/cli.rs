//! The command line of `consilium-coordinator`.
//!
//! Exit codes of `run`: 0 the study is finished, 1 an error, 3 the study was halted, 4 stopped before its end (the
//! same command goes on). `report` ends with the same codes, as the study stands.

use std::net::{AddrParseError, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Parser, Subcommand};
use consilium_process::{describe, shutdown_signal, start_logging};
use consilium_protocol::coordinator::Coordinator;
use consilium_transport::{Congestion, Tuning};

use crate::config::{Config, read_study};
use crate::event_log::EventLog;
use crate::model_export::ModelCommand;
use crate::notice::NoticeFormat;
use crate::report::StudyOutcome;
use crate::weights::{DEFAULT_STORE, WeightsCommand, WeightsStore};
use crate::{daemon, run};

/// Owns a federated study: hands out work to sites, sums their updates, reports.
#[derive(Debug, Parser)]
#[command(name = "consilium-coordinator", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a study to its end, or go on with one that was stopped.
    Run(RunArgs),
    /// Print the report of a study from its event log.
    Report {
        /// The state folder of the study.
        #[arg(long)]
        state: PathBuf,
        /// JSON instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Check a study file and print its hash.
    Check {
        /// The study file.
        study: PathBuf,
    },
    /// Import, list, show and export pretrained weights.
    #[command(subcommand)]
    Weights(WeightsCommand),
    /// Make a signed model package of a finished study.
    #[command(subcommand)]
    Model(ModelCommand),
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
    /// UDP address to listen on.
    #[arg(long, default_value = "0.0.0.0:4433")]
    pub listen: SocketAddr,
    /// TCP address to listen on, for sites whose network drops UDP, or `off`; by default that of --listen.
    #[arg(long, value_name = "ADDR|off")]
    pub listen_tcp: Option<ListenTcp>,
    /// Pretrained MedicalNet backbone: a name or digest of `weights list`, or a safetensors file.
    #[arg(long)]
    pub weights: Option<PathBuf>,
    /// Folder of imported weights.
    #[arg(long, default_value = DEFAULT_STORE)]
    pub weights_store: PathBuf,
    /// Where the report goes.
    #[arg(long, default_value = "report.json")]
    pub report: PathBuf,
    /// How progress is told on standard output.
    #[arg(long, value_enum, default_value = "plain")]
    pub notices: NoticeFormat,
    /// How to send when the network loses packets: cubic or bbr.
    #[arg(long, default_value = "cubic")]
    pub congestion: Congestion,
    /// Seconds of silence after which a connection counts as lost.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u16).range(2..=600))]
    pub idle_timeout_secs: u16,
    /// Stop when standard input ends, as it does when the program that started this one dies.
    #[arg(long, hide = true)]
    pub stop_with_stdin: bool,
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

impl RunArgs {
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
        Command::Run(args) => run_study(args),
        Command::Report { state, json } => block_on(print_report(state, json)),
        Command::Check { study } => check(&study),
        Command::Weights(command) => command.run(),
        Command::Model(command) => block_on(command.run()),
    })
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
    start_logging();
    let (tuning, listen_tcp) = (args.tuning(), args.tcp());
    let config = Config {
        study: read_study(&args.study)?,
        state_dir: args.state,
        identity_dir: args.identity,
        listen: args.listen,
        listen_tcp,
        weights: args.weights,
        weights_store: WeightsStore::new(&args.weights_store),
        report: args.report,
        notices: args.notices,
        tuning,
    };
    block_on(async move {
        let (outcome, report) = run(config, shutdown_signal(args.stop_with_stdin)).await?;
        if let Some(report) = report.filter(|_| args.notices == NoticeFormat::Plain) {
            println!("\n{report}");
        }
        Ok(exit_code(&outcome))
    })
}

fn exit_code(outcome: &StudyOutcome) -> ExitCode {
    match outcome.status.as_str() {
        "finished" => ExitCode::SUCCESS,
        "halted" => ExitCode::from(3),
        _ => ExitCode::from(4),
    }
}

async fn print_report(state: PathBuf, json: bool) -> anyhow::Result<ExitCode> {
    let path = state.join("events.sqlite");
    if !path.is_file() {
        bail!("{} holds no study: name the folder given to `run --state`", state.display());
    }
    let (log, events) = EventLog::open(&path).await?;
    let state = Coordinator::replay(events).context("the event log cannot be replayed by this release")?;
    let report = daemon::report(&state, &log).await?;
    if json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        println!("{report}");
    }
    Ok(exit_code(&report.outcome))
}

fn check(study: &std::path::Path) -> anyhow::Result<ExitCode> {
    let study = read_study(study)?;
    println!("{}: {} lanes, {}", study.name, study.lanes().len(), study.hash());
    Ok(ExitCode::SUCCESS)
}
