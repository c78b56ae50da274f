//! Do predicted probabilities mean what they say? Brier score, calibration curve and error, slope and
//! intercept.
//!
//! From a histogram alone every figure has a bracket or a bound, because a bin does not say where in it a
//! score lies. Sums over patients that sites add to their histogram ([`ScoreSums`], [`Recalibration`]) remove
//! it.

mod brier;
mod curve;
mod recalibration;
mod score_sums;

pub use brier::{Brier, brier};
pub use curve::{CalibrationGroup, calibration_curve, expected_calibration_error};
pub use recalibration::{
    BinnedRecalibration, Recalibration, RecalibrationError, RecalibrationFigures, recalibrate_binned,
};
pub use score_sums::{ScoreSums, ScoreSumsError};
