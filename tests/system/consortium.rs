//! A consortium by hand: certificates, two hospitals of phantoms, a coordinator that serves, and people who ask it.

use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use consilium_certs::Authority;
use consilium_client::{ConfigFile, ProxySetting, TransfersFile};
use consilium_coordinator::Notice;
use consilium_data::CachePrecision;
use consilium_data::phantom::{Grid, PhantomCohort};
use consilium_domain::network::{Depth, NetworkSpec};
use consilium_domain::{Arm, ClinicalBaseline, Duplicates, Modality, Preprocessing, Seed, Study};
use consilium_protocol::admin::{StudyDone, StudyList, StudyState, StudySummary, StudyView};
use serde::de::DeserializeOwned;
use tempfile::TempDir;

use crate::process::{Ended, Process};

/// The hospitals.
pub(crate) const SITES: [&str; 2] = ["north", "south"];
/// Patients of each.
const CASES: usize = 12;
/// Seconds of silence after which a connection counts as lost: long enough for a busy machine.
const IDLE_TIMEOUT_SECS: u16 = 6;

/// Everything on the disks of everybody.
pub(crate) struct Consortium {
    folder: TempDir,
}

/// A coordinator that serves.
pub(crate) struct Serving {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
}

impl Consortium {
    /// Certificates and phantoms.
    pub(crate) fn new() -> Self {
        let consortium = Self { folder: tempfile::tempdir().unwrap() };
        let authority = Authority::create("a test").unwrap();
        let kit = |name: &str| consortium.kit(name);
        authority.issue_coordinator(&["127.0.0.1"]).unwrap().write(&kit("coordinator")).unwrap();
        authority.issue_admin(&"alice".parse().unwrap()).unwrap().write(&kit("alice")).unwrap();
        authority.issue_observer(&"olga".parse().unwrap()).unwrap().write(&kit("olga")).unwrap();
        for site in SITES {
            authority.issue_site(&site.parse().unwrap()).unwrap().write(&kit(site)).unwrap();
        }
        consortium
    }

