//! Patients counted by class and by bin of predicted probability.
//!
//! A histogram cannot be malformed, whoever sent it: construction and deserialisation run the same checks.

mod coarser;
mod sent;
mod told_together;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use coarser::CoarsenError;

/// How often each bin of an even grid over [0, 1] was predicted, for patients of either class.
///
/// Bin `b` of `B` holds the scores in `[b/B, (b+1)/B)`; the last bin also holds the score 1.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "sent::Unchecked")]
pub struct ScoreHistogram {
    // Written to within this crate only where the counts stay a histogram: by resampling.
    pub(crate) positives: Vec<u32>,
    pub(crate) negatives: Vec<u32>,
}

/// Patients of a histogram by class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Patients of the positive class.
    pub positives: u32,
    /// Patients of the negative class.
    pub negatives: u32,
}

/// Why counts are not a histogram.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HistogramError {
    /// Too few or too many bins.
    #[error(
        "a score histogram of {bins} bin(s) is refused: use {min} to {max}",
        min = ScoreHistogram::MIN_BINS, max = ScoreHistogram::MAX_BINS
    )]
    Bins {
        /// The number of bins.
        bins: usize,
    },
    /// The classes are counted on different grids.
    #[error(
        "{positives} bins of positives and {negatives} of negatives: send one count a bin for either class"
    )]
    UnequalLengths {
        /// Bins of the positive class.
        positives: usize,
        /// Bins of the negative class.
        negatives: usize,
    },
    /// More patients than the arithmetic is exact for.
    #[error(
        "the histogram counts more than {max} patients: check how it was filled",
        max = ScoreHistogram::MAX_CASES
    )]
    TooManyCases,
}

/// Why a score was not counted. The histogram is unchanged.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RecordError {
    /// Not a probability.
    #[error(
        "the score {0} is not a probability in [0, 1]: \
         record the sigmoid of the model's output, not the logit"
    )]
    NotAProbability(f32),
    /// The histogram is full.
    #[error("the histogram already counts {max} patients, the most it can", max = ScoreHistogram::MAX_CASES)]
    TooManyCases,
}

/// Why two histograms do not add up. Neither is changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// The grids differ.
    #[error(
        "a histogram of {theirs} bins cannot be added to one of {ours}: \
         both must use the study's number of bins"
    )]
    Bins {
        /// Bins of the histogram added to.
        ours: usize,
        /// Bins of the histogram to add.
        theirs: usize,
    },
    /// The sum is out of range.
    #[error(
        "the sum would count more than {max} patients: check the sites' counts against their cohorts",
        max = ScoreHistogram::MAX_CASES
    )]
    TooManyCases,
}

impl ScoreHistogram {
    /// Fewer bins cannot rank anything.
    pub const MIN_BINS: usize = 2;
    /// Finer bins on a small hospital's cohort would be close to sending its rows.
    pub const MAX_BINS: usize = 128;
    /// 2^24 patients: beyond any consortium, and few enough that every count of pairs is exact in an `f64`.
    pub const MAX_CASES: u32 = 1 << 24;

    /// An empty histogram of `bins` bins, 2 to 128.
    pub fn new(bins: u16) -> Result<Self, HistogramError> {
        let bins = usize::from(bins);
        Self::from_counts(vec![0; bins], vec![0; bins])
    }

    /// A histogram from its counts, one a bin, lowest scores first.
    pub fn from_counts(positives: Vec<u32>, negatives: Vec<u32>) -> Result<Self, HistogramError> {
        if positives.len() != negatives.len() {
            let (positives, negatives) = (positives.len(), negatives.len());
            return Err(HistogramError::UnequalLengths { positives, negatives });
        }
        if !(Self::MIN_BINS..=Self::MAX_BINS).contains(&positives.len()) {
            return Err(HistogramError::Bins { bins: positives.len() });
        }
        let cases: u64 = positives.iter().chain(&negatives).map(|&count| u64::from(count)).sum();
        if cases > u64::from(Self::MAX_CASES) {
            return Err(HistogramError::TooManyCases);
        }
        Ok(Self { positives, negatives })
    }

    /// Counts one patient of the given class with the given predicted probability of the positive class.
    pub fn record(&mut self, probability: f32, positive: bool) -> Result<(), RecordError> {
        if !(0.0..=1.0).contains(&probability) {
            return Err(RecordError::NotAProbability(probability));
        }
        if self.cases() == Self::MAX_CASES {
            return Err(RecordError::TooManyCases);
        }
        let bin = self.bin_of(probability);
        let counts = if positive { &mut self.positives } else { &mut self.negatives };
        counts[bin] += 1;
        Ok(())
    }

    /// Adds the patients of `other`.
    pub fn merge(&mut self, other: &Self) -> Result<(), MergeError> {
        if self.bins() != other.bins() {
            return Err(MergeError::Bins { ours: self.bins(), theirs: other.bins() });
        }
        if self.cases() + other.cases() > Self::MAX_CASES {
            return Err(MergeError::TooManyCases);
        }
        let ours = self.positives.iter_mut().chain(&mut self.negatives);
        let theirs = other.positives.iter().chain(&other.negatives);
        for (count, more) in ours.zip(theirs) {
            *count += more;
        }
        Ok(())
    }

