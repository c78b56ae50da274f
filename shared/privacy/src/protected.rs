//! A clipped update on the grid of the study: integers, ready to be summed (and, in the same ring, masked).

use std::fmt;

use crate::{ClippedUpdate, Grid, UpdateSummary};

/// An update in units of the grid. The next step is [`ProtectedUpdate::seal`].
///
/// A coordinate is off by at most half a unit (`FixedPoint::half_unit`) from its clipped value.
pub struct ProtectedUpdate {
    units: Vec<i32>,
    grid: Grid,
    summary: UpdateSummary,
}

impl ClippedUpdate {
    /// Rounds every coordinate to the grid, halves to the even neighbour, so that no direction is preferred.
    pub fn quantise(self) -> ProtectedUpdate {
        let (change, grid, summary) = self.into_parts();
        let scale = f64::from(grid.scale());
        // Same size and alignment, so the values are replaced in place: no second copy of the model.
        let units = change.into_iter().map(|value| round_to_even(f64::from(value) * scale)).collect();
        ProtectedUpdate { units, grid, summary }
    }
}

/// The integer nearest to `value`, halves to the even one, for `|value| <= 2^30`.
///
/// 1.5 * 2^52 pushes the fraction out of the significand, where IEEE 754 addition itself rounds halves to
/// even; the integer remains in the low bits in two's complement. Unlike `f64::round_ties_even` this needs no
/// call on any processor and vectorises.
pub(crate) fn round_to_even(value: f64) -> i32 {
    const PUSH: f64 = 1.5 * (1u64 << 52) as f64;
    (value + PUSH).to_bits() as i32
}

impl ProtectedUpdate {
    /// Number of coordinates.
    pub fn coordinates(&self) -> usize {
        self.units.len()
    }

    /// The grid it lies on.
    pub const fn grid(&self) -> Grid {
        self.grid
    }

    pub(crate) fn into_parts(self) -> (Vec<i32>, UpdateSummary) {
        (self.units, self.summary)
    }
}

/// Shows no value of a coordinate.
impl fmt::Debug for ProtectedUpdate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProtectedUpdate({} coordinates on {:?})", self.units.len(), self.grid.fixed_point())
    }
}

#[cfg(test)]
mod tests {
    use consilium_domain::FixedPoint;
    use proptest::prelude::*;

    use super::*;
    use crate::LocalUpdate;

    fn quantised(values: &[f32], fixed_point: FixedPoint) -> Vec<i32> {
        let update = LocalUpdate::between(&vec![0.0; values.len()], values.to_vec(), 1).unwrap();
        update.clip(Grid::new(fixed_point).unwrap()).quantise().units
    }

    #[test]
    fn halves_go_to_the_even_unit() {
        let halves = [0.5f32, 1.5, 2.5, -0.5, -1.5, -2.5, 0.499, -0.501];
        let values = halves.map(|units| units / 256.0);
        assert_eq!(quantised(&values, FixedPoint { clip: 1, fraction_bits: 8 }), [0, 2, 2, 0, -2, -2, 0, -1]);
    }

    #[test]
    fn the_clip_is_on_the_grid() {
        let fixed_point = FixedPoint { clip: 64, fraction_bits: 24 };
        assert_eq!(quantised(&[1e9, -1e9, 64.0, -0.0], fixed_point), [1 << 30, -(1 << 30), 1 << 30, 0]);
    }

    proptest! {
        #[test]
        fn rounding_is_that_of_the_standard_library(value in -1_073_741_824.0f64..=1_073_741_824.0) {
            prop_assert_eq!(round_to_even(value), value.round_ties_even() as i32);
            let half = value.trunc() + 0.5;
            prop_assert_eq!(round_to_even(half), half.round_ties_even() as i32);
        }

        #[test]
        fn the_error_is_at_most_half_a_unit(
            value in prop_oneof![-8.0f32..=8.0, -1e-6f32..=1e-6, prop::num::f32::SUBNORMAL],
            fraction_bits in 8u8..=27,
        ) {
            let fixed_point = FixedPoint { clip: 8, fraction_bits };
            let units = quantised(&[value], fixed_point)[0];
            let error = (f64::from(units) / fixed_point.scale() - f64::from(value)).abs();
            prop_assert!(error <= fixed_point.half_unit());
        }
    }
}
