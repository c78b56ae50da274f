//! Other systems, each started by the same script.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use super::row::Row;

/// The script, and where it finds its programs.
pub(super) struct Peers {
    script: PathBuf,
    venvs: Option<PathBuf>,
    results: tempfile::TempDir,
}

impl Peers {
    pub(super) fn new(folder: &Path, venvs: Option<&Path>) -> Result<Self> {
        let script = folder.join("one.sh");
        ensure!(
            script.is_file(),
            "{} is not there: --peers names the folder of that script",
            script.display()
        );
        Ok(Self { script, venvs: venvs.map(Path::to_owned), results: tempfile::tempdir()? })
    }

    /// One run of `system`.
    pub(super) fn run(&self, system: &str, sites: u16, model: &str, rounds: u16) -> Result<Row> {
        let results = self.results.path().join("results.jsonl");
        // The last line is this run's.
        std::fs::write(&results, "")?;
        let (sites, rounds) = (sites.to_string(), rounds.to_string());
        let mut command = Command::new("bash");
        command.arg(&self.script).arg(system).args([
            "--clients",
            &sites,
            "--arch",
            model,
            "--rounds",
            &rounds,
        ]);
        match system {
            "floor" => command.arg("--tls"),
            "nvflare" => command.args(["--mode", "poc"]),
            "flower" => command.args(["--mode", "deploy"]),
            other => bail!("there is no system `{other}`: choose of floor, nvflare, flower"),
        };
        command.env("OUT", &results).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if let Some(venvs) = &self.venvs {
            command.env("VENVS", venvs);
        }
        let status =
            command.status().with_context(|| format!("{} cannot be started", self.script.display()))?;
        let text = std::fs::read_to_string(&results)?;
        let line = text.lines().last().with_context(|| format!("it told nothing and ended with {status}"))?;
        Row::of_peer(system, &serde_json::from_str(line)?)
    }
}
