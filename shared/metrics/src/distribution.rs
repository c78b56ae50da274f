//! Tails and quantiles of the normal, Student's t and chi-squared distributions.
//!
//! Built on `libm`, whose results are the same on every platform. Deliberately small: only what the intervals
//! and tests of this crate ask for, to about 1e-12.

use std::f64::consts::FRAC_1_SQRT_2;

/// More terms than any continued fraction or series here needs at the sizes of a consortium.
const MAX_TERMS: u32 = 10_000;

/// Halvings after which a bracket of two floats cannot shrink further.
const BISECTIONS: u32 = 200;

/// The probability that a standard normal variable exceeds `z`.
pub(crate) fn normal_above(z: f64) -> f64 {
    0.5 * libm::erfc(z * FRAC_1_SQRT_2)
}

/// The probability of a standard normal variable at least as far from 0 as `z`.
pub(crate) fn normal_two_sided(z: f64) -> f64 {
    libm::erfc(z.abs() * FRAC_1_SQRT_2)
}

/// The value below which a standard normal variable falls with probability `p`; `p` in (0, 1).
pub(crate) fn normal_quantile(p: f64) -> f64 {
    if p > 0.5 { crossing(0.0, 40.0, |z| normal_above(z) > 1.0 - p) } else { -upper_normal_quantile(p) }
}

fn upper_normal_quantile(tail: f64) -> f64 {
    crossing(0.0, 40.0, |z| normal_above(z) > tail)
}

/// The value that Student's t with `freedom` degrees exceeds with probability `tail`; `tail` in (0, 0.5).
pub(crate) fn student_quantile(tail: f64, freedom: f64) -> f64 {
    let mut high = 1.0;
    while student_above(high, freedom) > tail {
        high *= 2.0;
    }
    crossing(0.0, high, |t| student_above(t, freedom) > tail)
}

/// The probability that Student's t with `freedom` degrees exceeds `t`, which is not negative.
pub(crate) fn student_above(t: f64, freedom: f64) -> f64 {
    0.5 * incomplete_beta(freedom / (freedom + t * t), 0.5 * freedom, 0.5)
}

/// The probability that chi-squared with `freedom` degrees exceeds `x`, which is not negative.
pub(crate) fn chi_squared_above(x: f64, freedom: f64) -> f64 {
    let (a, x) = (0.5 * freedom, 0.5 * x);
    if x <= 0.0 {
        1.0
    } else if x < a + 1.0 {
        1.0 - lower_gamma_series(a, x)
    } else {
        upper_gamma_fraction(a, x)
    }
}

/// Where `is_before` turns from true to false between `low` and `high`.
pub(crate) fn crossing(mut low: f64, mut high: f64, is_before: impl Fn(f64) -> bool) -> f64 {
    for _ in 0..BISECTIONS {
        let middle = 0.5 * (low + high);
        if is_before(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    0.5 * (low + high)
}

/// The regularised incomplete beta function (DLMF 8.17.22, by the modified Lentz method).
fn incomplete_beta(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return if x <= 0.0 { 0.0 } else { 1.0 };
    }
    // The fraction converges fast below the mean only; the mirrored function serves above.
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - incomplete_beta(1.0 - x, b, a);
    }
    let log_beta = libm::lgamma(a) + libm::lgamma(b) - libm::lgamma(a + b);
    let front = libm::exp(a * libm::log(x) + b * libm::log1p(-x) - log_beta) / a;
    let coefficient = |term: u32| {
        let m = f64::from(term / 2);
        match term {
            0 => 1.0,
            _ if term.is_multiple_of(2) => m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m)),
            _ => -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0)),
        }
    };
    front * continued_fraction(coefficient, |_| 1.0)
}

/// The regularised lower incomplete gamma function (DLMF 8.11.4).
fn lower_gamma_series(a: f64, x: f64) -> f64 {
    let (mut term, mut sum) = (1.0 / a, 1.0 / a);
    for n in 1..MAX_TERMS {
        term *= x / (a + f64::from(n));
        sum += term;
        if term < sum * f64::EPSILON {
            break;
        }
    }
    sum * libm::exp(a * libm::log(x) - x - libm::lgamma(a))
}

/// The regularised upper incomplete gamma function (DLMF 8.9.2, in its even form).
fn upper_gamma_fraction(a: f64, x: f64) -> f64 {
    let numerator = |term: u32| {
        let n = f64::from(term);
        if term == 0 { 1.0 } else { n * (a - n) }
    };
    let denominator = |term: u32| x - a + 1.0 + 2.0 * f64::from(term);
    libm::exp(a * libm::log(x) - x - libm::lgamma(a)) * continued_fraction(numerator, denominator)
}

/// a0 / (b0 + a1 / (b1 + a2 / (b2 + ...))), by the modified Lentz method.
fn continued_fraction(numerator: impl Fn(u32) -> f64, denominator: impl Fn(u32) -> f64) -> f64 {
    const TINY: f64 = 1e-300;
    let guarded = |x: f64| if x.abs() < TINY { TINY } else { x };
    let (mut value, mut c, mut d) = (TINY, TINY, 0.0);
    for term in 0..MAX_TERMS {
        let (a, b) = (numerator(term), denominator(term));
        d = 1.0 / guarded(b + a * d);
        c = guarded(b + a / c);
        value *= c * d;
        if (c * d - 1.0).abs() < f64::EPSILON {
            break;
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_close(actual: f64, expected: f64) {
        assert!((actual - expected).abs() <= 1e-12 * expected.abs().max(1e-3), "{actual} is not {expected}");
    }

    /// Closed forms: t with 1 degree is Cauchy, with 2 degrees algebraic; chi-squared with 2 is exponential.
    #[test]
    fn closed_forms() {
        assert_close(student_quantile(0.025, 1.0), (std::f64::consts::PI * 0.475).tan());
        let p: f64 = 0.95;
        assert_close(student_quantile(0.025, 2.0), p * (2.0 / (1.0 - p * p)).sqrt());
        for x in [0.1, 1.0, 3.0, 20.0] {
            assert_close(chi_squared_above(x, 2.0), (-0.5 * x).exp());
            assert_close(chi_squared_above(x * x, 1.0), normal_two_sided(x));
        }
        assert_close(normal_quantile(0.975), 1.959_963_984_540_054);
        assert_close(normal_quantile(0.025), -1.959_963_984_540_054);
        assert_eq!(chi_squared_above(0.0, 3.0), 1.0);
    }

    #[test]
    fn many_degrees_approach_the_normal() {
        assert!((student_quantile(0.025, 1e6) - 1.959_963_984_540_054).abs() < 3e-6);
    }
}
