//! Any schedule: the invariants hold after every event, and the same schedule gives the same study.

use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::schedule::{Schedule, harmless_schedules, schedules};
use crate::world::World;
use consilium_protocol::coordinator::{Effect, Phase};

/// Random schedules a run. `PROPTEST_CASES` asks for another number.
const SCHEDULES: u32 = 1_000;
/// The same, of harmless ones.
const HARMLESS_SCHEDULES: u32 = 1_000;

#[test]
fn what_must_hold_holds_after_every_event_of_any_schedule() {
    let (played, events, finished) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let check = |schedule: Schedule| {
        let world = play(&schedule)?;
        let again = play(&schedule)?;
        prop_assert!(world.log == again.log && world.effects == again.effects, "same schedule, other study");
        played.fetch_add(1, Ordering::Relaxed);
        events.fetch_add(world.log.len(), Ordering::Relaxed);
        let end = matches!(world.coordinator.phase(), Phase::Finished { .. });
        finished.fetch_add(usize::from(end), Ordering::Relaxed);
        Ok(())
    };
    run(SCHEDULES, schedules(), check);
    let [played, events, finished] = [played, events, finished].map(AtomicUsize::into_inner);
    println!(
        "{played} schedules, each played twice: {events} events; {finished} finished, the others halted"
    );
    assert!(finished > 0, "no schedule reached the end of its study: the faults are too many to test it");
}

/// Whoever restarts, the study must not pay for it with a site or with its end.
#[test]
fn harmless_faults_cost_nobody() {
    let check = |schedule: Schedule| {
        let world = play(&schedule)?;
        let harm = harm(&world);
        prop_assert!(harm.is_none(), "{harm:?}");
        Ok(())
    };
    run(HARMLESS_SCHEDULES, harmless_schedules(), check);
}

/// The first effect by which the study lost a site or its end.
pub(crate) fn harm(world: &World) -> Option<&Effect> {
    world.effects.iter().find(|effect| matches!(effect, Effect::WentOnWithout { .. } | Effect::Halt { .. }))
}

fn run(
    cases: u32,
    schedules: impl Strategy<Value = Schedule>,
    check: impl Fn(Schedule) -> Result<(), TestCaseError>,
) {
    if let Err(failure) = TestRunner::new(config(cases)).run(&schedules, check) {
        panic!("{failure}\npaste the schedule into simulation/regressions.rs");
    }
}

fn play(schedule: &Schedule) -> Result<World, TestCaseError> {
    World::play(schedule).map_err(|violation| TestCaseError::fail(format!("{violation:?}")))
}

/// Failures are pasted as Rust, so no file of seeds is kept.
pub(crate) fn config(cases: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig { cases: asked.unwrap_or(cases), failure_persistence: None, ..ProptestConfig::default() }
}
