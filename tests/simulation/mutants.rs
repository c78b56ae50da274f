//! Broken machines: an invariant that no machine can break proves nothing, so each is broken here once.
//!
//! A mutant is a real machine with the wrong study, or a real machine's effects or log after they were
//! doctored.

use consilium_domain::Plateau;
use consilium_protocol::coordinator::{Effect, Event, LaneState};

use crate::invariants::Checker;
use crate::scene::Scene;
use crate::schedule::Op::{Calm, Leave, Vanish};
use crate::schedule::Schedule;
use crate::violation::Violation;
use crate::world::World;

/// Everybody is needed.
const STRICT: Scene = Scene { quorum: 3, ..Scene::PLAIN };

/// Everybody enlists and begins to train, then two of three sites vanish.
fn two_of_three_vanish() -> Schedule {
    Schedule { scene: STRICT, ops: vec![Calm(30), Vanish(1), Vanish(2)] }
}

#[test]
fn a_machine_that_forgets_the_quorum_is_caught() {
    let Schedule { scene, ops } = two_of_three_vanish();
    let forgetful = Scene { quorum: 1, ..scene.clone() };
    let mut world = World::running(&scene, forgetful.study());
    let caught = world.suffer(&ops).and_then(|()| world.end());
    assert!(
        matches!(caught, Err(Violation::BelowQuorum { contributions: 1, quorum: 3, .. })),
        "the checker must see it, it says {caught:?}"
    );
}

#[test]
fn a_machine_that_forgets_to_compare_is_caught() {
    let scene = Scene { duplicates: true, ..Scene::PLAIN };
    let mut world = World::running(&scene, Scene::PLAIN.study());
    let caught = world.end();
    assert!(
        matches!(&caught, Err(Violation::Copies { holders, .. }) if holders.len() > 1),
        "the checker must see it, it says {caught:?}"
    );
}

#[test]
fn the_real_machine_halts_where_the_forgetful_one_is_caught() {
    let world = World::play(&two_of_three_vanish()).expect("no invariant is broken");
    assert!(matches!(world.effects[..], [Effect::Halt { .. }]), "{:?}", world.effects);
}

/// Reduces its rates whenever the validation loss is no better.
const PLATEAU: Scene = Scene { plateau: true, rounds: 5, ..Scene::PLAIN };

#[test]
fn a_machine_that_does_not_wait_for_the_validation_is_caught() {
    let mut world = World::running(&PLATEAU, Scene { plateau: false, ..PLATEAU }.study());
    let caught = world.end();
    assert!(matches!(caught, Err(Violation::TooEarly { .. })), "the checker must see it, it says {caught:?}");
}

#[test]
fn a_machine_that_is_too_patient_is_caught() {
    let mut patient = PLATEAU.study();
    patient.training.schedule = consilium_domain::Schedule::Plateau(Plateau { factor: 0.5, patience: 1 });
    let caught = World::running(&PLATEAU, patient).end();
    assert!(
        matches!(caught, Err(Violation::WrongRates { .. })),
        "the checker must see it, it says {caught:?}"
    );
}

#[test]
fn the_real_machine_reduces_the_rates_and_is_not_caught() {
    let mut world = World::open(&PLATEAU);
    assert_eq!(world.end(), Ok(()));
    let last = |lane: &LaneState| lane.rounds.last().map_or(0, |round| round.reductions);
    assert!(world.coordinator.lanes().iter().any(|lane| last(lane) > 0), "or the others prove nothing");
}

/// A world right after its first round was closed, and that round's effect.
fn at_the_first_sum() -> (World, Effect) {
    let mut world = World::open(&Scene::PLAIN);
    while world.effects.is_empty() {
        assert_eq!(world.calm_step(), Ok(true), "a calm study has a first round");
    }
    let effect = world.effects[0].clone();
    (world, effect)
}

/// What the checker says when the first round's effect is followed by a doctored copy of it.
fn doctored(doctor: impl FnOnce(&mut Effect)) -> Violation {
    let (mut world, mut effect) = at_the_first_sum();
    doctor(&mut effect);
    world.checker.effects(&world.coordinator, &[effect]).expect_err("a doctored effect must be caught")
}

