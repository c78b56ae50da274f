//! Statistics of a classifier from summed histograms: what a consortium may know of its model's accuracy.
//!
//! Each site counts its patients by class and by bin of predicted probability ([`ScoreHistogram`]);
//! histograms add up, and nearly every figure of a report follows from the sum ([`Scorecard`],
//! [`Appraisal`]). Where it does not, sites add sums of their own ([`ScoreSums`], [`LogisticSums`],
//! [`JointHistogram`]). No patient row is needed, and no figure is ever NaN: what is undefined is `None`.
//! Every figure, its source and its bound: docs/statistics.md.
//!
//! Deliberately absent: rows, except where a site sums its own ([`compare_rows`]); randomness without a seed;
//! input and output. [`SmallCountRule`] says whether counts are too small to leave a site; the site decides
//! by it.

mod appraisal;
mod auc;
mod average_precision;
mod bootstrap;
mod calibration;
mod chance;
mod curves;
mod distribution;
mod grouped;
mod histogram;
mod interval;
mod logistic;
mod meta;
mod operating_point;
mod paired;
mod paper_m;
mod proportion;
mod routing;
mod summary;
mod suppress;
mod threshold;

pub use appraisal::{Appraisal, AppraisalSettings};
pub use auc::{AucEstimate, IntervalRule, auc};
pub use average_precision::{Bracket, average_precision};
pub use bootstrap::{BootstrapInterval, DEFAULT_REPLICATES, MAX_RESAMPLED, bootstrap};
pub use calibration::{
    BinnedRecalibration, Brier, CalibrationGroup, Recalibration, RecalibrationError, RecalibrationFigures,
    ScoreSums, ScoreSumsError, brier, calibration_curve, expected_calibration_error, recalibrate_binned,
};
pub use chance::{
    ChanceMethod, ChanceTest, MannWhitney, mann_whitney, permutation_test, permutation_test_within_sites,
};
pub use curves::{
    PartialArea, PrecisionRecallPoint, RocPoint, partial_area, precision_recall_curve, roc_curve,
};
pub use grouped::{ScoreEnds, SiteScores};
pub use histogram::{CoarsenError, HistogramError, MergeError, RecordError, ScoreHistogram, Totals};
pub use interval::{Estimate, Interval};
pub use logistic::{
    Coefficients, CoefficientsError, FitError, LogisticFit, LogisticSums, NewFitError, NewtonFit, Progress,
    RidgeError, RowError, SumsError, WaldEstimate, probability,
};
pub use meta::{
    AreaVariance, AreasMetaAnalysis, Effect, LeftOut, RandomEffects, SiteArea, TauRule, meta_analyse_areas,
    random_effects,
};
pub use operating_point::OperatingPoint;
pub use paired::{
    JointError, JointHistogram, PairedComparison, PairedScore, SiteDifference, SiteDifferenceError,
    SiteDifferences, compare_joint, compare_rows, compare_sites,
};
pub use paper_m::paper_m;
pub use proportion::wilson;
pub use routing::{BlockRouting, RoutingCounts, RoutingError, RoutingShares};
pub use summary::Scorecard;
pub use suppress::{SmallCountRule, Withheld, common_grid};
pub use threshold::{BinEdge, Confusion, EdgeError, GridMismatch, ThresholdRule, best_paper_m, half, youden};
