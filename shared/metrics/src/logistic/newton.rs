//! The coordinator's side: from sums to the next question, and to the answer.
//!
//! ```text
//! NewtonFit --coefficients()--> sites --LogisticSums, merged--> absorb() --Ask--> again
//!                                                                  |
//!                                                                  +--Done(LogisticFit) or FitError
//! ```

use super::cholesky::Cholesky;
use super::{Coefficients, CoefficientsError, LogisticFit, LogisticSums, WaldEstimate};

/// Rounds after which no maximum is near. Newton's method on a likelihood with one needs fewer than ten;
/// without one it walks on by about one unit a round.
const MAX_ROUNDS: u32 = 60;

/// A step this small, relative to the coefficient or to 1, is the last: the error is then its square.
const LAST_STEP: f64 = 1e-9;

/// Halvings of one step. Newton's direction goes uphill, so that some fraction of it must.
const MAX_HALVINGS: u32 = 30;

/// A regression under way.
#[derive(Debug, Clone, PartialEq)]
pub struct NewtonFit {
    asking: Coefficients,
    ridge: f64,
    rounds: u32,
    halvings: u32,
    reached: Option<Reached>,
}

/// The best coefficients so far.
#[derive(Debug, Clone, PartialEq)]
struct Reached {
    coefficients: Coefficients,
    objective: f64,
    step: Vec<f64>,
}

/// What to do after a round.
#[derive(Debug, Clone, PartialEq)]
pub enum Progress {
    /// Ask sites about [`NewtonFit::coefficients`].
    Ask,
    /// The maximum was found.
    Done(LogisticFit),
}

/// The penalty is none.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("a ridge of {0} is refused: it must be a number, and not negative")]
pub struct RidgeError(pub f64);

/// Why there is no regression. All but `Features` are properties of the patients.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FitError {
    /// Sums of another regression.
    #[error(
        "the sums are for {theirs} slopes, the regression has {ours}: sites must answer what they were asked"
    )]
    Features {
        /// Slopes asked about.
        ours: usize,
        /// Slopes answered.
        theirs: usize,
    },
    /// Nobody, or patients of one class only.
    #[error("{positives} positive and {negatives} negative patients: a regression needs both classes")]
    OneClass {
        /// Patients of the positive class.
        positives: u32,
        /// Patients of the negative class.
        negatives: u32,
    },
    /// More patients than sums hold.
    #[error("more than {max} patients, the most that a regression's sums hold", max = LogisticSums::MAX_CASES)]
    TooManyCases,
    /// A feature is constant or follows from others.
    #[error("a feature is constant or follows from others over all patients: leave it out, or use a ridge")]
    Collinear,
    /// No finite maximum.
    #[error(
        "no finite maximum after {rounds} rounds: some combination of features divides the classes \
         (separation); leave one out, or use a ridge"
    )]
    Separated {
        /// Rounds taken.
        rounds: u32,
    },
    /// The likelihood did not rise along the step.
    #[error(
        "the likelihood does not rise along Newton's step: a site's sums do not belong to the coefficients asked"
    )]
    Inconsistent,
}

impl NewtonFit {
    /// A regression on `features` with an intercept. The slopes are penalised by `ridge` (0: none), the
    /// intercept never.
    pub fn new(features: usize, ridge: f64) -> Result<Self, NewFitError> {
        if !(ridge >= 0.0 && ridge.is_finite()) {
            return Err(RidgeError(ridge).into());
        }
        Ok(Self { asking: Coefficients::zero(features)?, ridge, rounds: 0, halvings: 0, reached: None })
    }

    /// What to ask sites about.
    pub fn coefficients(&self) -> &Coefficients {
        &self.asking
    }

    /// Takes the sums of all sites under [`Self::coefficients`].
    ///
    /// Every round must be answered by the same sites: without one of them the likelihood is another.
    pub fn absorb(&mut self, sums: &LogisticSums) -> Result<Progress, FitError> {
        self.check(sums)?;
        self.rounds += 1;
        let objective = sums.log_likelihood() - 0.5 * self.ridge * squares(&self.asking.values()[1..]);
        if let Some(reached) = &self.reached {
            // Rounding of the likelihood must not look like a fall.
            let slack = f64::from(sums.cases()) * libm::scalbn(1.0, -LogisticSums::LIKELIHOOD_BITS);
            if objective < reached.objective - slack {
                return self.halve();
            }
        }
        self.advance(sums, objective)
    }

