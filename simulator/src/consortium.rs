//! One study on this machine: certificates, configuration files, processes, and what they report.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use consilium_certs::Authority;
use consilium_client::{ConfigFile, PolicyFile, ProxySetting, TransfersFile};
use consilium_coordinator::{Notice, Report};
use consilium_data::CachePrecision;
use consilium_domain::{SiteId, Study};
use serde::Serialize;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::ChildStdout;
use tokio::task::JoinSet;

use crate::child::Child;
use crate::progress::Progress;
use crate::sites::Site;

/// How long clients may take to end after the coordinator has.
const CLIENTS_END: Duration = Duration::from_secs(10);
/// Silence after which a connection counts as lost. On loopback nothing is lost but a killed process's word.
const IDLE_TIMEOUT_SECS: u16 = 15;
/// Space of each site's preprocessed inputs: those of a thousand scans in the paper's shape.
const CACHE_GIB: u32 = 2;

/// A consortium that exists on paper.
pub(crate) struct Consortium {
    /// Everything it writes goes here.
    pub(crate) folder: PathBuf,
    pub(crate) study: Study,
    pub(crate) sites: Vec<Site>,
    pub(crate) weights: Option<PathBuf>,
    pub(crate) device: String,
    /// Whether clients train with less memory.
    pub(crate) checkpointing: bool,
    /// Whether each process writes where its time goes.
    pub(crate) profile: bool,
}

