//! How long a round waits for a site that is slow: as long as it gets further.

use consilium_protocol::coordinator::RoundState;

use crate::scene::{DEADLINE_SECS, Scene};
use crate::schedule::Op;
use crate::site::Job;
use crate::world::World;

/// The first round of the first lane is under way, and everybody but the last site has answered.
fn one_site_is_missing() -> World {
    let mut world = World::open(&Scene::PLAIN);
    let at_work =
        |world: &World| world.sites.iter().all(|site| matches!(site.jobs.front(), Some(Job::Execute(_))));
    while !at_work(&world) {
        assert!(world.calm_step().unwrap(), "the study ended before anybody worked");
    }
    for site in [0, 1] {
        world.finish_work(site).unwrap();
    }
    while world.deliver(0).unwrap() {}
    assert_eq!(first_round(&world).training.answers().len(), 2);
    world
}

fn first_round(world: &World) -> &RoundState {
    &world.coordinator.lanes()[0].rounds[0]
}

#[test]
fn a_site_that_gets_further_is_waited_for() {
    let mut world = one_site_is_missing();
    for _ in 0..20 {
        world.suffer(&[Op::AdvanceTime(DEADLINE_SECS - 1), Op::Progress(2)]).unwrap();
        while world.deliver(0).unwrap() {}
    }
    assert!(first_round(&world).training.closing().is_none(), "twenty deadlines, and never silent");
    world.finish_work(2).unwrap();
    while world.deliver(0).unwrap() {}
    assert!(first_round(&world).training.closing().unwrap().missing.is_empty());
    world.end().unwrap();
}

#[test]
fn a_site_that_hangs_is_not() {
    let mut world = one_site_is_missing();
    world.suffer(&[Op::Progress(2)]).unwrap();
    while world.deliver(0).unwrap() {}
    world.suffer(&[Op::AdvanceTime(DEADLINE_SECS + 1)]).unwrap();
    let missing = &first_round(&world).training.closing().unwrap().missing;
    assert!(missing.values().all(|reason| reason.contains("no progress")), "{missing:?}");
    assert_eq!(missing.len(), 1);
    world.end().unwrap();
}

#[test]
fn starting_over_is_no_progress() {
    let mut world = one_site_is_missing();
    for _ in 0..3 {
        world.suffer(&[Op::Progress(2), Op::Progress(2), Op::AdvanceTime(DEADLINE_SECS / 2)]).unwrap();
        while world.deliver(0).unwrap() {}
        world.suffer(&[Op::CrashClient(2), Op::Reconnect(2)]).unwrap();
        while world.deliver(0).unwrap() {}
    }
    assert!(first_round(&world).training.closing().is_some(), "it has computed the same steps three times");
    world.end().unwrap();
}
