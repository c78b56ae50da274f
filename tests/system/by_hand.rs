//! A consortium whose processes are started by hand: what a simulation does not do, such as killing one of them or
//! standing between two.

use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use consilium_certs::Authority;
use consilium_client::ConfigFile;
use consilium_coordinator::Notice;
use consilium_data::CachePrecision;

use crate::process::Process;

/// The sites of its study.
pub(crate) const SITES: [&str; 2] = ["site-1", "site-2"];

/// Seconds of silence after which a connection counts as lost: long enough for a busy machine.
const IDLE_TIMEOUT_SECS: u16 = 4;
/// More than a few phantoms take.
const CACHE_GIB: u32 = 1;

/// Its folder, and the simulation whose study and patients it has.
pub(crate) struct ByHand {
    pub(crate) folder: PathBuf,
    simulated: PathBuf,
    /// What its processes log; the default where it is none.
    pub(crate) log_level: Option<&'static str>,
}

impl ByHand {
    /// With certificates, as `consilium-certs` issues them.
    pub(crate) fn new(folder: PathBuf, simulated: PathBuf) -> Self {
        let authority = Authority::create("by hand").unwrap();
        authority.issue_coordinator(&["127.0.0.1"]).unwrap().write(&folder.join("coordinator-kit")).unwrap();
        for site in SITES {
            authority
                .issue_site(&site.parse().unwrap())
                .unwrap()
                .write(&folder.join(site).join("kit"))
                .unwrap();
        }
        Self { folder, simulated, log_level: None }
    }

    /// Starts the coordinator.
    pub(crate) fn coordinator(&self, listen: SocketAddr) -> Process {
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
        Process::start_logging(self.log_level, arguments)
    }

    /// Starts a site's client.
    pub(crate) fn client(&self, site: &str, coordinator: SocketAddr) -> Process {
        Process::start_logging(self.log_level, self.client_arguments(site, coordinator))
    }

    /// What a site's client is started with, once its configuration is written.
    pub(crate) fn client_arguments(&self, site: &str, coordinator: SocketAddr) -> [OsString; 3] {
        let folder = self.folder.join(site);
        let config = ConfigFile {
            coordinator: coordinator.to_string(),
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
        ["client-process".into(), "--config".into(), path.into_os_string()]
    }
}

/// What a coordinator has told so far. A line that is still being written is not among it.
pub(crate) fn notices(coordinator: &Process) -> Vec<Notice> {
    let text = coordinator.stdout();
    let complete = text.rsplit_once('\n').map_or("", |(lines, _)| lines);
    complete.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Where it listens, once it does.
pub(crate) fn address(coordinator: &mut Process) -> SocketAddr {
    coordinator.wait_until("it listens", |process| !notices(process).is_empty());
    let [Notice::Listening(address), ..] = notices(coordinator)[..] else {
        panic!("it must begin with its address")
    };
    address
}
