//! The interval of a proportion.

use crate::interval::{Estimate, Interval, Z_95};

/// A proportion with Wilson's 95 % score interval (doi:10.1080/01621459.1927.10502953); `None` without
/// trials.
///
/// Unlike the textbook interval it stays within [0, 1] and has a width at proportions of 0 and 1.
pub fn wilson(successes: u64, failures: u64) -> Option<Estimate> {
    if successes == 0 && failures == 0 {
        return None;
    }
    let trials = successes as f64 + failures as f64;
    let value = successes as f64 / trials;
    let z_squared = Z_95 * Z_95;
    let centre = value + z_squared / (2.0 * trials);
    let spread = Z_95 * (value * (1.0 - value) / trials + z_squared / (4.0 * trials * trials)).sqrt();
    let shrink = 1.0 + z_squared / trials;
    let interval = Interval {
        // At the ends centre and spread are equal (or add up to `shrink`); rounding must not say otherwise.
        lower: if successes == 0 { 0.0 } else { ((centre - spread) / shrink).clamp(0.0, value) },
        upper: if failures == 0 { 1.0 } else { ((centre + spread) / shrink).clamp(value, 1.0) },
    };
    Some(Estimate { value, interval })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn assert_close(actual: f64, expected: f64) {
        assert!((actual - expected).abs() < 5e-5, "{actual} is not {expected}");
    }

    #[test]
    fn published_examples() {
        // Newcombe 1998 (doi:10.1002/(SICI)1097-0258(19980430)17:8<857::AID-SIM777>3.0.CO;2-E), table I,
        // method 3.
        for (successes, trials, lower, upper) in [
            (81, 263, 0.2553, 0.3662),
            (15, 148, 0.0624, 0.1605),
            (0, 20, 0.0, 0.1611),
            (1, 29, 0.0061, 0.1718),
        ] {
            let estimate = wilson(successes, trials - successes).unwrap();
            assert_close(estimate.interval.lower, lower);
            assert_close(estimate.interval.upper, upper);
        }
    }

    #[test]
    fn no_trials_no_proportion() {
        assert_eq!(wilson(0, 0), None);
    }

    proptest! {
        #[test]
        fn the_interval_holds_the_value_and_mirrors(successes in 0u64.., failures in 0u64..) {
            prop_assume!(successes > 0 || failures > 0);
            let estimate = wilson(successes, failures).unwrap();
            let Interval { lower, upper } = estimate.interval;
            prop_assert!(0.0 <= lower && lower <= estimate.value && estimate.value <= upper && upper <= 1.0);
            let mirrored = wilson(failures, successes).unwrap();
            prop_assert!((mirrored.interval.upper - (1.0 - lower)).abs() < 1e-12);
        }
    }
}
