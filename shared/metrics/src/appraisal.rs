//! Everything that one histogram says beyond a [`Scorecard`](crate::Scorecard), for the reader of a report.

use consilium_domain::Seed;
use serde::{Deserialize, Serialize};

use crate::{
    BinEdge, BinnedRecalibration, BootstrapInterval, Bracket, Brier, CalibrationGroup, ChanceTest, Confusion,
    DEFAULT_REPLICATES, GridMismatch, MannWhitney, OperatingPoint, PartialArea, PrecisionRecallPoint,
    RocPoint, ScoreHistogram, ThresholdRule, auc, average_precision, bootstrap, brier, calibration_curve,
    expected_calibration_error, mann_whitney, partial_area, permutation_test, precision_recall_curve,
    recalibrate_binned, roc_curve,
};

/// How much is drawn, and how bins are grouped.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct AppraisalSettings {
    /// Resamples of each bootstrap interval.
    pub replicates: u32,
    /// Random permutations where counting them all takes too long: p is then a multiple of 1 / (permutations
    /// + 1).
    pub permutations: u32,
    /// Most groups of the calibration curve; the largest divisor of the bins up to it is used.
    pub calibration_groups: usize,
    /// Up to which false positive rate the partial area goes.
    pub max_false_positive_rate: f64,
}

impl Default for AppraisalSettings {
    fn default() -> Self {
        Self {
            replicates: DEFAULT_REPLICATES,
            permutations: 9_999,
            calibration_groups: 10,
            max_false_positive_rate: 0.2,
        }
    }
}

/// The figures of one score histogram. What is undefined for it is `None`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Appraisal {
    /// What was asked for.
    pub settings: AppraisalSettings,
    /// The area's interval by stratified bootstrap; needs both classes.
    pub auc_bootstrap: Option<BootstrapInterval>,
    /// The average precision's interval by stratified bootstrap; needs both classes.
    pub average_precision_bootstrap: Option<BootstrapInterval>,
    /// Permutation test of the area against 0.5; needs both classes.
    pub chance: Option<ChanceTest>,
    /// Its normal approximation; needs both classes and more than one occupied bin.
    pub mann_whitney: Option<MannWhitney>,
    /// The area under the left end of the ROC curve; needs both classes.
    pub partial_area: Option<PartialArea>,
    /// The figures at each threshold, in the order given.
    pub operating_points: Vec<OperatingPoint>,
    /// Intervals of Matthews' correlation at the same thresholds, by stratified bootstrap.
    pub matthews_bootstrap: Vec<Option<BootstrapInterval>>,
    /// The ROC curve; needs both classes.
    pub roc: Option<Vec<RocPoint>>,
    /// The precision-recall curve; needs positive patients.
    pub precision_recall: Option<Vec<PrecisionRecallPoint>>,
    /// The Brier score; needs patients.
    pub brier: Option<Brier>,
    /// Predicted against observed. Empty without patients, or where the bins have no divisor for groups.
    pub calibration: Vec<CalibrationGroup>,
    /// The expected calibration error over the same groups.
    pub calibration_error: Option<Bracket>,
    /// Calibration slope and intercepts from the centres of bins; needs both classes, unseparated.
    pub recalibration: Option<BinnedRecalibration>,
}

