//! The figure by which Schmitz, Guo and Wang chose the model of a fold.

use crate::{BinEdge, Confusion, ScoreHistogram};

/// M = 0.6 sensitivity + 0.4 specificity at a threshold of 0.5, where both exceed 0.5 (arXiv:2310.12373).
///
/// `None` where one of them does not or its class is empty, and for an odd number of bins: the patients of the
/// middle one are on neither side of 0.5. Equal fractions give equal numbers: the sum is one of integers, divided
/// once.
pub fn paper_m(histogram: &ScoreHistogram) -> Option<f64> {
    let bins = u16::try_from(histogram.bins()).ok()?;
    let half = BinEdge::new(bins / 2, bins).ok().filter(|_| bins.is_multiple_of(2))?;
    let at_half = Confusion::at(histogram, half).ok()?;
    let [tp, fp, tn, fn_] =
        [at_half.true_positives, at_half.false_positives, at_half.true_negatives, at_half.false_negatives]
            .map(u64::from);
    let exceed = tp > fn_ && tn > fp;
    let (positives, negatives) = (tp + fn_, tn + fp);
    // At most 10 * 2^46: exact in an `f64`.
    let numerator = 6 * tp * negatives + 4 * tn * positives;
    exceed.then(|| numerator as f64 / (10 * positives * negatives) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn m(positives: &[u32], negatives: &[u32]) -> Option<f64> {
        paper_m(&ScoreHistogram::from_counts(positives.to_vec(), negatives.to_vec()).unwrap())
    }

    #[test]
    fn sensitivity_weighs_more_than_specificity() {
        // Sensitivity 8/10, specificity 6/10; then the other way round.
        assert_eq!(m(&[1, 1, 4, 4], &[3, 3, 2, 2]), Some(0.72));
        assert_eq!(m(&[2, 2, 3, 3], &[4, 4, 1, 1]), Some(0.68));
        assert_eq!(m(&[0, 3], &[5, 0]), Some(1.0));
    }

    #[test]
    fn a_score_of_one_half_is_positive() {
        let mut histogram = ScoreHistogram::new(64).unwrap();
        histogram.record(0.5, true).unwrap();
        histogram.record(0.5_f32.next_down(), false).unwrap();
        assert_eq!(paper_m(&histogram), Some(1.0));
    }

    #[test]
    fn both_must_exceed_one_half() {
        assert_eq!(m(&[5, 5], &[9, 1]), None, "a sensitivity of exactly 0.5");
        assert_eq!(m(&[1, 9], &[5, 5]), None, "a specificity of exactly 0.5");
        assert!(m(&[4, 5], &[5, 4]).is_some());
    }

    #[test]
    fn without_a_class_or_an_edge_at_one_half_there_is_none() {
        assert_eq!(m(&[0, 0], &[5, 0]), None);
        assert_eq!(m(&[0, 5], &[0, 0]), None);
        assert_eq!(m(&[0, 0, 5], &[5, 0, 0]), None);
    }

    #[test]
    fn equal_fractions_are_equal_numbers() {
        assert_eq!(m(&[1, 2], &[1, 3]), m(&[700, 1_400], &[900, 2_700]));
    }
}
