//! Sites whose programs are a release behind or ahead take part in whole studies.

use consilium_protocol::ToSite;
use consilium_protocol::coordinator::Phase;

use crate::properties::harm;
use crate::scene::Scene;
use crate::schedule::{Op, Schedule};
use crate::violation::Violation;
use crate::world::World;

/// One site of the release before, one of a later one, one of ours. All are needed.
const MIXED: Scene = Scene { quorum: 3, releases: true, ..Scene::PLAIN };

fn finishes(scene: Scene, ops: Vec<Op>) {
    let world = World::play(&Schedule { scene, ops }).unwrap();
    assert!(matches!(world.coordinator.phase(), Phase::Finished { .. }), "{:?}", world.coordinator.phase());
    assert_eq!(harm(&world), None);
}

#[test]
fn an_older_and_a_later_release_take_part_in_a_whole_study() {
    finishes(MIXED, vec![]);
    finishes(Scene { duplicates: true, pretrained: true, ..MIXED }, vec![]);
    finishes(MIXED, vec![Op::Calm(40), Op::RestartCoordinator(10), Op::Calm(20), Op::PauseFor(10_000)]);
}

#[test]
fn a_pause_of_any_length_costs_nobody() {
    for at in [0, 5, 20, 60, 90] {
        finishes(Scene { quorum: 3, ..Scene::PLAIN }, vec![Op::Calm(at), Op::PauseFor(1_000_000)]);
        finishes(
            Scene { quorum: 3, ..Scene::PLAIN },
            vec![Op::Calm(at), Op::Pause, Op::RestartCoordinator(9)],
        );
    }
}

#[test]
fn a_message_that_an_older_site_does_not_know_is_found() {
    let mut world = World::open(&MIXED);
    world.suffer(&[Op::Calm(1)]).unwrap();
    let session = world.sites[0].session.unwrap();
    world.sessions[session].down.push_front(ToSite::Waiting);
    assert!(matches!(world.tell(session), Err(Violation::TooNew { known: 3, .. })));
}
