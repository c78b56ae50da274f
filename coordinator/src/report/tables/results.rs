//! How good the models are.

use consilium_metrics::{
    AucEstimate, Bracket, Estimate, OperatingPoint, RandomEffects, Scorecard, ThresholdRule,
};

use super::{Cell, Table, estimate, number, text};
use crate::report::{ArmReport, FigureEnds, GroupReport, Report};

fn groups(report: &Report) -> impl Iterator<Item = (&ArmReport, &GroupReport)> {
    report.arms.iter().flat_map(|arm| arm.groups.iter().map(move |group| (arm, group)))
}

pub(super) fn area(auc: Option<&AucEstimate>) -> Cell {
    Cell::Estimate(auc.map(|auc| [auc.value, auc.interval.lower, auc.interval.upper]))
}

pub(super) fn bracket(bracket: Option<&Bracket>) -> Cell {
    Cell::Estimate(bracket.map(|bracket| [bracket.value, bracket.lower, bracket.upper]))
}

/// A combined difference of areas; from -1 to 1 where its interval is unknown.
pub(super) fn difference_of(combined: Option<&RandomEffects>) -> Cell {
    Cell::Estimate(combined.map(|combined| {
        let [lower, upper] = combined.interval.map_or([-1.0, 1.0], |i| [i.lower, i.upper]);
        [combined.estimate, lower.max(-1.0), upper.min(1.0)]
    }))
}

/// Arm by modality group, with what others published in rows of its own.
pub(super) fn arms(report: &Report) -> Table {
    let mut rows = Vec::new();
    for (arm, group) in groups(report) {
        let (card, statistics) = (&group.holdout.pooled, &group.statistics);
        rows.push(vec![
            Cell::text(arm.arm),
            Cell::text(&group.group.name),
            Cell::count(card.positives),
            Cell::count(card.negatives),
            area(card.auc.as_ref()),
            Cell::Number(card.auc.map(|auc| auc.quantisation_bound), 4),
            Cell::p(statistics.pooled.chance.map(|test| test.two_sided)),
            Cell::p(statistics.within_sites.map(|test| test.two_sided)),
            bracket(card.average_precision.as_ref()),
            Cell::of(card.sensitivity.as_ref()),
            Cell::of(card.specificity.as_ref()),
            area(group.validation.pooled.auc.as_ref()),
            Cell::Number(group.folds.as_ref().and_then(|folds| folds.mean), 3),
            Cell::Number(group.folds.as_ref().and_then(|folds| folds.standard_deviation), 3),
        ]);
    }
    for (arm, published) in report.arms.iter().filter_map(|arm| Some((arm, arm.published.as_ref()?))) {
        let point = |value: f64| Cell::Estimate(Some([value; 3]));
        let mut row = vec![Cell::text(format!("{} (published)", arm.arm)), Cell::text("best of all")];
        row.extend([Cell::Count(None), Cell::Count(None), point(published.auc), Cell::Number(None, 4)]);
        row.extend([Cell::p(None), Cell::p(None), point(published.average_precision)]);
        row.extend([point(published.sensitivity), point(published.specificity)]);
        row.extend([Cell::Estimate(None), Cell::Number(None, 3), Cell::Number(None, 3)]);
        rows.push(row);
    }
    Table {
        name: "arms",
        caption: "Arms and modality groups on the pooled hold-out. AUC with DeLong's 95 % interval; average precision \
                  with the bracket that bins leave; sensitivity and specificity with Wilson's intervals at the \
                  threshold of Youden's J on the pooled validation; permutation tests of the AUC against 0.5."
            .into(),
        columns: vec![
            text("arm", "arm"),
            text("group", "modalities"),
            number("positives", "methylated"),
            number("negatives", "unmethylated"),
            estimate("auc", "AUC"),
            number("auc_bin_bound", "bins \u{00b1}"),
            number("p_chance", "p, pooled"),
            number("p_within_sites", "p, within sites"),
            estimate("average_precision", "average precision"),
            estimate("sensitivity", "sensitivity"),
            estimate("specificity", "specificity"),
            estimate("validation_auc", "out-of-fold AUC"),
            number("folds_mean", "folds, mean"),
            number("folds_sd", "folds, SD"),
        ],
        rows,
    }
}

const fn rule(rule: ThresholdRule) -> &'static str {
    match rule {
        ThresholdRule::Youden => "Youden's J",
        ThresholdRule::PaperM => "the paper's M",
        ThresholdRule::Half => "one half",
    }
}

