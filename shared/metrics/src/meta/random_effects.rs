//! Effects of several sites, each with its variance, combined.

use serde::{Deserialize, Serialize};

use crate::distribution::{chi_squared_above, crossing, student_above, student_quantile};
use crate::interval::{Interval, TAIL_95};

/// A site's estimate and its sampling variance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Effect {
    estimate: f64,
    variance: f64,
}

impl Effect {
    /// `None` unless the estimate is a number and the variance a positive one.
    pub fn new(estimate: f64, variance: f64) -> Option<Self> {
        // An infinite weight, or one that overflows in a sum of thousands, is no weight.
        let sound = estimate.is_finite() && variance.is_finite() && variance > 1e-100;
        sound.then_some(Self { estimate, variance })
    }
}

/// How the variance between sites is estimated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TauRule {
    /// By one moment, in closed form (doi:10.1016/0197-2456(86)90046-2).
    DersimonianLaird,
    /// So that the weighted squares equal their expectation (doi:10.6028/jres.087.022): less biased where
    /// sites differ much in size. The default of reports.
    PauleMandel,
}

/// Sites combined.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RandomEffects {
    /// The mean over the population of sites.
    pub estimate: f64,
    /// Its standard error: Hartung and Knapp's (doi:10.1002/sim.791; Sidik and Jonkman,
    /// doi:10.1002/sim.1262), never below the plain one (the modification that Roever, Knapp and Friede
    /// recommend for few unequal sites, doi:10.1186/s12874-015-0091-1).
    pub standard_error: f64,
    /// The factor of Hartung and Knapp before it was kept from falling below 1; `None` for a single site.
    pub adjustment: Option<f64>,
    /// 95 % confidence interval by Student's t with one degree less than sites; `None` for a single site.
    pub interval: Option<Interval>,
    /// Where 95 % of true effects of further sites are expected: Student's t with two degrees less than sites
    /// (Higgins, Thompson and Spiegelhalter, doi:10.1111/j.1467-985X.2008.00552.x); `None` below three sites.
    pub prediction: Option<Interval>,
    /// Variance between sites, tau squared.
    pub between_variance: f64,
    /// How it was estimated.
    pub rule: TauRule,
    /// Cochran's Q: the squares around the mean without variance between sites.
    pub q: f64,
    /// Probability of a Q as large if all sites had the same true effect; `None` for a single site.
    pub q_p_value: Option<f64>,
    /// I²: the share of Q that exceeds its expectation (doi:10.1002/sim.1186), in [0, 1); `None` for a single
    /// site.
    pub inconsistency: Option<f64>,
    /// Share of each site in the estimate, in the order given.
    pub weights: Vec<f64>,
}

impl RandomEffects {
    /// Two-sided probability of an estimate as far from 0 if the true mean were 0, by the interval's own
    /// distribution; `None` for a single site.
    pub fn p_value(&self) -> Option<f64> {
        let freedom = self.weights.len().checked_sub(1).filter(|&freedom| freedom > 0)?;
        Some(2.0 * student_above(libm::fabs(self.estimate) / self.standard_error, freedom as f64))
    }
}

/// Combines `effects`; `None` without any.
pub fn random_effects(effects: &[Effect], rule: TauRule) -> Option<RandomEffects> {
    if effects.is_empty() {
        return None;
    }
    let freedom = (effects.len() - 1) as f64;
    let q = Weighted::of(effects, 0.0).squares;
    let between_variance = match rule {
        TauRule::DersimonianLaird => dersimonian_laird(effects, q, freedom),
        TauRule::PauleMandel => paule_mandel(effects, q, freedom),
    };
    let combined = Weighted::of(effects, between_variance);
    let several = effects.len() > 1;
    let adjustment = several.then(|| combined.squares / freedom);
    let standard_error = libm::sqrt(adjustment.unwrap_or(1.0).max(1.0) / combined.total);
    let around = |reach: f64| Interval { lower: combined.mean - reach, upper: combined.mean + reach };
    Some(RandomEffects {
        estimate: combined.mean,
        standard_error,
        adjustment,
        interval: several.then(|| around(student_quantile(TAIL_95, freedom) * standard_error)),
        prediction: (effects.len() > 2).then(|| {
            around(
                student_quantile(TAIL_95, freedom - 1.0)
                    * libm::hypot(standard_error, libm::sqrt(between_variance)),
            )
        }),
        between_variance,
        rule,
        q,
        q_p_value: several.then(|| chi_squared_above(q, freedom)),
        inconsistency: several.then(|| if q > freedom { (q - freedom) / q } else { 0.0 }),
        weights: effects
            .iter()
            .map(|effect| 1.0 / (effect.variance + between_variance) / combined.total)
            .collect(),
    })
}

/// The mean with weights 1 / (variance + variance between sites), and the weighted squares around it.
struct Weighted {
    total: f64,
    mean: f64,
    squares: f64,
}

