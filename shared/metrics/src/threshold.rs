//! A threshold on the grid of a histogram: how it is chosen, and what it does to patients.
//!
//! A score at or above the threshold is called positive. Thresholds are edges of bins, so that a histogram
//! knows exactly on which side each patient falls. Choose on validation data; then judge on other data.

use serde::{Deserialize, Serialize};

use crate::{Estimate, ScoreHistogram, wilson};

/// The lower edge of a bin of an even grid over [0, 1].
///
/// 1 itself is not an edge: the last bin holds the scores equal to 1, so no histogram can tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "UncheckedEdge")]
pub struct BinEdge {
    bin: u16,
    bins: u16,
}

/// The numbers are no edge of a grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("bin {bin} of {bins} has no lower edge on a score grid: the grid has 2 to 128 bins, counted from 0")]
pub struct EdgeError {
    /// The bin.
    pub bin: u16,
    /// Bins of the grid.
    pub bins: u16,
}

/// A threshold was applied to a histogram on another grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a threshold on {edge} bins cannot divide a histogram of {histogram}: choose it on the study's own grid"
)]
pub struct GridMismatch {
    /// Bins of the threshold's grid.
    pub edge: usize,
    /// Bins of the histogram.
    pub histogram: usize,
}

impl BinEdge {
    /// The lower edge of `bin`, counted from 0, of a grid of `bins`.
    pub const fn new(bin: u16, bins: u16) -> Result<Self, EdgeError> {
        let grid = (bins as usize) >= ScoreHistogram::MIN_BINS && (bins as usize) <= ScoreHistogram::MAX_BINS;
        if grid && bin < bins { Ok(Self { bin, bins }) } else { Err(EdgeError { bin, bins }) }
    }

    /// The bin whose lower edge it is.
    pub const fn bin(self) -> u16 {
        self.bin
    }

    /// The score at and above which a patient is called positive, in [0, 1).
    ///
    /// Any `f32` probability compares with this number as it was counted.
    pub fn threshold(self) -> f64 {
        f64::from(self.bin) / f64::from(self.bins)
    }
}

#[derive(Deserialize)]
struct UncheckedEdge {
    bin: u16,
    bins: u16,
}

impl TryFrom<UncheckedEdge> for BinEdge {
    type Error = EdgeError;

    fn try_from(sent: UncheckedEdge) -> Result<Self, Self::Error> {
        Self::new(sent.bin, sent.bins)
    }
}

/// The edge with the largest sensitivity + specificity - 1 (Youden's J,
/// doi:10.1002/1097-0142(1950)3:1<32::AID-CNCR2820030106>3.0.CO;2-3); `None` when a class is empty.
///
/// Of equal edges the one closest to 0.5 is taken, and of two equally close the lower, which misses fewer
/// positives. J is compared as an integer, so equal means equal.
pub fn youden(histogram: &ScoreHistogram) -> Option<BinEdge> {
    let totals = histogram.totals();
    if totals.positives == 0 || totals.negatives == 0 {
        return None;
    }
    let bins = histogram.bins();
    let merit = |bin: usize| {
        let confusion = Confusion::from_bin(histogram, bin);
        // J * P * N, at most 2^46 in absolute value.
        let index = i64::from(confusion.true_positives) * i64::from(totals.negatives)
            - i64::from(confusion.false_positives) * i64::from(totals.positives);
        (index, std::cmp::Reverse((2 * bin).abs_diff(bins)), std::cmp::Reverse(bin))
    };
    let best = (0..bins).max_by_key(|&bin| merit(bin))?;
    Some(BinEdge { bin: best as u16, bins: bins as u16 })
}

/// How a threshold was chosen, on pooled validation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ThresholdRule {
    /// The largest sensitivity + specificity ([`youden`]).
    Youden,
    /// The largest M of the paper ([`best_paper_m`]).
    PaperM,
    /// A probability of one half ([`half`]).
    Half,
}

impl ThresholdRule {
    /// The edge that the rule chooses on `validation`; `None` where it has none.
    pub fn choose(self, validation: &ScoreHistogram) -> Option<BinEdge> {
        match self {
            Self::Youden => youden(validation),
            Self::PaperM => best_paper_m(validation),
            Self::Half => half(validation.bins()),
        }
    }
}

