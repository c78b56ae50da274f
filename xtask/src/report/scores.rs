//! Scores of one set of patients: pooled and by site, every figure with its interval.

use crate::place::{Complaints, Place};

/// Late fusion: validation and hold-out, and a threshold wherever validation saw both classes.
pub(super) fn check_group(group: &Place<'_>, complaints: &mut Complaints) {
    group.field("group", complaints);
    let validation = group.field("validation", complaints);
    let both =
        validation.as_ref().and_then(|scores| scores.optional("pooled")).is_some_and(|card| has_both(&card));
    if both {
        group.number("threshold", complaints);
    }
    for scores in [validation, group.field("holdout", complaints)].into_iter().flatten() {
        check(&scores, complaints);
    }
}

/// Pooled and by site; the pooled counts are the sum of the sites'.
pub(super) fn check(scores: &Place<'_>, complaints: &mut Complaints) {
    scores.keys("missing", complaints);
    let sites = scores.some_children("sites", complaints);
    for card in &sites {
        check_card(card, complaints);
    }
    let Some(pooled) = scores.field("pooled", complaints) else { return };
    check_card(&pooled, complaints);
    for class in ["positives", "negatives"] {
        let sum: u64 = sites.iter().map(|card| card.count(class)).sum();
        if pooled.count(class) != sum {
            complaints.add(&pooled, &format!("{} {class}, the sites have {sum}", pooled.count(class)));
        }
    }
}

fn has_both(card: &Place<'_>) -> bool {
    card.count("positives") > 0 && card.count("negatives") > 0
}

/// A figure may be absent only where it is undefined: without patients of a class, or without a threshold.
fn check_card(card: &Place<'_>, complaints: &mut Complaints) {
    let positives = card.number("positives", complaints).is_some_and(|count| count > 0.0);
    let negatives = card.number("negatives", complaints).is_some_and(|count| count > 0.0);
    if positives
        && negatives
        && let Some(auc) = card.field("auc", complaints)
    {
        check_estimate(&auc, complaints);
        auc.number("quantisation_bound", complaints);
    }
    if positives && let Some(bracket) = card.field("average_precision", complaints) {
        check_order(&bracket, &bracket, complaints);
    }
    let decided = card.optional("threshold").is_some();
    for (name, defined) in [("sensitivity", positives && decided), ("specificity", negatives && decided)] {
        if defined && let Some(estimate) = card.field(name, complaints) {
            check_estimate(&estimate, complaints);
        }
    }
}

fn check_estimate(estimate: &Place<'_>, complaints: &mut Complaints) {
    if let Some(interval) = estimate.field("interval", complaints) {
        check_order(estimate, &interval, complaints);
    }
}

/// lower <= value <= upper, all in [0, 1].
fn check_order(estimate: &Place<'_>, range: &Place<'_>, complaints: &mut Complaints) {
    let value = estimate.number("value", complaints);
    let (lower, upper) = (range.number("lower", complaints), range.number("upper", complaints));
    if let (Some(lower), Some(value), Some(upper)) = (lower, value, upper)
        && !(lower <= value && value <= upper && upper <= 1.0)
    {
        complaints.add(estimate, &format!("{value} does not lie in its interval {lower} to {upper}"));
    }
}
