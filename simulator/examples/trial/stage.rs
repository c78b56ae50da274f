//! The folder of a trial, and its processes.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use consilium_coordinator::{EventLog, Notice};
use consilium_domain::{SiteId, Study};
use consilium_protocol::Timestamp;
use consilium_protocol::coordinator::Event;
use consilium_simulator::dry_run::Kits;

/// Between two looks at something that is waited for.
pub(crate) const GLANCE: Duration = Duration::from_millis(10);
/// How long a coordinator may take to listen.
const STARTING: Duration = Duration::from_secs(60);

/// Where a trial's files are.
#[derive(Debug, Clone)]
pub(crate) struct Stage(PathBuf);

impl Stage {
    /// Certificates and the study, in the empty folder `folder`.
    pub(crate) fn set(folder: &Path, study: &Study) -> Result<Self> {
        let stage = Self::at(folder);
        Kits::issue(&folder.join("kits"), &study.federation.sites)?;
        fs::write(stage.study(), toml::to_string(study)?)?;
        fs::create_dir_all(stage.logs())?;
        Ok(stage)
    }

    /// The stage that was set in `folder`.
    pub(crate) fn at(folder: &Path) -> Self {
        Self(folder.to_owned())
    }

    pub(crate) fn study(&self) -> PathBuf {
        self.0.join("study.toml")
    }

    pub(crate) fn kit(&self, name: &str) -> PathBuf {
        self.0.join("kits").join(name)
    }

    pub(crate) fn coordinator(&self) -> PathBuf {
        self.0.join("coordinator")
    }

    pub(crate) fn site(&self, name: &SiteId) -> PathBuf {
        self.0.join("sites").join(name.as_str())
    }

    pub(crate) fn report(&self) -> PathBuf {
        self.0.join("report.json")
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.0.join("logs")
    }

    /// Starts the coordinator; waits until it listens.
    pub(crate) fn start_coordinator(&self, listen: SocketAddr) -> Result<(Process, SocketAddr)> {
        let arguments = ["coordinator".to_owned(), self.0.display().to_string(), listen.to_string()];
        let mut process = Process::start(self, "coordinator", &arguments)?;
        let began = Instant::now();
        loop {
            if let Some(Notice::Listening(address)) = process.notices()?.first() {
                return Ok((process, *address));
            }
            if let Some(status) = process.has_ended()? {
                bail!("the coordinator ended with {status}: {}", process.log());
            }
            ensure!(began.elapsed() < STARTING, "the coordinator does not start: {}", process.log());
            sleep(GLANCE);
        }
    }

    /// Starts a process for the clients of `names`.
    pub(crate) fn start_sites(
        &self,
        names: &[SiteId],
        coordinator: SocketAddr,
        training: Duration,
    ) -> Result<Process> {
        let mut arguments = vec!["sites".to_owned(), self.0.display().to_string(), coordinator.to_string()];
        arguments.extend(["--training-millis".to_owned(), training.as_millis().to_string()]);
        arguments.extend(names.iter().map(ToString::to_string));
        let label = names.first().context("a site is needed")?;
        Process::start(self, label.as_str(), &arguments)
    }

    /// Every event of the study so far; while no coordinator runs.
    pub(crate) fn events(&self) -> Result<Vec<(Timestamp, Event)>> {
        let path = self.coordinator().join("events.sqlite");
        let opened = tokio::runtime::Runtime::new()?.block_on(EventLog::open(&path));
        Ok(opened?.1)
    }
}

/// A process of this program. It ends with its handle.
pub(crate) struct Process {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
    /// The most memory it was seen to have had.
    peak_kib: u64,
}

impl Process {
    fn start(stage: &Stage, label: &str, arguments: &[String]) -> Result<Self> {
        let file = |kind: &str| stage.logs().join(format!("{label}.{kind}"));
        let append = |path: &Path| File::options().create(true).append(true).open(path);
        let (stdout, stderr) = (file("stdout"), file("stderr"));
        // What an earlier process has told is no news of this one.
        fs::write(&stdout, "")?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(arguments).stdin(Stdio::null()).stdout(append(&stdout)?).stderr(append(&stderr)?);
        if std::env::var_os("RUST_LOG").is_none() {
            command.env("RUST_LOG", "consilium=info,warn");
        }
        let child = command.spawn().with_context(|| format!("{label} cannot be started"))?;
        Ok(Self { child, stdout, stderr, peak_kib: 0 })
    }

    /// Whether it has ended, and how. Looks at its memory while it has not.
    pub(crate) fn has_ended(&mut self) -> Result<Option<ExitStatus>> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok());
        self.peak_kib = self.peak_kib.max(kib.unwrap_or(0));
        Ok(self.child.try_wait()?)
    }

    /// Waits for its end, which must be a good one.
    pub(crate) fn finish(&mut self, patience: Duration) -> Result<()> {
        let began = Instant::now();
        loop {
            if let Some(status) = self.has_ended()? {
                ensure!(status.success(), "a process ended with {status}: {}", self.log());
                return Ok(());
            }
            ensure!(began.elapsed() < patience, "a process does not end: {}", self.log());
            sleep(GLANCE);
        }
    }

    /// The most memory it ever had, in mebibytes.
    pub(crate) const fn peak_mebibytes(&self) -> u64 {
        self.peak_kib / 1024
    }

    /// Sends it the signal of that name.
    pub(crate) fn signal(&self, name: &str) -> Result<()> {
        let status = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status()?;
        ensure!(status.success(), "the signal {name} cannot be sent");
        Ok(())
    }

    /// Kills it and waits until it is gone.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// What it has told on its standard output. A line that is still being written is not among it.
    pub(crate) fn notices(&self) -> Result<Vec<Notice>> {
        let text = fs::read_to_string(&self.stdout)?;
        let whole = text.rsplit_once('\n').map_or("", |(lines, _)| lines);
        Ok(whole.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
    }

    /// The end of its log.
    pub(crate) fn log(&self) -> String {
        let text = fs::read_to_string(&self.stderr).unwrap_or_default();
        let from = text.len().saturating_sub(4_000);
        text.get(from..).unwrap_or(&text).to_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
