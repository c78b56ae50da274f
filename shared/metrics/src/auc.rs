//! The area under the ROC curve of a score histogram, its DeLong interval, and what the bins may have cost.
//!
//! Scores in one bin count as tied. The area is therefore exact for the quantised scores, and off by at most
//! half the tied pairs for the scores themselves.

use serde::{Deserialize, Serialize};

use crate::interval::{Interval, TAIL_95, Z_95};
use crate::{ScoreHistogram, Totals};

/// An area under the ROC curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct AucEstimate {
    /// The area of the quantised scores: the share of (positive, negative) pairs in the right order, ties
    /// half.
    pub value: f64,
    /// 95 % confidence interval of the quantised scores' area. Covers the sampling of patients, not the bins.
    pub interval: Interval,
    /// How the interval was made.
    pub interval_rule: IntervalRule,
    /// DeLong's variance of the area; `None` with a single patient in a class.
    pub variance: Option<f64>,
    /// The area of the scores themselves is at most this far from `value`.
    pub quantisation_bound: f64,
}

/// How the interval of an area was made.
///
/// The distribution-free rules serve where DeLong's variance is zero or undefined and would claim certainty.
/// Both rest on m = min(P, N) disjoint pairs of a positive and a negative patient, which are independent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IntervalRule {
    /// DeLong's variance carried to the logit scale by the delta method and back, which keeps the interval
    /// within (0, 1) and closer to its nominal coverage at high areas than the symmetric one.
    DelongLogit,
    /// An area of 0 or 1. Were the true area A, all m disjoint pairs would agree with probability at most A^m
    /// (or (1 - A)^m), so the interval is [0.025^(1/m), 1] or its mirror image: Clopper and Pearson's at the
    /// end of its range (doi:10.1093/biomet/26.4.404).
    ExactAtEnd,
    /// Any other area without a positive DeLong variance (one patient in a class, or every score in one bin):
    /// Hoeffding's inequality for U-statistics, half-width sqrt(ln(2/0.05) / 2m), cut to [0, 1]
    /// (doi:10.1080/01621459.1963.10500830, section 5).
    Hoeffding,
}

/// The area under the ROC curve; `None` when a class is empty.
pub fn auc(histogram: &ScoreHistogram) -> Option<AucEstimate> {
    let totals = histogram.totals();
    if totals.positives == 0 || totals.negatives == 0 {
        return None;
    }
    let pairs = u64::from(totals.positives) * u64::from(totals.negatives);
    // At most 2 * 2^46 (see `MAX_CASES`): both sums are exact here and as floats.
    let twice_ordered: u64 = ranked(histogram, totals).map(|bin| bin.positives * bin.twice_beaten).sum();
    let tied: u64 = ranked(histogram, totals).map(|bin| bin.positives * bin.negatives).sum();
    let value = twice_ordered as f64 / (2 * pairs) as f64;
    let variance = delong_variance(histogram, totals, value);
    let (interval, interval_rule) = interval(value, variance, totals);
    let quantisation_bound = tied as f64 / (2 * pairs) as f64;
    Some(AucEstimate { value, interval, interval_rule, variance, quantisation_bound })
}

/// A bin with what its patients beat, twice over so that half a tie is whole.
struct RankedBin {
    positives: u64,
    negatives: u64,
    /// Twice the negatives below the bin plus those in it: what each of its positives is ranked above.
    twice_beaten: u64,
    /// Twice the positives above the bin plus those in it: what each of its negatives is ranked below.
    twice_beating: u64,
}

fn ranked(histogram: &ScoreHistogram, totals: Totals) -> impl Iterator<Item = RankedBin> {
    let counts = histogram.positives().iter().zip(histogram.negatives());
    let mut negatives_below = 0;
    let mut positives_above = u64::from(totals.positives);
    counts.map(move |(&positives, &negatives)| {
        let (positives, negatives) = (u64::from(positives), u64::from(negatives));
        positives_above -= positives;
        let twice_beaten = 2 * negatives_below + negatives;
        let twice_beating = 2 * positives_above + positives;
        negatives_below += negatives;
        RankedBin { positives, negatives, twice_beaten, twice_beating }
    })
}

/// DeLong, DeLong and Clarke-Pearson's variance (doi:10.2307/2531595): S10/P + S01/N of the placement values.
///
/// All patients of one class in one bin have the same placement value, so a pass over the bins is the whole
/// computation, exact with ties; compare the sorted form of Sun and Xu (doi:10.1109/LSP.2014.2337313).
fn delong_variance(histogram: &ScoreHistogram, totals: Totals, auc: f64) -> Option<f64> {
    if totals.positives < 2 || totals.negatives < 2 {
        return None;
    }
    let (positives, negatives) = (f64::from(totals.positives), f64::from(totals.negatives));
    let (mut of_positives, mut of_negatives) = (0.0, 0.0);
    for bin in ranked(histogram, totals) {
        let placement = bin.twice_beaten as f64 / (2.0 * negatives);
        of_positives += bin.positives as f64 * (placement - auc).powi(2);
        let placement = bin.twice_beating as f64 / (2.0 * positives);
        of_negatives += bin.negatives as f64 * (placement - auc).powi(2);
    }
    Some(of_positives / (positives * (positives - 1.0)) + of_negatives / (negatives * (negatives - 1.0)))
}