/// Every threshold.
pub(super) fn operating_points(report: &Report) -> Table {
    let row = |arm: &ArmReport, group: &GroupReport, point: &OperatingPoint| {
        let counts = &point.confusion;
        vec![
            Cell::text(arm.arm),
            Cell::text(&group.group.name),
            Cell::text(rule(point.rule)),
            Cell::Number(Some(point.threshold), 3),
            Cell::count(counts.true_positives),
            Cell::count(counts.false_negatives),
            Cell::count(counts.true_negatives),
            Cell::count(counts.false_positives),
            Cell::of(point.sensitivity.as_ref()),
            Cell::of(point.specificity.as_ref()),
            Cell::of(point.positive_predictive_value.as_ref()),
            Cell::of(point.negative_predictive_value.as_ref()),
            Cell::of(point.balanced_accuracy.as_ref()),
            Cell::of(point.f1.as_ref()),
            Cell::Number(point.matthews, 3),
        ]
    };
    let rows = groups(report).flat_map(|(arm, group)| {
        group.statistics.pooled.operating_points.iter().map(move |point| row(arm, group, point))
    });
    Table {
        name: "thresholds",
        caption: "The pooled hold-out at thresholds that were fixed on the pooled out-of-fold validation; Wilson's \
                  95 % intervals."
            .into(),
        columns: vec![
            text("arm", "arm"),
            text("group", "modalities"),
            text("rule", "threshold by"),
            number("threshold", "threshold"),
            number("true_positives", "TP"),
            number("false_negatives", "FN"),
            number("true_negatives", "TN"),
            number("false_positives", "FP"),
            estimate("sensitivity", "sensitivity"),
            estimate("specificity", "specificity"),
            estimate("ppv", "PPV"),
            estimate("npv", "NPV"),
            estimate("balanced_accuracy", "balanced accuracy"),
            estimate("f1", "F1"),
            number("matthews", "MCC"),
        ],
        rows: rows.collect(),
    }
}

/// What the pooled figures lie between where sites told scores by groups of patients.
pub(super) fn ends(report: &Report) -> Table {
    let between =
        |card: &Scorecard, worst: &Scorecard, best: &Scorecard, of: fn(&Scorecard) -> Option<Estimate>| {
            let value = |card| of(card).map(|estimate| estimate.value);
            let ends = value(card).zip(value(worst).zip(value(best)));
            Cell::Estimate(ends.map(|(value, (worst, best))| [value, worst, best]))
        };
    let rows = groups(report).filter_map(|(arm, group)| {
        let (card, FigureEnds { worst, best }) = (&group.holdout.pooled, group.statistics.ends?);
        let of = |figure| between(card, &worst, &best, figure);
        let area = card.auc.map(|auc| {
            let bound = auc.quantisation_bound;
            [auc.value, (auc.value - bound).max(0.0), (auc.value + bound).min(1.0)]
        });
        Some(vec![
            Cell::text(arm.arm),
            Cell::text(&group.group.name),
            Cell::Estimate(area),
            of(|card| card.sensitivity),
            of(|card| card.specificity),
            of(|card| card.positive_predictive_value),
            of(|card| card.negative_predictive_value),
        ])
    });
    Table {
        name: "score-ends",
        caption: "What the pooled hold-out's figures lie between for the scores themselves, where sites told scores by groups of \
                  patients: if all in a group lay as badly, or as well, as they can. These are no confidence intervals: \
                  they are certain, say nothing of other patients, and a site's own area is off by its ties alone."
            .into(),
        columns: vec![
            text("arm", "arm"),
            text("group", "modalities"),
            estimate("auc", "AUC"),
            estimate("sensitivity", "sensitivity"),
            estimate("specificity", "specificity"),
            estimate("ppv", "PPV"),
            estimate("npv", "NPV"),
        ],
        rows: rows.collect(),
    }
}

