//! Schedules that once broke something. A failing property prints its schedule as Rust; it goes here, with
//! the story.

use consilium_domain::Task;
use consilium_protocol::coordinator::{Coordinator, Effect, Event, FirstModels, Opening, Phase};
use consilium_protocol::{MAX_REASON_BYTES, Outcome};

use crate::properties::harm;
use crate::scene::{DEADLINE_SECS, ENROLMENT_SECS, START, Scene};
use crate::schedule::Lie::Crowd;
use crate::schedule::Op::{
    Calm, CrashClient, Deliver, DropConnection, FailWork, FinishWork, NewPatients, Reconnect,
    RestartCoordinator, StaleAnswer, Tell,
};
use crate::schedule::Schedule;
use crate::world::World;

/// Plays a schedule that must break nothing.
fn plays(schedule: Schedule) -> World {
    World::play(&schedule).unwrap_or_else(|violation| panic!("{violation:?} in {schedule:?}"))
}

fn is_finished(world: &World) -> bool {
    matches!(world.coordinator.phase(), Phase::Finished { .. })
}

/// A client that had reconnected said what it had to say as soon as its work ended, before it was welcomed,
/// and then again. Of two requests for work the second was answered with work that "was not asked for": it
/// gave up.
#[test]
fn what_ends_before_the_welcome_is_said_once() {
    // Printed by proptest.
    let schedule = Schedule {
        scene: Scene {
            sites: 3,
            evaluators: 0,
            quorum: 1,
            rounds: 1,
            pretrained: false,
            sparse: false,
            crash_looper: None,
            duplicates: false,
            plateau: false,
            releases: false,
            baseline: false,
        },
        ops: vec![Calm(7), Deliver(0), Reconnect(190), FinishWork(82)],
    };
    assert_eq!(harm(&plays(schedule)), None);
    // The same with a client that is enlisted already, and so asks for work where the other enlists.
    let ops = vec![
        Calm(21),
        CrashClient(1),
        Reconnect(1),
        Calm(3),
        Deliver(0),
        DropConnection(1),
        Reconnect(1),
        FinishWork(1),
    ];
    assert_eq!(harm(&plays(Schedule { scene: Scene::PLAIN, ops })), None);
}

/// A hospital had new patients when its client restarted. All its answers were refused, and it gave each of
/// them again and again until the deadline, whose passing was then the only reason on record.
#[test]
fn an_answer_that_does_not_fit_is_given_once_and_its_reason_is_told() {
    let world = plays(Schedule { scene: Scene::PLAIN, ops: vec![Calm(16), NewPatients(2)] });
    assert!(is_finished(&world));
    let told = world.effects.iter().any(|effect| {
        let Effect::WentOnWithout { missing, .. } = effect else { return false };
        missing.values().any(|reason| reason.contains("the site declared"))
    });
    assert!(told, "the report says why the site is missing: {:?}", world.effects);
}

/// A client whose training crashed it came back each time within the deadline, and each return was a sign of
/// life: every round waited for it, for ever.
#[test]
fn a_crash_looping_client_holds_nobody_up_for_ever() {
    let scene = Scene { crash_looper: Some(1), ..Scene::PLAIN };
    let world = plays(Schedule { scene: scene.clone(), ops: vec![] });
    assert!(is_finished(&world), "the others are a quorum");
    // One after the other: two trainings, a validation, the hold-out and the fusion. Each waits once.
    let waited = world.now.secs_since(START);
    assert!(waited < 6.0 * f64::from(DEADLINE_SECS), "{waited} s");
    // Now the quorum needs it. It is waited for longer, then the study halts.
    let world = plays(Schedule { scene, ops: vec![Calm(11), NewPatients(2)] });
    assert!(matches!(world.coordinator.phase(), Phase::Halted { .. }));
}

/// The coordinator was away for longer than the deadline. The first event after its return found everybody
/// late, and halted the study.
#[test]
fn the_coordinators_own_absence_is_nobodys_delay() {
    for ops in [
        vec![RestartCoordinator(ENROLMENT_SECS)],
        vec![Calm(12), RestartCoordinator(2 * ENROLMENT_SECS)],
        vec![Calm(30), RestartCoordinator(2 * DEADLINE_SECS)],
        vec![Calm(60), RestartCoordinator(2 * DEADLINE_SECS), RestartCoordinator(2 * DEADLINE_SECS)],
    ] {
        let world = plays(Schedule { scene: Scene { quorum: 3, ..Scene::PLAIN }, ops });
        assert_eq!(harm(&world), None);
    }
}

