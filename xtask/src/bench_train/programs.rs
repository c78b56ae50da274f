//! The programs of a measurement: built, and started with the same number of threads.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::worker::{Worker, number};
use crate::building::{build_example, root, succeed};

const WORKER: &str = "bench_worker";

/// What to start.
pub(crate) struct Programs {
    ours: PathBuf,
    python: Option<PathBuf>,
    peak_speed: PathBuf,
    threads: String,
}

impl Programs {
    /// Builds ours; `folder` takes what cargo does not build.
    pub(crate) fn build(python: Option<PathBuf>, threads: u16, folder: &Path) -> Result<Self> {
        let peak_speed = folder.join("peak_speed");
        let source = root().join("benches/peak_speed.rs");
        let mut rustc = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
        rustc.args(["--edition", "2024", "-C", "opt-level=3", "-C", "target-cpu=native", "-o"]);
        rustc.arg(&peak_speed).arg(source);
        succeed(&mut rustc)?;
        Ok(Self {
            ours: build_example("consilium-model", WORKER)?,
            python,
            peak_speed,
            threads: threads.to_string(),
        })
    }

    /// Starts our side.
    pub(crate) fn ours(&self) -> Result<Worker> {
        Worker::start("our worker", Command::new(&self.ours).env("RAYON_NUM_THREADS", &self.threads))
    }

    /// Starts PyTorch's side, if there is one.
    pub(crate) fn torch(&self) -> Result<Option<Worker>> {
        let Some(python) = &self.python else { return Ok(None) };
        let mut command = Command::new(python);
        command.arg(root().join("benches/pytorch/worker.py")).arg(&self.threads);
        command.env("OMP_NUM_THREADS", &self.threads).env("MKL_NUM_THREADS", &self.threads);
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        Worker::start("the PyTorch worker", &mut command).map(Some)
    }

    /// The most operations a second that this machine does in 32 bits, with as many threads.
    pub(crate) fn peak_gflops(&self) -> Result<f64> {
        let answer = succeed(Command::new(&self.peak_speed).arg(&self.threads))?;
        number(&serde_json::from_slice(&answer)?, "gflops")
    }
}
