//! Daemons that are killed and started again with the same arguments go on where they were.
//!
//! The yardstick is an undisturbed simulation of the same study: its models and figures must come out to the bit.

use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use consilium_certs::Authority;
use consilium_client::{ConfigFile, ProxySetting};
use consilium_coordinator::{Notice, Progress, Report};
use consilium_data::CachePrecision;
use consilium_simulator::SimulationReport;

use crate::process::Process;

const OPTIONS: &str =
    "--arms random --modalities t1gd --sites 2 --cases 16 --folds 2 --rounds 10 --local-epochs 2";
const SITES: [&str; 2] = ["site-1", "site-2"];

/// Seconds of silence after which a connection counts as lost: long enough for a busy machine.
const IDLE_TIMEOUT_SECS: u16 = 4;
/// More than a few phantoms take.
const CACHE_GIB: u32 = 1;

/// A consortium whose processes are started by hand, over the patients of a simulation.
struct ByHand {
    folder: PathBuf,
    simulated: PathBuf,
}

impl ByHand {
    /// Certificates, as `consilium-certs` issues them.
    fn new(folder: PathBuf, simulated: PathBuf) -> Self {
        let authority = Authority::create("by hand").unwrap();
        authority.issue_coordinator(&["127.0.0.1"]).unwrap().write(&folder.join("coordinator-kit")).unwrap();
        for site in SITES {
            authority
                .issue_site(&site.parse().unwrap())
                .unwrap()
                .write(&folder.join(site).join("kit"))
                .unwrap();
        }
        Self { folder, simulated }
    }

    fn coordinator(&self, listen: SocketAddr) -> Process {
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
        Process::start(arguments)
    }

    fn client(&self, site: &str, coordinator: SocketAddr) -> Process {
        let folder = self.folder.join(site);
        let config = ConfigFile {
            coordinator: coordinator.to_string(),
            link: "auto".to_owned(),
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
        };
        let path = folder.join("client.toml");
        fs::write(&path, toml::to_string(&config).unwrap()).unwrap();
        Process::start(["client-process".into(), "--config".into(), path.into_os_string()])
    }
}

/// What a coordinator has told so far. A line that is still being written is not among it.
fn notices(coordinator: &Process) -> Vec<Notice> {
    let text = coordinator.stdout();
    let complete = text.rsplit_once('\n').map_or("", |(lines, _)| lines);
    complete.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn address(coordinator: &mut Process) -> SocketAddr {
    coordinator.wait_until("it listens", |process| !notices(process).is_empty());
    let [Notice::Listening(address), ..] = notices(coordinator)[..] else {
        panic!("it must begin with its address")
    };
    address
}

fn progress(coordinator: &Process) -> Option<Progress> {
    let shown = |notice| if let Notice::Progress(progress) = notice { Some(progress) } else { None };
    notices(coordinator).into_iter().filter_map(shown).next_back()
}

fn undisturbed(out: &Path) -> Report {
    let mut options: Vec<&str> = OPTIONS.split_whitespace().collect();
    options.extend(["--device", "cpu"]);
    Process::simulate(out, &options).end().successfully();
    let text = fs::read_to_string(out.join("report.json")).unwrap();
    serde_json::from_str::<SimulationReport>(&text).unwrap().federated
}

#[test]
fn killed_daemons_go_on_and_nothing_shows_in_the_result() {
    let folder = tempfile::tempdir().unwrap();
    let simulated = folder.path().join("simulated");
    let expected = undisturbed(&simulated);
    let consortium = ByHand::new(folder.path().join("by-hand"), simulated);

    let mut coordinator = consortium.coordinator("127.0.0.1:0".parse().unwrap());
    let address = address(&mut coordinator);
    let [first, second] = SITES.map(|site| consortium.client(site, address));
    let rounds = |coordinator: &Process| progress(coordinator).map_or(0, |progress| progress.rounds);

    coordinator.wait_until("the first rounds are trained", |process| rounds(process) >= 3);
    first.kill();
    let first = consortium.client(SITES[0], address);
    let before = rounds(&coordinator);
    coordinator.wait_until("the site that came back has trained", |process| rounds(process) >= before + 3);

    let before = progress(&coordinator).unwrap();
    coordinator.kill();
    assert!(before.done < before.total, "the study was over too early for this test: {before:?}");
    let mut coordinator = consortium.coordinator(address);
    coordinator.wait_until("it has read its log", |process| progress(process).is_some());
    assert!(rounds(&coordinator) >= before.rounds, "it began anew");

    for process in [first, second, coordinator] {
        process.end().successfully();
    }
    let text = fs::read_to_string(consortium.folder.join("report.json")).unwrap();
    let report: Report = serde_json::from_str(&text).unwrap();
    assert_eq!(report.outcome.status, "finished");
    assert_eq!(report.study_hash, expected.study_hash);
    assert_eq!(report.warnings, [""; 0]);
    assert_eq!(report.arms, expected.arms);
}
