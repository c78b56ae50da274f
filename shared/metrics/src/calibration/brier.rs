//! The Brier score of binned predictions.

use serde::{Deserialize, Serialize};

use crate::{Bracket, ScoreHistogram, Totals};

/// Mean squared distance of predicted probabilities from the classes
/// (doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Brier {
    /// The score of predictions at the centres of their bins, and the least and the most it can be for
    /// predictions anywhere in them.
    pub score: Bracket,
    /// The score of predicting the share of positive patients for everyone: no model should be above it.
    pub of_prevalence: f64,
}

/// The Brier score; `None` without patients.
pub fn brier(histogram: &ScoreHistogram) -> Option<Brier> {
    let Totals { positives, negatives } = histogram.totals();
    let patients = f64::from(positives) + f64::from(negatives);
    if patients == 0.0 {
        return None;
    }
    let (mut lower, mut value, mut upper) = (0.0, 0.0, 0.0);
    for (bin, (&p, &n)) in histogram.positives().iter().zip(histogram.negatives()).enumerate() {
        let (p, n) = (f64::from(p), f64::from(n));
        let (low, high) = (histogram.lower_edge(bin), histogram.upper_edge(bin));
        let squared = |positive_at: f64, negative_at: f64| {
            p * (1.0 - positive_at) * (1.0 - positive_at) + n * negative_at * negative_at
        };
        lower += squared(high, low);
        value += squared(0.5 * (low + high), 0.5 * (low + high));
        upper += squared(low, high);
    }
    let prevalence = f64::from(positives) / patients;
    let score = Bracket { lower: lower / patients, value: value / patients, upper: upper / patients };
    Some(Brier { score, of_prevalence: prevalence * (1.0 - prevalence) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let histogram = ScoreHistogram::from_counts(vec![1, 3], vec![4, 0]).unwrap();
        let Brier { score, of_prevalence } = brier(&histogram).unwrap();
        // Centres 1/4 and 3/4.
        assert_eq!(score.value, (0.5625 + 3.0 * 0.0625 + 4.0 * 0.0625) / 8.0);
        assert_eq!((score.lower, score.upper), (0.25 / 8.0, (1.0 + 3.0 * 0.25 + 4.0 * 0.25) / 8.0));
        assert_eq!(of_prevalence, 0.25);
        assert_eq!(brier(&ScoreHistogram::new(2).unwrap()), None);
    }
}
