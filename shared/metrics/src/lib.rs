//! Statistics of a classifier from summed histograms: what a consortium may know of its model's accuracy.
//!
//! Each site counts its patients by class and by bin of predicted probability ([`ScoreHistogram`]);
//! histograms add up, and every figure of a report follows from the sum ([`Scorecard`]). No patient row is
//! needed, and no figure is ever NaN: what is undefined is `None`.
//!
//! Deliberately absent: rows, randomness, input and output. Nothing here decides whether a histogram is
//! coarse enough to leave a site; the site's policy does.

mod auc;
mod average_precision;
mod histogram;
mod interval;
mod paper_m;
mod proportion;
mod summary;
mod threshold;

pub use auc::{AucEstimate, IntervalRule, auc};
pub use average_precision::{Bracket, average_precision};
pub use histogram::{HistogramError, MergeError, RecordError, ScoreHistogram, Totals};
pub use interval::{Estimate, Interval};
pub use paper_m::paper_m;
pub use proportion::wilson;
pub use summary::Scorecard;
pub use threshold::{BinEdge, Confusion, EdgeError, GridMismatch, youden};
