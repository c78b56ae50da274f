//! What a site tells of its patients under given coefficients.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Coefficients;
use consilium_domain::Bounded;

/// Sums over patients of the log-likelihood, its gradient and its information, on a fixed point.
///
/// With n patients and the limits below, no sum leaves 63 bits: a patient's share of the gradient is at most
/// 2^5 and is counted in units of 2^-37; of the information, at most 2^8 in units of 2^-34; of the
/// log-likelihood, at most 2^9 in units of 2^-33; and there are at most 2^20 patients.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct LogisticSums {
    cases: u32,
    positives: u32,
    log_likelihood: i64,
    gradient: Vec<i64>,
    /// The upper triangle, row by row.
    information: Vec<i64>,
}

/// A patient that cannot be counted. The sums are unchanged.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RowError {
    /// More or fewer features than slopes.
    #[error("{features} features for {slopes} slopes: give each slope its feature, in the study's order")]
    Features {
        /// Features of the row.
        features: usize,
        /// Slopes of the coefficients, or of the sums.
        slopes: usize,
    },
    /// A feature out of range.
    #[error(
        "feature {place} is out of range: scale features by the study's constants to at most {limit} in size, \
         and leave out patients who lack one",
        limit = LogisticSums::FEATURE_LIMIT
    )]
    OutOfRange {
        /// Which feature, counted from 0; one past the last is the offset.
        place: usize,
    },
    /// The sums are full.
    #[error("the sums already hold {max} patients, the most they can", max = LogisticSums::MAX_CASES)]
    TooManyCases,
}

/// Sums that no patients can have, or that do not belong together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SumsError {
    /// Sums of another regression.
    #[error(
        "sums for {theirs} slopes cannot be added to sums for {ours}: both must answer the same question"
    )]
    Features {
        /// Slopes here.
        ours: usize,
        /// Slopes there.
        theirs: usize,
    },
    /// Out of range.
    #[error(
        "the sums would hold more than {max} patients: check the sites' counts against their cohorts",
        max = LogisticSums::MAX_CASES
    )]
    TooManyCases,
    /// No patients have such sums.
    #[error("no {cases} patients have such sums ({what}): the sender computed or encoded them wrongly")]
    Impossible {
        /// Patients claimed.
        cases: u32,
        /// Which sum.
        what: &'static str,
    },
}

impl LogisticSums {
    /// A million patients: beyond any consortium, and few enough for the digits below.
    pub const MAX_CASES: u32 = 1 << 20;
    /// The largest feature or offset in size. Features in standard units are below 10; a logit of `f32` below
    /// 17.
    pub const FEATURE_LIMIT: f64 = 32.0;
    /// Binary digits of the gradient behind the point.
    pub const GRADIENT_BITS: i32 = 37;
    /// Binary digits of the information behind the point.
    pub const INFORMATION_BITS: i32 = 34;
    /// Binary digits of the log-likelihood behind the point.
    pub const LIKELIHOOD_BITS: i32 = 33;
    /// A patient's log-likelihood is cut here: a step that leads beyond is halved anyway.
    const LEAST_LIKELIHOOD: f64 = -512.0;

    /// No patients, for `features` slopes and an intercept.
    pub fn new(features: usize) -> Self {
        let size = features + 1;
        let (gradient, information) = (vec![0; size], vec![0; size * (size + 1) / 2]);
        Self { cases: 0, positives: 0, log_likelihood: 0, gradient, information }
    }

    /// Adds one patient with these `features` under the coefficients `at`, all of which stays at the site.
    ///
    /// `offset` is added to the linear predictor, with a slope fixed at 1; 0 where the model has none.
    pub fn record(
        &mut self,
        at: &Coefficients,
        features: &[f64],
        offset: f64,
        positive: bool,
    ) -> Result<(), RowError> {
        self.record_many(at, features, offset, positive, 1)
    }

    /// Adds `patients` equal patients: the same as recording one as often.
    pub(crate) fn record_many(
        &mut self,
        at: &Coefficients,
        features: &[f64],
        offset: f64,
        positive: bool,
        patients: u32,
    ) -> Result<(), RowError> {
        self.check_row(at, features, offset, patients)?;
        let slopes = at.values()[1..].iter().zip(features);
        let predictor = slopes.fold(at.values()[0] + offset, |sum, (slope, feature)| sum + slope * feature);
        let probability = logistic(predictor);
        let residual = if positive { logistic(-predictor) } else { -probability };
        // The log of the probability of what was observed: -log(1 + exp(-z)), in the form that does not
        // overflow.
        let z = if positive { predictor } else { -predictor };
        let likelihood = z.min(0.0) - libm::log1p(libm::exp(-z.abs()));
        let weight = probability * logistic(-predictor);

        let times = i64::from(patients);
        let feature = |place: usize| if place == 0 { 1.0 } else { features[place - 1] };
        self.cases += patients;
        self.positives += if positive { patients } else { 0 };
        self.log_likelihood += times * fixed(likelihood.max(Self::LEAST_LIKELIHOOD), Self::LIKELIHOOD_BITS);
        let mut entries = self.information.iter_mut();
        for row in 0..self.gradient.len() {
            self.gradient[row] += times * fixed(residual * feature(row), Self::GRADIENT_BITS);
            for (column, entry) in (row..self.gradient.len()).zip(&mut entries) {
                *entry += times * fixed(weight * feature(row) * feature(column), Self::INFORMATION_BITS);
            }
        }
        Ok(())
    }

