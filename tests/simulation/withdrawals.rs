//! Hospitals that decline, leave, and fall silent by their own rules.

use consilium_protocol::coordinator::{Effect, LaneState, Phase};

use crate::scene::Scene;
use crate::schedule::Op::{Calm, CrashClient, Hold, Leave, RestartCoordinator};
use crate::schedule::{Op, Schedule};
use crate::world::World;

fn play(scene: Scene, ops: Vec<Op>) -> World {
    let schedule = Schedule { scene, ops };
    World::play(&schedule).unwrap_or_else(|violation| panic!("{violation:?} in {schedule:?}"))
}

fn is_finished(world: &World) -> bool {
    matches!(world.coordinator.phase(), Phase::Finished { .. })
}

fn withdrawals(world: &World) -> usize {
    world.effects.iter().filter(|effect| matches!(effect, Effect::SiteWithdrew { .. })).count()
}

#[test]
fn a_site_may_leave_at_any_moment_and_the_others_finish() {
    let mut moments = std::collections::BTreeSet::new();
    for steps in (0..=240).step_by(2) {
        for duplicates in [false, true] {
            let scene = Scene { duplicates, ..Scene::PLAIN };
            let world = play(scene, vec![Calm(steps), Leave(1)]);
            assert!(is_finished(&world), "{:?}", world.coordinator.phase());
            let rounds =
                |lane: &LaneState| lane.rounds.iter().filter(|r| r.training.answers().len() == 3).count();
            moments
                .insert((withdrawals(&world), world.coordinator.lanes().iter().map(rounds).sum::<usize>()));
        }
    }
    // From nothing contributed to everything, and there are moments that are too late to leave.
    assert!(moments.contains(&(1, 0)) && moments.contains(&(1, 4)), "{moments:?}");
}

#[test]
fn a_withdrawal_survives_restarts_of_either_side() {
    for ops in [
        vec![Calm(40), Leave(1), CrashClient(1)],
        vec![Calm(40), Leave(1), Calm(2), RestartCoordinator(10)],
        vec![Calm(40), Leave(1), Calm(2), CrashClient(1), RestartCoordinator(10), CrashClient(1)],
    ] {
        let world = play(Scene::PLAIN, ops);
        assert_eq!((withdrawals(&world), is_finished(&world)), (1, true));
    }
}

#[test]
fn a_study_that_is_left_by_too_many_is_halted_and_says_by_whom() {
    for steps in [3, 20, 60] {
        let world = play(Scene::PLAIN, vec![Calm(steps), Leave(0), Leave(1)]);
        let Some(Effect::Halt { reason }) = world.effects.last() else {
            panic!("{:?}", world.effects.last())
        };
        assert!(reason.contains("we have had enough"), "{reason}");
    }
}

#[test]
fn a_silent_hospital_says_its_word_later_and_loses_nothing() {
    let world = play(Scene::PLAIN, vec![Calm(30), Hold(0), Hold(1), Calm(0), Hold(2)]);
    assert!(is_finished(&world));
    assert!(!world.effects.iter().any(|effect| matches!(effect, Effect::WentOnWithout { .. })));
}
