//! Calibration slope and intercept: the logistic regression of the class on the logit of the prediction.
//!
//! Cox (doi:10.1093/biomet/45.3-4.562); read as Van Calster and others do (doi:10.1186/s12916-019-1466-7): a
//! slope below 1 says that predictions are too extreme, an intercept in the large above 0 that they are too
//! low.

use serde::{Deserialize, Serialize};

use crate::logistic::{
    Coefficients, FitError, LogisticFit, LogisticSums, NewtonFit, Progress, RowError, WaldEstimate,
};
use crate::{RecordError, ScoreHistogram};

/// Which of the two regressions: they are fitted one after the other or side by side, each with its own sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Recalibration {
    /// logit P(positive) = a + b logit(p): the slope b, and its intercept a.
    Slope,
    /// logit P(positive) = a + logit(p): calibration in the large, a.
    InTheLarge,
}

/// Calibration in three figures.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RecalibrationFigures {
    /// Calibration slope, ideally 1.
    pub slope: WaldEstimate,
    /// The intercept beside the slope, ideally 0.
    pub intercept: WaldEstimate,
    /// The intercept with the slope fixed at 1, ideally 0.
    pub in_the_large: WaldEstimate,
}

/// A site's patients, or a histogram's, that a regression cannot take.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RecalibrationError {
    /// The score is none.
    #[error(transparent)]
    Score(#[from] RecordError),
    /// The sums refuse it.
    #[error(transparent)]
    Row(#[from] RowError),
}

impl Recalibration {
    /// A score this close to 0 or 1 counts as this: half the spacing of `f32` below 1. Its logit is 17.3 in
    /// size.
    pub const LEAST_SCORE: f64 = 1.0 / (1u64 << 25) as f64;

    /// A regression about to start.
    pub fn start(self) -> NewtonFit {
        NewtonFit::new(self.features(), 0.0).expect("at most one slope and no ridge are never refused")
    }

    /// Empty sums for a site.
    pub fn sums(self) -> LogisticSums {
        LogisticSums::new(self.features())
    }

    /// Adds one patient of a site under the coefficients that the coordinator asked about.
    pub fn record(
        self,
        sums: &mut LogisticSums,
        at: &Coefficients,
        probability: f32,
        positive: bool,
    ) -> Result<(), RecalibrationError> {
        if !(0.0..=1.0).contains(&probability) {
            return Err(RecordError::NotAProbability(probability).into());
        }
        Ok(self.record_many(sums, at, f64::from(probability), positive, 1)?)
    }

    fn record_many(
        self,
        sums: &mut LogisticSums,
        at: &Coefficients,
        probability: f64,
        positive: bool,
        patients: u32,
    ) -> Result<(), RowError> {
        let logit = logit(probability.clamp(Self::LEAST_SCORE, 1.0 - Self::LEAST_SCORE));
        match self {
            Self::Slope => sums.record_many(at, &[logit], 0.0, positive, patients),
            Self::InTheLarge => sums.record_many(at, &[], logit, positive, patients),
        }
    }

    fn features(self) -> usize {
        match self {
            Self::Slope => 1,
            Self::InTheLarge => 0,
        }
    }

    fn fit_binned(self, histogram: &ScoreHistogram) -> Result<LogisticFit, FitError> {
        let mut fit = self.start();
        loop {
            // A centre's logit is below 6 in size: all that the sums can refuse is the number of patients.
            let sums = self.binned_sums(histogram, fit.coefficients()).map_err(|_| FitError::TooManyCases)?;
            if let Progress::Done(done) = fit.absorb(&sums)? {
                return Ok(done);
            }
        }
    }

    fn binned_sums(self, histogram: &ScoreHistogram, at: &Coefficients) -> Result<LogisticSums, RowError> {
        let mut sums = self.sums();
        for (bin, (&positives, &negatives)) in
            histogram.positives().iter().zip(histogram.negatives()).enumerate()
        {
            let centre = centre(histogram, bin);
            self.record_many(&mut sums, at, centre, true, positives)?;
            self.record_many(&mut sums, at, centre, false, negatives)?;
        }
        Ok(sums)
    }
}

impl RecalibrationFigures {
    /// The figures of the two regressions; `None` where either is another regression.
    pub fn of(slope: &LogisticFit, in_the_large: &LogisticFit) -> Option<Self> {
        match (&slope.coefficients[..], &in_the_large.coefficients[..]) {
            (&[intercept, slope], &[in_the_large]) => Some(Self { slope, intercept, in_the_large }),
            _ => None,
        }
    }
}

/// Calibration from a histogram alone: each patient at the centre of its bin.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BinnedRecalibration {
    /// The figures of the centres.
    pub figures: RecalibrationFigures,
    /// How far the slope of the scores may lie from that of the centres, to first order; `None` where the
    /// first or the last bin holds patients: a logit is unbounded there, and so is the error.
    pub slope_bound: Option<f64>,
}

