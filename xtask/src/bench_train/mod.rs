//! Times a training step and an evaluation of ours and, when a Python with PyTorch is given, of the same network in
//! PyTorch, in alternation: what else the machine does meets both.
//!
//! Ours is `shared/model/examples/bench_worker`, theirs `benches/pytorch/worker.py`; both answer the same commands
//! on a pipe. Before anything is timed, both must find the same loss, gradients and answers from the same weights.

mod agreement;
mod measurement;
mod programs;
mod samples;
mod table;
mod worker;
mod workload;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::json;

use measurement::Measurement;
use programs::Programs;
use workload::{Size, Workload};

/// Options of `bench-train`.
#[derive(Args)]
pub(crate) struct Options {
    /// A Python interpreter that has PyTorch; without it only ours is timed.
    #[arg(long, value_name = "PATH")]
    python: Option<PathBuf>,
    /// A workload to time, and no other; can be given several times.
    #[arg(long = "workload", value_name = "NAME")]
    names: Vec<String>,
    /// Timed steps of each side, after two that are not.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..))]
    steps: u16,
    /// Threads of each side.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..))]
    threads: u16,
    /// Tiny networks: shows in seconds that everything works, and no useful times.
    #[arg(long)]
    quick: bool,
    /// Where to write all that was measured, as JSON.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Checks, measures, prints.
///
/// # Errors
/// When a side fails, or when the two do not compute the same.
pub(crate) fn run(options: &Options) -> Result<()> {
    let workloads = chosen(&options.names)?;
    let size = if options.quick { Size::Tiny } else { Size::Full };
    let folder = tempfile::tempdir().context("cannot make a temporary folder for weights")?;
    let programs = Programs::build(options.python.clone(), options.threads, folder.path())?;
    let peak_gflops = programs.peak_gflops()?;
    let mut measured = Vec::new();
    for workload in workloads {
        let plan = workload.plan(size, folder.path());
        let agreement = agreement::check(&programs, workload, &plan)
            .with_context(|| format!("workload {}", workload.name))?;
        let measurement = Measurement::take(&programs, workload, &plan, options.steps)
            .with_context(|| format!("workload {}", workload.name))?;
        eprintln!("{}", measurement.line());
        measured.push((measurement, agreement));
    }
    let threads = options.threads;
    println!("{}", table::of(&measured, threads, peak_gflops));
    if let Some(file) = &options.out {
        let workloads: Vec<_> = measured
            .iter()
            .map(|(measurement, agreement)| measurement.json(agreement, peak_gflops))
            .collect();
        let report = json!({
            "schema": "consilium-bench-train/1",
            "threads": threads,
            "quick": options.quick,
            "peak_gflops": peak_gflops,
            "workloads": workloads,
        });
        let text = format!("{report:#}\n");
        std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

/// The workloads called `names`; all when there are none.
fn chosen(names: &[String]) -> Result<Vec<&'static Workload>> {
    let known = || workload::ALL.iter().map(|workload| workload.name).collect::<Vec<_>>().join(", ");
    if let Some(odd) = names.iter().find(|name| workload::ALL.iter().all(|known| known.name != **name)) {
        bail!("there is no workload `{odd}`: choose of {}", known());
    }
    let wanted = |workload: &&Workload| names.is_empty() || names.iter().any(|name| name == workload.name);
    Ok(workload::ALL.iter().filter(wanted).collect())
}