/// The edge at 0.5 of a grid of `bins`; `None` for an odd number, which has no such edge.
pub fn half(bins: usize) -> Option<BinEdge> {
    let bins = u16::try_from(bins).ok().filter(|bins| bins.is_multiple_of(2))?;
    BinEdge::new(bins / 2, bins).ok()
}

/// The edge with the largest M = 0.6 sensitivity + 0.4 specificity where both exceed 0.5 (arXiv:2310.12373);
/// `None` where no edge is such, or a class is empty.
///
/// The paper computes M at 0.5 to choose a model ([`crate::paper_m`]); this is the threshold by the same
/// yardstick. Equal edges are settled as for [`youden`].
pub fn best_paper_m(histogram: &ScoreHistogram) -> Option<BinEdge> {
    let totals = histogram.totals();
    let bins = histogram.bins();
    let merit = |bin: usize| {
        let confusion = Confusion::from_bin(histogram, bin);
        let [hits, passes] = [confusion.true_positives, confusion.true_negatives].map(u64::from);
        let [positives, negatives] = [totals.positives, totals.negatives].map(u64::from);
        let exceed = 2 * hits > positives && 2 * passes > negatives;
        // 5 M P N, at most 5 * 2^46.
        let index = 3 * hits * negatives + 2 * passes * positives;
        exceed.then_some((index, std::cmp::Reverse((2 * bin).abs_diff(bins)), std::cmp::Reverse(bin)))
    };
    let (_, best) = (0..bins).filter_map(|bin| Some((merit(bin)?, bin))).max()?;
    Some(BinEdge { bin: best as u16, bins: bins as u16 })
}

/// Patients by class and by the side of the threshold they fall on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confusion {
    /// Positive patients at or above the threshold.
    pub true_positives: u32,
    /// Positive patients below it.
    pub false_negatives: u32,
    /// Negative patients below it.
    pub true_negatives: u32,
    /// Negative patients at or above it.
    pub false_positives: u32,
}

impl Confusion {
    /// Divides the patients of `histogram` at `edge`.
    pub fn at(histogram: &ScoreHistogram, edge: BinEdge) -> Result<Self, GridMismatch> {
        if usize::from(edge.bins) == histogram.bins() {
            Ok(Self::from_bin(histogram, usize::from(edge.bin)))
        } else {
            Err(GridMismatch { edge: usize::from(edge.bins), histogram: histogram.bins() })
        }
    }

    fn from_bin(histogram: &ScoreHistogram, bin: usize) -> Self {
        let (positives_below, positives_above) = histogram.positives().split_at(bin);
        let (negatives_below, negatives_above) = histogram.negatives().split_at(bin);
        Self {
            true_positives: positives_above.iter().sum(),
            false_negatives: positives_below.iter().sum(),
            true_negatives: negatives_below.iter().sum(),
            false_positives: negatives_above.iter().sum(),
        }
    }

    /// The share of positive patients called positive; `None` without positive patients.
    pub fn sensitivity(&self) -> Option<Estimate> {
        wilson(self.true_positives.into(), self.false_negatives.into())
    }

    /// The share of negative patients called negative; `None` without negative patients.
    pub fn specificity(&self) -> Option<Estimate> {
        wilson(self.true_negatives.into(), self.false_positives.into())
    }

    /// The share of patients called positive who are; `None` when none is called positive.
    pub fn positive_predictive_value(&self) -> Option<Estimate> {
        wilson(self.true_positives.into(), self.false_positives.into())
    }

    /// The share of patients called negative who are; `None` when none is called negative.
    pub fn negative_predictive_value(&self) -> Option<Estimate> {
        wilson(self.true_negatives.into(), self.false_negatives.into())
    }

