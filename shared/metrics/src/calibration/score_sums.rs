//! Two sums over patients that make Brier score and mean prediction exact.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{RecordError, ScoreHistogram};

/// Sums of scores and of their squared errors, in units of 2^-32.
///
/// Each patient is rounded once, so the sums do not depend on order or on who has whom. Each is below 2^56.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct ScoreSums {
    cases: u32,
    positives: u32,
    scores: u64,
    squared_errors: u64,
}

/// Sums that no patients can have, or too many patients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ScoreSumsError {
    /// More patients than the arithmetic is exact for.
    #[error(
        "the sums would hold more than {max} patients: check how they were filled",
        max = ScoreHistogram::MAX_CASES
    )]
    TooManyCases,
    /// Sums beyond what so many patients can have.
    #[error("no {cases} patients have such sums: the sender computed or encoded them wrongly")]
    Impossible {
        /// Patients claimed.
        cases: u32,
    },
}

const UNIT: f64 = (1u64 << 32) as f64;

impl ScoreSums {
    /// Mean figures lie at most this far from those of unrounded patients.
    pub const ROUNDING_BOUND: f64 = 0.5 / UNIT;

    /// No patients.
    pub const fn new() -> Self {
        Self { cases: 0, positives: 0, scores: 0, squared_errors: 0 }
    }

    /// Adds one patient of the given class with the given predicted probability of the positive class.
    pub fn record(&mut self, probability: f32, positive: bool) -> Result<(), RecordError> {
        if !(0.0..=1.0).contains(&probability) {
            return Err(RecordError::NotAProbability(probability));
        }
        if self.cases == ScoreHistogram::MAX_CASES {
            return Err(RecordError::TooManyCases);
        }
        let score = f64::from(probability);
        let error = if positive { 1.0 - score } else { score };
        self.cases += 1;
        self.positives += u32::from(positive);
        self.scores += libm::rint(score * UNIT) as u64;
        self.squared_errors += libm::rint(error * error * UNIT) as u64;
        Ok(())
    }

    /// Adds the patients of `other`.
    pub fn merge(&mut self, other: &Self) -> Result<(), ScoreSumsError> {
        if self.cases + other.cases > ScoreHistogram::MAX_CASES {
            return Err(ScoreSumsError::TooManyCases);
        }
        self.cases += other.cases;
        self.positives += other.positives;
        self.scores += other.scores;
        self.squared_errors += other.squared_errors;
        Ok(())
    }

    /// Positive and negative patients.
    pub fn class_counts(&self) -> crate::Totals {
        crate::Totals { positives: self.positives, negatives: self.cases - self.positives }
    }

    /// The Brier score; `None` without patients.
    pub fn brier(&self) -> Option<f64> {
        self.mean(self.squared_errors)
    }

    /// The mean predicted probability; compare with the share of positive patients. `None` without patients.
    pub fn mean_score(&self) -> Option<f64> {
        self.mean(self.scores)
    }

    fn mean(&self, sum: u64) -> Option<f64> {
        (self.cases > 0).then(|| sum as f64 / UNIT / f64::from(self.cases))
    }
}

impl Default for ScoreSums {
    fn default() -> Self {
        Self::new()
    }
}

#[derive(Deserialize)]
struct Unchecked {
    cases: u32,
    positives: u32,
    scores: u64,
    squared_errors: u64,
}

impl TryFrom<Unchecked> for ScoreSums {
    type Error = ScoreSumsError;

    fn try_from(sent: Unchecked) -> Result<Self, Self::Error> {
        let Unchecked { cases, positives, scores, squared_errors } = sent;
        if cases > ScoreHistogram::MAX_CASES {
            return Err(ScoreSumsError::TooManyCases);
        }
        let most = u64::from(cases) << 32;
        if positives > cases || scores > most || squared_errors > most {
            return Err(ScoreSumsError::Impossible { cases });
        }
        Ok(Self { cases, positives, scores, squared_errors })
    }
}

/// Shows the size only: sums over few patients are close to rows.
impl fmt::Debug for ScoreSums {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ScoreSums({} cases)", self.cases)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let mut sums = ScoreSums::new();
        assert_eq!((sums.brier(), sums.mean_score()), (None, None));
        sums.record(0.75, true).unwrap();
        sums.record(0.5, false).unwrap();
        assert_eq!((sums.brier(), sums.mean_score()), (Some(0.15625), Some(0.625)));
        assert!(sums.record(f32::NAN, true).is_err() && sums.record(1.5, true).is_err());
        assert_eq!(sums.class_counts(), crate::Totals { positives: 1, negatives: 1 });
    }

    #[test]
    fn impossible_sums_are_refused() {
        for text in [
            r#"{"cases":1,"positives":2,"scores":0,"squared_errors":0}"#,
            r#"{"cases":1,"positives":0,"scores":4294967297,"squared_errors":0}"#,
            r#"{"cases":16777217,"positives":0,"scores":0,"squared_errors":0}"#,
        ] {
            assert!(serde_json::from_str::<ScoreSums>(text).is_err(), "{text}");
        }
    }
}
