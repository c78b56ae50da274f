//! A consortium whose processes are started by hand, with certificates and configurations of its own.

use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use consilium_certs::Authority;
use consilium_client::{ConfigFile, ProxySetting, TransfersFile};
use consilium_coordinator::{Notice, Progress, Report};
use consilium_data::CachePrecision;
use consilium_simulator::SimulationReport;

use crate::process::{Ended, Process};

/// Seconds of silence after which a connection counts as lost: long enough for a busy machine.
const IDLE_TIMEOUT_SECS: u16 = 4;
/// Where a coordinator may be called at: one for each of the studies that run at once.
const HOSTS: [&str; 5] = ["127.0.0.1", "127.0.1.1", "127.0.1.2", "127.0.1.3", "127.0.1.4"];
/// More than a few phantoms take.
const CACHE_GIB: u32 = 1;

/// The sites of most of these studies.
pub(crate) const SITES: [&str; 2] = ["site-1", "site-2"];

/// The policy of a hospital that agrees to everything, and tells every score where it is, as those of a simulation do.
pub(crate) const AGREES: &str = "approval = \"rule\"\n[histograms]\nfewest_per_score = 1\n";

/// Two lanes of two rounds, and a network of some kilobytes.
const SMALLEST_STUDY: &str = r#"
name = "smallest"
seed = 7
arms = ["random"]
modalities = ["t1gd"]

[evaluation]
folds = 2
holdout_fraction = 0.3
bins = 64

[preprocessing]
profile = "tumour-crop"
side = 8

[network]
depth = 10
width = 2

[training]
rounds = 2
local_epochs = 2
batch_size = 8
learning_rate = 1e-3
policy_learning_rate = 1e-3
weight_decay = 1e-4
temperature = 5.0
norm = "batch"

[federation]
sites = ["site-1", "site-2"]
quorum = 2
enrolment_secs = 120
deadline_secs = 600
absence_grace_secs = 60
duplicates = "ignore"
wire = "int8"

[federation.fixed_point]
clip = 64
fraction_bits = 24
"#;

/// The smallest study, called `name`, with some of its lines changed.
pub(crate) fn smallest_study(name: &str, changes: &[(&str, &str)]) -> String {
    let change = |text: String, (line, other): (&str, &str)| {
        assert!(text.contains(line), "the smallest study has no `{line}`");
        text.replace(line, other)
    };
    let named = SMALLEST_STUDY.replace("smallest", name);
    changes.iter().copied().fold(named, change)
}

/// Makes what a [`ByHand`] starts from: patients for the smallest study, and the file of `study`.
pub(crate) fn simulate(folder: &Path, study: &str) {
    let phantoms = folder.join("phantoms");
    let words = "phantom --sites 2 --cases 6 --modalities t1gd --out";
    let arguments = words.split(' ').map(OsString::from).chain([phantoms.into_os_string()]);
    Process::start(arguments).end().successfully();
    fs::write(folder.join("study.toml"), study).unwrap();
}

/// A consortium over the patients and the study of a simulation.
pub(crate) struct ByHand {
    pub(crate) folder: PathBuf,
    /// Holds `study.toml` and `phantoms`.
    simulated: PathBuf,
    /// What its processes log; the default where it is none.
    pub(crate) log_level: Option<&'static str>,
    /// Over what its clients call.
    pub(crate) link: &'static str,
    /// How fast their blobs travel at most, each; as fast as they can where it is none.
    pub(crate) most_mbit_per_s: Option<f64>,
}

impl ByHand {
    /// Certificates, as `consilium-certs` issues them, and policies that agree.
    pub(crate) fn new(folder: PathBuf, simulated: PathBuf, sites: &[&str]) -> Self {
        let authority = Authority::create("by hand").unwrap();
        authority.issue_coordinator(&HOSTS).unwrap().write(&folder.join("coordinator-kit")).unwrap();
        for site in sites {
            authority
                .issue_site(&site.parse().unwrap())
                .unwrap()
                .write(&folder.join(site).join("kit"))
                .unwrap();
        }
        let consortium = Self { folder, simulated, log_level: None, link: "auto", most_mbit_per_s: None };
        sites.iter().for_each(|site| consortium.set_policy(site, AGREES));
        consortium
    }

