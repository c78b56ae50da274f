//! Logistic regression over several hospitals, by iteratively reweighted least squares.
//!
//! The coordinator tells coefficients ([`Coefficients`]); each site answers with the sums of the likelihood,
//! its gradient and its information over its patients ([`LogisticSums`]); the coordinator adds them up and
//! takes Newton's step ([`NewtonFit`]), until it finds the maximum ([`LogisticFit`]). The result is that of
//! the pooled rows (Wu and others, doi:10.1136/amiajnl-2012-000862), as every patient's share is rounded
//! once, to a fixed point, before it is added: the sums do not depend on who has whom, nor on any order.
//!
//! Deliberately absent: the rows. A site shows them to [`LogisticSums::record`] and to nothing else. Whether
//! the sums over few patients may leave is the site's to decide ([`LogisticSums::class_counts`]).

mod cholesky;
mod fit;
mod newton;
mod sums;

pub use consilium_domain::{Coefficients, CoefficientsError};
pub use fit::{LogisticFit, WaldEstimate, probability};
pub use newton::{FitError, NewFitError, NewtonFit, Progress, RidgeError};
pub use sums::{LogisticSums, RowError, SumsError};