/// Whether probabilities mean what they say.
pub(super) fn calibration(report: &Report) -> Table {
    let rows = groups(report).map(|(arm, group)| {
        let pooled = &group.statistics.pooled;
        let figures = pooled.recalibration.as_ref().map(|found| &found.figures);
        let wald = |estimate: Option<&consilium_metrics::WaldEstimate>| {
            Cell::Estimate(estimate.map(|e| [e.value, e.interval.lower, e.interval.upper]))
        };
        vec![
            Cell::text(arm.arm),
            Cell::text(&group.group.name),
            bracket(pooled.brier.as_ref().map(|brier| &brier.score)),
            Cell::Number(pooled.brier.map(|brier| brier.of_prevalence), 3),
            Cell::Number(group.statistics.exact.as_ref().map(|exact| exact.brier), 4),
            wald(figures.map(|figures| &figures.slope)),
            wald(figures.map(|figures| &figures.intercept)),
            wald(figures.map(|figures| &figures.in_the_large)),
            bracket(pooled.calibration_error.as_ref()),
        ]
    });
    Table {
        name: "calibration",
        caption: "Calibration on the pooled hold-out. Brier score and expected calibration error with the bracket that \
                  bins leave; the exact Brier score from sums of the sites that told them; slope and intercepts from \
                  the centres of bins, ideally 1, 0 and 0, with 95 % intervals."
            .into(),
        columns: vec![
            text("arm", "arm"),
            text("group", "modalities"),
            estimate("brier", "Brier score"),
            number("brier_of_prevalence", "of the prevalence"),
            number("brier_exact", "exact"),
            estimate("slope", "slope"),
            estimate("intercept", "intercept"),
            estimate("in_the_large", "in the large"),
            estimate("ece", "ECE"),
        ],
        rows: rows.collect(),
    }
}

/// Two arms on the same patients.
pub(super) fn comparisons(report: &Report) -> Table {
    let rows = report.comparisons.iter().map(|comparison| {
        let combined = comparison.combined.as_ref();
        let without: Vec<String> = comparison.without.iter().map(ToString::to_string).collect();
        vec![
            Cell::text(&comparison.group),
            Cell::text(comparison.first),
            Cell::text(comparison.second),
            difference_of(combined),
            Cell::p(comparison.p_value),
            Cell::Number(combined.and_then(|combined| combined.inconsistency), 2),
            Cell::count(comparison.sites.len() as u64),
            Cell::text(without.join(", ")),
        ]
    });
    Table {
        name: "comparisons",
        caption: "Arms against each other on the same patients: the first arm's AUC minus the second's, by DeLong's \
                  comparison of each site's own rows, combined by random effects (Hartung and Knapp). Where one site \
                  alone compared, the interval is unknown and given as -1 to 1."
            .into(),
        columns: vec![
            text("group", "modalities"),
            text("first", "first arm"),
            text("second", "second arm"),
            estimate("difference", "difference of AUC"),
            number("p", "p"),
            number("i_squared", "I\u{00b2}"),
            number("sites", "sites"),
            text("without", "sites that told none"),
        ],
        rows: rows.collect(),
    }
}

/// Sites as draws from a population.
pub(super) fn across_sites(report: &Report) -> Table {
    let mut rows = Vec::new();
    for (arm, group) in groups(report) {
        let Some(across) = &group.statistics.across_sites else { continue };
        for (site, found) in &across.sites {
            let counts = group.holdout.sites.get(site);
            rows.push(vec![
                Cell::text(arm.arm),
                Cell::text(&group.group.name),
                Cell::text(site),
                Cell::Count(counts.map(|card| card.positives.into())),
                Cell::Count(counts.map(|card| card.negatives.into())),
                area(found.area.as_ref().map(|site| &site.area)),
                Cell::Number(found.weight, 3),
                Cell::text(if found.left_out.is_some() { "one class only" } else { "" }),
            ]);
        }
        let interval = |interval: Option<consilium_metrics::Interval>| {
            Cell::Estimate(interval.map(|interval| [across.area, interval.lower, interval.upper]))
        };
        let head = |what: &str| vec![Cell::text(arm.arm), Cell::text(&group.group.name), Cell::text(what)];
        let tail = |note: String| [Cell::Number(None, 3), Cell::text(note)];
        let mut combined = head("combined");
        combined.extend([Cell::Count(None), Cell::Count(None), interval(across.interval)]);
        let percent =
            |share: Option<f64>| share.map_or("unknown".into(), |share| format!("{:.0} %", 100.0 * share));
        combined.extend(tail(format!(
            "tau\u{00b2} {:.3}, I\u{00b2} {}",
            across.logit.between_variance,
            percent(across.logit.inconsistency)
        )));
        rows.push(combined);
        let mut further = head("a further site (prediction)");
        further.extend([Cell::Count(None), Cell::Count(None), interval(across.prediction)]);
        further.extend(tail(String::new()));
        rows.push(further);
    }
    Table {
        name: "sites-auc",
        caption: "Each site's AUC on its own hold-out, combined by random effects on the logit scale (Paule and Mandel; \
                  Hartung and Knapp), with the range in which 95 % of further sites' true AUC are expected."
            .into(),
        columns: vec![
            text("arm", "arm"),
            text("group", "modalities"),
            text("site", "site"),
            number("positives", "methylated"),
            number("negatives", "unmethylated"),
            estimate("auc", "AUC"),
            number("weight", "weight"),
            text("note", "note"),
        ],
        rows,
    }
}