    fn check_row(&self, at: &Coefficients, features: &[f64], offset: f64, more: u32) -> Result<(), RowError> {
        let slopes = self.features();
        if features.len() != slopes || at.features() != slopes {
            return Err(RowError::Features { features: features.len(), slopes: at.features() });
        }
        let within = |value: f64| value.abs() <= Self::FEATURE_LIMIT;
        let all = features.iter().chain(std::iter::once(&offset));
        if let Some(place) = all.copied().position(|value| !within(value)) {
            return Err(RowError::OutOfRange { place });
        }
        if more > Self::MAX_CASES - self.cases { Err(RowError::TooManyCases) } else { Ok(()) }
    }

    /// Adds the patients of `other`.
    pub fn merge(&mut self, other: &Self) -> Result<(), SumsError> {
        if self.features() != other.features() {
            return Err(SumsError::Features { ours: self.features(), theirs: other.features() });
        }
        if self.cases + other.cases > Self::MAX_CASES {
            return Err(SumsError::TooManyCases);
        }
        self.cases += other.cases;
        self.positives += other.positives;
        self.log_likelihood += other.log_likelihood;
        let ours = self.gradient.iter_mut().chain(&mut self.information);
        for (sum, more) in ours.zip(other.gradient.iter().chain(&other.information)) {
            *sum += more;
        }
        Ok(())
    }

    /// Slopes, without the intercept.
    pub fn features(&self) -> usize {
        self.gradient.len() - 1
    }

    /// Positive and negative patients: what a site compares with its minimum before the sums leave.
    pub fn class_counts(&self) -> crate::Totals {
        crate::Totals { positives: self.positives, negatives: self.cases - self.positives }
    }

    pub(super) fn cases(&self) -> u32 {
        self.cases
    }

    pub(super) fn log_likelihood(&self) -> f64 {
        float(self.log_likelihood, Self::LIKELIHOOD_BITS)
    }

    pub(super) fn gradient(&self) -> Vec<f64> {
        self.gradient.iter().map(|&sum| float(sum, Self::GRADIENT_BITS)).collect()
    }

    /// The full symmetric matrix, row by row.
    pub(super) fn information(&self) -> Vec<f64> {
        let size = self.gradient.len();
        let mut full = vec![0.0; size * size];
        let mut entries = self.information.iter();
        for row in 0..size {
            for (column, &entry) in (row..size).zip(&mut entries) {
                full[row * size + column] = float(entry, Self::INFORMATION_BITS);
                full[column * size + row] = full[row * size + column];
            }
        }
        full
    }

    /// Whether any patients within the limits can have these sums. It cannot tell whether they are true.
    fn check(&self) -> Result<(), SumsError> {
        let impossible = |what| Err(SumsError::Impossible { cases: self.cases, what });
        let size = self.gradient.len();
        // 2^42 units is the most a patient adds to an entry of gradient or information, or to the likelihood.
        let most = u64::from(self.cases) << 42;
        if size == 0 || size > Coefficients::MAX || self.information.len() != size * (size + 1) / 2 {
            return impossible("number of entries");
        }
        if self.cases > Self::MAX_CASES || self.positives > self.cases {
            return impossible("number of patients");
        }
        if self.log_likelihood > 0 || self.log_likelihood.unsigned_abs() > most {
            return impossible("log-likelihood");
        }
        if self.gradient.iter().chain(&self.information).any(|sum| sum.unsigned_abs() > most) {
            return impossible("size of an entry");
        }
        let mut diagonal = (0..size).scan(0, |place, row| {
            let here = *place;
            *place += size - row;
            Some(self.information[here])
        });
        if diagonal.any(|entry| entry < 0) { impossible("negative information") } else { Ok(()) }
    }
}

/// Half to even, so that roundings do not add up to one side.
fn fixed(value: f64, bits: i32) -> i64 {
    libm::rint(libm::scalbn(value, bits)) as i64
}

fn float(sum: i64, bits: i32) -> f64 {
    libm::scalbn(sum as f64, -bits)
}

/// 1 / (1 + exp(-x)) without overflow, and exact in relative terms at both ends.
pub(crate) fn logistic(x: f64) -> f64 {
    if x >= 0.0 {
        1.0 / (1.0 + libm::exp(-x))
    } else {
        let e = libm::exp(x);
        e / (1.0 + e)
    }
}

/// Sums as they were sent.
#[derive(Deserialize)]
struct Unchecked {
    cases: u32,
    positives: u32,
    log_likelihood: i64,
    gradient: Bounded<i64, { Coefficients::MAX }>,
    information: Bounded<i64, { Coefficients::MAX * (Coefficients::MAX + 1) / 2 }>,
}