/// Slope and intercepts with scores at the centres of their bins: for sites that send a histogram and answer
/// no regression.
pub fn recalibrate_binned(histogram: &ScoreHistogram) -> Result<BinnedRecalibration, FitError> {
    let slope = Recalibration::Slope.fit_binned(histogram)?;
    let in_the_large = Recalibration::InTheLarge.fit_binned(histogram)?;
    let figures = RecalibrationFigures::of(&slope, &in_the_large)
        .expect("the regressions were just made with one slope and none");
    Ok(BinnedRecalibration { figures, slope_bound: slope_bound(histogram, &slope) })
}

/// The sum over patients of |d slope / d logit| times the most that the logit can be off.
///
/// At the maximum the gradient g is zero, so that d(a, b) = H⁻¹ dg; and moving a patient's logit z changes g
/// by (-w b, (y - m) - w b z), with its fitted probability m and w = m (1 - m).
fn slope_bound(histogram: &ScoreHistogram, fit: &LogisticFit) -> Option<f64> {
    let b = fit.coefficients[1].value;
    let (with_intercept, with_slope) = (fit.covariance[2], fit.covariance[3]);
    let mut bound = 0.0;
    for (bin, (&positives, &negatives)) in histogram.positives().iter().zip(histogram.negatives()).enumerate()
    {
        if positives == 0 && negatives == 0 {
            continue;
        }
        if bin == 0 || bin + 1 == histogram.bins() {
            return None;
        }
        let z = logit(centre(histogram, bin));
        let off = (logit(histogram.upper_edge(bin)) - z).max(z - logit(histogram.lower_edge(bin)));
        let m = fit.probability(&[z], 0.0)?;
        for (y, patients) in [(1.0, positives), (0.0, negatives)] {
            let weighted = m * (1.0 - m) * b;
            let change = -with_intercept * weighted + with_slope * (y - m - weighted * z);
            bound += f64::from(patients) * change.abs() * off;
        }
    }
    Some(bound)
}

fn centre(histogram: &ScoreHistogram, bin: usize) -> f64 {
    0.5 * (histogram.lower_edge(bin) + histogram.upper_edge(bin))
}

fn logit(probability: f64) -> f64 {
    libm::log(probability) - libm::log1p(-probability)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In each bin the share of positives is its centre: 1/8, 3/8, 5/8, 7/8.
    #[test]
    fn perfect_calibration() {
        let histogram = ScoreHistogram::from_counts(vec![10, 30, 50, 70], vec![70, 50, 30, 10]).unwrap();
        let figures = recalibrate_binned(&histogram).unwrap().figures;
        assert!((figures.slope.value - 1.0).abs() < 1e-9, "{figures:?}");
        assert!(figures.intercept.value.abs() < 1e-9 && figures.in_the_large.value.abs() < 1e-9);
        assert_eq!(recalibrate_binned(&histogram).unwrap().slope_bound, None);
    }

    #[test]
    fn overconfident_predictions_have_a_slope_below_one() {
        let histogram =
            ScoreHistogram::from_counts(vec![0, 40, 0, 0, 60, 0], vec![0, 60, 0, 0, 40, 0]).unwrap();
        let BinnedRecalibration { figures, slope_bound } = recalibrate_binned(&histogram).unwrap();
        assert!((figures.slope.value - 1.5f64.ln() / 3.0f64.ln()).abs() < 1e-8, "{figures:?}");
        assert!(slope_bound.unwrap() > 0.0);
    }

    #[test]
    fn what_cannot_be_recalibrated_says_why() {
        let of = |p: &[u32], n: &[u32]| {
            recalibrate_binned(&ScoreHistogram::from_counts(p.to_vec(), n.to_vec()).unwrap())
        };
        assert!(matches!(of(&[0, 0], &[1, 1]), Err(FitError::OneClass { .. })));
        assert_eq!(of(&[0, 3], &[0, 3]), Err(FitError::Collinear), "all scores equal");
        assert!(matches!(of(&[0, 3], &[3, 0]), Err(FitError::Separated { .. })));
    }

    #[test]
    fn certain_scores_are_finite() {
        let mut sums = Recalibration::Slope.sums();
        let at = Coefficients::zero(1).unwrap();
        for score in [0.0, 1.0] {
            Recalibration::Slope.record(&mut sums, &at, score, true).unwrap();
        }
        assert!(Recalibration::Slope.record(&mut sums, &at, f32::NAN, true).is_err());
        assert_eq!(sums.class_counts().positives, 2);
    }
}
