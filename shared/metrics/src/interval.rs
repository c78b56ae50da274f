//! A figure and the range it is believed to lie in.

use serde::{Deserialize, Serialize};

/// The standard normal quantile that leaves 2.5 % in each tail.
pub(crate) const Z_95: f64 = 1.959_963_984_540_054;

/// The probability of each tail outside a 95 % interval.
pub(crate) const TAIL_95: f64 = 0.025;

/// A closed interval; here always a 95 % interval, within the range of its figure.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The lower limit.
    pub lower: f64,
    /// The upper limit, not below the lower.
    pub upper: f64,
}

impl Interval {
    /// Whether `value` lies in the interval, limits included.
    pub fn contains(&self, value: f64) -> bool {
        (self.lower..=self.upper).contains(&value)
    }

    /// `lower..=upper` cut to [0, 1].
    pub(crate) fn clipped(lower: f64, upper: f64) -> Self {
        Self { lower: lower.clamp(0.0, 1.0), upper: upper.clamp(0.0, 1.0) }
    }
}

/// A point estimate with its 95 % confidence interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The estimate.
    pub value: f64,
    /// Its 95 % confidence interval, which holds the estimate.
    pub interval: Interval,
}