impl TryFrom<Unchecked> for LogisticSums {
    type Error = SumsError;

    fn try_from(sent: Unchecked) -> Result<Self, Self::Error> {
        let Unchecked { cases, positives, log_likelihood, gradient, information } = sent;
        let (gradient, information) = (gradient.0, information.0);
        let sums = Self { cases, positives, log_likelihood, gradient, information };
        sums.check()?;
        Ok(sums)
    }
}

/// Shows the size only: sums over few patients are close to rows.
impl fmt::Debug for LogisticSums {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogisticSums({} slopes, {} cases)", self.features(), self.cases)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_by_hand() {
        let mut sums = LogisticSums::new(1);
        let at = Coefficients::zero(1).unwrap();
        sums.record(&at, &[2.0], 0.0, true).unwrap();
        sums.record(&at, &[-1.0], 0.0, false).unwrap();
        // Residuals 1/2 and -1/2, weights 1/4.
        assert_eq!(sums.gradient(), [0.0, 1.5]);
        assert_eq!(sums.information(), [0.5, 0.25, 0.25, 1.25]);
        assert!((sums.log_likelihood() + 2.0 * std::f64::consts::LN_2).abs() < 1e-8);
        assert_eq!(sums.class_counts(), crate::Totals { positives: 1, negatives: 1 });
    }

    #[test]
    fn equal_patients_may_be_counted_at_once() {
        let at = Coefficients::new(vec![0.3, -1.7]).unwrap();
        let (mut at_once, mut singly) = (LogisticSums::new(1), LogisticSums::new(1));
        at_once.record_many(&at, &[0.7], 0.1, true, 5).unwrap();
        (0..5).for_each(|_| singly.record(&at, &[0.7], 0.1, true).unwrap());
        assert_eq!(at_once, singly);
    }

    #[test]
    fn rows_out_of_range_change_nothing() {
        let at = Coefficients::zero(1).unwrap();
        let mut sums = LogisticSums::new(1);
        for (features, offset) in [(vec![33.0], 0.0), (vec![f64::NAN], 0.0), (vec![0.0], f64::INFINITY)] {
            assert!(matches!(sums.record(&at, &features, offset, true), Err(RowError::OutOfRange { .. })));
        }
        assert!(matches!(sums.record(&at, &[], 0.0, true), Err(RowError::Features { .. })));
        assert!(matches!(LogisticSums::new(2).merge(&sums), Err(SumsError::Features { .. })));
        assert_eq!(sums, LogisticSums::new(1));
    }

    /// The largest shares a patient can have, for the largest number of patients.
    #[test]
    fn the_largest_sums_fit() {
        let at = Coefficients::new(vec![0.0, Coefficients::LIMIT]).unwrap();
        let mut sums = LogisticSums::new(1);
        sums.record_many(&at, &[-32.0], 0.0, true, LogisticSums::MAX_CASES).unwrap();
        assert_eq!(sums.gradient()[1], -32.0 * f64::from(LogisticSums::MAX_CASES));
        assert_eq!(sums.log_likelihood(), -512.0 * f64::from(LogisticSums::MAX_CASES));
        let mut flat = LogisticSums::new(1);
        let zero = Coefficients::zero(1).unwrap();
        flat.record_many(&zero, &[32.0], 0.0, true, LogisticSums::MAX_CASES).unwrap();
        assert_eq!(flat.information()[3], 256.0 * f64::from(LogisticSums::MAX_CASES));
        assert!(sums.check().is_ok() && flat.check().is_ok());
        assert_eq!(sums.record(&at, &[0.0], 0.0, true), Err(RowError::TooManyCases));
        assert_eq!(sums.merge(&flat), Err(SumsError::TooManyCases));
    }

    #[test]
    fn impossible_sums_are_refused() {
        for text in [
            r#"{"cases":1,"positives":2,"log_likelihood":0,"gradient":[0],"information":[0]}"#,
            r#"{"cases":1,"positives":0,"log_likelihood":1,"gradient":[0],"information":[0]}"#,
            r#"{"cases":1,"positives":0,"log_likelihood":0,"gradient":[0],"information":[-1]}"#,
            r#"{"cases":1,"positives":0,"log_likelihood":0,"gradient":[0],"information":[0,0]}"#,
            r#"{"cases":1,"positives":0,"log_likelihood":0,"gradient":[],"information":[]}"#,
            r#"{"cases":0,"positives":0,"log_likelihood":0,"gradient":[1],"information":[0]}"#,
            r#"{"cases":1,"positives":0,"log_likelihood":0,"gradient":[-9223372036854775808],"information":[0]}"#,
        ] {
            assert!(serde_json::from_str::<LogisticSums>(text).is_err(), "{text}");
        }
        let mut sums = LogisticSums::new(2);
        sums.record(&Coefficients::zero(2).unwrap(), &[1.0, -1.0], 0.0, true).unwrap();
        let text = serde_json::to_string(&sums).unwrap();
        assert_eq!(serde_json::from_str::<LogisticSums>(&text).unwrap(), sums);
    }
}
