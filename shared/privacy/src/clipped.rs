//! A local update whose every coordinate is bounded.

use std::fmt;

use crate::{Grid, LocalUpdate};

/// An update within `+-clip` in every coordinate. The next step is [`ClippedUpdate::quantise`].
pub struct ClippedUpdate {
    change: Vec<f32>,
    grid: Grid,
    cases: u32,
    saturated: u64,
    norm: f64,
}

impl LocalUpdate {
    /// Saturates every coordinate to `+-clip` of the grid and counts those that changed.
    pub fn clip(self, grid: Grid) -> ClippedUpdate {
        let (mut change, cases) = self.into_parts();
        let clip = grid.clip();
        let mut saturated = 0;
        for value in &mut change {
            saturated += u64::from(value.abs() > clip);
            *value = value.clamp(-clip, clip);
        }
        let norm = norm(&change);
        ClippedUpdate { change, grid, cases, saturated, norm }
    }
}

impl ClippedUpdate {
    /// Number of coordinates that were beyond the clip.
    pub const fn saturated(&self) -> u64 {
        self.saturated
    }

    /// Euclidean norm after clipping.
    pub const fn norm(&self) -> f64 {
        self.norm
    }

    pub(crate) fn into_parts(self) -> (Vec<f32>, Grid, crate::UpdateSummary) {
        let Self { change, grid, cases, saturated, norm } = self;
        (change, grid, crate::UpdateSummary { cases, saturated, norm })
    }
}

/// Shows no value of a coordinate.
impl fmt::Debug for ClippedUpdate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClippedUpdate({} coordinates, {} saturated)", self.change.len(), self.saturated)
    }
}

/// Sums in `LANES` fixed columns, so that the order (and the result) is the same on every machine while the
/// processor can add several at once.
fn norm(values: &[f32]) -> f64 {
    const LANES: usize = 8;
    let mut sums = [0.0; LANES];
    for row in values.chunks(LANES) {
        for (sum, &value) in sums.iter_mut().zip(row) {
            *sum += f64::from(value) * f64::from(value);
        }
    }
    sums.iter().sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use consilium_domain::FixedPoint;

    use super::*;

    fn grid() -> Grid {
        Grid::new(FixedPoint { clip: 2, fraction_bits: 20 }).unwrap()
    }

    #[test]
    fn what_exceeds_the_clip_is_saturated_and_counted() {
        let after = [2.0, -2.0, 2.000_001, -7.0, f32::MAX, 0.5];
        let clipped = LocalUpdate::between(&[0.0; 6], after.to_vec(), 3).unwrap().clip(grid());
        assert_eq!(clipped.change, [2.0, -2.0, 2.0, -2.0, 2.0, 0.5]);
        assert_eq!(clipped.saturated(), 3);
        assert_eq!(clipped.norm(), 20.25f64.sqrt());
        assert_eq!(format!("{clipped:?}"), "ClippedUpdate(6 coordinates, 3 saturated)");
    }

    #[test]
    fn the_norm_counts_every_coordinate_whatever_the_length() {
        for length in 0..40 {
            let update = LocalUpdate::between(&vec![0.0; length], vec![-0.5; length], 1).unwrap();
            assert_eq!(update.clip(grid()).norm(), (0.25 * length as f64).sqrt());
        }
    }
}
