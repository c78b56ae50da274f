//! What a classifier does to patients at one threshold: every figure with its interval.
//!
//! The threshold was chosen on other patients ([`ThresholdRule`]); nothing here chooses.

use serde::{Deserialize, Serialize};

use crate::interval::{Estimate, Interval};
use crate::{BinEdge, Confusion, GridMismatch, ScoreHistogram, ThresholdRule, wilson};

/// The figures at one threshold. What is undefined is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct OperatingPoint {
    /// How the threshold was chosen.
    pub rule: ThresholdRule,
    /// The score at and above which a patient is called positive.
    pub threshold: f64,
    /// Patients by class and side of the threshold.
    pub confusion: Confusion,
    /// Share of positive patients called positive; Wilson's interval.
    pub sensitivity: Option<Estimate>,
    /// Share of negative patients called negative; Wilson's interval.
    pub specificity: Option<Estimate>,
    /// Share of patients called positive who are; Wilson's interval.
    pub positive_predictive_value: Option<Estimate>,
    /// Share of patients called negative who are; Wilson's interval.
    pub negative_predictive_value: Option<Estimate>,
    /// Share of patients called by their class; Wilson's interval.
    pub accuracy: Option<Estimate>,
    /// Mean of sensitivity and specificity; interval from theirs.
    pub balanced_accuracy: Option<Estimate>,
    /// Harmonic mean of sensitivity and positive predictive value; Wilson's interval, transformed.
    pub f1: Option<Estimate>,
    /// Matthews' correlation. Its interval needs resampling: see [`crate::bootstrap`].
    pub matthews: Option<f64>,
}

impl OperatingPoint {
    /// The figures of `histogram` at `edge`, which `rule` chose on other patients.
    pub fn at(histogram: &ScoreHistogram, edge: BinEdge, rule: ThresholdRule) -> Result<Self, GridMismatch> {
        let confusion = Confusion::at(histogram, edge)?;
        Ok(Self {
            rule,
            threshold: edge.threshold(),
            confusion,
            sensitivity: confusion.sensitivity(),
            specificity: confusion.specificity(),
            positive_predictive_value: confusion.positive_predictive_value(),
            negative_predictive_value: confusion.negative_predictive_value(),
            accuracy: confusion.accuracy(),
            balanced_accuracy: confusion.balanced_accuracy(),
            f1: confusion.f1(),
            matthews: confusion.matthews(),
        })
    }
}

impl Confusion {
    /// The mean of sensitivity and specificity; `None` when a class is empty.
    ///
    /// The interval combines Wilson's two by the method of variance estimates recovery (Zou and Donner,
    /// doi:10.1002/sim.3095): at a sensitivity or specificity of 1 it keeps a width, unlike the delta method.
    pub fn balanced_accuracy(&self) -> Option<Estimate> {
        let (sensitivity, specificity) = (self.sensitivity()?, self.specificity()?);
        let value = 0.5 * (sensitivity.value + specificity.value);
        let reach = |limit: fn(&Interval) -> f64| {
            let of = |estimate: &Estimate| estimate.value - limit(&estimate.interval);
            0.5 * libm::hypot(of(&sensitivity), of(&specificity))
        };
        let interval = Interval::clipped(
            value - reach(|interval| interval.lower),
            value + reach(|interval| interval.upper),
        );
        Some(Estimate { value, interval })
    }

    /// F1 = 2 TP / (2 TP + FP + FN); `None` where all three are 0.
    ///
    /// F1 = 2J / (1 + J) for the proportion J = TP / (TP + FP + FN), so the interval is Wilson's of J under
    /// the same map ("Wilson indirect", Lam, Gopal and Qian, arXiv:2309.14621).
    pub fn f1(&self) -> Option<Estimate> {
        let wrong = u64::from(self.false_positives) + u64::from(self.false_negatives);
        let hits = f64::from(self.true_positives);
        let overlap = wilson(self.true_positives.into(), wrong)?;
        let map = |j: f64| 2.0 * j / (1.0 + j);
        let value = 2.0 * hits / (2.0 * hits + wrong as f64);
        let Interval { lower, upper } = overlap.interval;
        Some(Estimate {
            value,
            interval: Interval { lower: map(lower).min(value), upper: map(upper).max(value) },
        })
    }

    /// Matthews' correlation coefficient (doi:10.1016/0005-2795(75)90109-9), in [-1, 1]; `None` where a class
    /// or a side of the threshold is empty.
    pub fn matthews(&self) -> Option<f64> {
        let [tp, fn_, tn, fp] =
            [self.true_positives, self.false_negatives, self.true_negatives, self.false_positives]
                .map(f64::from);
        // At most 2^96 under the root: no overflow, and each factor is exact.
        let margins = (tp + fn_) * (tp + fp) * (tn + fn_) * (tn + fp);
        (margins > 0.0).then(|| ((tp * tn - fp * fn_) / libm::sqrt(margins)).clamp(-1.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn confusion(tp: u32, fn_: u32, tn: u32, fp: u32) -> Confusion {
        Confusion { true_positives: tp, false_negatives: fn_, true_negatives: tn, false_positives: fp }
    }

    #[test]
    fn by_hand() {
        let c = confusion(6, 2, 9, 3);
        assert_eq!(c.balanced_accuracy().unwrap().value, 0.75);
        assert_eq!(c.f1().unwrap().value, 12.0 / 17.0);
        let matthews = c.matthews().unwrap();
        assert!((matthews - (54.0 - 6.0) / (8.0f64 * 9.0 * 11.0 * 12.0).sqrt()).abs() < 1e-15);
    }

    #[test]
    fn perfect_calls_are_not_certain() {
        let c = confusion(10, 0, 10, 0);
        for estimate in [c.balanced_accuracy().unwrap(), c.f1().unwrap()] {
            assert_eq!((estimate.value, estimate.interval.upper), (1.0, 1.0));
            assert!(estimate.interval.lower > 0.5 && estimate.interval.lower < 0.9);
        }
        assert_eq!(c.matthews(), Some(1.0));
    }

    #[test]
    fn what_is_undefined_is_none() {
        assert_eq!(confusion(0, 0, 5, 0).balanced_accuracy(), None);
        assert_eq!(confusion(0, 0, 5, 0).f1(), None);
        assert_eq!(confusion(5, 0, 0, 5).matthews(), None, "nobody is called negative");
        assert_eq!(confusion(0, 0, 0, 0).matthews(), None);
        assert_eq!(confusion(0, 3, 5, 0).f1().unwrap().value, 0.0);
    }
}
