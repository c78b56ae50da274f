//! A hostile coordinator, and a policy for each thing it might want.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use consilium_domain::*;
use consilium_metrics::ScoreHistogram;
use consilium_protocol::{Features, ScoringOutcome, Timestamp, TrainingOutcome, VersionRange};

use super::*;
use crate::policy::tests::{LANE, LIMITS, order, policy, study};
use crate::steward::{Answer, Clock, Request};

/// A gate whose study was approved by rule, under a policy that says nothing else but `text`.
struct Scene {
    gate: Outgoing,
    steward: Steward,
    now: Arc<AtomicU64>,
    _state: tempfile::TempDir,
}

impl Scene {
    fn under(text: &str) -> Self {
        let (state, now) = (tempfile::tempdir().unwrap(), Arc::new(AtomicU64::new(0)));
        let policy = policy(&format!("approval = 'rule'\n{text}"));
        let clock = Clock::new({
            let now = now.clone();
            move || Timestamp(now.load(Ordering::Relaxed))
        });
        let mut steward = Steward::open(state.path(), policy, clock).unwrap();
        steward.offered(&study()).unwrap();
        let mut gate = Outgoing::default();
        gate.approve(study());
        Self { gate, steward, now, _state: state }
    }

    /// The next client over the same decisions, with a policy that says `text`. The gate still holds what was approved.
    fn restarted_under(self, text: &str) -> Self {
        let Self { gate, steward, now, _state: state } = self;
        drop(steward);
        let clock = Clock::new(|| Timestamp(0));
        let policy = policy(&format!("approval = 'rule'\n{text}"));
        let mut steward = Steward::open(state.path(), policy, clock).unwrap();
        steward.offered(&study()).unwrap();
        Self { gate, steward, now, _state: state }
    }

    fn take(&mut self, order: &WorkOrder) -> Result<(), String> {
        self.gate.take(order, self.steward.policy())
    }

    fn examine(&self, message: ToCoordinator) -> Result<ToCoordinator, Passage> {
        self.gate.examine(message, &self.steward)
    }

    /// What leaves instead of an answer to `order`: nothing but the reason.
    fn refused(&self, answer: ToCoordinator) -> String {
        match self.examine(answer) {
            Ok(ToCoordinator::Failed { reason, .. }) => reason,
            other => panic!("{other:?}"),
        }
    }
}

fn trained(order: &WorkOrder) -> ToCoordinator {
    let outcome = Outcome::Trained(TrainingOutcome {
        update: BlobRef::of(b"update"),
        cases: 4,
        mean_loss: 0.5,
        tuned_share: None,
        norm: 1.0,
        saturated: 0,
        seconds: 1.0,
    });
    ToCoordinator::Answer { order: order.id, outcome }
}

fn scored(order: &WorkOrder, positives: u32, negatives: u32) -> ToCoordinator {
    let scores = ScoreHistogram::from_counts(vec![positives, 0], vec![0, negatives]).unwrap();
    let outcome = Outcome::Scored(ScoringOutcome { scores, loss_sum: 1.0, seconds: 1.0 });
    ToCoordinator::Answer { order: order.id, outcome }
}

fn enlist(study: StudyHash, cases: u32) -> ToCoordinator {
    let fold = ClassCounts { methylated: cases, unmethylated: 0 };
    let counts = ModalityCounts { folds: vec![fold; 1], holdout: ClassCounts::default() };
    let cohort = CohortSummary { modalities: [(Modality::T1gd, counts)].into(), ..CohortSummary::default() };
    ToCoordinator::Enlist { study, cohort }
}

fn validation() -> WorkOrder {
    let model = BlobRef::of(b"model");
    WorkOrder::new(study().hash(), Task::Validate { lane: LANE, round: Round(1), model })
}

fn objection(passage: Result<ToCoordinator, Passage>) -> String {
    if let Err(Passage::Never(objection)) = passage { objection } else { panic!("{passage:?}") }
}

#[test]
fn what_the_study_and_the_policy_hold_leaves() {
    let mut scene = Scene::under("[histograms]\nfewest_of_each_class = 3");
    let study = study().hash();
    for message in [enlist(study, 9), ToCoordinator::Ready] {
        assert_eq!(scene.examine(message.clone()), Ok(message));
    }
    scene.take(&order(LANE, 1)).unwrap();
    assert_eq!(scene.examine(trained(&order(LANE, 1))), Ok(trained(&order(LANE, 1))));
    scene.take(&validation()).unwrap();
    assert_eq!(scene.examine(scored(&validation(), 3, 3)), Ok(scored(&validation(), 3, 3)));
}

#[test]
fn orders_for_another_arm_modality_round_or_study_are_not_taken_and_their_answers_do_not_leave() {
    let mut scene = Scene::under("[study]\nmost_rounds = 30");
    let foreign = Study { seed: 99, ..study() };
    for (order, word) in [
        (order(Lane { modality: Modality::Flair, ..LANE }, 1), "flair"),
        (order(LANE, 31), "round 31"),
        (WorkOrder::new(foreign.hash(), order(LANE, 1).task), "another study"),
    ] {
        let objection = scene.take(&order).unwrap_err();
        assert!(objection.contains(word), "{objection}");
        assert!(scene.refused(trained(&order)).contains("no order that this site took"));
    }
    // The site took an order; an answer to any other stays.
    scene.take(&order(LANE, 1)).unwrap();
    assert!(scene.refused(trained(&order(LANE, 2))).contains("no order"));
    let other_arm = Scene::under("")
        .gate
        .check_order(&order(Lane { arm: Arm::Spottune, ..LANE }, 1), &policy("[study]\narms = ['random']"));
    assert!(other_arm.unwrap_err().contains("spottune"));
}