/// Whether an update may be uploaded was asked of the site's next order alone. While a site trained in one
/// lane, an earlier lane went on and wanted its validation next: the update was refused, and the calmest
/// study halted.
#[test]
fn an_update_is_wanted_while_an_earlier_lane_wants_something_else() {
    let world = plays(Schedule { scene: Scene { pretrained: true, ..Scene::PLAIN }, ops: vec![] });
    assert_eq!(harm(&world), None);
    let site = world.sites[0].id.clone();
    let bytes = world.coordinator.first_models().update_bytes.values().copied();
    assert!(bytes.into_iter().all(|bytes| !world.coordinator.awaits_update(&site, bytes)), "all is over");
}

/// A cohort of 2^32 patients was believed: no histogram and no sum holds that many.
#[test]
fn a_cohort_that_no_sum_can_hold_is_refused() {
    let world = plays(Schedule { scene: Scene::PLAIN, ops: vec![Tell(0, Crowd), Calm(5), Tell(1, Crowd)] });
    assert_eq!(harm(&world), None);
}

/// A site's reason reached the log at full length, with whatever would move a terminal's cursor.
#[test]
fn a_sites_reason_is_cut_before_it_is_told() {
    let mut world = World::open(&Scene { quorum: 3, ..Scene::PLAIN });
    world.suffer(&[Calm(30)]).expect("no invariant is broken");
    let site = world.sites[0].id.clone();
    let order = world.coordinator.next_order(&site).expect("there is work").id;
    let reason = "\x1b[2J".repeat(10_000);
    world.happen(Event::OrderFailed { site, order, reason }).expect("no invariant").expect("it may fail");
    let Phase::Halted { reason, .. } = world.coordinator.phase() else { panic!("everybody is needed") };
    assert!(reason.len() < MAX_REASON_BYTES + 200 && !reason.contains('\x1b'), "{reason}");
}

/// A study that was opened without an arm's first model waited for nothing, for ever.
#[test]
fn a_study_without_its_first_models_halts() {
    let scene = Scene::PLAIN;
    let opening = Opening { study: scene.study(), models: FirstModels::default() };
    let mut state = Coordinator::open(START, opening);
    for index in 0..scene.sites {
        let event = Event::SiteEnlisted { site: scene.site(index), cohort: scene.cohort(index, 0, 0) };
        state.handle(START, event).expect("it may enlist");
    }
    assert!(matches!(state.phase(), Phase::Halted { reason, .. } if reason.contains("first model")));
}

/// A site of the previous release declined the study. There is no message for that in its version, so it says why
/// and stops, which was taken for giving up.
#[test]
fn a_site_of_the_previous_release_may_decline() {
    let scene = Scene { sites: 4, evaluators: 0, quorum: 1, rounds: 1, releases: true, ..Scene::PLAIN };
    // Printed by proptest.
    let ops = vec![Reconnect(236), Deliver(0), Deliver(0), Deliver(0), FailWork(244)];
    assert_eq!(harm(&plays(Schedule { scene, ops })), None);
}

/// A negative norm was believed.
#[test]
fn a_negative_norm_is_refused() {
    let mut world = World::open(&Scene::PLAIN);
    world.suffer(&[Calm(30)]).expect("no invariant is broken");
    let site = world.sites[0].id.clone();
    let order = world.coordinator.next_order(&site).expect("there is work");
    assert!(matches!(order.task, Task::Train { .. }));
    let cohort = world.scene.cohort(0, 0, 0);
    let study = world.coordinator.study();
    let mut outcome = crate::work::outcome(study, &site, &cohort, &order.task, &mut world.store);
    let Outcome::Trained(training) = &mut outcome else { panic!("a training") };
    training.norm = -1.0;
    let event = Event::OrderAnswered { site, order: order.id, outcome };
    assert!(world.happen(event).expect("no invariant is broken").is_err());
}

/// A client that was killed tries its answer before its blob. That the blob was missing was told twice, by a repeated
/// message, and the second time taken for a refusal of the answer: the site had failed and the study halted.
#[test]
fn a_missing_blob_that_is_told_twice_is_uploaded_once() {
    let ops = vec![
        Calm(33),
        DropConnection(0),
        FinishWork(175),
        Deliver(96),
        CrashClient(136),
        Deliver(0),
        Calm(10),
        FinishWork(82),
        RestartCoordinator(0),
        Reconnect(181),
        FinishWork(28),
        Deliver(0),
        Deliver(0),
        StaleAnswer(235, 0),
        Calm(1),
    ];
    let scene = Scene { quorum: 3, rounds: 1, duplicates: true, ..Scene::PLAIN };
    assert_eq!(harm(&plays(Schedule { scene, ops })), None);
}
