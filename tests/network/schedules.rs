//! Any schedule: the invariants hold after every event, and whoever is patient loses nothing.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::schedule::Schedule;

/// Schedules a run. `CONSILIUM_NETWORK_SCHEDULES` asks for another number.
const SCHEDULES: u64 = 2_000;
/// Real time after which no further schedule is begun: on a busy machine the checks of a change play fewer of them.
const ENOUGH: Duration = Duration::from_secs(58);

#[test]
fn what_must_hold_holds_over_any_network() {
    let asked = std::env::var("CONSILIUM_NETWORK_SCHEDULES").ok();
    let count = asked.as_ref().map_or(SCHEDULES, |asked| asked.parse().expect("a number of schedules"));
    let (next, played) = (AtomicU64::new(0), AtomicU64::new(0));
    let failed: Mutex<Option<(Schedule, String)>> = Mutex::new(None);
    let began = Instant::now();
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            let late = asked.is_none() && began.elapsed() > ENOUGH;
            if seed >= count || late || failed.lock().unwrap().is_some() {
                return;
            }
            let schedule = Schedule::drawn(seed);
            if let Err(failure) = schedule.holds() {
                failed.lock().unwrap().get_or_insert((schedule, failure));
                return;
            }
            played.fetch_add(1, Ordering::Relaxed);
        }
    };
    std::thread::scope(|scope| {
        // A schedule waits for SQLite's thread now and then: another one has its processor meanwhile.
        for _ in 0..2 * std::thread::available_parallelism().map_or(1, std::num::NonZero::get) {
            scope.spawn(work);
        }
    });
    println!("{} schedules in {:.1} s", played.into_inner(), began.elapsed().as_secs_f64());
    if let Some((schedule, failure)) = failed.into_inner().unwrap() {
        let (schedule, failure) = schedule.shrunk(failure);
        panic!("{schedule}\n{failure}");
    }
}