    /// What the hospital of `site` says from the next start of its client on.
    pub(crate) fn set_policy(&self, site: &str, text: &str) {
        fs::write(self.folder.join(site).join("policy.toml"), text).unwrap();
    }

    fn config(&self, site: &str) -> PathBuf {
        self.folder.join(site).join("client.toml")
    }

    /// Says something to the client of `site`, whether it runs or not.
    pub(crate) fn tell(&self, site: &str, words: &[&str]) -> Ended {
        let mut arguments: Vec<OsString> = vec!["client-control".into()];
        arguments.extend(words.iter().map(OsString::from));
        arguments.extend(["--config".into(), self.config(site).into_os_string()]);
        Process::start(arguments).end()
    }

    pub(crate) fn coordinator(&self, listen: SocketAddr) -> Process {
        Process::start_logging(self.log_level, self.coordinator_arguments(listen))
    }

    /// What the coordinator is started with.
    pub(crate) fn coordinator_arguments(&self, listen: SocketAddr) -> Vec<OsString> {
        let paths = [
            ("--study", self.simulated.join("study.toml")),
            ("--state", self.folder.join("state")),
            ("--identity", self.folder.join("coordinator-kit")),
            ("--report", self.folder.join("report.json")),
        ];
        let mut arguments: Vec<OsString> = vec!["coordinator-process".into()];
        arguments.extend(paths.into_iter().flat_map(|(option, path)| [option.into(), path.into()]));
        for (option, value) in [
            ("--listen", listen.to_string()),
            ("--notices", "json".to_owned()),
            ("--idle-timeout-secs", IDLE_TIMEOUT_SECS.to_string()),
        ] {
            arguments.extend([option.into(), value.into()]);
        }
        arguments
    }

    /// Starts a site's client.
    pub(crate) fn client(&self, site: &str, coordinator: SocketAddr) -> Process {
        Process::start_logging(self.log_level, self.client_arguments(site, coordinator))
    }

    /// What a site's client is started with, once its configuration is written.
    pub(crate) fn client_arguments(&self, site: &str, coordinator: SocketAddr) -> [OsString; 4] {
        let config = ConfigFile {
            coordinator: coordinator.to_string(),
            link: self.link.to_owned(),
            tcp_port: None,
            proxy: Some(ProxySetting::new("off")),
            identity: "kit".into(),
            state: "state".into(),
            data: vec![self.simulated.join("phantoms").join(site)],
            layout: "upenn-gbm".to_owned(),
            device: "cpu".to_owned(),
            checkpointing: false,
            cache_gib: CACHE_GIB,
            cache_precision: CachePrecision::F32,
            congestion: "cubic".to_owned(),
            idle_timeout_secs: IDLE_TIMEOUT_SECS,
            policy: Some("policy.toml".into()),
            transfers: TransfersFile { most_mbit_per_s: self.most_mbit_per_s, hours: None },
        };
        let path = self.config(site);
        fs::write(&path, toml::to_string(&config).unwrap()).unwrap();
        ["client-process".into(), "--once".into(), "--config".into(), path.into_os_string()]
    }
}

/// What a coordinator has told so far. A line that is still being written is not among it.
pub(crate) fn notices(coordinator: &Process) -> Vec<Notice> {
    let text = coordinator.stdout();
    let complete = text.rsplit_once('\n').map_or("", |(lines, _)| lines);
    complete.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

pub(crate) fn address(coordinator: &mut Process) -> SocketAddr {
    coordinator.wait_until("it listens", |process| !notices(process).is_empty());
    let [Notice::Listening(address), ..] = notices(coordinator)[..] else {
        panic!("it must begin with its address")
    };
    address
}

pub(crate) fn progress(coordinator: &Process) -> Option<Progress> {
    let shown = |notice| if let Notice::Progress(progress) = notice { Some(progress) } else { None };
    notices(coordinator).into_iter().filter_map(shown).next_back()
}

/// The report of a simulation that nothing disturbed.
pub(crate) fn undisturbed(options: &str, out: &Path) -> Report {
    let mut options: Vec<&str> = options.split_whitespace().collect();
    options.extend(["--device", "cpu"]);
    Process::simulate(out, &options).end().successfully();
    let text = fs::read_to_string(out.join("report.json")).unwrap();
    serde_json::from_str::<SimulationReport>(&text).unwrap().federated
}