    /// Patients of the positive class by bin, lowest scores first.
    pub fn positives(&self) -> &[u32] {
        &self.positives
    }

    /// Patients of the negative class by bin, lowest scores first.
    pub fn negatives(&self) -> &[u32] {
        &self.negatives
    }

    /// Number of bins.
    pub fn bins(&self) -> usize {
        self.positives.len()
    }

    /// Patients by class.
    pub fn totals(&self) -> Totals {
        Totals { positives: self.positives.iter().sum(), negatives: self.negatives.iter().sum() }
    }

    /// The smallest score of bin `bin`.
    pub fn lower_edge(&self, bin: usize) -> f64 {
        bin as f64 / self.bins() as f64
    }

    /// The score that bin `bin` ends at; it belongs to the next bin, except that the last bin holds 1.
    pub fn upper_edge(&self, bin: usize) -> f64 {
        self.lower_edge(bin + 1)
    }

    fn cases(&self) -> u32 {
        let Totals { positives, negatives } = self.totals();
        positives + negatives
    }

    /// The product has at most 24 + 7 significant bits, so it is exact and a score on an edge never slips.
    fn bin_of(&self, probability: f32) -> usize {
        let bin = (f64::from(probability) * self.bins() as f64) as usize;
        bin.min(self.bins() - 1)
    }
}

/// Shows the size only: fine bins over few patients are close to rows.
impl fmt::Debug for ScoreHistogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Totals { positives, negatives } = self.totals();
        write!(f, "ScoreHistogram({} bins, {positives} positive, {negatives} negative)", self.bins())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_fall_into_half_open_bins_and_one_into_the_last() {
        let mut histogram = ScoreHistogram::new(4).unwrap();
        for (score, positive) in
            [(0.0, true), (-0.0, true), (0.25, true), (0.249_999_99, false), (1.0, false)]
        {
            histogram.record(score, positive).unwrap();
        }
        assert_eq!(histogram.positives(), [2, 1, 0, 0]);
        assert_eq!(histogram.negatives(), [1, 0, 0, 1]);
        assert_eq!(histogram.totals(), Totals { positives: 3, negatives: 2 });
        assert_eq!((histogram.lower_edge(3), histogram.upper_edge(3)), (0.75, 1.0));
    }

    /// A report's threshold, used on rows, must classify as the histogram did.
    #[test]
    fn the_floats_around_every_edge_fall_on_its_two_sides() {
        for bins in 2..=128u16 {
            let histogram = ScoreHistogram::new(bins).unwrap();
            for bin in 1..usize::from(bins) {
                let edge = histogram.lower_edge(bin);
                let near = edge as f32;
                for score in [near.next_down(), near, near.next_up()] {
                    assert_eq!(
                        histogram.bin_of(score) >= bin,
                        f64::from(score) >= edge,
                        "{score} at {bin}/{bins}"
                    );
                }
            }
        }
    }

    #[test]
    fn what_is_no_probability_is_refused_and_changes_nothing() {
        let mut histogram = ScoreHistogram::new(8).unwrap();
        for score in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -1e-9, 1.000_000_1] {
            assert!(matches!(histogram.record(score, true), Err(RecordError::NotAProbability(_))), "{score}");
        }
        assert_eq!(histogram, ScoreHistogram::new(8).unwrap());
    }

    #[test]
    fn grids_out_of_range_are_refused() {
        assert_eq!(ScoreHistogram::new(1), Err(HistogramError::Bins { bins: 1 }));
        assert_eq!(ScoreHistogram::new(129), Err(HistogramError::Bins { bins: 129 }));
        assert!(ScoreHistogram::new(2).is_ok() && ScoreHistogram::new(128).is_ok());
    }

    #[test]
    fn a_sum_out_of_range_or_of_other_bins_is_refused_and_changes_nothing() {
        let mut full = ScoreHistogram::from_counts(vec![ScoreHistogram::MAX_CASES, 0], vec![0, 0]).unwrap();
        let one = ScoreHistogram::from_counts(vec![0, 0], vec![0, 1]).unwrap();
        let before = full.clone();
        assert_eq!(full.merge(&one), Err(MergeError::TooManyCases));
        assert_eq!(full.record(0.5, true), Err(RecordError::TooManyCases));
        let other = ScoreHistogram::new(3).unwrap();
        assert_eq!(full.merge(&other), Err(MergeError::Bins { ours: 2, theirs: 3 }));
        assert_eq!(full, before);
    }

    #[test]
    fn debug_tells_sizes_only() {
        let histogram = ScoreHistogram::from_counts(vec![7, 0], vec![0, 5]).unwrap();
        assert_eq!(format!("{histogram:?}"), "ScoreHistogram(2 bins, 7 positive, 5 negative)");
    }
}