impl Weighted {
    fn of(effects: &[Effect], between_variance: f64) -> Self {
        let weight = |effect: &Effect| 1.0 / (effect.variance + between_variance);
        let total: f64 = effects.iter().map(weight).sum();
        let mean = effects.iter().map(|effect| weight(effect) * effect.estimate).sum::<f64>() / total;
        let square = |effect: &Effect| weight(effect) * (effect.estimate - mean) * (effect.estimate - mean);
        Self { total, mean, squares: effects.iter().map(square).sum() }
    }
}

fn dersimonian_laird(effects: &[Effect], q: f64, freedom: f64) -> f64 {
    let weights = || effects.iter().map(|effect| 1.0 / effect.variance);
    let (total, squares): (f64, f64) = (weights().sum(), weights().map(|weight| weight * weight).sum());
    if q > freedom { (q - freedom) / (total - squares / total) } else { 0.0 }
}

/// The weighted squares fall as the variance between sites grows, so they meet their expectation once.
fn paule_mandel(effects: &[Effect], q: f64, freedom: f64) -> f64 {
    if q <= freedom {
        return 0.0;
    }
    let exceed = |between_variance: f64| Weighted::of(effects, between_variance).squares > freedom;
    let mut high = effects.iter().map(|effect| effect.variance).fold(0.0, f64::max);
    while exceed(high) {
        high *= 2.0;
    }
    crossing(0.0, high, exceed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn effects(values: &[(f64, f64)]) -> Vec<Effect> {
        values.iter().map(|&(estimate, variance)| Effect::new(estimate, variance).unwrap()).collect()
    }

    /// Equal variances: the mean is plain, and both rules give the sample variance less the sampling one.
    #[test]
    fn by_hand() {
        let effects = effects(&[(1.0, 1.0), (3.0, 1.0), (8.0, 1.0)]);
        for rule in [TauRule::DersimonianLaird, TauRule::PauleMandel] {
            let combined = random_effects(&effects, rule).unwrap();
            assert!(
                (combined.estimate - 4.0).abs() < 1e-12 && (combined.between_variance - 12.0).abs() < 1e-9
            );
            assert!(
                (combined.q - 26.0).abs() < 1e-12
                    && (combined.inconsistency.unwrap() - 24.0 / 26.0).abs() < 1e-12
            );
            assert!((combined.standard_error - (13.0f64 / 3.0).sqrt()).abs() < 1e-9);
            assert!((combined.q_p_value.unwrap() - (-13.0f64).exp()).abs() < 1e-15);
        }
    }

    #[test]
    fn few_sites_say_less() {
        assert_eq!(random_effects(&[], TauRule::PauleMandel), None);
        let one = random_effects(&effects(&[(0.5, 0.04)]), TauRule::PauleMandel).unwrap();
        assert_eq!((one.estimate, one.standard_error, one.between_variance), (0.5, 0.2, 0.0));
        assert_eq!(
            (one.interval, one.prediction, one.q_p_value, one.inconsistency),
            (None, None, None, None)
        );
        let two = random_effects(&effects(&[(0.5, 0.04), (0.7, 0.04)]), TauRule::PauleMandel).unwrap();
        assert!(two.interval.is_some() && two.prediction.is_none());
    }

    #[test]
    fn sites_that_agree_by_luck_do_not_narrow_the_interval() {
        let same =
            random_effects(&effects(&[(0.5, 0.04), (0.5, 0.04), (0.5, 0.04)]), TauRule::PauleMandel).unwrap();
        assert_eq!((same.between_variance, same.adjustment), (0.0, Some(0.0)));
        assert!((same.standard_error - 0.2 / 3.0f64.sqrt()).abs() < 1e-15);
    }

    #[test]
    fn no_weight_is_infinite() {
        for (estimate, variance) in
            [(f64::NAN, 1.0), (0.0, 0.0), (0.0, -1.0), (0.0, f64::INFINITY), (0.0, 1e-300)]
        {
            assert_eq!(Effect::new(estimate, variance), None);
        }
    }

    /// The mean is as far from 0 as its interval reaches: 0 is the interval's end, and p is 5 %.
    #[test]
    fn the_p_value_agrees_with_the_interval() {
        let effect = |estimate| Effect::new(estimate, 0.01).unwrap();
        let around_zero = random_effects(&[-0.1, 0.0, 0.1].map(effect), TauRule::PauleMandel).unwrap();
        assert!((around_zero.p_value().unwrap() - 1.0).abs() < 1e-12);
        let reach = around_zero.interval.unwrap().upper;
        let moved = [-0.1, 0.0, 0.1].map(|estimate| effect(estimate + reach));
        let at_the_end = random_effects(&moved, TauRule::PauleMandel).unwrap();
        assert!((at_the_end.p_value().unwrap() - 0.05).abs() < 1e-9);
        assert_eq!(random_effects(&moved[..1], TauRule::PauleMandel).unwrap().p_value(), None);
    }
}
