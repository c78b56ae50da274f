//! The normal approximation of the permutation test.

use serde::{Deserialize, Serialize};

use crate::distribution::{normal_above, normal_two_sided};
use crate::{ScoreHistogram, Totals};

/// Mann and Whitney's test (doi:10.1214/aoms/1177730491) with the variance for ties and no continuity
/// correction.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MannWhitney {
    /// Pairs of a positive and a negative patient in the right order, ties half.
    pub u: f64,
    /// U in standard deviations from its mean under chance.
    pub z: f64,
    /// Probability under chance of a z at least as far from 0.
    pub two_sided: f64,
    /// Probability under chance of a z at least as large.
    pub greater: f64,
}

/// The normal approximation; `None` when a class is empty or all patients are in one bin.
///
/// The variance of U is P N / 12 (n + 1 - sum of (t^3 - t) / (n (n - 1))) over bins of t patients.
pub fn mann_whitney(histogram: &ScoreHistogram) -> Option<MannWhitney> {
    let Totals { positives, negatives } = histogram.totals();
    let (p, n) = (f64::from(positives), f64::from(negatives));
    let patients = p + n;
    let (mut below, mut twice_u, mut ties) = (0u64, 0u64, 0.0);
    for (&positives, &negatives) in histogram.positives().iter().zip(histogram.negatives()) {
        twice_u += u64::from(positives) * (2 * below + u64::from(negatives));
        below += u64::from(negatives);
        let tied = f64::from(positives) + f64::from(negatives);
        ties += tied * tied * tied - tied;
    }
    if positives == 0 || negatives == 0 {
        return None;
    }
    let variance = p * n / 12.0 * (patients + 1.0 - ties / (patients * (patients - 1.0)));
    // All tied: zero up to rounding, while the least other value is about 1 / n.
    if variance <= p * n * 1e-12 {
        return None;
    }
    let u = twice_u as f64 / 2.0;
    let z = (u - p * n / 2.0) / libm::sqrt(variance);
    Some(MannWhitney { u, z, two_sided: normal_two_sided(z), greater: normal_above(z) })
}