    fn check(&self, sums: &LogisticSums) -> Result<(), FitError> {
        let (ours, theirs) = (self.asking.features(), sums.features());
        let crate::Totals { positives, negatives } = sums.class_counts();
        if ours != theirs {
            Err(FitError::Features { ours, theirs })
        } else if positives == 0 || negatives == 0 {
            Err(FitError::OneClass { positives, negatives })
        } else {
            Ok(())
        }
    }

    /// Newton's step from where we are.
    fn advance(&mut self, sums: &LogisticSums, objective: f64) -> Result<Progress, FitError> {
        let size = self.asking.values().len();
        let mut gradient = sums.gradient();
        let mut information = sums.information();
        for slope in 1..size {
            gradient[slope] -= self.ridge * self.asking.values()[slope];
            information[slope * size + slope] += self.ridge;
        }
        // Each patient's share of an entry was rounded by at most half a unit.
        let noise = f64::from(sums.cases()) * libm::scalbn(1.0, -LogisticSums::INFORMATION_BITS - 1);
        let Some(cholesky) = Cholesky::of(&information, size, noise) else {
            let at_start = self.reached.is_none();
            return Err(if at_start {
                FitError::Collinear
            } else {
                FitError::Separated { rounds: self.rounds }
            });
        };
        let step = cholesky.solve(&gradient);
        let next = self.moved(self.asking.values(), &step, 1.0)?;
        let relative = |(step, at): (&f64, &f64)| step.abs() / at.abs().max(1.0);
        if step.iter().zip(next.values()).map(relative).fold(0.0, f64::max) < LAST_STEP {
            return Ok(Progress::Done(self.finished(sums, &cholesky, &next)));
        }
        if self.rounds >= MAX_ROUNDS {
            return Err(FitError::Separated { rounds: self.rounds });
        }
        self.reached = Some(Reached { coefficients: self.asking.clone(), objective, step });
        self.halvings = 0;
        self.asking = next;
        Ok(Progress::Ask)
    }

    /// Half the step before, from the same place.
    fn halve(&mut self) -> Result<Progress, FitError> {
        self.halvings += 1;
        if self.halvings > MAX_HALVINGS || self.rounds >= MAX_ROUNDS {
            return Err(FitError::Inconsistent);
        }
        if let Some(Reached { coefficients, step, .. }) = &self.reached {
            let share = libm::scalbn(1.0, -(self.halvings as i32));
            self.asking = self.moved(coefficients.values(), step, share)?;
        }
        Ok(Progress::Ask)
    }

    fn moved(&self, from: &[f64], step: &[f64], share: f64) -> Result<Coefficients, FitError> {
        let values = from.iter().zip(step).map(|(value, step)| value + share * step).collect();
        // Coefficients beyond their limit are on the way to infinity.
        Coefficients::new(values).map_err(|_| FitError::Separated { rounds: self.rounds })
    }

    fn finished(&self, sums: &LogisticSums, cholesky: &Cholesky, at: &Coefficients) -> LogisticFit {
        let size = at.values().len();
        let inverse = cholesky.inverse();
        let covariance = if self.ridge == 0.0 {
            inverse.clone()
        } else {
            product(&product(&inverse, &sums.information(), size), &inverse, size)
        };
        let rounding = f64::from(sums.cases()) * libm::scalbn(1.0, -LogisticSums::GRADIENT_BITS - 1);
        let estimate = |(place, &value): (usize, &f64)| {
            let row = &inverse[place * size..(place + 1) * size];
            let bound = rounding * row.iter().map(|entry| entry.abs()).sum::<f64>();
            WaldEstimate::new(value, libm::sqrt(covariance[place * size + place].max(0.0)), bound)
        };
        let coefficients = at.values().iter().enumerate().map(estimate).collect();
        let (log_likelihood, ridge) = (sums.log_likelihood(), self.ridge);
        let (iterations, cases) = (self.rounds, sums.cases());
        let positives = sums.class_counts().positives;
        LogisticFit { coefficients, covariance, log_likelihood, ridge, iterations, cases, positives }
    }
}

