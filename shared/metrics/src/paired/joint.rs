//! Patients counted by class and by the bins of two predicted probabilities.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{RecordError, ScoreHistogram};
use consilium_domain::Bounded;

/// How often each pair of bins was predicted by two arms, for patients of either class.
///
/// Both arms use the same even grid over [0, 1]. Cell (i, j) is number `i * bins + j`, with i the first arm's
/// bin.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct JointHistogram {
    bins: u16,
    positives: Vec<u32>,
    negatives: Vec<u32>,
}

/// Counts that are no joint histogram, or two that do not add up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JointError {
    /// Too few or too many bins.
    #[error(
        "a joint histogram of {bins} by {bins} bins is refused: use {min} to {max}",
        min = ScoreHistogram::MIN_BINS, max = JointHistogram::MAX_BINS
    )]
    Bins {
        /// Bins of either arm.
        bins: u16,
    },
    /// Not one count for each cell and class.
    #[error("{counts} counts for {bins} by {bins} bins: send one for each pair of bins and class")]
    Cells {
        /// Bins of either arm.
        bins: u16,
        /// Counts of the class that is wrong.
        counts: usize,
    },
    /// Two grids.
    #[error("a joint histogram of {theirs} bins cannot be added to one of {ours}: use the study's number")]
    Grids {
        /// Bins here.
        ours: u16,
        /// Bins there.
        theirs: u16,
    },
    /// More patients than the arithmetic is exact for.
    #[error("more than {max} patients: check how the counts were made", max = ScoreHistogram::MAX_CASES)]
    TooManyCases,
}

impl JointHistogram {
    /// 1,024 cells a class: finer ones hold single patients even in the sum of a consortium, and a frame on
    /// the wire is 64 KiB.
    pub const MAX_BINS: u16 = 32;

    /// An empty histogram of `bins` by `bins`, 2 to 32.
    pub fn new(bins: u16) -> Result<Self, JointError> {
        let cells = usize::from(bins) * usize::from(bins);
        Self::from_counts(bins, vec![0; cells], vec![0; cells])
    }

    /// A histogram from its cells, the first arm's lowest bin first.
    pub fn from_counts(bins: u16, positives: Vec<u32>, negatives: Vec<u32>) -> Result<Self, JointError> {
        if usize::from(bins) < ScoreHistogram::MIN_BINS || bins > Self::MAX_BINS {
            return Err(JointError::Bins { bins });
        }
        let cells = usize::from(bins) * usize::from(bins);
        if let Some(wrong) = [&positives, &negatives].into_iter().find(|counts| counts.len() != cells) {
            return Err(JointError::Cells { bins, counts: wrong.len() });
        }
        let cases: u64 = positives.iter().chain(&negatives).map(|&count| u64::from(count)).sum();
        if cases > u64::from(ScoreHistogram::MAX_CASES) {
            return Err(JointError::TooManyCases);
        }
        Ok(Self { bins, positives, negatives })
    }

    /// Counts one patient with the probabilities that the two arms predicted.
    pub fn record(&mut self, first: f32, second: f32, positive: bool) -> Result<(), RecordError> {
        let cell = self.bin_of(first)? * usize::from(self.bins) + self.bin_of(second)?;
        if self.cases() == ScoreHistogram::MAX_CASES {
            return Err(RecordError::TooManyCases);
        }
        let counts = if positive { &mut self.positives } else { &mut self.negatives };
        counts[cell] += 1;
        Ok(())
    }

    fn bin_of(&self, probability: f32) -> Result<usize, RecordError> {
        if !(0.0..=1.0).contains(&probability) {
            return Err(RecordError::NotAProbability(probability));
        }
        let bin = (f64::from(probability) * f64::from(self.bins)) as usize;
        Ok(bin.min(usize::from(self.bins) - 1))
    }

    /// Adds the patients of `other`.
    pub fn merge(&mut self, other: &Self) -> Result<(), JointError> {
        if self.bins != other.bins {
            return Err(JointError::Grids { ours: self.bins, theirs: other.bins });
        }
        if self.cases() + other.cases() > ScoreHistogram::MAX_CASES {
            return Err(JointError::TooManyCases);
        }
        let ours = self.positives.iter_mut().chain(&mut self.negatives);
        for (count, more) in ours.zip(other.positives.iter().chain(&other.negatives)) {
            *count += more;
        }
        Ok(())
    }

