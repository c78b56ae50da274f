//! The smallest study with two lanes and two rounds, and one run of it in a folder of its own.

use std::fs;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use consilium_coordinator::Report;
use tempfile::TempDir;

use crate::by_hand::{ByHand, SITES, notices, simulate, smallest_study};
use crate::killer::{self, Point};
use crate::process::{Ended, PROGRAM, Process};
use crate::timeless::timeless;

/// How long a client may go on after the coordinator has ended. It ends sooner, unless it was on its way back when the
/// coordinator said good-bye.
const FAREWELL: Duration = Duration::from_secs(2);

/// Patients and the study file, made once for all runs.
fn simulated() -> &'static Path {
    static MADE: OnceLock<TempDir> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        simulate(folder.path(), &smallest_study("crashes", &[]));
        folder
    });
    made.path()
}

/// A study under way, in a folder of its own.
pub(crate) struct Run {
    _folder: TempDir,
    pub(crate) consortium: ByHand,
    address: SocketAddr,
}

impl Run {
    /// Sites and a coordinator at the address of `place`: runs of different places never get each other's port.
    pub(crate) fn new(place: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = u8::try_from(place + 1).unwrap();
        let mut consortium = ByHand::new(folder.path().join("run"), simulated().to_owned(), &SITES);
        // TCP tells of a dead process at once, where QUIC waits for its idle timeout.
        consortium.link = "tcp";
        consortium.log_level = Some("info");
        let host = IpAddr::from([127, 0, 1, place]);
        let address = TcpListener::bind((host, 0)).unwrap().local_addr().unwrap();
        Self { _folder: folder, consortium, address }
    }

    /// Starts the coordinator.
    pub(crate) fn coordinator(&self) -> Process {
        self.consortium.coordinator(self.address)
    }

    /// Starts the coordinator, to be killed at `point`.
    pub(crate) fn doomed_coordinator(&self, point: Option<Point>) -> Process {
        let arguments = self.consortium.coordinator_arguments(self.address);
        self.doomed(COORDINATOR, point, arguments)
    }

    pub(crate) fn client(&self, site: &str) -> Process {
        self.consortium.client(site, self.address)
    }

    pub(crate) fn doomed_client(&self, site: &str, point: Option<Point>) -> Process {
        self.doomed(site, point, self.consortium.client_arguments(site, self.address))
    }

    fn doomed(
        &self,
        who: &str,
        point: Option<Point>,
        arguments: impl IntoIterator<Item = std::ffi::OsString>,
    ) -> Process {
        let mut command = killer::under(&self.list(who), point);
        command.extend(["RUST_LOG=info".into(), PROGRAM.into()]);
        Process::start_program("env", command.into_iter().chain(arguments))
    }

    fn list(&self, who: &str) -> PathBuf {
        self.consortium.folder.join(format!("{who}-writes"))
    }

    /// The durable writes that `who` has made.
    pub(crate) fn writes(&self, who: &str) -> Vec<String> {
        killer::writes(&self.list(who), &self.consortium.folder)
    }

    /// The state folder of a site.
    pub(crate) fn state(&self, site: &str) -> PathBuf {
        self.consortium.folder.join(site).join("state")
    }

    /// What the study learned.
    pub(crate) fn report(&self) -> Report {
        let text = fs::read_to_string(self.consortium.folder.join("report.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    /// The blobs that the coordinator keeps.
    pub(crate) fn blobs(&self) -> Vec<String> {
        let mut blobs = Vec::new();
        let folders = fs::read_dir(self.consortium.folder.join("state/blobs")).unwrap();
        for folder in folders.map(|folder| folder.unwrap().path()) {
            let names = fs::read_dir(&folder).unwrap();
            let folder = folder.file_name().unwrap().to_string_lossy().into_owned();
            blobs.extend(names.map(|name| folder.clone() + &name.unwrap().file_name().to_string_lossy()));
        }
        blobs.sort_unstable();
        blobs
    }
}

/// What the coordinator is called among the daemons of a run.
pub(crate) const COORDINATOR: &str = "coordinator";
/// The site whose client things happen to, and the other one.
pub(crate) const STRUCK_SITE: &str = SITES[0];
pub(crate) const OTHER_SITE: &str = SITES[1];

/// A study to which nothing happened.
pub(crate) struct Calm {
    pub(crate) run: Run,
    pub(crate) report: Report,
    pub(crate) blobs: Vec<String>,
    /// The durable writes of the daemon that was watched.
    pub(crate) writes: Vec<String>,
}

impl Calm {
    /// With the daemon `who` watched.
    pub(crate) fn watching(who: &str) -> Self {
        let run = Run::new(0);
        let coordinator = if who == COORDINATOR { run.doomed_coordinator(None) } else { run.coordinator() };
        let client = |site| if site == who { run.doomed_client(site, None) } else { run.client(site) };
        ended(coordinator, SITES.map(client).into());
        let report = run.report();
        assert_same(&report, &report);
        Self { blobs: run.blobs(), writes: run.writes(who), report, run }
    }
}

impl Run {
    /// Runs a study until something happens to its coordinator at `point`. Its clients look for it from then on.
    pub(crate) fn until_coordinator_is_struck(&self, point: Point) -> (Ended, Vec<Process>) {
        let mut struck = self.doomed_coordinator(Some(point));
        while !struck.has_ended() && notices(&struck).is_empty() {
            std::thread::sleep(Duration::from_millis(5));
        }
        let clients = SITES.map(|site| self.client(site)).into();
        (struck.end(), clients)
    }

    /// Runs a study until something happens to the client of [`STRUCK_SITE`] at `point`. The coordinator and the other client
    /// go on.
    pub(crate) fn until_client_is_struck(&self, point: Point) -> (Ended, Process, Process) {
        let mut coordinator = self.coordinator();
        coordinator.wait_until("it listens", |process| !notices(process).is_empty());
        let other = self.client(OTHER_SITE);
        (self.doomed_client(STRUCK_SITE, Some(point)).end(), coordinator, other)
    }
}

/// Waits for the end of a study: of its coordinator, and of clients that then have nothing to wait for. What the clients
/// have logged.
pub(crate) fn ended(coordinator: Process, clients: Vec<Process>) -> Vec<String> {
    let mut clients = Witnesses(clients);
    coordinator.end().successfully();
    let began = Instant::now();
    let log = |mut client: Process| {
        while !client.has_ended() && began.elapsed() < FAREWELL {
            std::thread::sleep(Duration::from_millis(5));
        }
        if client.has_ended() {
            return client.end().successfully().stderr;
        }
        // It was on its way back when the coordinator said good-bye, and waits for the next study.
        let log = client.stderr();
        client.kill();
        log
    };
    std::mem::take(&mut clients.0).into_iter().map(log).collect()
}

/// Clients that tell what they have logged where their study does not end.
struct Witnesses(Vec<Process>);

impl Drop for Witnesses {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.iter().for_each(|client| eprintln!("a client has logged\n{}", client.stderr()));
        }
    }
}

/// The same results, to the bit; the times are not.
pub(crate) fn assert_same(found: &Report, expected: &Report) {
    assert_eq!(found.outcome.status, "finished");
    assert_eq!(found.study_hash, expected.study_hash);
    assert_eq!(found.warnings, [""; 0]);
    assert_eq!(timeless(found), timeless(expected));
}