/// Why a regression cannot start.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum NewFitError {
    /// Too many features.
    #[error(transparent)]
    Features(#[from] CoefficientsError),
    /// No such penalty.
    #[error(transparent)]
    Ridge(#[from] RidgeError),
}

fn squares(values: &[f64]) -> f64 {
    values.iter().map(|value| value * value).sum()
}

fn product(a: &[f64], b: &[f64], size: usize) -> Vec<f64> {
    let entry = |place: usize| {
        let (row, column) = (place / size, place % size);
        (0..size).map(|k| a[row * size + k] * b[k * size + column]).sum()
    };
    (0..size * size).map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit(rows: &[(f64, bool)], ridge: f64) -> Result<LogisticFit, FitError> {
        let mut fit = NewtonFit::new(1, ridge).unwrap();
        loop {
            let mut sums = LogisticSums::new(1);
            for &(x, positive) in rows {
                sums.record(fit.coefficients(), &[x], 0.0, positive).unwrap();
            }
            if let Progress::Done(done) = fit.absorb(&sums)? {
                return Ok(done);
            }
        }
    }

    /// A feature of two values: the slope is the log odds ratio, its variance the sum of reciprocal counts.
    #[test]
    fn a_table_of_four_by_hand() {
        let of = |x: f64, positive: bool, count: usize| std::iter::repeat_n((x, positive), count);
        let rows: Vec<_> = of(1.0, true, 12)
            .chain(of(1.0, false, 5))
            .chain(of(0.0, true, 4))
            .chain(of(0.0, false, 9))
            .collect();
        let fit = fit(&rows, 0.0).unwrap();
        let [intercept, slope] = fit.coefficients[..] else { panic!("two coefficients") };
        assert!((intercept.value - (4.0f64 / 9.0).ln()).abs() < 1e-10, "{intercept:?}");
        assert!((slope.value - (12.0f64 * 9.0 / (5.0 * 4.0)).ln()).abs() < 1e-10, "{slope:?}");
        let error = (1.0f64 / 12.0 + 1.0 / 5.0 + 1.0 / 4.0 + 1.0 / 9.0).sqrt();
        assert!((slope.standard_error - error).abs() < 1e-8);
        assert!((fit.probability(&[1.0], 0.0).unwrap() - 12.0 / 17.0).abs() < 1e-10);
        assert_eq!(fit.probability(&[], 0.0), None);
        assert!(fit.iterations < 10);
    }

    #[test]
    fn separation_is_told_and_a_ridge_mends_it() {
        let complete = [(-2.0, false), (-1.0, false), (0.5, true), (1.0, true)];
        let quasi = [(-2.0, false), (-1.0, false), (0.0, true), (0.0, false), (1.0, true)];
        for rows in [&complete[..], &quasi[..]] {
            assert!(matches!(fit(rows, 0.0), Err(FitError::Separated { .. })), "{rows:?}");
            assert!(fit(rows, 0.1).unwrap().coefficients[1].value > 0.0);
        }
    }

    #[test]
    fn what_cannot_be_fitted_says_why() {
        let constant = [(1.0, true), (1.0, false), (1.0, true)];
        assert_eq!(fit(&constant, 0.0), Err(FitError::Collinear));
        let absent = fit(&[(0.0, true), (0.0, false)], 1.0).unwrap().coefficients[1];
        assert_eq!((absent.value, absent.standard_error, absent.p_value), (0.0, 0.0, None));
        assert!(fit(&constant, 1.0).unwrap().coefficients[1].value.abs() < 1e-9);
        assert_eq!(fit(&[(1.0, true)], 0.0), Err(FitError::OneClass { positives: 1, negatives: 0 }));
        assert!(NewtonFit::new(1, f64::NAN).is_err() && NewtonFit::new(16, 0.0).is_err());
        let mut started = NewtonFit::new(2, 0.0).unwrap();
        assert_eq!(started.absorb(&LogisticSums::new(1)), Err(FitError::Features { ours: 2, theirs: 1 }));
    }

    /// Newton's full step overshoots here: the start is far from the maximum in the flat part of the
    /// likelihood.
    #[test]
    fn rare_positives_with_a_strong_feature_converge() {
        let rows: Vec<_> = (0..400).map(|i| (f64::from(i % 40) / 4.0 - 5.0, i % 40 > 37 || i == 7)).collect();
        let fit = fit(&rows, 0.0).unwrap();
        assert!(fit.coefficients[1].value > 0.0 && fit.coefficients[1].standard_error.is_finite());
    }

    #[test]
    fn sums_of_other_coefficients_are_noticed() {
        let mut fit = NewtonFit::new(1, 0.0).unwrap();
        let rows = [(1.0, true), (-1.0, false), (1.0, false), (-1.0, true), (2.0, true)];
        let sums = |at: &Coefficients| {
            let mut sums = LogisticSums::new(1);
            rows.iter().for_each(|&(x, positive)| sums.record(at, &[x], 0.0, positive).unwrap());
            sums
        };
        assert_eq!(fit.absorb(&sums(&Coefficients::zero(1).unwrap())), Ok(Progress::Ask));
        let elsewhere = sums(&Coefficients::new(vec![9.0, -9.0]).unwrap());
        let end = (0..100).map(|_| fit.absorb(&elsewhere)).find(|progress| *progress != Ok(Progress::Ask));
        assert_eq!(end, Some(Err(FitError::Inconsistent)));
    }
}
