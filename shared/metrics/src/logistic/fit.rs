//! A finished regression.

use serde::{Deserialize, Serialize};

use super::Coefficients;
use super::sums::logistic;
use crate::distribution::normal_two_sided;
use crate::interval::{Interval, Z_95};

/// The maximum of a likelihood, with or without a ridge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogisticFit {
    /// The intercept, then a slope for each feature.
    pub coefficients: Vec<WaldEstimate>,
    /// Covariance of the coefficients, row by row: the inverse information; with a ridge,
    /// (H + R)⁻¹ H (H + R)⁻¹ (le Cessie and van Houwelingen, doi:10.2307/2347628).
    pub covariance: Vec<f64>,
    /// Log-likelihood at the coefficients that sites were asked about last, without the penalty.
    pub log_likelihood: f64,
    /// The ridge: half its product with the sum of squared slopes was subtracted from the log-likelihood.
    pub ridge: f64,
    /// How often sites were asked.
    pub iterations: u32,
    /// Patients of both classes.
    pub cases: u32,
    /// Patients of the positive class.
    pub positives: u32,
}

/// A coefficient with its 95 % Wald interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct WaldEstimate {
    /// The estimate.
    pub value: f64,
    /// Its standard error.
    pub standard_error: f64,
    /// value ± 1.96 standard errors.
    pub interval: Interval,
    /// Two-sided probability of a coefficient as large if the true one were 0; `None` where the standard
    /// error is 0, for a feature that nobody has and a ridge holds.
    pub p_value: Option<f64>,
    /// The maximum over unrounded rows lies this close to `value`, to first order: each of n patients moved
    /// each entry of the gradient by at most 2^-38.
    pub rounding_bound: f64,
}

impl WaldEstimate {
    pub(super) fn new(value: f64, standard_error: f64, rounding_bound: f64) -> Self {
        let reach = Z_95 * standard_error;
        let interval = Interval { lower: value - reach, upper: value + reach };
        let p_value = (standard_error > 0.0).then(|| normal_two_sided(value / standard_error));
        Self { value, standard_error, interval, p_value, rounding_bound }
    }
}

impl LogisticFit {
    /// The probability of the positive class for a patient; `None` for another number of features or one that
    /// is no number.
    pub fn probability(&self, features: &[f64], offset: f64) -> Option<f64> {
        let values: Vec<f64> = self.coefficients.iter().map(|estimate| estimate.value).collect();
        of_values(&values, features, offset)
    }

    /// The intercept and slopes without their errors; `None` where one is beyond what sites are asked about.
    pub fn at(&self) -> Option<Coefficients> {
        Coefficients::new(self.coefficients.iter().map(|estimate| estimate.value).collect()).ok()
    }
}

/// The probability of the positive class under the coefficients `at`; `None` for another number of features or one
/// that is no number.
pub fn probability(at: &Coefficients, features: &[f64]) -> Option<f64> {
    of_values(at.values(), features, 0.0)
}

fn of_values(values: &[f64], features: &[f64], offset: f64) -> Option<f64> {
    let (intercept, slopes) = values.split_first()?;
    if slopes.len() != features.len() || features.len() >= Coefficients::MAX {
        return None;
    }
    let predictor = slopes.iter().zip(features).fold(intercept + offset, |sum, (slope, x)| sum + slope * x);
    (!predictor.is_nan()).then(|| logistic(predictor))
}