impl Consortium {
    /// Starts the processes, follows them to the end and returns the coordinator's report. When this future is
    /// dropped, every process is stopped.
    pub(crate) async fn run(&self, title: &str) -> anyhow::Result<Report> {
        self.write_identities()?;
        write_toml(&self.folder.join("study.toml"), &self.study)?;
        let mut coordinator = self.start_coordinator()?;
        let mut notices =
            coordinator.output().map(|output| BufReader::new(output).lines()).context("no output")?;
        let address = listening(&mut notices).await.with_context(|| self.look_into("coordinator"))?;
        let mut clients = JoinSet::new();
        for site in &self.sites {
            let mut client = self.start_client(site, address)?;
            note_process_id(&self.folder, &client)?;
            clients.spawn(async move { (client.name.clone(), client.ended().await) });
        }
        let progress = Progress::start(title);
        let report = self.follow(&mut notices, &mut clients, &progress).await;
        if report.is_none() && clients.is_empty() {
            bail!(
                "{title}: every site ended before the study did: {}",
                self.look_into(self.sites[0].id.as_str())
            );
        }
        let ended = coordinator.ended().await.context("the coordinator's end was lost")?;
        let goodbye = async { while clients.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(CLIENTS_END, goodbye).await;
        let Some(path) = report else {
            bail!("{title}: the coordinator ended with {ended}: {}", self.look_into("coordinator"));
        };
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
        let report: Report = serde_json::from_str(&text).context("the report has another format")?;
        progress.finish(&format!("{title}: {}", report.outcome.status));
        Ok(report)
    }

    /// Shows progress until the coordinator closes its output; the path of the report, if there is one.
    ///
    /// A coordinator is patient and waits for sites that may come back. Here none will once every client process has
    /// ended, so it is not waited for; unless the study is over, and it only waits to say so.
    async fn follow(
        &self,
        notices: &mut Lines<BufReader<ChildStdout>>,
        clients: &mut JoinSet<(String, std::io::Result<std::process::ExitStatus>)>,
        progress: &Progress,
    ) -> Option<PathBuf> {
        let (mut report, mut over) = (None, false);
        loop {
            let deserted = clients.is_empty();
            tokio::select! {
                line = notices.next_line() => match line.ok().flatten().map(|line| serde_json::from_str(&line)) {
                    None => return report,
                    Some(Ok(Notice::Progress(at))) => {
                        let detail = format!(
                            "{} rounds, {}/{} lanes, {}/{} sites",
                            at.rounds, at.lanes_complete, at.lanes, at.connected, self.sites.len()
                        );
                        progress.show(at.done, at.total, &detail);
                        over = ["finished", "halted"].contains(&at.phase.as_str());
                    }
                    Some(Ok(Notice::Warning(text))) => progress.say(&format!("warning: {text}")),
                    Some(Ok(Notice::Report(path))) => report = Some(path),
                    Some(Ok(Notice::Listening(_) | Notice::Page(_) | Notice::Command { .. } | Notice::Of { .. }) | Err(_)) => {}
                },
                Some(Ok((name, status))) = clients.join_next() => match status {
                    Ok(status) if status.success() => {}
                    Ok(status) => progress.say(&format!("warning: {name} ended: {status}; {}", self.look_into(&name))),
                    Err(error) => progress.say(&format!("warning: {name} was lost: {error}")),
                },
                () = tokio::time::sleep(CLIENTS_END), if deserted && !over => return report,
            }
        }
    }

    fn write_identities(&self) -> anyhow::Result<()> {
        let authority = Authority::create(&self.study.name)?;
        authority.issue_coordinator(&["127.0.0.1", "localhost"])?.write(&self.identity("coordinator"))?;
        for site in &self.sites {
            authority.issue_site(&site.id)?.write(&self.identity(site.id.as_str()))?;
        }
        Ok(())
    }

    fn start_coordinator(&self) -> anyhow::Result<Child> {
        let (study, state) = (self.folder.join("study.toml"), self.folder.join("coordinator"));
        let (identity, report) = (self.identity("coordinator"), self.folder.join("report.json"));
        let idle_timeout = IDLE_TIMEOUT_SECS.to_string();
        let mut arguments = vec![
            "coordinator-process",
            "--listen",
            "127.0.0.1:0",
            "--notices",
            "json",
            "--idle-timeout-secs",
            &idle_timeout,
        ];
        let paths =
            [("--study", &study), ("--state", &state), ("--identity", &identity), ("--report", &report)];
        let weights = self.weights.iter().map(|weights| ("--weights", weights));
        let trace = self.trace("coordinator")?;
        let trace = trace.iter().map(|trace| ("--profile", trace));
        for (option, path) in paths.into_iter().chain(weights).chain(trace) {
            arguments.extend([option, utf8(path)?]);
        }
        Child::start("coordinator", &arguments, 1, &self.log("coordinator")?)
    }

    /// The state folder of a site's client.
    pub(crate) fn state_of(&self, site: &SiteId) -> PathBuf {
        self.folder.join(site.as_str()).join("state")
    }

    fn start_client(&self, site: &Site, coordinator: SocketAddr) -> anyhow::Result<Child> {
        let name = site.id.as_str();
        let folder = self.folder.join(name);
        std::fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        let (config, policy) = (folder.join("client.toml"), folder.join("policy.toml"));
        let file = ConfigFile {
            coordinator: coordinator.to_string(),
            link: "auto".to_owned(),
            tcp_port: None,
            proxy: Some(ProxySetting::new("off")),
            identity: self.identity(name),
            state: self.state_of(&site.id),
            data: site.folders.clone(),
            layout: site.layout.to_string(),
            device: self.device.clone(),
            checkpointing: self.checkpointing,
            cache_gib: CACHE_GIB,
            cache_precision: CachePrecision::F32,
            congestion: "cubic".to_owned(),
            idle_timeout_secs: IDLE_TIMEOUT_SECS,
            policy: Some(policy.clone()),
            transfers: TransfersFile::default(),
        };
        write_toml(&policy, &PolicyFile::of_simulation())?;
        write_toml(&config, &file)?;
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let threads = (cores / self.sites.len()).max(1);
        let mut arguments = vec!["client-process", "--once", "--config", utf8(&config)?];
        let trace = self.trace(name)?;
        if let Some(trace) = &trace {
            arguments.extend(["--profile", utf8(trace)?]);
        }
        Child::start(name, &arguments, threads, &self.log(name)?)
    }

    fn identity(&self, name: &str) -> PathBuf {
        self.folder.join("identities").join(name)
    }

    fn log(&self, name: &str) -> anyhow::Result<PathBuf> {
        let folder = self.folder.join("logs");
        std::fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        Ok(folder.join(format!("{name}.log")))
    }

    /// Where the process writes where its time goes, if it does.
    fn trace(&self, name: &str) -> anyhow::Result<Option<PathBuf>> {
        if !self.profile {
            return Ok(None);
        }
        let folder = self.folder.join("profile");
        std::fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        Ok(Some(folder.join(format!("{name}.json"))))
    }

    fn look_into(&self, name: &str) -> String {
        format!("look into {}", self.folder.join("logs").join(format!("{name}.log")).display())
    }
}

async fn listening(notices: &mut Lines<BufReader<ChildStdout>>) -> anyhow::Result<SocketAddr> {
    let line = notices.next_line().await?.context("the coordinator did not start")?;
    match serde_json::from_str(&line)? {
        Notice::Listening(address) => Ok(address),
        other => bail!("the coordinator began with {other}"),
    }
}

/// Notes which process is which, for whoever wants to look at (or kill) one.
fn note_process_id(folder: &Path, client: &Child) -> anyhow::Result<()> {
    let path = folder.join(client.name.as_str()).join("process-id");
    let id = client.id().map_or(String::new(), |id| id.to_string());
    std::fs::write(&path, id).with_context(|| format!("{} cannot be written", path.display()))
}

fn write_toml(path: &Path, value: &impl Serialize) -> anyhow::Result<()> {
    let text =
        toml::to_string(value).with_context(|| format!("{} cannot be expressed in TOML", path.display()))?;
    std::fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))
}

fn utf8(path: &Path) -> anyhow::Result<&str> {
    path.to_str().with_context(|| format!("the path {} is not UTF-8: use another folder", path.display()))
}
