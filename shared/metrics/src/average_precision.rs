//! Average precision from a score histogram: a value, and a bracket that holds the true one for certain.
//!
//! The definition is the step sum of scikit-learn's `average_precision_score` (no interpolation):
//! AP = sum over thresholds of (recall gained) x (precision there); equal scores are one threshold.

use serde::{Deserialize, Serialize};

use crate::ScoreHistogram;

/// The average precision of binned scores.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bracket {
    /// The least it can be for scores that fall into these bins.
    pub lower: f64,
    /// The average precision of the quantised scores: each bin is one threshold.
    pub value: f64,
    /// The most it can be for scores that fall into these bins.
    pub upper: f64,
}

/// The average precision; `None` without positive patients. Without negative ones it is 1 by definition.
///
/// Walking down from the highest bin with T true and F false positives above, the precision met by the i-th
/// of a bin's p positives, if n negatives share the bin, is
/// - at least (T + i) / (T + i + F + n): all negatives first, then the positives one by one;
/// - at most (T + p) / (T + p + F): all positives tied, above the negatives;
/// - (T + p) / (T + p + F + n) if the bin is one threshold.
pub fn average_precision(histogram: &ScoreHistogram) -> Option<Bracket> {
    let total = f64::from(histogram.totals().positives);
    if total == 0.0 {
        return None;
    }
    let (mut lower, mut value, mut upper) = (0.0, 0.0, 0.0);
    let (mut above, mut false_above) = (0.0, 0.0);
    for (&count, &negatives) in histogram.positives().iter().zip(histogram.negatives()).rev() {
        let (positives, negatives) = (f64::from(count), f64::from(negatives));
        if count > 0 {
            lower += (1..=count)
                .map(|rank| precision(above + f64::from(rank), false_above + negatives))
                .sum::<f64>();
            value += positives * precision(above + positives, false_above + negatives);
            upper += positives * precision(above + positives, false_above);
        }
        above += positives;
        false_above += negatives;
    }
    let (lower, value, upper) = (lower / total, value / total, upper / total);
    // Three sums of the same size may cross by a rounding error.
    Some(Bracket { lower: lower.min(value), value, upper: upper.max(value) })
}

fn precision(true_positives: f64, false_positives: f64) -> f64 {
    true_positives / (true_positives + false_positives)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(positives: &[u32], negatives: &[u32]) -> Option<Bracket> {
        average_precision(&ScoreHistogram::from_counts(positives.to_vec(), negatives.to_vec()).unwrap())
    }

    /// Bin 1: two positives and a negative; bin 0: one positive and two negatives.
    #[test]
    fn by_hand() {
        let Bracket { lower, value, upper } = of(&[1, 2], &[2, 1]).unwrap();
        for (actual, expected) in [
            (lower, (1.0 / 2.0 + 2.0 / 3.0 + 3.0 / 6.0) / 3.0),
            (value, (2.0 * 2.0 / 3.0 + 3.0 / 6.0) / 3.0),
            (upper, (2.0 + 3.0 / 4.0) / 3.0),
        ] {
            assert!((actual - expected).abs() < 1e-15, "{actual} is not {expected}");
        }
    }

    /// The example of scikit-learn's documentation: y = 0 0 1 1, scores 0.1 0.4 0.35 0.8, AP 0.83.
    #[test]
    fn bins_without_ties_leave_no_bracket() {
        let Bracket { lower, value, upper } =
            of(&[0, 0, 0, 1, 0, 0, 0, 0, 1, 0], &[0, 1, 0, 0, 1, 0, 0, 0, 0, 0]).unwrap();
        assert_eq!((lower, upper), (value, value));
        assert!((value - 5.0 / 6.0).abs() < 1e-15);
    }

    #[test]
    fn empty_classes() {
        assert_eq!(of(&[0, 0], &[3, 4]), None);
        assert_eq!(of(&[3, 4], &[0, 0]), Some(Bracket { lower: 1.0, value: 1.0, upper: 1.0 }));
    }
}