    /// Synthetic patients for both hospitals.
    pub(crate) fn with_patients(self) -> Self {
        let phantoms = PhantomCohort {
            sites: SITES.len(),
            cases_per_site: CASES,
            signal: 1.0,
            seed: Seed::from_number(5),
            grid: Grid::Small,
            modalities: vec![Modality::T1gd],
        };
        let made = phantoms.write(&self.path("phantoms")).unwrap();
        for (site, phantom) in SITES.iter().zip(made.sites) {
            fs::rename(phantom.folder, self.path(site)).unwrap();
        }
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn kit(&self, name: &str) -> PathBuf {
        self.path("kits").join(name)
    }

    /// The folder of a study at the coordinator.
    pub(crate) fn study_folder(&self, study: &StudySummary) -> PathBuf {
        self.path("state/studies").join(study.hash.to_string())
    }

    /// Starts the coordinator, at any port or at the one it had.
    pub(crate) fn serve(&self, listen: Option<SocketAddr>) -> Serving {
        self.serve_with(listen, &[])
    }

    /// The same, with `options`.
    pub(crate) fn serve_with(&self, listen: Option<SocketAddr>, options: &[&str]) -> Serving {
        let listen = listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0))).to_string();
        let mut arguments: Vec<OsString> = vec!["serve".into(), "--notices".into(), "json".into()];
        for (option, path) in [("--state", self.path("state")), ("--identity", self.kit("coordinator"))] {
            arguments.extend([option.into(), path.into()]);
        }
        for (option, value) in
            [("--listen", &listen), ("--idle-timeout-secs", &IDLE_TIMEOUT_SECS.to_string())]
        {
            arguments.extend([option.into(), value.into()]);
        }
        arguments.extend(options.iter().map(OsString::from));
        let mut process = Process::coordinator(arguments);
        process.wait_until("it listens", |process| listening(&process.stdout()).is_some());
        let address = listening(&process.stdout()).unwrap();
        Serving { process, address }
    }

    /// Starts the client of a hospital, for one study.
    pub(crate) fn client(&self, site: &str, coordinator: SocketAddr) -> Process {
        self.client_with(site, site, coordinator, &["--once"])
    }

    /// Starts the client of a hospital, for as many studies as there are.
    pub(crate) fn daemon(&self, site: &str, coordinator: SocketAddr) -> Process {
        self.client_with(site, site, coordinator, &[])
    }

    /// Starts a client over the data of `site` with the kit of `kit`.
    pub(crate) fn client_with(
        &self,
        site: &str,
        kit: &str,
        coordinator: SocketAddr,
        options: &[&str],
    ) -> Process {
        let file = ConfigFile {
            coordinator: coordinator.to_string(),
            link: "auto".to_owned(),
            tcp_port: None,
            proxy: Some(ProxySetting::new("off")),
            identity: self.kit(kit),
            state: self.path(&format!("{site}-state")),
            data: vec![self.path(site)],
            layout: "upenn-gbm".into(),
            device: "cpu".into(),
            checkpointing: false,
            cache_gib: 1,
            cache_precision: CachePrecision::F32,
            congestion: "cubic".into(),
            idle_timeout_secs: IDLE_TIMEOUT_SECS,
            policy: Some("policy.toml".into()),
            transfers: TransfersFile::default(),
        };
        fs::write(self.path("policy.toml"), "approval = \"rule\"\n").unwrap();
        let config = self.path(&format!("{site}.toml"));
        fs::write(&config, toml::to_string(&file).unwrap()).unwrap();
        let mut arguments = vec![OsString::from("client-process"), "--config".into(), config.into()];
        arguments.extend(options.iter().map(OsString::from));
        Process::start(arguments)
    }

    /// Asks the coordinator as `who`, from a process that has nothing but the kit.
    pub(crate) fn ask(&self, who: &str, coordinator: SocketAddr, words: &[&str]) -> Ended {
        let mut arguments: Vec<OsString> = words.iter().map(OsString::from).collect();
        arguments.extend(["--connect".into(), coordinator.to_string().into()]);
        arguments.extend(["--identity".into(), self.kit(who).into()]);
        Process::coordinator(arguments).end()
    }

    /// Hands in a study as the admin; how it stands then.
    pub(crate) fn submit(&self, coordinator: SocketAddr, study: &Study) -> StudySummary {
        let file = self.path(&format!("study-{}.toml", study.seed));
        fs::write(&file, toml::to_string(study).unwrap()).unwrap();
        let words = ["study", "submit", file.to_str().unwrap(), "--json"];
        answered::<StudyDone>(self.ask("alice", coordinator, &words)).study
    }

    /// All studies, as an observer sees them.
    pub(crate) fn list(&self, coordinator: SocketAddr) -> StudyList {
        answered(self.ask("olga", coordinator, &["study", "list", "--json"]))
    }

    /// One study, as an observer sees it.
    pub(crate) fn show(&self, coordinator: SocketAddr, study: &StudySummary) -> StudyView {
        let hash = study.hash.to_string();
        answered(self.ask("olga", coordinator, &["study", "show", &hash[..8], "--json"]))
    }

    /// Does `command` to a study as the admin; how it stands then.
    pub(crate) fn change(
        &self,
        coordinator: SocketAddr,
        command: &str,
        study: &StudySummary,
        more: &[&str],
    ) -> StudySummary {
        let hash = study.hash.to_string();
        let words = [&["study", command, &hash, "--json"], more].concat();
        answered::<StudyDone>(self.ask("alice", coordinator, &words)).study
    }

    /// Waits until a study is in `state`.
    pub(crate) fn wait_for(&self, serving: &mut Serving, study: &StudySummary, state: StudyState) {
        let address = serving.address;
        serving.process.wait_until(&format!("study {} is {state}", study.number), |_| {
            let list = self.list(address).studies;
            list.iter().any(|listed| listed.hash == study.hash && listed.state == state)
        });
    }
}

fn answered<T: DeserializeOwned>(ended: Ended) -> T {
    serde_json::from_str(&ended.successfully().stdout).unwrap()
}

fn listening(stdout: &str) -> Option<SocketAddr> {
    stdout.lines().find_map(|line| match serde_json::from_str(line) {
        Ok(Notice::Listening(address)) => Some(address),
        _ => None,
    })
}

/// A small study of both hospitals, which are both needed.
pub(crate) fn study(seed: u64, rounds: u16) -> Study {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/samples/study.toml");
    let mut study = consilium_coordinator::read_study(&sample).unwrap();
    // Sites of the release before, who take part in some tests, do not understand a study with a baseline.
    study.evaluation.baseline = ClinicalBaseline::None;
    (study.name, study.seed) = (format!("study-{seed}"), seed);
    (study.arms, study.modalities) = (vec![Arm::Random], vec![Modality::T1gd]);
    study.preprocessing = Preprocessing::TumourCrop { side: 16 };
    study.network = NetworkSpec { depth: Depth::D10, width: 4 };
    study.evaluation.folds = 2;
    (study.training.rounds, study.training.local_epochs) = (rounds, 1);
    study.federation.sites = SITES.map(|site| site.parse().unwrap()).to_vec();
    study.federation.quorum = 2;
    study.federation.duplicates = Duplicates::Ignore;
    study
}
