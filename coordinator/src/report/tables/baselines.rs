//! What the arms must beat, and whether they do.

use super::results::{area, bracket, difference_of};
use super::{Cell, Table, estimate, number, text};
use crate::report::{ClinicalFit, MajorityScore, Report};

/// Every baseline on the pooled hold-out.
pub(super) fn baselines(report: &Report) -> Table {
    let mut rows = Vec::new();
    for majority in &report.baselines.majority {
        let score = |pick: fn(&MajorityScore) -> u32| {
            Cell::Count(majority.holdout.as_ref().map(|score| pick(score).into()))
        };
        rows.push(vec![
            Cell::text("majority class"),
            Cell::text(majority.modality),
            score(|score| score.positives),
            score(|score| score.negatives),
            Cell::Estimate(majority.holdout.map(|score| [score.auc; 3])),
            Cell::Estimate(None),
            Cell::Estimate(majority.holdout.map(|score| [score.brier; 3])),
            Cell::of(majority.holdout.as_ref().and_then(|score| score.accuracy.as_ref())),
            Cell::p(None),
            Cell::text("AUC one half by construction"),
        ]);
    }
    if let Some(clinical) = &report.baselines.clinical {
        let card = clinical.holdout.as_ref().map(|scores| &scores.pooled);
        let missing: Vec<String> =
            clinical.missing.iter().map(|(site, reason)| format!("without {site}: {reason}")).collect();
        let absent = clinical.absent.as_ref().map(|reason| format!("absent: {reason}"));
        rows.push(vec![
            Cell::text("age and sex"),
            Cell::text("none"),
            Cell::Count(card.map(|card| card.positives.into())),
            Cell::Count(card.map(|card| card.negatives.into())),
            area(card.and_then(|card| card.auc.as_ref())),
            bracket(card.and_then(|card| card.average_precision.as_ref())),
            bracket(clinical.brier.as_ref()),
            Cell::of(card.and_then(|card| card.accuracy.as_ref())),
            Cell::p(clinical.within_sites.map(|test| test.two_sided)),
            Cell::text(absent.into_iter().chain(missing).collect::<Vec<_>>().join("; ")),
        ]);
    }
    Table {
        name: "baselines",
        caption: "What the arms must beat, on the pooled hold-out: the share of methylated patients among those trained \
                  on, and a logistic regression on age and sex fitted over all sites. A model that does not beat them \
                  is of no use."
            .into(),
        columns: vec![
            text("baseline", "baseline"),
            text("modalities", "modalities"),
            number("positives", "methylated"),
            number("negatives", "unmethylated"),
            estimate("auc", "AUC"),
            estimate("average_precision", "average precision"),
            estimate("brier", "Brier score"),
            estimate("accuracy", "accuracy"),
            number("p_within_sites", "p, within sites"),
            text("note", "note"),
        ],
        rows,
    }
}

/// Every arm against the regression.
pub(super) fn against_baseline(report: &Report) -> Table {
    let comparisons = report.baselines.clinical.iter().flat_map(|clinical| &clinical.comparisons);
    let rows = comparisons.map(|comparison| {
        let without: Vec<String> = comparison.without.iter().map(ToString::to_string).collect();
        vec![
            Cell::text(comparison.arm),
            Cell::text(&comparison.group),
            difference_of(comparison.combined.as_ref()),
            Cell::p(comparison.p_value),
            Cell::count(comparison.sites.len() as u64),
            Cell::text(without.join(", ")),
        ]
    });
    Table {
        name: "baseline-comparisons",
        caption: "Arms against the regression on age and sex, on the same patients: the arm's AUC minus the baseline's, \
                  by DeLong's comparison of each site's own rows, combined by random effects (Hartung and Knapp). Where \
                  one site alone compared, the interval is unknown and given as -1 to 1."
            .into(),
        columns: vec![
            text("arm", "arm"),
            text("group", "modalities"),
            estimate("difference", "difference of AUC"),
            number("p", "p"),
            number("sites", "sites"),
            text("without", "sites that told none"),
        ],
        rows: rows.collect(),
    }
}

/// The regression of each fold.
pub(super) fn fits(report: &Report) -> Table {
    let wald = |estimate: &consilium_metrics::WaldEstimate| {
        Cell::Estimate(Some([estimate.value, estimate.interval.lower, estimate.interval.upper]))
    };
    let row = |fit: &ClinicalFit| {
        vec![
            Cell::count(fit.fold.0),
            Cell::count(fit.cases),
            Cell::count(fit.positives),
            wald(&fit.intercept),
            wald(&fit.age),
            wald(&fit.male),
        ]
    };
    let fits = report.baselines.clinical.iter().flat_map(|clinical| &clinical.folds);
    Table {
        name: "baseline-fits",
        caption: "The regression on age and sex of each fold's training patients, all sites together: log odds of a woman \
                  of sixty, what ten years add, what being a man adds; 95 % Wald intervals, with a ridge of 1 on the \
                  slopes."
            .into(),
        columns: vec![
            number("fold", "fold"),
            number("cases", "patients"),
            number("positives", "methylated"),
            estimate("intercept", "intercept"),
            estimate("age", "ten years"),
            estimate("male", "man"),
        ],
        rows: fits.map(row).collect(),
    }
}

/// Sites that were left out of training.
pub(super) fn left_out(report: &Report) -> Table {
    let rows = report.left_out.iter().map(|left| {
        let holdout = left.holdout.as_ref();
        vec![
            Cell::text(&left.site),
            Cell::text(left.arm),
            Cell::text(left.modality),
            Cell::Count(holdout.map(|card| card.positives.into())),
            Cell::Count(holdout.map(|card| card.negatives.into())),
            area(holdout.and_then(|card| card.auc.as_ref())),
            Cell::of(holdout.and_then(|card| card.sensitivity.as_ref())),
            Cell::of(holdout.and_then(|card| card.specificity.as_ref())),
            area(left.validation.as_ref().and_then(|card| card.auc.as_ref())),
        ]
    });
    Table {
        name: "left-out-sites",
        caption: "Each site under the models that never saw a patient of it. The hold-out chose nothing; on the other \
                  patients the round was chosen, so that figure flatters."
            .into(),
        columns: vec![
            text("site", "site left out"),
            text("arm", "arm"),
            text("modality", "modality"),
            number("positives", "methylated"),
            number("negatives", "unmethylated"),
            estimate("auc", "AUC, hold-out"),
            estimate("sensitivity", "sensitivity"),
            estimate("specificity", "specificity"),
            estimate("validation_auc", "AUC, other patients"),
        ],
        rows: rows.collect(),
    }
}
