//! The intercept and slopes of a regression that a coordinator asks sites about.

use serde::{Deserialize, Serialize};

use crate::Bounded;

/// An intercept, then one slope for each feature.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Bounded<f64, { Coefficients::MAX }>", into = "Vec<f64>")]
pub struct Coefficients(Vec<f64>);

/// Numbers that no site should compute with.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CoefficientsError {
    /// None, or too many.
    #[error(
        "{0} coefficients are refused: send an intercept and at most {max} slopes",
        max = Coefficients::MAX - 1
    )]
    Count(usize),
    /// Not a number, or of no use.
    #[error(
        "coefficient {place} is {value}: it must lie between -{limit} and {limit}",
        limit = Coefficients::LIMIT
    )]
    Value {
        /// Which, counted from 0, the intercept.
        place: usize,
        /// What it is.
        value: f64,
    },
}

impl Coefficients {
    /// An intercept and 15 slopes: baselines have two, and information grows with the square.
    pub const MAX: usize = 16;
    /// A coefficient beyond it turns any feature into a step: a fit on its way to infinity.
    pub const LIMIT: f64 = 1e6;

    /// Checked coefficients, the intercept first.
    pub fn new(values: Vec<f64>) -> Result<Self, CoefficientsError> {
        if values.is_empty() || values.len() > Self::MAX {
            return Err(CoefficientsError::Count(values.len()));
        }
        match values.iter().position(|value| value.is_nan() || value.abs() > Self::LIMIT) {
            Some(place) => Err(CoefficientsError::Value { place, value: values[place] }),
            None => Ok(Self(values)),
        }
    }

    /// All zero, with one slope for each of `features`: where a fit starts.
    pub fn zero(features: usize) -> Result<Self, CoefficientsError> {
        Self::new(vec![0.0; features + 1])
    }

    /// The intercept, then the slopes.
    pub fn values(&self) -> &[f64] {
        &self.0
    }

    /// Slopes, without the intercept.
    pub fn features(&self) -> usize {
        self.0.len() - 1
    }

    /// Whether no coefficient is larger than `limit`.
    pub fn are_within(&self, limit: f64) -> bool {
        self.0.iter().all(|value| value.abs() <= limit)
    }
}

// None is NaN: every value equals itself.
impl Eq for Coefficients {}

impl TryFrom<Bounded<f64, { Coefficients::MAX }>> for Coefficients {
    type Error = CoefficientsError;

    fn try_from(sent: Bounded<f64, { Coefficients::MAX }>) -> Result<Self, Self::Error> {
        Self::new(sent.0)
    }
}

impl From<Coefficients> for Vec<f64> {
    fn from(coefficients: Coefficients) -> Self {
        coefficients.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_is_refused() {
        for bad in [f64::NAN, f64::INFINITY, -2e6] {
            let refused = Coefficients::new(vec![0.0, bad]);
            assert!(matches!(refused, Err(CoefficientsError::Value { place: 1, .. })), "{bad}");
        }
        assert_eq!(Coefficients::new(vec![]), Err(CoefficientsError::Count(0)));
        assert_eq!(Coefficients::zero(16), Err(CoefficientsError::Count(17)));
        assert!(serde_json::from_str::<Coefficients>("[0.5,1e9]").is_err());
        assert_eq!(serde_json::from_str::<Coefficients>("[0.5,-1.0]").unwrap().values(), [0.5, -1.0]);
    }
}
