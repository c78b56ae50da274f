//! Repository chores: `cargo xtask <chore>`.
//!
//! Deliberately depends on no other crate of the workspace: it builds in seconds, and it reads a report as a
//! stranger would.

mod bench_round;
mod bench_train;
mod building;
mod place;
mod release;
mod report;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Repository chores of Consilium")]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Check that a study's report.json is complete; lists the JSON paths that are missing or contradict others.
    CheckReport {
        /// The report.
        file: PathBuf,
    },
    /// Time training and evaluation, ours and PyTorch's, and print the ratios. Takes many minutes on a quiet machine.
    BenchTrain(bench_train::Options),
    /// Time rounds of a large and of a tiny model, ours and other systems' in alternation. On a quiet machine.
    BenchRound(bench_round::Options),
    /// Build the programs and pack them with their documents, for this kind of machine.
    Release(release::Options),
}

fn main() -> Result<ExitCode> {
    match Cli::parse().chore {
        Chore::CheckReport { file } => check_report(&file),
        Chore::BenchTrain(options) => bench_train::run(&options).map(|()| ExitCode::SUCCESS),
        Chore::BenchRound(options) => bench_round::run(&options).map(|()| ExitCode::SUCCESS),
        Chore::Release(options) => release::release(&options).map(|()| ExitCode::SUCCESS),
    }
}

fn check_report(file: &Path) -> Result<ExitCode> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let json = serde_json::from_str(&text).with_context(|| format!("{} is not JSON", file.display()))?;
    match report::check(&json) {
        Ok(summary) => {
            println!("{}: complete: {summary}", file.display());
            Ok(ExitCode::SUCCESS)
        }
        Err(complaints) => {
            for complaint in complaints.iter() {
                eprintln!("  {complaint}");
            }
            eprintln!("{}: incomplete: {} complaint(s), listed above", file.display(), complaints.len());
            Ok(ExitCode::FAILURE)
        }
    }
}
