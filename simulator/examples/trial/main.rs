//! Trials of whole consortiums: real processes, real QUIC on loopback, real disks, with training replaced by waiting.
//!
//! ```text
//! cargo run --release --example trial -- round --sites 2            # what a round of a large model takes
//! cargo run --release --example trial -- crowd                      # 500 idle and 64 active sites
//! cargo run --release --example trial -- chaos --minutes 30         # kills, stops, cuts and full disks
//! ```
//!
//! Measurements and long runs, not tests: what they find belongs into `tests/` as a regression. `cargo xtask
//! bench-round` runs the first beside other systems.

mod chaos;
mod crowd;
mod daemons;
mod plan;
mod relay;
mod round;
mod stage;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use consilium_domain::SiteId;

#[derive(Parser)]
#[command(about = "Trials of whole consortiums over real processes, with training replaced by waiting")]
struct Cli {
    #[command(subcommand)]
    trial: Trial,
}

#[derive(Subcommand)]
enum Trial {
    /// Measure rounds; one line of JSON.
    Round(round::Options),
    /// Many idle sites beside a study of many active ones.
    Crowd(crowd::Options),
    /// A study under kills, stops, cuts and full disks, compared with a calm one.
    Chaos(chaos::Options),
    /// The coordinator's process of a trial.
    #[command(hide = true)]
    Coordinator { stage: PathBuf, listen: SocketAddr },
    /// A process of one site of a trial or of several.
    #[command(hide = true)]
    Sites {
        stage: PathBuf,
        coordinator: SocketAddr,
        #[arg(long)]
        training_millis: u64,
        #[arg(required = true)]
        names: Vec<SiteId>,
    },
}

fn main() -> anyhow::Result<ExitCode> {
    consilium_process::start_logging();
    match Cli::parse().trial {
        Trial::Round(options) => round::run(&options).map(|()| ExitCode::SUCCESS),
        Trial::Crowd(options) => crowd::run(&options).map(|()| ExitCode::SUCCESS),
        Trial::Chaos(options) => chaos::run(&options).map(|()| ExitCode::SUCCESS),
        Trial::Coordinator { stage, listen } => daemons::coordinator(&stage, listen),
        Trial::Sites { stage, coordinator, training_millis, names } => {
            daemons::sites(&stage, coordinator, training_millis, &names)
        }
    }
}
