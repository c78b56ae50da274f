//! The command line of `consilium-client`.
//!
//! Exit codes of `run`: 0 the study is finished, 1 an error, 3 the study was halted or the coordinator refused
//! this site, 4 stopped before the end (the same command goes on). `check` has its own, see [`crate::check`].

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use consilium_process::{describe, shutdown_signal, start_logging};

use crate::check::{CheckArgs, check_process};
use crate::config::Config;
use crate::daemon::{Ending, run};

/// Takes part in a federated study with the patients of one hospital.
#[derive(Debug, Parser)]
#[command(name = "consilium-client", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Take part in the coordinator's study until it is over.
    Run(RunArgs),
    /// Look at a folder of scans: what is usable, and why the rest is not. Nothing leaves this machine.
    Check(CheckArgs),
}

/// What `run` needs; the simulator starts clients with the same arguments.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// The configuration (TOML); see docs/samples/client.toml.
    #[arg(long)]
    pub config: PathBuf,
    /// Stop when standard input ends, as it does when the program that started this one dies.
    #[arg(long, hide = true)]
    pub stop_with_stdin: bool,
}

/// Parses the arguments of the process and carries them out.
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run(args) => run_process(&args),
        Command::Check(args) => check_process(&args),
    }
}

/// Runs `args` as the whole process.
pub fn run_process(args: &RunArgs) -> ExitCode {
    start_logging();
    match take_part(args) {
        Ok(Ending::Finished) => ExitCode::SUCCESS,
        Ok(Ending::Stopped { reason }) => {
            eprintln!("{reason}");
            ExitCode::from(3)
        }
        Ok(Ending::Interrupted) => ExitCode::from(4),
        Err(error) => {
            eprintln!("error: {}", describe(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

fn take_part(args: &RunArgs) -> anyhow::Result<Ending> {
    let config = Config::read(&args.config)?;
    let runtime = tokio::runtime::Runtime::new().context("the runtime cannot be started")?;
    let ending = runtime.block_on(run(config, shutdown_signal(args.stop_with_stdin)))?;
    // Training may still be in a step; it has been told to stop, and nothing of it is needed any more.
    runtime.shutdown_background();
    Ok(ending)
}
