//! Cosine, sine and exponential from additions and multiplications alone.
//!
//! Those of the standard library are the platform's and differ in the last digit from one to the next; these
//! give the same bits everywhere, so that a sample drawn anew on another machine is the same sample. Only for
//! the small arguments that occur here.

use std::f64::consts::FRAC_PI_2;

/// Terms of both series: at [`FRAC_PI_2`] the first one left out is below 1e-17.
const TERMS: u32 = 12;

/// Cosine and sine of an angle in [-π/2, π/2] radians, to 4e-16, by their Taylor series.
pub(super) fn cos_sin(angle: f64) -> (f64, f64) {
    debug_assert!(angle.abs() <= FRAC_PI_2 + 1e-12, "{angle} is too far for the series");
    let square = angle * angle;
    // Horner: 1 - x²/(1·2)·(1 - x²/(3·4)·(1 - …)), and the same one step on for the sine.
    let nested = |offset: u32| {
        (0..TERMS).rev().fold(1.0, |inner, term| {
            let first = f64::from(2 * term + 1 + offset);
            1.0 - square / (first * (first + 1.0)) * inner
        })
    };
    (nested(0), angle * nested(1))
}

/// e^-x for x in [0, 16], to a relative 1e-12: (e^(-x/256))^256, the inner one by its Taylor series.
pub(super) fn exp_minus(x: f64) -> f64 {
    debug_assert!((0.0..=16.0).contains(&x), "{x} is out of the series' range");
    let small = -x / 256.0;
    let series = (1..=8).rev().fold(1.0, |inner, term| 1.0 + small / f64::from(term) * inner);
    (0..8).fold(series, |power, _| power * power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_series_equal_the_standard_library() {
        for step in -1000..=1000 {
            let angle = FRAC_PI_2 * f64::from(step) / 1000.0;
            let (cos, sin) = cos_sin(angle);
            assert!((cos - angle.cos()).abs() < 4e-16 && (sin - angle.sin()).abs() < 4e-16, "{angle}");
        }
        for step in 0..=1600 {
            let x = f64::from(step) / 100.0;
            assert!((exp_minus(x) / (-x).exp() - 1.0).abs() < 1e-12, "{x}");
        }
        assert_eq!((cos_sin(0.0), exp_minus(0.0)), ((1.0, 0.0), 1.0));
    }
}