/// Whatever of a policy a study is beyond: nothing leaves, though the study was approved before and work is under way.
#[test]
fn what_was_approved_before_the_policy_became_stricter_does_not_leave() {
    for (text, _) in LIMITS {
        let mut scene = Scene::under("");
        let training = order(LANE, 1);
        scene.take(&training).unwrap();
        assert!(scene.examine(trained(&training)).is_ok(), "before");
        let scene = scene.restarted_under(text);
        assert!(scene.refused(trained(&training)).contains("does not agree to the study any more"), "{text}");
        for message in [enlist(study().hash(), 30), ToCoordinator::Ready] {
            assert!(objection(scene.examine(message)).contains("does not agree"), "{text}");
        }
    }
}

#[test]
fn a_histogram_of_few_patients_or_many_bins_does_not_leave() {
    let mut scene = Scene::under("[histograms]\nfewest_of_each_class = 3\nmost_bins = 64");
    scene.take(&validation()).unwrap();
    assert!(scene.refused(scored(&validation(), 3, 2)).contains("fewer than 3 patients"));
    let fine = ScoreHistogram::new(65).unwrap();
    let outcome = Outcome::Scored(ScoringOutcome { scores: fine, loss_sum: 0.0, seconds: 0.0 });
    let answer = ToCoordinator::Answer { order: validation().id, outcome };
    assert!(scene.refused(answer).contains("65 bins"));
}

#[test]
fn another_study_than_the_approved_one_hears_nothing() {
    let scene = Scene::under("");
    let other = Study { seed: 99, ..study() }.hash();
    assert!(objection(scene.examine(enlist(other, 9))).contains("not the study"));
    let part = ToCoordinator::Fingerprints { study: other, part: 0, last: true, cases: vec![] };
    assert!(objection(scene.examine(part)).contains("not the study"));
    let nothing_approved = Outgoing::default().examine(ToCoordinator::Ready, &scene.steward);
    assert!(objection(nothing_approved).contains("no study is approved"));
}

#[test]
fn a_site_that_left_says_nothing_but_that() {
    let mut scene = Scene::under("");
    scene.take(&order(LANE, 1)).unwrap();
    let leave = Request::Leave { study: study().hash().to_string(), reason: None };
    assert!(matches!(scene.steward.answer(leave), Answer::Done(_)));
    assert!(scene.refused(trained(&order(LANE, 1))).contains("does not agree"));
    assert!(objection(scene.examine(enlist(study().hash(), 9))).contains("does not agree"));
    let withdraw = ToCoordinator::Withdraw { study: study().hash(), reason: "left".into() };
    assert_eq!(scene.examine(withdraw.clone()), Ok(withdraw));
}

#[test]
fn few_cases_and_too_many_duplicates_keep_the_cohort_here() {
    let mut scene = Scene::under("[data]\nfewest_cases = 10\nmost_duplicates_share = 0.25");
    assert!(objection(scene.examine(enlist(study().hash(), 9))).contains("fewer cases"));
    scene.gate.fingerprinted(100);
    assert_eq!(scene.gate.excluded(25, scene.steward.policy()), Ok(()));
    assert!(scene.examine(enlist(study().hash(), 10)).is_ok());
    assert!(scene.gate.excluded(26, scene.steward.policy()).unwrap_err().contains("26 of 100"));
    assert!(objection(scene.examine(enlist(study().hash(), 10))).contains("26 of 100"));
}

#[test]
fn outside_the_hours_and_while_paused_only_a_greeting_and_a_farewell_leave() {
    let mut scene = Scene::under("[hours]\nfrom = '00:00'\nto = '06:00'\nutc_offset = '+00:00'");
    scene.take(&order(LANE, 1)).unwrap();
    let id = order(LANE, 1).id;
    let failed = ToCoordinator::Failed { order: id, reason: "no".into() };
    let said = [ToCoordinator::Ready, failed, trained(&order(LANE, 1)), enlist(study().hash(), 9)];
    let hello =
        ToCoordinator::Hello { versions: VersionRange::OURS, features: Features::OURS, software: "c".into() };
    for silent in [false, true, true, false] {
        for message in &said {
            let passage = scene.examine(message.clone());
            assert_eq!(passage == Err(Passage::NotNow), silent, "{message:?}");
        }
        assert!(scene.examine(hello.clone()).is_ok());
        match scene.now.load(Ordering::Relaxed) {
            // Six o'clock, then back and paused, then resumed.
            0 if !silent && !scene.steward.is_paused() => scene.now.store(6 * 3_600_000, Ordering::Relaxed),
            0 => drop(scene.steward.answer(Request::Resume)),
            _ => {
                scene.now.store(0, Ordering::Relaxed);
                scene.steward.answer(Request::Pause);
            }
        }
    }
}
