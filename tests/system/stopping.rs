//! Whatever ends a simulation ends every process it started.

use std::fs::{self, File};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::process::{Process, is_running, send};

/// Hundreds of rounds: nobody waits for their end.
const ENDLESS: &str = "--arms random --modalities t1gd --sites 2 --cases 12 --folds 2 --rounds 900";

/// How long processes may outlive the one that started them. They stop within a step of training.
const FEW_SECONDS: Duration = Duration::from_secs(5);

/// The processes of a simulation that writes to `out`. The coordinator is known by the lock on its folder.
struct Started<'a> {
    out: &'a Path,
    clients: Vec<u32>,
}

impl Started<'_> {
    fn by(out: &Path) -> Started<'_> {
        let id = |site: &str| fs::read_to_string(out.join(site).join("process-id")).unwrap().parse().unwrap();
        Started { out, clients: ["site-1", "site-2"].map(id).to_vec() }
    }

    fn running(&self) -> usize {
        let lock = File::open(self.out.join("coordinator/lock")).unwrap();
        let coordinators = usize::from(lock.try_lock().is_err());
        coordinators + self.clients.iter().filter(|&&id| is_running(id)).count()
    }

    fn must_end(&self, after: &str) {
        let began = Instant::now();
        while self.running() > 0 {
            assert!(began.elapsed() < FEW_SECONDS, "{} processes go on after {after}", self.running());
            sleep(Duration::from_millis(20));
        }
    }
}

/// A simulation in the midst of its training.
fn training(out: &Path) -> Process {
    let mut simulation = Process::simulate(out, &ENDLESS.split_whitespace().collect::<Vec<_>>());
    simulation.wait_until("the first rounds are trained", |_| {
        let log = fs::read_to_string(out.join("logs/coordinator.log")).unwrap_or_default();
        log.contains("train random/t1gd/0 round 2")
    });
    simulation
}

#[test]
fn an_interrupted_simulation_stops_every_process() {
    for signal in ["INT", "TERM"] {
        let folder = tempfile::tempdir().unwrap();
        let simulation = training(folder.path());
        let started = Started::by(folder.path());
        assert_eq!(started.running(), 3);
        simulation.signal(signal);
        let ended = simulation.end();
        assert_eq!(ended.code, Some(130), "{signal}");
        assert!(ended.stderr.contains("interrupted; every process was stopped"), "{}", ended.stderr);
        started.must_end(signal);
    }
}

#[test]
fn a_killed_simulation_leaves_no_process_behind() {
    let folder = tempfile::tempdir().unwrap();
    let simulation = training(folder.path());
    let started = Started::by(folder.path());
    assert_eq!(started.running(), 3);
    simulation.kill();
    started.must_end("KILL");
}

/// The process that was started with all of `arguments`.
fn started_with(arguments: &[&str]) -> u32 {
    let mut ids = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let entry = entry.unwrap();
        let line = fs::read_to_string(entry.path().join("cmdline")).ok()?;
        let all = arguments.iter().all(|argument| line.split('\0').any(|word| word == *argument));
        if all { entry.file_name().to_str()?.parse().ok() } else { None }
    });
    ids.next().unwrap()
}

#[test]
fn a_simulation_without_its_coordinator_fails_and_stops_every_process() {
    let folder = tempfile::tempdir().unwrap();
    let simulation = training(folder.path());
    let started = Started::by(folder.path());
    let state = folder.path().canonicalize().unwrap().join("coordinator");
    let coordinator = started_with(&["coordinator-process", state.to_str().unwrap()]);
    send(coordinator, "KILL");
    let ended = simulation.end();
    assert_eq!(ended.code, Some(1), "{}", ended.stdout);
    assert!(ended.stderr.contains("the coordinator ended with signal: 9"), "{}", ended.stderr);
    assert!(ended.stderr.contains("logs/coordinator.log"), "{}", ended.stderr);
    started.must_end("an error");
}

#[test]
fn an_interruption_is_heard_before_any_process_is_started() {
    let folder = tempfile::tempdir().unwrap();
    let mut simulation =
        Process::simulate(folder.path(), &["--arms", "spottune", "--sites", "2", "--cases", "12"]);
    simulation
        .wait_until("pretraining begins", |process| process.stdout().contains("pretraining a stand-in"));
    simulation.signal("INT");
    let ended = simulation.end();
    assert_eq!(ended.code, Some(130), "{}\n{}", ended.stdout, ended.stderr);
    assert!(!folder.path().join("coordinator").exists());
}