impl Appraisal {
    /// The figures of `histogram` at `thresholds`, which were chosen on other patients. `seed` is one for
    /// these patients, derived from the study's; each use derives its own.
    pub fn of(
        histogram: &ScoreHistogram,
        thresholds: &[(ThresholdRule, BinEdge)],
        settings: AppraisalSettings,
        seed: Seed,
    ) -> Result<Self, GridMismatch> {
        let points = thresholds.iter().map(|&(rule, edge)| OperatingPoint::at(histogram, edge, rule));
        let operating_points = points.collect::<Result<Vec<_>, _>>()?;
        let resample = |purpose: &str, figure: &dyn Fn(&ScoreHistogram) -> Option<f64>| {
            bootstrap(histogram, settings.replicates, seed.derive(purpose), figure)
        };
        let matthews = |&(_, edge): &(ThresholdRule, BinEdge)| {
            let purpose = format!("bootstrap/matthews/{}", edge.bin());
            resample(&purpose, &|drawn| Confusion::at(drawn, edge).ok()?.matthews())
        };
        let groups = groups(histogram.bins(), settings.calibration_groups);
        let calibration = groups.and_then(|groups| calibration_curve(histogram, groups).ok());
        let calibration_error =
            groups.and_then(|groups| expected_calibration_error(histogram, groups).ok()?);
        Ok(Self {
            settings,
            auc_bootstrap: resample("bootstrap/auc", &|drawn| Some(auc(drawn)?.value)),
            average_precision_bootstrap: auc(histogram).and_then(|_| {
                resample("bootstrap/average-precision", &|drawn| Some(average_precision(drawn)?.value))
            }),
            chance: permutation_test(histogram, settings.permutations, seed.derive("permutations")),
            mann_whitney: mann_whitney(histogram),
            partial_area: partial_area(histogram, settings.max_false_positive_rate),
            operating_points,
            matthews_bootstrap: thresholds.iter().map(matthews).collect(),
            roc: roc_curve(histogram),
            precision_recall: precision_recall_curve(histogram),
            brier: brier(histogram),
            calibration: calibration.unwrap_or_default(),
            calibration_error,
            recalibration: recalibrate_binned(histogram).ok(),
        })
    }
}

/// The largest divisor of `bins` up to `most`.
fn groups(bins: usize, most: usize) -> Option<usize> {
    (ScoreHistogram::MIN_BINS..=most.min(bins)).rev().find(|groups| bins.is_multiple_of(*groups))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FEW: AppraisalSettings = AppraisalSettings {
        replicates: 50,
        permutations: 99,
        calibration_groups: 10,
        max_false_positive_rate: 0.2,
    };

    #[test]
    fn an_appraisal_survives_json_and_repeats() {
        let mut counts = (vec![0; 64], vec![0; 64]);
        for bin in 0..64 {
            counts.0[bin] = bin as u32 % 5 + bin as u32 / 16;
            counts.1[bin] = bin as u32 % 7 + 4 - bin as u32 / 16;
        }
        let histogram = ScoreHistogram::from_counts(counts.0, counts.1).unwrap();
        let thresholds: Vec<_> = [ThresholdRule::Youden, ThresholdRule::PaperM, ThresholdRule::Half]
            .into_iter()
            .filter_map(|rule| Some((rule, rule.choose(&histogram)?)))
            .collect();
        let of = || Appraisal::of(&histogram, &thresholds, FEW, Seed::from_number(3)).unwrap();
        let appraisal = of();
        assert_eq!(appraisal, of());
        assert_eq!(appraisal.calibration.len(), 8, "the largest divisor of 64 up to 10");
        assert!(appraisal.recalibration.is_some() && appraisal.auc_bootstrap.is_some());
        assert_eq!(appraisal.operating_points.len(), thresholds.len());
        let text = serde_json::to_string(&appraisal).unwrap();
        assert!(!text.contains("NaN"));
        assert_eq!(serde_json::from_str::<Appraisal>(&text).unwrap(), appraisal);
    }

    #[test]
    fn no_patients_no_figures() {
        let empty = ScoreHistogram::new(7).unwrap();
        let appraisal = Appraisal::of(&empty, &[], FEW, Seed::from_number(3)).unwrap();
        assert_eq!((appraisal.chance, appraisal.auc_bootstrap, appraisal.brier), (None, None, None));
        assert!(
            appraisal.roc.is_none() && appraisal.calibration.is_empty() && appraisal.recalibration.is_none()
        );
        let edge = BinEdge::new(1, 2).unwrap();
        assert!(Appraisal::of(&empty, &[(ThresholdRule::Half, edge)], FEW, Seed::from_number(3)).is_err());
    }
}
