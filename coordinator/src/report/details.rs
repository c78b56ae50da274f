//! What sites tell beyond histograms: it is in the report, and what contradicts the histogram is refused.

use consilium_domain::{Arm, Study, Task};
use consilium_metrics::{PairedScore, RoutingCounts, ScoreSums, SiteDifference, Totals, compare_rows};
use consilium_protocol::coordinator::{Coordinator, Event};
use consilium_protocol::{ArmComparison, FusionDetail, Outcome, Rejection, ScoringDetail, Timestamp};

use super::Report;
use crate::scene::{Scene, site, study};

fn two_arms() -> Study {
    Study { arms: vec![Arm::Random, Arm::Spottune], ..study() }
}

/// Sums over as many patients, all scored right by 0.9.
fn sums(totals: Totals) -> ScoreSums {
    let mut sums = ScoreSums::new();
    (0..totals.positives).for_each(|_| sums.record(0.9, true).unwrap());
    (0..totals.negatives).for_each(|_| sums.record(0.1, false).unwrap());
    sums
}

/// Every block sends every patient through its fine-tuned copy.
fn all_tuned(totals: Totals) -> RoutingCounts {
    let blocks = study().network.blocks().len();
    let mut routing = RoutingCounts::new(blocks, 1).unwrap();
    (0..totals.positives).for_each(|_| routing.record(&vec![1.0; blocks], true).unwrap());
    (0..totals.negatives).for_each(|_| routing.record(&vec![1.0; blocks], false).unwrap());
    routing
}

/// On three patients of either class the first arm orders all pairs, the second all but one.
fn difference() -> SiteDifference {
    let row = |first, second, positive| PairedScore { first, second, positive };
    let positives = [row(0.9, 0.9, true), row(0.8, 0.8, true), row(0.7, 0.25, true)];
    let negatives = [row(0.3, 0.3, false), row(0.2, 0.2, false), row(0.1, 0.1, false)];
    let comparison = compare_rows(&[positives, negatives].concat()).unwrap().unwrap();
    SiteDifference::of(&comparison, Totals { positives: 3, negatives: 3 }).unwrap()
}

/// `outcome` of an order for `arm`, with all there is to tell.
fn told(outcome: Outcome, arm: Arm) -> Outcome {
    match outcome {
        Outcome::Scored(scoring) => {
            let totals = scoring.scores.totals();
            let routing = (arm == Arm::Spottune).then(|| all_tuned(totals));
            Outcome::ScoredInDetail(
                scoring,
                ScoringDetail { sums: Some(sums(totals)), routing, fewest_per_score: 1 },
            )
        }
        Outcome::Fused(fusion) => {
            let sums = fusion.groups.iter().map(|group| Some(sums(group.holdout.totals()))).collect();
            let with = ArmComparison { with: Arm::Random, groups: vec![Some(difference())] };
            let comparisons = if arm == Arm::Spottune { vec![with] } else { Vec::new() };
            Outcome::FusedInDetail(
                fusion,
                FusionDetail { sums, comparisons, folds: Vec::new(), fewest_per_score: 1 },
            )
        }
        trained => trained,
    }
}

/// The arm of the next order anybody has.
fn next_arm(scene: &Scene) -> Option<Arm> {
    let order = ["a", "b"].into_iter().find_map(|name| scene.state.next_order(&site(name)))?;
    Some(match order.task {
        Task::FitBaseline { .. } | Task::ScoreBaseline { .. } => return None,
        Task::Fuse { arm, .. } => arm,
        Task::Train { lane, .. } | Task::Validate { lane, .. } | Task::PredictHoldout { lane, .. } => {
            lane.arm
        }
    })
}

fn finished() -> Scene {
    let mut scene = Scene::enrolling_in(two_arms());
    loop {
        let arm = next_arm(&scene).unwrap_or(Arm::Random);
        if !scene.step_with(|outcome| told(outcome, arm)) {
            return scene;
        }
    }
}

