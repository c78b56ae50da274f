//! One study for every durable write of a daemon, several at a time; for some of them where nobody asks for all.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::killer::{Fault, Moment, Point, Refusal};
use crate::study::Run;

/// Studies at once. They wait for the disk and for each other's processes more than they compute.
const AT_ONCE: usize = 4;

/// What became of the study of one point.
pub(crate) enum Fate {
    /// The fault happened there.
    Struck,
    /// It made fewer writes this time: threads take turns as they like.
    NotReached,
}

/// `all`: something happens to a daemon after every durable write. `thorough`: it is killed before every one, too; what it leaves on the disk is
/// what a kill after the write before leaves, only what it has told the others in between is more. Otherwise it is killed after
/// one in [`ONE_IN`], and its disk refuses the first write to each
/// place.
const CRASHES: &str = "CONSILIUM_CRASHES";

/// Prime, so that it meets the writes of all kinds, which come in regular order.
const ONE_IN: usize = 7;

/// Held by the one test that runs studies now: two would call at each other's addresses and wait for each other's work.
pub(crate) fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Kills after each of `writes` durable writes, or those that [`CRASHES`] asks for. `study` runs one study of them, in the
/// place of that number, and panics where it does not end as it should.
pub(crate) fn kill_at_each(writes: usize, study: impl Fn(usize, Point) -> Fate + Sync) {
    let (step, moments): (usize, &[Moment]) = match wanted().as_deref() {
        Some("thorough") => (1, &[Moment::Before, Moment::After]),
        Some(_) => (1, &[Moment::After]),
        None => (ONE_IN, &[Moment::After]),
    };
    let faults: Vec<Fault> = moments.iter().map(|&moment| Fault::Kill(moment)).collect();
    strike_at_each((1..=writes).step_by(step), &faults, study);
}

/// The same with a disk that takes nothing after the write.
pub(crate) fn refuse_after_each(writes: &[String], study: impl Fn(usize, Point) -> Fate + Sync) {
    let last_taken: Vec<usize> = match wanted() {
        Some(_) => (1..=writes.len()).collect(),
        None => before_each_place(writes),
    };
    let faults = [Refusal::Full, Refusal::ReadOnly].map(Fault::Refuse);
    strike_at_each(last_taken.into_iter(), &faults, study);
}

/// The numbers, from 1, of the writes after which the first one to another place of the state folder follows.
fn before_each_place(writes: &[String]) -> Vec<usize> {
    let mut places = BTreeSet::new();
    let mut is_first = |write: &String| {
        let place = write.split_once("state/").map_or(write.as_str(), |(_, place)| place);
        let name = place.split(['/', '.', '-']).next().unwrap_or_default();
        places.insert(name.to_owned())
    };
    let firsts: Vec<bool> = writes.iter().map(&mut is_first).collect();
    (1..writes.len()).filter(|&number| firsts[number]).collect()
}

fn wanted() -> Option<String> {
    let wanted = std::env::var(CRASHES).ok()?;
    assert!(
        ["all", "thorough"].contains(&wanted.as_str()),
        "{CRASHES} is `all` or `thorough`, not `{wanted}`"
    );
    Some(wanted)
}

fn strike_at_each(
    writes: impl Iterator<Item = usize>,
    faults: &[Fault],
    study: impl Fn(usize, Point) -> Fate + Sync,
) {
    let points: Vec<Point> =
        writes.flat_map(|write| faults.iter().map(move |&fault| Point { write, fault })).collect();
    let (next, reached, failures) = (AtomicUsize::new(0), AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for place in 0..AT_ONCE {
            let (points, next, reached, failures, study) = (&points, &next, &reached, &failures, &study);
            scope.spawn(move || {
                while let Some(point) = points.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match catch_unwind(AssertUnwindSafe(|| study(place, *point))) {
                        Ok(Fate::Struck) => drop(reached.fetch_add(1, Ordering::Relaxed)),
                        Ok(Fate::NotReached) => {}
                        Err(_) => failures.lock().unwrap().push(*point),
                    }
                }
            });
        }
    });
    let (reached, failures) = (reached.into_inner(), failures.into_inner().unwrap());
    println!("struck {reached} times at {} points", points.len());
    assert!(
        failures.is_empty(),
        "{} of {} studies did not end well: {failures:?}",
        failures.len(),
        points.len()
    );
    // Behind the last writes of a study there is nothing left to fail.
    assert!(reached * 10 >= points.len() * 9, "only {reached} of {} points were reached", points.len());
}

/// Says which write was the last of a daemon, where its study then fails.
pub(crate) struct Blame {
    point: Point,
    write: String,
}

impl Blame {
    /// `who` was killed at `point` of `run`.
    pub(crate) fn new(point: Point, run: &Run, who: &str) -> Self {
        let write = run.writes(who).get(point.write - 1).cloned().unwrap_or_default();
        Self { point, write }
    }
}

impl Drop for Blame {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the fault: {:?}: {}", self.point, self.write);
        }
    }
}