    /// The two arms' own histograms.
    pub fn marginals(&self) -> (ScoreHistogram, ScoreHistogram) {
        let bins = usize::from(self.bins);
        let rows = |counts: &[u32]| counts.chunks_exact(bins).map(|row| row.iter().sum()).collect();
        let columns =
            |counts: &[u32]| (0..bins).map(|at| counts.iter().skip(at).step_by(bins).sum()).collect();
        let histogram = |positives, negatives| {
            ScoreHistogram::from_counts(positives, negatives).expect("sums of cells obey the same limits")
        };
        let first = histogram(rows(&self.positives), rows(&self.negatives));
        let second = histogram(columns(&self.positives), columns(&self.negatives));
        (first, second)
    }

    /// Whether every cell of each class is empty or holds at least `minimum` patients: the condition for
    /// leaving a site in the clear. Small cohorts meet it with very few bins, or not at all.
    pub fn reveals_at_most(&self, minimum: u32) -> bool {
        self.positives.iter().chain(&self.negatives).all(|&count| count == 0 || count >= minimum)
    }

    /// Bins of either arm.
    pub fn bins(&self) -> u16 {
        self.bins
    }

    /// The occupied cells of a class: the two bins, and patients.
    pub(super) fn cells(&self, positive: bool) -> impl Iterator<Item = (usize, usize, u32)> {
        let counts = if positive { &self.positives } else { &self.negatives };
        let bins = usize::from(self.bins);
        let cells = counts.iter().enumerate().filter(|(_, count)| **count > 0);
        cells.map(move |(cell, &count)| (cell / bins, cell % bins, count))
    }

    fn cases(&self) -> u32 {
        self.positives.iter().chain(&self.negatives).sum()
    }
}

const MAX_CELLS: usize = JointHistogram::MAX_BINS as usize * JointHistogram::MAX_BINS as usize;

#[derive(Deserialize)]
struct Unchecked {
    bins: u16,
    positives: Bounded<u32, MAX_CELLS>,
    negatives: Bounded<u32, MAX_CELLS>,
}

impl TryFrom<Unchecked> for JointHistogram {
    type Error = JointError;

    fn try_from(sent: Unchecked) -> Result<Self, Self::Error> {
        Self::from_counts(sent.bins, sent.positives.0, sent.negatives.0)
    }
}

/// Shows the size only: its cells are close to rows.
impl fmt::Debug for JointHistogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JointHistogram({0} by {0} bins, {1} patients)", self.bins, self.cases())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marginals_are_the_arms_own_histograms() {
        let mut joint = JointHistogram::new(3).unwrap();
        for (first, second, positive) in [(0.1, 0.9, true), (0.5, 1.0, true), (0.9, 0.0, false)] {
            joint.record(first, second, positive).unwrap();
        }
        let (first, second) = joint.marginals();
        assert_eq!((first.positives(), first.negatives()), (&[1, 1, 0][..], &[0, 0, 1][..]));
        assert_eq!((second.positives(), second.negatives()), (&[0, 0, 2][..], &[1, 0, 0][..]));
        assert!(joint.reveals_at_most(1) && !joint.reveals_at_most(2));
    }

    #[test]
    fn malformed_ones_are_refused() {
        assert!(matches!(JointHistogram::new(1), Err(JointError::Bins { .. })));
        assert!(matches!(JointHistogram::new(33), Err(JointError::Bins { .. })));
        assert!(JointHistogram::from_counts(2, vec![0; 3], vec![0; 4]).is_err());
        assert!(JointHistogram::from_counts(2, vec![u32::MAX; 4], vec![0; 4]).is_err());
        let mut joint = JointHistogram::new(2).unwrap();
        assert!(joint.record(f32::NAN, 0.5, true).is_err() && joint.record(0.5, 1.5, true).is_err());
        assert!(joint.merge(&JointHistogram::new(3).unwrap()).is_err());
        assert_eq!(joint, JointHistogram::new(2).unwrap());
        let text = serde_json::to_string(&joint).unwrap();
        assert_eq!(serde_json::from_str::<JointHistogram>(&text).unwrap(), joint);
        assert!(serde_json::from_str::<JointHistogram>(&text.replace("[0,", "[0,0,")).is_err());
    }
}
