//! One study for every durable write of a daemon, several at a time; for some of them where nobody asks for all.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::killer::{Moment, Point};
use crate::study::Run;

/// Studies at once. They wait for the disk and for each other's processes more than they compute.
const AT_ONCE: usize = 4;

/// What became of the study of one point.
pub(crate) enum Fate {
    /// The daemon was killed there.
    Killed,
    /// It made fewer writes this time: threads take turns as they like.
    NotReached,
}

/// `all`: a daemon is killed after every durable write. `thorough`: before every one, too; what it leaves on the disk is
/// what a kill after the write before leaves, only what it has told the others in between is more. Otherwise after one in
/// [`ONE_IN`].
const CRASHES: &str = "CONSILIUM_CRASHES";

/// Prime, so that it meets the writes of all kinds, which come in regular order.
const ONE_IN: usize = 7;

/// Held by the one test that runs studies now: two would call at each other's addresses and wait for each other's work.
pub(crate) fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Kills after each of `writes` durable writes, or those that [`CRASHES`] asks for. `study` runs one study of them, in the place of that number, and panics
/// where it does not end as it should.
pub(crate) fn kill_at_each(writes: usize, study: impl Fn(usize, Point) -> Fate + Sync) {
    let (step, moments): (usize, &[Moment]) = match std::env::var(CRASHES).as_deref() {
        Ok("thorough") => (1, &[Moment::Before, Moment::After]),
        Ok("all") => (1, &[Moment::After]),
        Ok(other) => panic!("{CRASHES} is `all` or `thorough`, not `{other}`"),
        Err(_) => (ONE_IN, &[Moment::After]),
    };
    let writes = (1..=writes).step_by(step);
    let points: Vec<Point> =
        writes.flat_map(|write| moments.iter().map(move |&moment| Point { write, moment })).collect();
    let (next, reached, failures) = (AtomicUsize::new(0), AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for place in 0..AT_ONCE {
            let (points, next, reached, failures, study) = (&points, &next, &reached, &failures, &study);
            scope.spawn(move || {
                while let Some(point) = points.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match catch_unwind(AssertUnwindSafe(|| study(place, *point))) {
                        Ok(Fate::Killed) => drop(reached.fetch_add(1, Ordering::Relaxed)),
                        Ok(Fate::NotReached) => {}
                        Err(_) => failures.lock().unwrap().push(*point),
                    }
                }
            });
        }
    });
    let (reached, failures) = (reached.into_inner(), failures.into_inner().unwrap());
    println!("killed {reached} times at {} points", points.len());
    assert!(
        failures.is_empty(),
        "{} of {} studies did not end well: {failures:?}",
        failures.len(),
        points.len()
    );
    assert!(reached * 20 >= points.len() * 19, "only {reached} of {} points were reached", points.len());
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
            eprintln!("killed at {:?}: {}", self.point, self.write);
        }
    }
}