    /// The share of patients called by their class; `None` without patients.
    pub fn accuracy(&self) -> Option<Estimate> {
        wilson(
            u64::from(self.true_positives) + u64::from(self.true_negatives),
            u64::from(self.false_positives) + u64::from(self.false_negatives),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(positives: &[u32], negatives: &[u32]) -> ScoreHistogram {
        ScoreHistogram::from_counts(positives.to_vec(), negatives.to_vec()).unwrap()
    }

    #[test]
    fn a_threshold_divides_at_or_above_from_below() {
        let histogram = histogram(&[1, 2, 3, 4], &[8, 7, 6, 5]);
        let confusion = Confusion::at(&histogram, BinEdge::new(2, 4).unwrap()).unwrap();
        let expected =
            Confusion { true_positives: 7, false_negatives: 3, true_negatives: 15, false_positives: 11 };
        assert_eq!(confusion, expected);
        let values = [
            (confusion.sensitivity(), 0.7),
            (confusion.specificity(), 15.0 / 26.0),
            (confusion.positive_predictive_value(), 7.0 / 18.0),
            (confusion.negative_predictive_value(), 15.0 / 18.0),
            (confusion.accuracy(), 22.0 / 36.0),
        ];
        for (estimate, expected) in values {
            let estimate = estimate.unwrap();
            assert_eq!(estimate.value, expected);
            assert!(estimate.interval.lower < expected && expected < estimate.interval.upper);
        }
    }

    #[test]
    fn at_zero_everyone_is_positive() {
        let confusion = Confusion::at(&histogram(&[1, 2], &[3, 4]), BinEdge::new(0, 2).unwrap()).unwrap();
        assert_eq!((confusion.true_negatives, confusion.false_negatives), (0, 0));
        assert_eq!(confusion.negative_predictive_value(), None);
    }

    #[test]
    fn youden_finds_the_best_edge() {
        // J at the edges 0, 1/4, 2/4, 3/4: 0, 0.5, 0.3, 0.1.
        let edge = youden(&histogram(&[0, 4, 4, 2], &[5, 2, 2, 1])).unwrap();
        assert_eq!((edge.bin(), edge.threshold()), (1, 0.25));
    }

    #[test]
    fn of_equal_edges_the_one_closest_to_a_half_then_the_lower() {
        // Perfect from edge 1 to edge 5 of 8.
        assert_eq!(
            youden(&histogram(&[0, 0, 0, 0, 0, 9, 0, 0], &[7, 0, 0, 0, 0, 0, 0, 0])).unwrap().bin(),
            4
        );
        // Edges 2 and 3 of 5 are equally good and equally far from 2.5.
        assert_eq!(youden(&histogram(&[0, 0, 0, 1, 0], &[0, 1, 0, 0, 0])).unwrap().bin(), 2);
    }

    #[test]
    fn an_empty_class_has_no_best_edge() {
        assert_eq!(youden(&histogram(&[0, 0], &[1, 1])), None);
        assert_eq!(youden(&histogram(&[1, 1], &[0, 0])), None);
    }

    #[test]
    fn the_papers_m_weighs_sensitivity_more() {
        // Edge 1: (1.0, 0.6), M 0.84; edge 2: (0.6, 1.0), M 0.76; Youden's J is 0.6 at both, and 2 is the
        // middle.
        let even = histogram(&[0, 4, 3, 3], &[6, 4, 0, 0]);
        assert_eq!((best_paper_m(&even).unwrap().bin(), youden(&even).unwrap().bin()), (1, 2));
        assert_eq!(best_paper_m(&histogram(&[5, 5], &[5, 5])), None, "neither exceeds one half");
        assert_eq!(best_paper_m(&histogram(&[0, 5], &[0, 0])), None);
        assert_eq!(half(64).unwrap().threshold(), 0.5);
        assert_eq!((half(5), half(0), half(1 << 20)), (None, None, None));
        assert_eq!(ThresholdRule::Youden.choose(&even), youden(&even));
    }

    #[test]
    fn an_edge_belongs_to_its_grid() {
        assert_eq!(BinEdge::new(4, 4), Err(EdgeError { bin: 4, bins: 4 }));
        assert!(BinEdge::new(0, 1).is_err() && BinEdge::new(0, 129).is_err());
        assert!(serde_json::from_str::<BinEdge>(r#"{"bin":9,"bins":4}"#).is_err());
        let mismatch = Confusion::at(&histogram(&[1, 2], &[3, 4]), BinEdge::new(1, 4).unwrap());
        assert_eq!(mismatch, Err(GridMismatch { edge: 4, histogram: 2 }));
    }
}