#[test]
fn a_machine_that_goes_on_asking_a_site_that_left_is_caught() {
    let (mut world, _) = at_the_first_sum();
    let site = world.scene.site(0);
    world.checker.withdrawn.insert(site.clone());
    let caught = world.end();
    assert_eq!(caught, Err(Violation::Pursued { site }), "the machine never heard that it left");
}

#[test]
fn a_machine_that_counts_a_site_twice_is_caught() {
    let violation = doctored(|effect| {
        let Effect::Aggregate { contributions, .. } = effect else { panic!("an aggregation") };
        contributions.insert(1, contributions[0].clone());
    });
    assert!(matches!(violation, Violation::CountedTwice { .. }), "{violation:?}");
}

#[test]
fn a_machine_that_counts_a_stranger_or_another_weight_is_caught() {
    let stranger = doctored(|effect| {
        let Effect::Aggregate { contributions, .. } = effect else { panic!("an aggregation") };
        contributions[2].site = "stranger".parse().expect("a site's name");
    });
    let heavier = doctored(|effect| {
        let Effect::Aggregate { contributions, .. } = effect else { panic!("an aggregation") };
        contributions[2].cases += 1;
    });
    for violation in [stranger, heavier] {
        assert!(matches!(violation, Violation::Uninvited { .. }), "{violation:?}");
    }
}

#[test]
fn a_machine_that_repeats_or_skips_a_round_is_caught() {
    let repeated = doctored(|_| {});
    let skipped = doctored(|effect| {
        let Effect::Aggregate { round, .. } = effect else { panic!("an aggregation") };
        *round = round.next().next();
    });
    for violation in [repeated, skipped] {
        assert!(matches!(violation, Violation::RoundOutOfOrder { .. }), "{violation:?}");
    }
}

#[test]
fn a_machine_that_starts_from_another_model_is_caught() {
    let violation = doctored(|effect| {
        let Effect::Aggregate { round, .. } = effect else { panic!("an aggregation") };
        // The next round cannot start from the first model, and has no other yet.
        *round = round.next();
    });
    assert!(matches!(violation, Violation::WrongStart { .. }), "{violation:?}");
}

#[test]
fn a_machine_that_acts_after_its_end_is_caught() {
    let (mut world, effect) = at_the_first_sum();
    world.end().expect("a calm study breaks no invariant");
    let caught = world.checker.effects(&world.coordinator, &[effect]);
    assert_eq!(caught, Err(Violation::ActsAfterTheEnd));
}

#[test]
fn a_machine_that_changes_at_a_rejection_is_caught() {
    let (world, _) = at_the_first_sum();
    let mut changed = world.coordinator.clone();
    changed.handle(world.now, Event::Resumed).expect("it may resume");
    let caught = world.checker.rejected(&Event::Resumed, &world.coordinator, &changed);
    assert!(matches!(caught, Err(Violation::RejectionChangedState(_))), "{caught:?}");
}

#[test]
fn a_log_that_loses_an_event_is_caught() {
    let mut world = World::open(&Scene { rounds: 1, duplicates: true, sites: 4, ..Scene::PLAIN });
    assert_eq!(world.suffer(&[Calm(2), Leave(3)]), Ok(()));
    world.end().expect("a calm study breaks no invariant");
    assert_eq!(Checker::replay(&world.log, &world.coordinator), Ok(()));
    let mut lost = 0;
    for (index, line) in world.log.iter().enumerate() {
        let matters =
            ["FingerprintsSent", "SiteEnlisted", "OrderAnswered", "RoundAggregated", "SiteWithdrew"];
        if matters.iter().any(|event| line.contains(event)) {
            let mut log = world.log.clone();
            log.remove(index);
            assert_eq!(Checker::replay(&log, &world.coordinator), Err(Violation::ReplayDiffers), "{line}");
            lost += 1;
        }
    }
    assert!(lost > 20, "a whole study has more than {lost} such events");
}
