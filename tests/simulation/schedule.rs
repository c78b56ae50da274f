//! What goes wrong, and when: a scene and a list of operations, printed as Rust that can be pasted.

use std::fmt;

use proptest::prelude::*;

use crate::scene::{DEADLINE_SECS, ENROLMENT_SECS, GRACE_SECS, Scene};

/// One thing that the world does. Indices are taken modulo what there is, so every operation fits every
/// state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Op {
    /// The n-th thing under way arrives: a message, a transfer, an aggregate, the news of a lost connection.
    Deliver(u8),
    /// Nothing is disturbed for so many steps.
    Calm(u8),
    /// The site loses its connection; the coordinator learns of it later.
    DropConnection(u8),
    /// The site connects, or connects anew before its old connection is noticed to be dead.
    Reconnect(u8),
    /// The site's client dies and loses its memory.
    CrashClient(u8),
    /// The same, and it comes back with more patients than it enlisted.
    NewPatients(u8),
    /// The site is gone for good.
    Vanish(u8),
    /// The coordinator dies and is back after so many seconds.
    RestartCoordinator(u32),
    /// So many seconds pass and nothing arrives.
    AdvanceTime(u32),
    /// The coordinator's clock is set back by so many seconds.
    ClockBack(u32),
    /// The site's work under way is done.
    FinishWork(u8),
    /// The site says that its work under way is a step further.
    Progress(u8),
    /// The site's work under way fails.
    FailWork(u8),
    /// The site's hospital has enough of the study.
    Leave(u8),
    /// From here on nothing may leave the site's hospital: its hours are over.
    Hold(u8),
    /// Things may leave it again.
    Release(u8),
    /// The site's transfer under way fails although the connection stands.
    FailTransfer(u8),
    /// The site's latest answer is sent again.
    DuplicateAnswer(u8),
    /// One of the site's earlier answers is sent again.
    StaleAnswer(u8, u8),
    /// The coordinator is told something untrue in the site's name, and must refuse it.
    Tell(u8, Lie),
    /// The admin pauses the study for so many seconds.
    PauseFor(u32),
    /// The admin pauses the study until it is continued.
    Pause,
    /// The admin lets the study continue.
    Continue,
    /// The admin stops the study.
    Abort,
}

/// Something that is not so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lie {
    /// The right kind of answer about the wrong number of patients.
    Patients,
    /// The right kind of answer with a number that is none.
    NotFinite,
    /// The answer to another kind of task.
    Kind,
    /// An update of another length.
    Length,
    /// An answer to an order nobody gave.
    Order,
    /// An answer of a site that is not invited.
    Stranger,
    /// A second cohort, or a cohort that cannot be.
    Cohort,
    /// More patients than any hospital has.
    Crowd,
    /// A part of the fingerprints that nobody waits for.
    Part,
    /// A cohort, or a failure, of a site that has withdrawn.
    Departed,
    /// A model that no round waits for.
    Model,
    /// That time is up although it is not.
    Timeout,
    /// That the study is opened again.
    Opened,
}

/// A scene and what happens in it. After the last operation the world runs calmly to its end.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Schedule {
    /// The study's shape.
    pub(crate) scene: Scene,
    /// What happens.
    pub(crate) ops: Vec<Op>,
}

/// Valid Rust, given `use crate::schedule::{Lie::*, Op::*, Schedule}`.
impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Schedule {{ scene: {:?}, ops: vec!{:?} }}", self.scene, self.ops)
    }
}

/// Longest schedule before the calm: enough for every site to be disturbed in every phase.
const MAX_OPS: usize = 250;

/// Any schedule of [`Op`]s.
pub(crate) fn schedules() -> impl Strategy<Value = Schedule> {
    (scenes(), prop::collection::vec(ops(), 0..MAX_OPS)).prop_map(|(scene, ops)| Schedule { scene, ops })
}

/// Schedules that give nobody a reason to be missing: connections, clients and the coordinator come and go,
/// but sites lose no time by it.
pub(crate) fn harmless_schedules() -> impl Strategy<Value = Schedule> {
    let scene = scenes().prop_map(|scene| {
        let spare = scene.quorum < u16::from(scene.sites - scene.evaluators);
        Scene { crash_looper: None, sparse: scene.sparse && spare, ..scene }
    });
    (scene, prop::collection::vec(harmless_ops(), 0..MAX_OPS))
        .prop_map(|(scene, ops)| Schedule { scene, ops })
}