#[test]
fn what_sites_told_is_in_the_report() {
    let report = Report::of(&finished().state, Timestamp(100_000)).unwrap();
    for arm in &report.arms {
        let exact = arm.groups[0].statistics.exact.as_ref().unwrap();
        assert_eq!((exact.sites.len(), exact.positives, exact.negatives), (2, 6, 6));
        assert!((exact.brier - 0.01).abs() < 1e-7 && (exact.mean_score - 0.5).abs() < 1e-7, "{exact:?}");
        let routed = arm.lanes.iter().flat_map(|lane| &lane.rounds).filter(|round| round.routing.is_some());
        assert_eq!(routed.count(), if arm.arm == Arm::Spottune { 4 } else { 0 });
    }
    let collapsed = report.warnings.iter().filter(|warning| warning.contains("collapsed"));
    assert_eq!(collapsed.count(), 2, "one a lane of spottune: {:?}", report.warnings);
    let [comparison] = &report.comparisons[..] else { panic!("one pair of arms, one group") };
    assert_eq!(
        (comparison.first, comparison.second, comparison.sites.len()),
        (Arm::Random, Arm::Spottune, 2)
    );
    // Told as spottune minus random, reported as random minus spottune.
    let combined = comparison.combined.as_ref().unwrap();
    assert!((combined.estimate + 1.0 / 9.0).abs() < 1e-12 && comparison.p_value.is_some(), "{combined:?}");
    assert!(comparison.without.is_empty());
    let page = report.to_html();
    assert!(
        page.contains("Routing of spottune, t1gd fold 0")
            && page.contains("Routing over rounds of spottune, t1gd fold 0")
    );
    for words in ["methylated: 100 % on average at first", "a: 100 % on average at first"] {
        assert!(page.contains(words), "{words}");
    }
    assert!(page.contains("The policy has collapsed"));
}

#[test]
fn details_that_contradict_the_histogram_are_refused() {
    let lies: [fn(Outcome) -> Outcome; 4] = [
        |outcome| match outcome {
            Outcome::ScoredInDetail(scoring, detail) => {
                let sums = Some(sums(Totals { positives: 1, negatives: 1 }));
                Outcome::ScoredInDetail(scoring, ScoringDetail { sums, ..detail })
            }
            other => other,
        },
        |outcome| match outcome {
            Outcome::ScoredInDetail(scoring, detail) => {
                let routing = Some(RoutingCounts::new(1, 1).unwrap());
                Outcome::ScoredInDetail(scoring, ScoringDetail { routing, ..detail })
            }
            other => other,
        },
        |outcome| match outcome {
            Outcome::FusedInDetail(fusion, detail) => {
                Outcome::FusedInDetail(fusion, FusionDetail { sums: Vec::new(), ..detail })
            }
            other => other,
        },
        |outcome| match outcome {
            Outcome::FusedInDetail(fusion, detail) => {
                let of_itself = ArmComparison { with: Arm::Random, groups: vec![None] };
                let comparisons = vec![of_itself.clone(), of_itself];
                Outcome::FusedInDetail(fusion, FusionDetail { comparisons, ..detail })
            }
            other => other,
        },
    ];
    let log = finished().events;
    for (number, lie) in lies.into_iter().enumerate() {
        let mut refused = 0;
        for (position, (at, event)) in log.iter().enumerate() {
            let Event::OrderAnswered { site, order, outcome } = event else { continue };
            let false_outcome = lie(outcome.clone());
            if false_outcome == *outcome {
                continue;
            }
            let before = Coordinator::replay(log[..position].to_vec()).unwrap();
            let told = Event::OrderAnswered { site: site.clone(), order: *order, outcome: false_outcome };
            assert!(
                matches!(before.admit(*at, &told), Err(Rejection::Answer(_))),
                "lie {number} at {position}"
            );
            refused += 1;
        }
        assert!(refused > 0, "lie {number} was never told");
    }
}

