//! The AUC of an observer who sees the latent score itself: the ceiling of every network on phantoms.

/// The AUC for two normal distributions of unit variance whose means are `signal` apart: Phi(signal / sqrt
/// 2). (Green and Swets, Signal Detection Theory and Psychophysics, 1966.)
pub fn ideal_auc(signal: f64) -> f64 {
    // Phi(x) = (1 + erf(x / sqrt 2)) / 2, at x = signal / sqrt 2.
    0.5 * (1.0 + erf(signal / 2.0))
}

/// The AUC that `scores` reach on these very cases, ties counted half; `None` where a class is absent.
pub fn observed_auc(scores: &[(f64, bool)]) -> Option<f64> {
    let of_class =
        |class| scores.iter().filter(move |&&(_, positive)| positive == class).map(|&(score, _)| score);
    let pairs = of_class(true).count() * of_class(false).count();
    let wins: f64 = of_class(true)
        .flat_map(|positive| of_class(false).map(move |negative| (positive, negative)))
        .map(|(positive, negative)| match positive.total_cmp(&negative) {
            std::cmp::Ordering::Greater => 1.0,
            std::cmp::Ordering::Equal => 0.5,
            std::cmp::Ordering::Less => 0.0,
        })
        .sum();
    (pairs > 0).then(|| wins / pairs as f64)
}

/// The error function to 1.5e-7: formula 7.1.26 of Abramowitz and Stegun, Handbook of Mathematical Functions,
/// 1964.
fn erf(x: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.327_591_1 * x.abs());
    let series = [1.061_405_429, -1.453_152_027, 1.421_413_741, -0.284_496_736, 0.254_829_592];
    let polynomial = series.into_iter().fold(0.0, |sum, coefficient| (sum + coefficient) * t);
    (1.0 - polynomial * (-x * x).exp()).copysign(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        for (x, value) in
            [(0.0, 0.0), (0.5, 0.520_499_877_8), (1.0, 0.842_700_792_9), (-2.0, -0.995_322_265_0)]
        {
            assert!((erf(x) - value).abs() < 2e-7, "{x}");
        }
        assert!((ideal_auc(0.0) - 0.5).abs() < 1e-6);
        assert!((ideal_auc(2.33) - 0.9503).abs() < 1e-4);
    }

    #[test]
    fn the_observed_area_counts_pairs() {
        let scores = [(0.1, false), (0.4, true), (0.4, false), (0.9, true)];
        assert_eq!(observed_auc(&scores), Some(3.5 / 4.0));
        assert_eq!(observed_auc(&[(0.1, true)]), None);
    }
}