/// Any scene.
pub(crate) fn scenes() -> impl Strategy<Value = Scene> {
    (3u8..=5, 0u8..=1, 1u16..=5, 1u16..=3, any::<[bool; 7]>()).prop_map(
        |(
            sites,
            evaluators,
            quorum,
            rounds,
            [pretrained, sparse, crash_looper, duplicates, plateau, releases, baseline],
        )| {
            let trainers = u16::from(sites - evaluators);
            // A site that can never answer may only be there when the others suffice without it.
            let crash_looper = (crash_looper && !sparse).then_some(1);
            let most = if crash_looper.is_some() { trainers - 1 } else { trainers };
            let quorum = quorum.min(most);
            Scene {
                sites,
                evaluators,
                quorum,
                rounds,
                pretrained,
                sparse,
                crash_looper,
                duplicates,
                plateau,
                releases,
                baseline,
            }
        },
    )
}

fn ops() -> impl Strategy<Value = Op> {
    let site = any::<u8>();
    prop_oneof![
        400 => any::<u8>().prop_map(Op::Deliver),
        120 => site.prop_map(Op::FinishWork),
        80 => site.prop_map(Op::Reconnect),
        30 => (1u8..100).prop_map(Op::Calm),
        30 => site.prop_map(Op::DropConnection),
        20 => site.prop_map(Op::CrashClient),
        2 => site.prop_map(Op::NewPatients),
        1 => site.prop_map(Op::Vanish),
        15 => durations().prop_map(Op::RestartCoordinator),
        8 => durations().prop_map(Op::AdvanceTime),
        5 => durations().prop_map(Op::ClockBack),
        30 => site.prop_map(Op::Progress),
        3 => site.prop_map(Op::FailWork),
        1 => site.prop_map(Op::Leave),
        10 => site.prop_map(Op::Hold),
        10 => site.prop_map(Op::Release),
        4 => site.prop_map(Op::FailTransfer),
        20 => site.prop_map(Op::DuplicateAnswer),
        20 => (site, any::<u8>()).prop_map(|(site, answer)| Op::StaleAnswer(site, answer)),
        60 => (site, lies()).prop_map(|(site, lie)| Op::Tell(site, lie)),
        5 => durations().prop_map(Op::PauseFor),
        5 => Just(Op::Pause),
        10 => Just(Op::Continue),
        1 => Just(Op::Abort),
    ]
}

fn harmless_ops() -> impl Strategy<Value = Op> {
    let site = any::<u8>();
    prop_oneof![
        400 => any::<u8>().prop_map(Op::Deliver),
        120 => site.prop_map(Op::FinishWork),
        80 => site.prop_map(Op::Reconnect),
        30 => (1u8..100).prop_map(Op::Calm),
        30 => site.prop_map(Op::DropConnection),
        20 => site.prop_map(Op::CrashClient),
        30 => site.prop_map(Op::Progress),
        15 => durations().prop_map(Op::RestartCoordinator),
        5 => durations().prop_map(Op::ClockBack),
        10 => durations().prop_map(Op::PauseFor),
        20 => (site, any::<u8>()).prop_map(|(site, answer)| Op::StaleAnswer(site, answer)),
        60 => (site, lies()).prop_map(|(site, lie)| Op::Tell(site, lie)),
    ]
}

fn lies() -> impl Strategy<Value = Lie> {
    use Lie::{
        Cohort, Crowd, Departed, Kind, Length, Model, NotFinite, Opened, Order, Part, Patients, Stranger,
        Timeout,
    };
    prop::sample::select(vec![
        Patients, NotFinite, Kind, Length, Order, Stranger, Cohort, Crowd, Part, Departed, Model, Timeout,
        Opened,
    ])
}

/// Seconds around and between the study's own limits.
fn durations() -> impl Strategy<Value = u32> {
    let limits = prop::sample::select(vec![GRACE_SECS, DEADLINE_SECS, ENROLMENT_SECS]);
    prop_oneof![0u32..GRACE_SECS, limits.prop_flat_map(|limit| limit - 1..=limit + 1), 0..2 * ENROLMENT_SECS]
}
