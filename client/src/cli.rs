//! The command line of `consilium-client`.
//!
//! Exit codes of `run`: 1 an error, 4 stopped by a signal (the same command goes on). With `--once` also 0 the study is
//! finished, 3 the study was halted, this site has withdrawn, or the coordinator refused it, 5 the coordinator has not been
//! reached for days: the study may be over. `check` has its own, told
//! in `docs/check.md`, and `doctor`: 0 this site can reach the coordinator and take part, 1 it cannot. Those of
//! `studies`, `approve` and the like are told in `docs/site-policy.md`, those of `audit` in `docs/audit.md`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use consilium_audit::command::AuditCommand;
use consilium_domain::Study;
use consilium_process::{describe, shutdown_signal, start_logging, start_profiling};

use crate::check::{CheckArgs, check_process};
use crate::config::{Config, folders};
pub use crate::control::ControlCommand;
use crate::control::control;
use crate::daemon::{Ending, RunOptions, run};
use crate::doctor::{DoctorArgs, doctor};
use crate::evaluate::{EvaluateArgs, evaluate};
use crate::gain::{GainArgs, gain};
use crate::join::{JoinArgs, join_consortium};
use crate::line_test::{NetCommand, net};
use crate::predict::{PredictArgs, predict};
use crate::rehearsal::rehearse;
use crate::verify::{ModelCommand, model};

/// Takes part in a federated study with the patients of one hospital.
#[derive(Debug, Parser)]
#[command(name = "consilium-client", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Join a consortium with a token from its admin. The private key is made here and never leaves.
    Join(JoinArgs),
    /// Take part in the coordinator's studies, one after another, as the policy and people decide.
    Run(RunArgs),
    #[command(flatten)]
    Control(ControlCommand),
    /// Look at a folder of scans: what is usable, and why the rest is not. Nothing leaves this machine.
    Check(CheckArgs),
    /// Test the way to the coordinator: name, clock, UDP, TCP, proxy, TLS inspection, certificate, speed.
    Doctor(DoctorArgs),
    /// Look at the network between here and the coordinator.
    #[command(subcommand)]
    Net(NetCommand),
    /// Prepare this site's data for a study and take a few training steps: what will the study take? Sends nothing.
    Rehearse(RehearseArgs),
    /// Ask a finished study's models about new scans. Research, not diagnosis. Nothing leaves this machine.
    Predict(PredictArgs),
    /// A finished study's models on labelled patients of this hospital, who were no part of it. Nothing leaves this machine.
    Evaluate(EvaluateArgs),
    /// Compare the federated models with those this site trained alone, on its own hold-out. Nothing leaves this machine.
    Gain(GainArgs),
    /// Verify or export the audit log: what left this hospital, and what came.
    Audit {
        /// The client's configuration, which names state and identity.
        #[arg(long, value_name = "FILE", global = true)]
        config: Option<PathBuf>,
        /// What to do with the log.
        #[command(subcommand)]
        command: AuditCommand,
    },
    /// Look at a model package.
    #[command(subcommand)]
    Model(ModelCommand),
}

/// What `rehearse` needs.
#[derive(Debug, Clone, Args)]
struct RehearseArgs {
    /// The configuration (TOML); see docs/samples/client.toml.
    #[arg(long)]
    config: PathBuf,
    /// The study (TOML); see docs/samples/study.toml.
    #[arg(long)]
    study: PathBuf,
    /// Training steps to take at most.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    steps: u32,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What `run` needs; the simulator starts clients with the same arguments.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// The configuration (TOML); see docs/samples/client.toml.
    #[arg(long)]
    pub config: PathBuf,
    /// Stop after the first study.
    #[arg(long)]
    pub once: bool,
    /// Serve this hospital's own page and /metrics to this machine; `--web` alone means 127.0.0.1:4481 (docs/web.md).
    #[arg(long, value_name = "ADDR", num_args = 0..=1, default_missing_value = "127.0.0.1:4481")]
    pub web: Option<SocketAddr>,
    /// Write where time and memory go to this file, for ui.perfetto.dev (docs/profiling.md).
    #[arg(long, value_name = "FILE")]
    pub profile: Option<PathBuf>,
    /// Stop when standard input ends, as it does when the program that started this one dies.
    #[arg(long, hide = true)]
    pub stop_with_stdin: bool,
}

