//! What the lines of a schedule are like and what goes wrong on them, drawn from one number.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::OnceLock;
use std::time::Duration;

use consilium_domain::{Digest, Lane, RandomStream, Round, Seed};
use consilium_simulator::dry_run::{DryRun, Fault, Faults, Line, Spell, Whom};

use crate::consortium::{self, Patience, check, everybody_knows, finished, models, names, site, study};

/// Sites of every schedule.
const SITES: u16 = 3;
/// A calm study takes about as long: faults begin within.
const STUDY_SECS: u64 = 40;
/// Faults of one schedule, at most.
const MOST_FAULTS: usize = 4;

/// A bad network. The lines follow from the seed; the faults can be fewer than were drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Schedule {
    pub(crate) seed: u64,
    pub(crate) patience: Patience,
    pub(crate) faults: Faults,
}

impl Schedule {
    /// The schedule of `seed`: every other study is patient.
    pub(crate) fn drawn(seed: u64) -> Self {
        let mut stream = Seed::from_number(seed).derive("faults").stream();
        let patience = if seed.is_multiple_of(2) { Patience::Long } else { Patience::Short };
        let count = stream.below(MOST_FAULTS + 1);
        let faults = (0..count).map(|_| fault(&mut stream)).collect();
        Self { seed, patience, faults: Faults(faults) }
    }

    /// One that was printed.
    pub(crate) fn of(seed: u64, patience: Patience, faults: &str) -> Self {
        let faults = if faults.is_empty() { Faults::default() } else { faults.parse().unwrap() };
        Self { seed, patience, faults }
    }

    fn run(&self, faults: Faults) -> DryRun {
        let mut stream = Seed::from_number(self.seed).derive("lines").stream();
        let sites = names(SITES).into_iter().map(|id| site(id, line(&mut stream))).collect();
        consortium::run(study(SITES, self.patience), sites, faults, self.seed)
    }

    /// Plays it: what must hold holds, and a patient study ends with the models of a calm one.
    pub(crate) fn holds(&self) -> Result<(), String> {
        let run = self.run(self.faults.clone());
        let played = consortium::play(&run).map_err(|error| format!("{error:#}"))?;
        let state = check(&run.study, &played.events)?;
        if self.patience == Patience::Short {
            return Ok(());
        }
        finished(&state, &played)?;
        if self.faults.0.is_empty() && !everybody_knows(&played) {
            return Err("a client did not hear of the end".into());
        }
        if models(&played.events) == *calm_models() {
            return Ok(());
        }
        Err("the models are not those of the calm study".into())
    }

    /// The same with as few of its faults as still fail, and how.
    pub(crate) fn shrunk(mut self, mut failure: String) -> (Self, String) {
        let mut place = 0;
        while place < self.faults.0.len() {
            let mut fewer = self.clone();
            fewer.faults.0.remove(place);
            match fewer.holds() {
                Ok(()) => place += 1,
                Err(other) => (self, failure) = (fewer, other),
            }
        }
        (self, failure)
    }
}

/// The models that every patient study must end with: they depend on the study and its sites alone.
fn calm_models() -> &'static BTreeMap<(Lane, Round), Digest> {
    static CALM: OnceLock<BTreeMap<(Lane, Round), Digest>> = OnceLock::new();
    CALM.get_or_init(|| {
        let sites = names(SITES).into_iter().map(|id| site(id, Line::LAN)).collect();
        let run = consortium::run(study(SITES, Patience::Long), sites, Faults::default(), 0);
        models(&consortium::play(&run).unwrap().events)
    })
}

fn line(stream: &mut RandomStream) -> Line {
    let mbit = |stream: &mut RandomStream| (1_000_000.0 * 10f64.powf(stream.between(-0.3, 2.0))) as u64;
    let up = mbit(stream);
    Line {
        up,
        down: mbit(stream),
        latency: Duration::from_millis(stream.below(250) as u64),
        jitter: Duration::from_millis(stream.below(20) as u64),
        loss: stream.between(0.0, 0.04),
        reordering: stream.between(0.0, 0.05),
    }
}

fn fault(stream: &mut RandomStream) -> Fault {
    let millis = |stream: &mut RandomStream, most: u64| Duration::from_millis(1 + stream.next_u64() % most);
    let from = millis(stream, STUDY_SECS * 1_000);
    let spell = Spell { from, length: millis(stream, 15_000) };
    let site = 1 + stream.below(usize::from(SITES)) as u16;
    let whom = if stream.below(4) == 0 { Whom::Everybody } else { Whom::Site(site) };
    match stream.below(6) {
        0 | 1 => Fault::Cut(whom, spell),
        2 => Fault::Loss(whom, spell, 1 + stream.below(3_000) as u16),
        3 => Fault::Delay(whom, spell, millis(stream, 2_000)),
        4 => Fault::StopSite(whom, spell),
        _ => Fault::StopCoordinator(spell),
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, patience, faults } = self;
        write!(f, "Schedule::of({seed}, Patience::{patience:?}, \"{faults}\").holds()")
    }
}
