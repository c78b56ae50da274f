//! The study's fixed point, checked: the grid of values that a protected coordinate can take.

use consilium_domain::FixedPoint;

/// Multiples of 2^-`fraction_bits` from -`clip` to `clip`, both included.
///
/// Its making proves that the arithmetic of this crate is exact: `clip` and the scale are powers of two, so
/// that scaling an `f32` changes its exponent only, and a coordinate in units is at most 2^30 in absolute
/// value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid(FixedPoint);

/// The fixed point makes no grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the fixed point (clip {}, fraction_bits {}) is refused: \
     take a power of two and {} to {} bits, with log2(clip) + fraction_bits at most {}",
    .0.clip, .0.fraction_bits, Grid::MIN_FRACTION_BITS, Grid::MAX_FRACTION_BITS, Grid::MAX_UNITS.ilog2()
)]
pub struct GridError(pub FixedPoint);

impl Grid {
    /// Coarser grids lose the updates of a usual learning rate altogether.
    pub const MIN_FRACTION_BITS: u8 = 8;
    /// An `f32` near one has 24 fractional bits; 28 leave room for smaller changes.
    pub const MAX_FRACTION_BITS: u8 = 28;
    /// The most units of a coordinate: with a sign it fits 32 bits and leaves one spare.
    pub const MAX_UNITS: i32 = 1 << 30;

    /// Checks `fixed_point`, by the rules of `Study::check`.
    pub fn new(fixed_point: FixedPoint) -> Result<Self, GridError> {
        let FixedPoint { clip, fraction_bits } = fixed_point;
        let bits_fit = (Self::MIN_FRACTION_BITS..=Self::MAX_FRACTION_BITS).contains(&fraction_bits);
        if bits_fit
            && clip.is_power_of_two()
            && clip.ilog2() + u32::from(fraction_bits) <= Self::MAX_UNITS.ilog2()
        {
            Ok(Self(fixed_point))
        } else {
            Err(GridError(fixed_point))
        }
    }

    /// The fixed point it was made of.
    pub const fn fixed_point(self) -> FixedPoint {
        self.0
    }

    /// The largest absolute value of a coordinate. Exact: a power of two.
    pub(crate) fn clip(self) -> f32 {
        self.0.clip as f32
    }

    /// Units per one. Exact: a power of two.
    pub(crate) fn scale(self) -> f32 {
        self.0.scale() as f32
    }

    /// The largest absolute value of a coordinate in units.
    pub(crate) fn max_units(self) -> i32 {
        (self.0.clip << self.0.fraction_bits) as i32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sound_grids_are_made() {
        for (clip, fraction_bits, units) in
            [(8, 22, 1 << 25), (64, 24, 1 << 30), (1, 8, 256), (1 << 22, 8, 1 << 30)]
        {
            let grid = Grid::new(FixedPoint { clip, fraction_bits }).unwrap();
            assert_eq!(grid.max_units(), units);
            assert_eq!(f64::from(grid.clip()) * f64::from(grid.scale()), f64::from(units));
        }
    }

    #[test]
    fn unsound_ones_are_refused() {
        for (clip, fraction_bits) in
            [(0, 22), (3, 22), (8, 7), (8, 29), (8, 32), (8, 255), (128, 24), (1 << 31, 8)]
        {
            let fixed_point = FixedPoint { clip, fraction_bits };
            assert_eq!(Grid::new(fixed_point), Err(GridError(fixed_point)));
        }
    }
}