/// Parses the arguments of the process and carries them out.
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Join(args) => join_process(&args),
        Command::Run(args) => run_process(&args),
        Command::Control(command) => control_process(command),
        Command::Check(args) => check_process(&args),
        Command::Doctor(args) => exit_code(doctor(&args)),
        Command::Net(command) => exit_code(net(&command)),
        Command::Rehearse(args) => exit_code(rehearse_study(&args)),
        Command::Predict(args) => exit_code(predict(&args)),
        Command::Evaluate(args) => exit_code(evaluate(&args)),
        Command::Gain(args) => exit_code(gain(&args)),
        Command::Audit { config, command } => exit_code(audit(config, command)),
        Command::Model(command) => exit_code(model(&command)),
    }
}

/// Carries out `join` as the whole process.
pub fn join_process(args: &JoinArgs) -> ExitCode {
    start_logging();
    exit_code(join_consortium(args))
}

/// Runs `args` as the whole process.
pub fn run_process(args: &RunArgs) -> ExitCode {
    match take_part(args) {
        Ok(Ending::Finished) => ExitCode::SUCCESS,
        Ok(Ending::Stopped { reason }) => {
            eprintln!("{reason}");
            ExitCode::from(3)
        }
        Ok(Ending::OutOfReach) => {
            eprintln!(
                "the coordinator has not been reached for days: the study may be over. Ask the consortium's admin; if it \
                 is not, the same command goes on"
            );
            ExitCode::from(5)
        }
        Ok(Ending::Interrupted) => ExitCode::from(4),
        Err(error) => {
            eprintln!("error: {}", describe(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

/// Carries out `command` as the whole process.
pub fn control_process(command: ControlCommand) -> ExitCode {
    exit_code(control(command))
}

fn exit_code(result: anyhow::Result<ExitCode>) -> ExitCode {
    result.unwrap_or_else(|error| {
        eprintln!("error: {}", describe(error.as_ref()));
        ExitCode::FAILURE
    })
}

fn audit(config: Option<PathBuf>, mut command: AuditCommand) -> anyhow::Result<ExitCode> {
    if let Some(path) = config {
        let (state, identity) = folders(&path)?;
        command.place_mut().fill_in(&state, &identity);
    }
    Ok(command.run()?)
}

fn rehearse_study(args: &RehearseArgs) -> anyhow::Result<ExitCode> {
    start_logging();
    let config = Config::read(&args.config)?;
    let path = args.study.display();
    let text =
        std::fs::read_to_string(&args.study).with_context(|| format!("the study {path} cannot be read"))?;
    let study: Study = toml::from_str(&text).with_context(|| format!("the study {path} is not valid"))?;
    study.check()?;
    let rehearsal = rehearse(&config, &study, args.steps)?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&rehearsal)?);
    } else {
        println!("{rehearsal}");
    }
    Ok(ExitCode::SUCCESS)
}

fn take_part(args: &RunArgs) -> anyhow::Result<Ending> {
    let _profile = start_profiling(args.profile.as_deref())?;
    let config = Config::read(&args.config)?;
    let runtime = tokio::runtime::Runtime::new().context("the runtime cannot be started")?;
    let options = RunOptions { once: args.once, web: args.web, ..RunOptions::default() };
    let ending = runtime.block_on(run(config, options, shutdown_signal(args.stop_with_stdin)))?;
    // Training may still be in a step; it has been told to stop, and nothing of it is needed any more.
    runtime.shutdown_background();
    Ok(ending)
}
