//! Fewer, wider bins: exact, and the way to tell less.

use super::ScoreHistogram;

/// Bins that do not divide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{bins} bins cannot be merged into {wanted}: ask for a divisor of {bins}, at least {min}",
    min = ScoreHistogram::MIN_BINS
)]
pub struct CoarsenError {
    /// Bins there are.
    pub bins: usize,
    /// Bins asked for.
    pub wanted: usize,
}

impl ScoreHistogram {
    /// The same patients in `bins` bins, which must divide the present number.
    ///
    /// Exact: the result is what counting the patients on the coarse grid would have given.
    pub fn coarsen(&self, bins: usize) -> Result<Self, CoarsenError> {
        if bins < Self::MIN_BINS || !self.bins().is_multiple_of(bins) {
            return Err(CoarsenError { bins: self.bins(), wanted: bins });
        }
        let merge = |counts: &[u32]| -> Vec<u32> {
            counts.chunks_exact(self.bins() / bins).map(|merged| merged.iter().sum()).collect()
        };
        Ok(Self { positives: merge(&self.positives), negatives: merge(&self.negatives) })
    }

    /// Whether every group of patients that can be told apart has at least `minimum` members: whether each
    /// bin of each class is empty or holds `minimum`.
    ///
    /// Empty bins are told too: that nobody of a class scored there is a statement about all of that class.
    pub fn reveals_at_most(&self, minimum: u32) -> bool {
        self.positives.iter().chain(&self.negatives).all(|&count| count == 0 || count >= minimum)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_divisors() {
        let histogram = ScoreHistogram::from_counts(vec![1, 2, 3, 4, 5, 6], vec![0; 6]).unwrap();
        assert_eq!(histogram.coarsen(3).unwrap().positives(), [3, 7, 11]);
        assert_eq!(histogram.coarsen(6).unwrap(), histogram);
        for wanted in [0, 1, 4, 12] {
            assert_eq!(histogram.coarsen(wanted), Err(CoarsenError { bins: 6, wanted }));
        }
    }

    #[test]
    fn a_lone_patient_is_seen() {
        let histogram = ScoreHistogram::from_counts(vec![5, 0, 7], vec![0, 4, 9]).unwrap();
        assert!(histogram.reveals_at_most(4) && !histogram.reveals_at_most(5));
    }

    proptest! {
        #[test]
        fn merging_bins_is_counting_on_the_coarse_grid(
            rows in prop::collection::vec((0.0f32..=1.0, any::<bool>()), 0..80),
            bins in 2u16..=16,
            factor in 1u16..=8,
        ) {
            let counted = |bins: u16| {
                let mut histogram = ScoreHistogram::new(bins).unwrap();
                rows.iter().for_each(|&(score, positive)| histogram.record(score, positive).unwrap());
                histogram
            };
            prop_assert_eq!(counted(bins * factor).coarsen(bins.into()).unwrap(), counted(bins));
        }
    }
}
