//! Three small hospitals and their study, and what is looked at once it was played.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use consilium_client::{DRY_STUDY, Ending, Pace};
use consilium_coordinator::parse_study;
use consilium_domain::network::{Depth, NetworkSpec};
use consilium_domain::{Arm, Digest, Duplicates, Lane, Modality, Round, Seed, SiteId, Study};
use consilium_protocol::Timestamp;
use consilium_protocol::coordinator::{Coordinator, Event, Phase};
use consilium_simulator::dry_run::{DryRun, DrySite, Faults, Kits, Line, Played};
use consilium_transport::Tuning;
use tempfile::TempDir;

use crate::invariants::{Checker, log_line};

/// More sites than any of these studies has.
const MOST_SITES: u16 = 4;
/// Short, so that cuts of some seconds end connections.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);
/// Virtual time in which every study must be over.
const LONGEST: Duration = Duration::from_hours(24);
/// Virtual time in which clients must have heard that it is.
const AFTERMATH: Duration = Duration::from_mins(2);

/// How patient a study is with its sites.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Nobody who comes back is lost.
    Long,
    /// Whoever is away for seconds may be.
    Short,
}

/// The names of `count` sites.
pub(crate) fn names(count: u16) -> Vec<SiteId> {
    (1..=count).map(|number| format!("site-{number}").parse().unwrap()).collect()
}

/// The sample study, cut down to one lane for each of two folds, with two rounds.
pub(crate) fn study(sites: u16, patience: Patience) -> Study {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/samples/study.toml");
    let mut study = parse_study(&std::fs::read_to_string(&sample).unwrap(), &sample).unwrap();
    study.name = format!("network{DRY_STUDY}");
    study.arms = vec![Arm::Random];
    study.modalities = vec![Modality::T1gd];
    study.network = NetworkSpec { depth: Depth::D10, width: 1 };
    study.training.rounds = 2;
    study.training.local_epochs = 1;
    study.evaluation.folds = 2;
    study.evaluation.bins = 8;
    let federation = &mut study.federation;
    federation.sites = names(sites);
    federation.training_sites.clear();
    federation.quorum = 2;
    federation.duplicates = Duplicates::Ignore;
    let [enrolment, deadline, absence] = match patience {
        Patience::Long => [7_200, 7_200, 3_600],
        Patience::Short => [90, 60, 5],
    };
    federation.enrolment_secs = enrolment;
    federation.deadline_secs = deadline;
    federation.absence_grace_secs = absence;
    study.check().unwrap();
    study
}

/// A site on `line` that needs some seconds for a round.
pub(crate) fn site(id: SiteId, line: Line) -> DrySite {
    let millis = Duration::from_millis;
    let pace = Pace { preparing: millis(50), training: millis(300), scoring: millis(40) };
    DrySite { id, line, cases: 14, pace }
}

/// A run of `study` at `sites`.
pub(crate) fn run(study: Study, sites: Vec<DrySite>, faults: Faults, seed: u64) -> DryRun {
    DryRun {
        study,
        weights: None,
        sites,
        centre: Line { latency: Duration::ZERO, ..Line::LAN },
        faults,
        seed: Seed::from_number(seed),
        tuning: Tuning { idle_timeout: IDLE_TIMEOUT, ..Tuning::default() },
        longest: LONGEST,
        aftermath: AFTERMATH,
    }
}

/// Plays it in a folder of its own.
pub(crate) fn play(run: &DryRun) -> anyhow::Result<Played> {
    let folder = scratch();
    run.play(kits(), folder.path())
}

/// Certificates are the same in all of them.
fn kits() -> &'static Kits {
    static KITS: OnceLock<(TempDir, Kits)> = OnceLock::new();
    let issue = || {
        let folder = scratch();
        let kits = Kits::issue(folder.path(), &names(MOST_SITES)).unwrap();
        (folder, kits)
    };
    &KITS.get_or_init(issue).1
}

/// In memory where the system allows: thousands of studies would wait for the disk.
fn scratch() -> TempDir {
    let memory = PathBuf::from("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.unwrap()
}

/// What must hold, after every event.
pub(crate) fn check(study: &Study, events: &[(Timestamp, Event)]) -> Result<Coordinator, String> {
    let [(opened, Event::Opened(opening)), rest @ ..] = events else {
        return Err("the log does not begin with the opening".into());
    };
    let mut state = Coordinator::open(*opened, (**opening).clone());
    let first = log_line(*opened, &events[0].1);
    let mut checker = Checker::new(study.clone(), Box::new(|_| Ok(())), &first);
    for (number, (at, event)) in rest.iter().enumerate() {
        let refused = |rejection| format!("event {number} is in the log and not admitted: {rejection:?}");
        let effects = state.handle(*at, event.clone()).map_err(refused)?;
        let line = log_line(*at, event);
        let broken = |violation| format!("after event {number}, {event:?}: {violation:?}");
        checker.accepted(*at, &line, &state, &effects).map_err(broken)?;
    }
    Ok(state)
}

/// The study is complete, and no client gave up. One that was away at the end may still look for the coordinator, whose
/// process ends with its only study.
pub(crate) fn finished(state: &Coordinator, played: &Played) -> Result<(), String> {
    if !matches!(state.phase(), Phase::Finished { .. }) {
        return Err(format!("the study ended as {:?}", state.phase()));
    }
    let gave_up = |ending: &&Option<Ending>| !matches!(ending, None | Some(Ending::Finished));
    match played.sites.iter().map(|site| &site.ending).find(gave_up) {
        None => Ok(()),
        Some(ending) => Err(format!("a client ended as {ending:?}")),
    }
}

/// Every client heard that the study is complete.
pub(crate) fn everybody_knows(played: &Played) -> bool {
    played.sites.iter().all(|site| site.ending == Some(Ending::Finished))
}

/// The model of every round.
pub(crate) fn models(events: &[(Timestamp, Event)]) -> BTreeMap<(Lane, Round), Digest> {
    let model = |(_, event): &(Timestamp, Event)| match event {
        Event::RoundAggregated { lane, round, model, .. } => Some(((*lane, *round), model.digest)),
        _ => None,
    };
    events.iter().filter_map(model).collect()
}
