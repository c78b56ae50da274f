//! `consilium-client doctor`: can this hospital reach the coordinator, and if not, who has to change what?
//!
//! It tests the way there and nothing else: no study, no data, and it leaves nothing behind. It may run beside a
//! client that works.

mod examination;
mod findings;
mod texts;
#[cfg(test)]
mod visits;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use consilium_process::start_logging;

use crate::config::Config;

pub(crate) use findings::Findings;

/// What `doctor` needs.
#[derive(Debug, Clone, Args)]
pub(crate) struct DoctorArgs {
    /// The configuration (TOML); see docs/samples/client.toml.
    #[arg(long)]
    config: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Examines, prints, and tells by the exit code whether this site can take part.
pub(crate) fn doctor(args: &DoctorArgs) -> anyhow::Result<ExitCode> {
    start_logging();
    let config = Config::read(&args.config)?;
    let runtime = tokio::runtime::Runtime::new().context("the runtime cannot be started")?;
    let findings: Findings = runtime.block_on(examination::examine(&config));
    if args.json {
        println!("{}", serde_json::to_string_pretty(&findings)?);
    } else {
        println!("{findings}");
    }
    Ok(if findings.well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