/// `site` tells every score of at least three patients.
pub(super) fn finished_with_a_grouping_site(name: &str) -> Scene {
    let mut scene = Scene::enrolling_in(two_arms());
    loop {
        let arm = next_arm(&scene).unwrap_or(Arm::Random);
        let next =
            ["a", "b"].into_iter().find(|site_name| scene.state.next_order(&site(site_name)).is_some());
        let groups = next == Some(name);
        let grouped = |outcome| match told(outcome, arm) {
            Outcome::ScoredInDetail(scoring, detail) if groups => {
                let scores = scoring.scores.told_together(3);
                let detail = ScoringDetail { fewest_per_score: 3, ..detail };
                Outcome::ScoredInDetail(consilium_protocol::ScoringOutcome { scores, ..scoring }, detail)
            }
            Outcome::FusedInDetail(mut fusion, detail) if groups => {
                for group in &mut fusion.groups {
                    group.validation = group.validation.told_together(3);
                    group.holdout = group.holdout.told_together(3);
                }
                Outcome::FusedInDetail(fusion, FusionDetail { fewest_per_score: 3, ..detail })
            }
            other => other,
        };
        if !scene.step_with(grouped) {
            return scene;
        }
    }
}

#[test]
fn who_tells_scores_by_groups_is_named_and_bounds_hold_for_it() {
    let plain = Report::of(&finished().state, Timestamp(100_000)).unwrap();
    let scene = finished_with_a_grouping_site("b");
    let report = Report::of(&scene.state, Timestamp(100_000)).unwrap();
    let fewest: Vec<_> = report.sites.iter().map(|site| site.fewest_per_score).collect();
    assert_eq!(fewest, [None, Some(3)]);
    assert!(plain.sites.iter().all(|site| site.fewest_per_score.is_none()));
    let group = |report: &Report| report.arms[0].groups[0].clone();
    assert_eq!(group(&plain).statistics.ends, None);
    let (before, after) =
        (group(&plain).holdout.pooled.auc.unwrap(), group(&report).holdout.pooled.auc.unwrap());
    assert!(after.quantisation_bound >= before.quantisation_bound);
    assert!((after.value - before.value).abs() <= after.quantisation_bound + 1e-12);
    let ends = group(&report).statistics.ends.unwrap();
    let sensitivity = |card: &consilium_metrics::Scorecard| card.sensitivity.unwrap().value;
    assert!(sensitivity(&ends.worst) <= sensitivity(&ends.best));
    let bracket = group(&report).holdout.pooled.average_precision.unwrap();
    assert!(bracket.lower <= group(&plain).holdout.pooled.average_precision.unwrap().value);
    let again: Report = serde_json::from_str(&serde_json::to_string(&report).unwrap()).unwrap();
    assert_eq!(again, report);
    assert!(report.to_html().contains("told scores by groups of patients"));
}

#[test]
fn a_site_that_claims_groups_and_tells_single_patients_is_refused() {
    let log = finished().events;
    for (position, (at, event)) in log.iter().enumerate() {
        let Event::OrderAnswered { site, order, outcome } = event else { continue };
        let outcome = match outcome.clone() {
            Outcome::ScoredInDetail(scoring, detail) => {
                Outcome::ScoredInDetail(scoring, ScoringDetail { fewest_per_score: 1_000, ..detail })
            }
            Outcome::FusedInDetail(fusion, detail) => {
                Outcome::FusedInDetail(fusion, FusionDetail { fewest_per_score: 1_000, ..detail })
            }
            _ => continue,
        };
        let before = Coordinator::replay(log[..position].to_vec()).unwrap();
        let told = Event::OrderAnswered { site: site.clone(), order: *order, outcome };
        assert!(matches!(before.admit(*at, &told), Err(Rejection::Answer(_))), "{position}");
    }
}
