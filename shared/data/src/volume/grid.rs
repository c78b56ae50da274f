//! A regular grid of voxels in the patient, without values.

use super::affine::EDGES_MM;
use super::{Affine, MAX_VOXELS, UnknownPlacement, Volume};

/// How many voxels, and where they lie.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Grid {
    shape: [usize; 3],
    affine: Affine,
}

/// A grid that no volume can have.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum InvalidGrid {
    /// An axis has no voxel, or there are too many voxels.
    #[error("a grid of {0:?} (z, y, x) is empty or above {MAX_VOXELS} voxels: choose a larger spacing")]
    Size([usize; 3]),
    /// A spacing is not a positive number, or beyond anything physical.
    #[error("the voxel spacing {0:?} mm (z, y, x) is not a positive, possible length: choose another")]
    Spacing([f64; 3]),
}

impl Grid {
    /// A grid of `shape` (z, y, x) voxels that lie where `affine` says.
    ///
    /// # Errors
    /// [`InvalidGrid::Size`] where there are no voxels or more than [`MAX_VOXELS`].
    pub fn new(shape: [usize; 3], affine: Affine) -> Result<Self, InvalidGrid> {
        let voxels = shape.iter().try_fold(1usize, |product, &n| product.checked_mul(n));
        match voxels {
            Some(1..=MAX_VOXELS) => Ok(Self { shape, affine }),
            _ => Err(InvalidGrid::Size(shape)),
        }
    }

    /// Voxels along z, y and x.
    pub const fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// Where the voxels lie.
    pub const fn affine(&self) -> Affine {
        self.affine
    }

    /// The grid with the same axes and the same first voxel, with voxels of `spacing` millimetres (z, y, x),
    /// enough of them to reach every voxel centre of this one: per axis `ceil((n - 1) * old / new) + 1`, the
    /// rule of nibabel's `vox2out_vox`.
    ///
    /// # Errors
    /// [`InvalidGrid`] where a spacing is not positive, or so small that there are too many voxels.
    pub fn with_spacing(&self, spacing: [f64; 3]) -> Result<Self, InvalidGrid> {
        /// Rounding of a header's 32-bit numbers must not add a voxel.
        const SLACK_VOXELS: f64 = 1e-5;
        if !spacing.iter().all(|mm| EDGES_MM.contains(mm)) {
            return Err(InvalidGrid::Spacing(spacing));
        }
        let mut rows = self.affine.rows();
        let mut shape = self.shape;
        for ((axis, size), &new) in shape.iter_mut().enumerate().zip(&spacing) {
            let column = 2 - axis;
            let old = rows.iter().map(|row| row[column] * row[column]).sum::<f64>().sqrt();
            for row in &mut rows {
                row[column] *= new / old;
            }
            // A size beyond any grid saturates, and is refused below.
            *size =
                (((*size - 1) as f64 * old / new - SLACK_VOXELS).ceil().max(0.0) as usize).saturating_add(1);
        }
        let affine = Affine::new(rows).map_err(|_| InvalidGrid::Spacing(spacing))?;
        Self::new(shape, affine)
    }

    /// [`Grid::with_spacing`] with cubic voxels of `edge_mm` millimetres.
    ///
    /// # Errors
    /// As [`Grid::with_spacing`].
    pub fn isotropic(&self, edge_mm: f64) -> Result<Self, InvalidGrid> {
        self.with_spacing([edge_mm; 3])
    }
}

impl Volume {
    /// The volume's voxels without their values.
    ///
    /// # Errors
    /// [`UnknownPlacement`] where the file did not say where they lie.
    pub fn grid(&self) -> Result<Grid, UnknownPlacement> {
        Ok(Grid { shape: self.shape, affine: self.affine.ok_or(UnknownPlacement)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Orientation;

    #[test]
    fn a_new_spacing_keeps_the_first_voxel_and_reaches_the_last() {
        let affine = Affine::aligned(Orientation::LPS, [2.0, 1.0, 0.5]).unwrap();
        let grid = Grid::new([10, 20, 31], affine).unwrap();
        let cubes = grid.isotropic(1.5).unwrap();
        assert_eq!(cubes.shape(), [13, 14, 11]);
        assert_eq!(cubes.affine().spacing(), [1.5; 3]);
        assert_eq!(cubes.affine().apply([0.0; 3]), affine.apply([0.0; 3]));
        assert_eq!(grid.with_spacing([2.0, 1.0, 0.5]), Ok(grid));
    }

    #[test]
    fn impossible_grids_are_refused() {
        let affine = Affine::aligned(Orientation::RAS, [1.0; 3]).unwrap();
        assert_eq!(Grid::new([0, 1, 1], affine), Err(InvalidGrid::Size([0, 1, 1])));
        assert!(matches!(Grid::new([usize::MAX, 2, 2], affine), Err(InvalidGrid::Size(_))));
        let grid = Grid::new([100; 3], affine).unwrap();
        assert!(matches!(grid.isotropic(1e-3), Err(InvalidGrid::Size(_))));
        for edge in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(grid.isotropic(edge).is_err(), "{edge}");
        }
    }
}