fn interval(auc: f64, variance: Option<f64>, totals: Totals) -> (Interval, IntervalRule) {
    let disjoint_pairs = f64::from(totals.positives.min(totals.negatives));
    let far_end = TAIL_95.powf(1.0 / disjoint_pairs);
    match variance {
        _ if auc == 1.0 => (Interval { lower: far_end, upper: 1.0 }, IntervalRule::ExactAtEnd),
        _ if auc == 0.0 => (Interval { lower: 0.0, upper: 1.0 - far_end }, IntervalRule::ExactAtEnd),
        Some(variance) if variance > 0.0 => (logit_interval(auc, variance), IntervalRule::DelongLogit),
        _ => {
            let half_width = ((1.0 / TAIL_95).ln() / (2.0 * disjoint_pairs)).sqrt();
            (Interval::clipped(auc - half_width, auc + half_width), IntervalRule::Hoeffding)
        }
    }
}

/// The derivative of the logit at `auc` is 1 / (auc (1 - auc)).
fn logit_interval(auc: f64, variance: f64) -> Interval {
    let centre = (auc / (1.0 - auc)).ln();
    let spread = Z_95 * variance.sqrt() / (auc * (1.0 - auc));
    let logistic = |x: f64| 1.0 / (1.0 + (-x).exp());
    Interval { lower: logistic(centre - spread).min(auc), upper: logistic(centre + spread).max(auc) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(positives: &[u32], negatives: &[u32]) -> AucEstimate {
        auc(&ScoreHistogram::from_counts(positives.to_vec(), negatives.to_vec()).unwrap()).unwrap()
    }

    fn assert_close(actual: f64, expected: f64) {
        assert!((actual - expected).abs() < 1e-12, "{actual} is not {expected}");
    }

    /// Positives in bins 1, 2, 2; negatives in bins 0, 1. Pairs won: 1.5 + 2 + 2 of 6.
    #[test]
    fn by_hand() {
        let estimate = of(&[0, 1, 2], &[1, 1, 0]);
        assert_close(estimate.value, 5.5 / 6.0);
        assert_close(estimate.quantisation_bound, 1.0 / 12.0);
        // Placements: positives 3/4, 1, 1 (mean 11/12); negatives 1, 5/6. Sample variances 1/48 and 1/72.
        assert_close(estimate.variance.unwrap(), 1.0 / 48.0 / 3.0 + 1.0 / 72.0 / 2.0);
        assert_eq!(estimate.interval_rule, IntervalRule::DelongLogit);
        // logit(11/12) = ln 11; sd = sqrt(1/72); slope 144/11.
        let spread = Z_95 * (1.0f64 / 72.0).sqrt() * 144.0 / 11.0;
        assert_close(estimate.interval.lower, 11.0 / (11.0 + spread.exp()));
        assert_close(estimate.interval.upper, 11.0 / (11.0 + (-spread).exp()));
    }

    #[test]
    fn an_empty_class_has_no_area() {
        for (positives, negatives) in [([0, 0], [3, 4]), ([3, 4], [0, 0]), ([0, 0], [0, 0])] {
            let histogram = ScoreHistogram::from_counts(positives.to_vec(), negatives.to_vec()).unwrap();
            assert_eq!(auc(&histogram), None);
        }
    }

    #[test]
    fn a_perfect_order_is_not_certain() {
        let best = of(&[0, 0, 10], &[4, 16, 0]);
        assert_eq!((best.value, best.quantisation_bound, best.variance), (1.0, 0.0, Some(0.0)));
        assert_eq!(best.interval_rule, IntervalRule::ExactAtEnd);
        // 0.025^(1/10): the lower limit of 10 successes in 10 trials in tables of Clopper and Pearson.
        assert!((best.interval.lower - 0.6915).abs() < 5e-5 && best.interval.upper == 1.0);
        let worst = of(&[4, 16, 0], &[0, 0, 10]);
        assert_eq!(worst.value, 0.0);
        assert_eq!(worst.interval, Interval { lower: 0.0, upper: 1.0 - best.interval.lower });
    }

    #[test]
    fn scores_in_one_bin_say_nothing_but_how_many_there_were() {
        let estimate = of(&[0, 50], &[0, 80]);
        assert_eq!((estimate.value, estimate.quantisation_bound), (0.5, 0.5));
        assert_eq!(estimate.interval_rule, IntervalRule::Hoeffding);
        assert_close(estimate.interval.upper - 0.5, (40.0f64.ln() / 100.0).sqrt());
    }

    #[test]
    fn one_patient_of_a_class_leaves_the_whole_range() {
        let estimate = of(&[0, 1, 0], &[5, 0, 5]);
        assert_eq!((estimate.value, estimate.variance), (0.5, None));
        assert_eq!(estimate.interval, Interval { lower: 0.0, upper: 1.0 });
        assert_close(of(&[0, 0, 1], &[5, 5, 0]).interval.lower, 0.025);
    }

    #[test]
    fn the_largest_histogram_is_exact() {
        let half = ScoreHistogram::MAX_CASES / 2;
        let estimate = of(&[0, half], &[half, 0]);
        assert_eq!((estimate.value, estimate.quantisation_bound), (1.0, 0.0));
        let nearly = of(&[1, half - 1], &[half, 0]);
        assert_close(nearly.value, 1.0 - 0.5 / f64::from(half));
        assert!(nearly.interval.contains(nearly.value));
    }
}
