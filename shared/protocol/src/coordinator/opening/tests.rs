//! What the first orders of a round say, and when the next round opens.

use consilium_domain::{BlobRef, ClassCounts, Fold, Modality, ModalityCounts, Plateau, Schedule, Study};
use consilium_metrics::ScoreHistogram;

use super::super::{Effect, Event, FirstModels, Opening};
use super::*;
use crate::sample;
use crate::{Outcome, ScoringOutcome, Timestamp, TrainingOutcome};

const NOW: Timestamp = Timestamp(1);
const UPDATE_BYTES: u64 = 8;

fn cohort(methylated: u32, unmethylated: u32) -> CohortSummary {
    let fold = ClassCounts { methylated, unmethylated };
    let counts = ModalityCounts { folds: vec![fold; 2], holdout: ClassCounts::default() };
    CohortSummary { modalities: [(Modality::Flair, counts)].into(), ..CohortSummary::default() }
}

/// A coordinator whose two sites have enlisted for `study`.
fn running(mut study: Study) -> Coordinator {
    study.federation.sites = ["a", "b"].map(site).into();
    let models = FirstModels {
        base: None,
        initial: [(Arm::Random, BlobRef::of(b"first"))].into(),
        update_bytes: [(Arm::Random, UPDATE_BYTES)].into(),
    };
    let mut state = Coordinator::open(NOW, Opening { study, models });
    for (name, cohort) in [("a", cohort(3, 5)), ("b", cohort(1, 7))] {
        state.handle(NOW, Event::SiteEnlisted { site: site(name), cohort }).unwrap();
    }
    state
}

fn site(name: &str) -> SiteId {
    name.parse().unwrap()
}

/// The classes in the first order of a study.
fn classes(balance: ClassBalance) -> Option<ClassCounts> {
    let mut study = sample::study();
    study.training.class_balance = balance;
    match running(study).next_order(&site("a")).unwrap().task {
        Task::Train { classes, .. } => classes,
        other => panic!("{other}"),
    }
}

#[test]
fn a_study_that_weights_classes_tells_how_many_all_sites_train_on() {
    assert_eq!(classes(ClassBalance::PosWeight), Some(ClassCounts { methylated: 4, unmethylated: 12 }));
    assert_eq!(classes(ClassBalance::None), None);
    assert_eq!(classes(ClassBalance::Undersample), None);
}

/// Does what waits for `name`, whose patients all have the loss `loss`; what it was.
fn work(state: &mut Coordinator, name: &str, loss: f64) -> Option<Task> {
    let order = state.next_order(&site(name))?;
    let ClassCounts { methylated, unmethylated } =
        cohort(if name == "a" { 3 } else { 1 }, if name == "a" { 5 } else { 7 })
            .counts(Modality::Flair)
            .validation(Fold(0));
    let outcome = match &order.task {
        Task::Train { round, .. } => Outcome::Trained(TrainingOutcome {
            update: BlobRef {
                digest: BlobRef::of(format!("{name} {round}").as_bytes()).digest,
                bytes: UPDATE_BYTES,
            },
            cases: methylated + unmethylated,
            mean_loss: 0.5,
            tuned_share: None,
            norm: 1.0,
            saturated: 0,
            seconds: 1.0,
        }),
        _ => Outcome::Scored(ScoringOutcome {
            scores: ScoreHistogram::from_counts(
                [vec![methylated], vec![0; 7]].concat(),
                [vec![unmethylated], vec![0; 7]].concat(),
            )
            .unwrap(),
            loss_sum: loss * f64::from(methylated + unmethylated),
            seconds: 1.0,
        }),
    };
    let task = order.task.clone();
    let effects =
        state.handle(NOW, Event::OrderAnswered { site: site(name), order: order.id, outcome }).unwrap();
    for effect in effects {
        if let Effect::Aggregate { lane, round, .. } = effect {
            let model = BlobRef::of(format!("{lane} {round}").as_bytes());
            state
                .handle(NOW, Event::RoundAggregated { lane, round, model, movement: None, delta: None })
                .unwrap();
        }
    }
    Some(task)
}

/// The reductions in the orders of one lane's rounds, whose validations had these losses.
fn ordered_reductions(schedule: Schedule, losses: &[f64]) -> Vec<u16> {
    let mut study = sample::study();
    study.training.schedule = schedule;
    study.training.rounds = losses.len() as u16;
    let mut state = running(study);
    let mut found = Vec::new();
    while found.len() < losses.len() {
        let round = state.lanes()[0].rounds.len();
        for name in ["a", "b"] {
            if let Some(Task::Train { reductions, .. }) = work(&mut state, name, losses[round - 1])
                && name == "a"
            {
                found.push(reductions);
            }
        }
    }
    found
}

#[test]
fn orders_tell_how_often_the_rates_were_reduced() {
    let plateau = Schedule::Plateau(Plateau { factor: 0.1, patience: 1 });
    let losses = [0.7, 0.6, 0.6, 0.7, 0.5, 0.6];
    // After rounds 3 and 4, the second in a row that were no better than round 2.
    assert_eq!(ordered_reductions(plateau, &losses), [0, 0, 0, 0, 1, 1]);
    assert_eq!(ordered_reductions(Schedule::Constant, &losses), [0; 6]);
}

#[test]
fn a_plateau_waits_for_the_validation_and_a_constant_rate_does_not() {
    for (schedule, rounds) in
        [(Schedule::Constant, 2), (Schedule::Plateau(Plateau { factor: 0.1, patience: 0 }), 1)]
    {
        let mut study = sample::study();
        study.training.schedule = schedule;
        study.training.rounds = 3;
        let mut state = running(study);
        for name in ["a", "b"] {
            assert!(matches!(work(&mut state, name, 0.5), Some(Task::Train { .. })));
        }
        assert!(state.lanes()[0].rounds[0].model.is_some());
        assert_eq!(state.lanes()[0].rounds.len(), rounds, "{schedule:?}");
    }
}
