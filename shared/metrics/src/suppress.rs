//! Whether counts are too small to leave a site, and what may leave instead.
//!
//! A pure rule, which the SITE applies before it sends anything; that others apply it too protects nobody. It
//! limits what one histogram says. It is no proof of privacy: the difference of two histograms over nearly
//! the same patients says more than either.

use serde::{Deserialize, Serialize};

use crate::{JointHistogram, LogisticSums, ScoreHistogram, ScoreSums, Totals};

/// The least counts that may leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmallCountRule {
    /// Least patients of a class; none at all may be told too. Sums over fewer are close to rows.
    pub least_class: u32,
    /// Least patients of an occupied bin of a class. 1 leaves bins alone: enough where only the sum over
    /// sites is seen (secure aggregation) or noise is added.
    pub least_bin: u32,
}

/// Why counts must not leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "reason")]
pub enum Withheld {
    /// A class is too small.
    #[error("a class has fewer than {least} patients, the least that this site tells of")]
    SmallClass {
        /// The site's minimum.
        least: u32,
    },
    /// A bin is too small on every grid that was tried.
    #[error(
        "a bin holds fewer than {least} patients, the least that this site tells of, on every grid that divides \
         the study's"
    )]
    SmallBin {
        /// The site's minimum.
        least: u32,
    },
}

impl SmallCountRule {
    /// Nothing is withheld.
    pub const NONE: Self = Self { least_class: 1, least_bin: 1 };

    /// Whether counts by class may leave. The error names the rule and not the count.
    pub fn check_classes(&self, classes: Totals) -> Result<(), Withheld> {
        let small = |count: u32| count > 0 && count < self.least_class;
        if small(classes.positives) || small(classes.negatives) {
            return Err(Withheld::SmallClass { least: self.least_class });
        }
        Ok(())
    }

    /// Whether a histogram may leave as it is.
    pub fn check(&self, histogram: &ScoreHistogram) -> Result<(), Withheld> {
        self.check_classes(histogram.totals())?;
        self.check_bins(histogram.reveals_at_most(self.least_bin))
    }

    /// Whether a joint histogram may leave as it is.
    pub fn check_joint(&self, joint: &JointHistogram) -> Result<(), Withheld> {
        self.check_classes(joint.marginals().0.totals())?;
        self.check_bins(joint.reveals_at_most(self.least_bin))
    }

    /// Whether the sums of a regression may leave.
    pub fn check_regression(&self, sums: &LogisticSums) -> Result<(), Withheld> {
        self.check_classes(sums.class_counts())
    }

    /// Whether sums of scores may leave.
    pub fn check_scores(&self, sums: &ScoreSums) -> Result<(), Withheld> {
        self.check_classes(sums.class_counts())
    }

    /// The histogram on the finest grid, its own or a divisor's, on which it may leave.
    ///
    /// Which grid it is depends on the patients and tells that the finer ones would not do. The coordinator
    /// brings histograms of several grids together by [`common_grid`].
    pub fn suppress(&self, histogram: &ScoreHistogram) -> Result<ScoreHistogram, Withheld> {
        self.check_classes(histogram.totals())?;
        let grids = (ScoreHistogram::MIN_BINS..=histogram.bins()).rev();
        let coarser = grids.filter_map(|bins| histogram.coarsen(bins).ok());
        let allowed = |histogram: &ScoreHistogram| histogram.reveals_at_most(self.least_bin);
        coarser.into_iter().find(allowed).ok_or(Withheld::SmallBin { least: self.least_bin })
    }

    fn check_bins(&self, large_enough: bool) -> Result<(), Withheld> {
        if large_enough { Ok(()) } else { Err(Withheld::SmallBin { least: self.least_bin }) }
    }
}

/// The finest number of bins that all grids can be coarsened to; `None` for none, or where it would be one
/// bin.
pub fn common_grid(grids: impl IntoIterator<Item = usize>) -> Option<usize> {
    grids.into_iter().reduce(greatest_common_divisor).filter(|&bins| bins >= ScoreHistogram::MIN_BINS)
}

fn greatest_common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FIVE: SmallCountRule = SmallCountRule { least_class: 8, least_bin: 5 };

    fn histogram(positives: &[u32], negatives: &[u32]) -> ScoreHistogram {
        ScoreHistogram::from_counts(positives.to_vec(), negatives.to_vec()).unwrap()
    }

    #[test]
    fn bins_are_merged_until_none_is_small() {
        let fine = histogram(&[1, 4, 6, 7], &[5, 0, 0, 9]);
        assert_eq!(FIVE.check(&fine), Err(Withheld::SmallBin { least: 5 }));
        let coarse = FIVE.suppress(&fine).unwrap();
        assert_eq!((coarse.positives(), coarse.negatives()), (&[5, 13][..], &[5, 9][..]));
        assert_eq!(FIVE.check(&coarse), Ok(()));
        assert_eq!(SmallCountRule::NONE.suppress(&fine).unwrap(), fine);
    }

    #[test]
    fn what_cannot_leave_stays() {
        assert_eq!(FIVE.suppress(&histogram(&[3, 4], &[9, 9])), Err(Withheld::SmallClass { least: 8 }));
        assert_eq!(FIVE.suppress(&histogram(&[9, 1], &[9, 9])), Err(Withheld::SmallBin { least: 5 }));
        assert!(FIVE.check(&histogram(&[0, 0], &[9, 9])).is_ok(), "that there are none may be told");
        let mut joint = JointHistogram::new(2).unwrap();
        (0..8).for_each(|_| joint.record(0.1, 0.9, true).unwrap());
        assert_eq!(FIVE.check_joint(&joint), Ok(()));
        joint.record(0.9, 0.9, true).unwrap();
        assert_eq!(FIVE.check_joint(&joint), Err(Withheld::SmallBin { least: 5 }));
    }

    #[test]
    fn sums_over_few_patients_stay() {
        let mut sums = ScoreSums::new();
        sums.record(0.5, true).unwrap();
        assert_eq!(FIVE.check_scores(&sums), Err(Withheld::SmallClass { least: 8 }));
        assert_eq!(FIVE.check_regression(&LogisticSums::new(1)), Ok(()));
        assert!(!Withheld::SmallClass { least: 8 }.to_string().contains(" 1 "));
    }

    #[test]
    fn grids_meet_at_their_divisor() {
        assert_eq!(common_grid([64, 16, 8]), Some(8));
        assert_eq!(common_grid([12, 8]), Some(4));
        assert_eq!((common_grid([9, 8]), common_grid([])), (None, None));
    }

    proptest! {
        #[test]
        fn nothing_small_ever_leaves(counts in prop::collection::vec((0u32..12, 0u32..12), 2..=24)) {
            let (positives, negatives) = counts.into_iter().unzip();
            let before = ScoreHistogram::from_counts(positives, negatives).unwrap();
            if let Ok(told) = FIVE.suppress(&before) {
                prop_assert!(told.reveals_at_most(5));
                prop_assert_eq!(told.totals(), before.totals());
                prop_assert_eq!(FIVE.check(&told), Ok(()));
            }
        }
    }
}
