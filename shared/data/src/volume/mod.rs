//! A three-dimensional image: voxels, their spacing and where the axes point.
//!
//! Not a general image library: one scalar a voxel, everything as `f32` in memory.

mod affine;
mod fields;
mod grid;
mod header;
mod header_error;
mod orientation;
mod read;
mod reorient;
mod resample;
mod source;
mod voxel_type;
mod write;

#[cfg(test)]
mod file_tests;

pub use affine::{Affine, InvalidAffine};
pub use grid::{Grid, InvalidGrid};
pub use header::{NiftiVersion, VolumeHeader};
pub use header_error::HeaderError;
pub use orientation::{Orientation, UnknownOrientation};
pub use read::{MAX_READ_BYTES, ReadVolumeError};
pub use reorient::UnknownPlacement;
pub use resample::Interpolation;
pub use voxel_type::VoxelType;
pub use write::WriteVolumeError;

use affine::EDGES_MM;

/// Most voxels in one image: 512 cubed, eight times what any brain scan here holds, 512 MiB as `f32`.
pub const MAX_VOXELS: usize = 512 * 512 * 512;

/// Two spacings agree when they differ by less than this, in millimetres: headers round differently.
const SPACING_TOLERANCE_MM: f32 = 1e-3;

/// An image on a regular grid. Every value is finite.
#[derive(Clone, PartialEq)]
pub struct Volume {
    shape: [usize; 3],
    spacing: [f32; 3],
    affine: Option<Affine>,
    values: Vec<f32>,
}

/// Values that do not make a volume.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum InvalidVolume {
    /// The number of values is not the number of voxels.
    #[error("a grid of {shape:?} (z, y, x) needs {expected} values, not {found}: pass one value a voxel")]
    Count {
        /// Voxels along z, y and x.
        shape: [usize; 3],
        /// The product of the shape.
        expected: usize,
        /// Values passed.
        found: usize,
    },
    /// An axis has no voxel, or there are too many voxels.
    #[error("a grid of {0:?} (z, y, x) is empty or above {MAX_VOXELS} voxels: crop or resample the image")]
    Size([usize; 3]),
    /// A spacing is not a positive number, or beyond anything physical.
    #[error(
        "the voxel spacing {0:?} mm (z, y, x) is not a positive, possible length: mend the image's header"
    )]
    Spacing([f32; 3]),
    /// NaN or infinity.
    #[error(
        "{count} voxels are NaN or infinite: export the image again, or replace them by 0 if they \
         are background"
    )]
    NotFinite {
        /// How many.
        count: usize,
    },
}

/// How two grids differ.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum GridMismatch {
    /// Different numbers of voxels.
    #[error("{0:?} and {1:?} voxels (z, y, x)")]
    Shape([usize; 3], [usize; 3]),
    /// Different voxel sizes.
    #[error("voxels of {0:?} and {1:?} mm (z, y, x)")]
    Spacing([f32; 3], [f32; 3]),
    /// The axes point in different directions, so voxels of one index are different places.
    #[error("axes towards {0} and {1}")]
    Orientation(Orientation, Orientation),
}

impl Volume {
    /// A volume of `shape` (z, y, x) with `spacing` in millimetres (z, y, x). `values` has x fastest.
    ///
    /// # Errors
    /// [`InvalidVolume`] where the numbers do not fit each other or a value is not finite.
    pub fn new(shape: [usize; 3], spacing: [f32; 3], values: Vec<f32>) -> Result<Self, InvalidVolume> {
        let voxels = shape.iter().try_fold(1usize, |product, &n| product.checked_mul(n)).unwrap_or(0);
        if voxels == 0 || voxels > MAX_VOXELS {
            return Err(InvalidVolume::Size(shape));
        }
        if voxels != values.len() {
            return Err(InvalidVolume::Count { shape, expected: voxels, found: values.len() });
        }
        if !spacing.iter().all(|&mm| EDGES_MM.contains(&mm.into())) {
            return Err(InvalidVolume::Spacing(spacing));
        }
        match values.iter().filter(|value| !value.is_finite()).count() {
            0 => Ok(Self { shape, spacing, affine: None, values }),
            count => Err(InvalidVolume::NotFinite { count }),
        }
    }

    /// The same volume with known axis directions, its first voxel at the origin. Moves no voxel; see
    /// [`Volume::in_orientation`] for that.
    #[must_use]
    pub fn with_orientation(self, orientation: Orientation) -> Self {
        Self { affine: Some(Affine::of_volume(orientation, self.spacing)), ..self }
    }

    /// The same voxels at the places that `affine` says; the spacing becomes the affine's.
    #[must_use]
    pub fn with_affine(self, affine: Affine) -> Self {
        Self { affine: Some(affine), spacing: affine.spacing(), ..self }
    }

    /// Voxels along z, y and x.
    pub const fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// Voxel size along z, y and x, in millimetres.
    pub const fn spacing(&self) -> [f32; 3] {
        self.spacing
    }

    /// Where the axes point, if the file said so.
    pub fn orientation(&self) -> Option<Orientation> {
        self.affine.map(|affine| affine.orientation())
    }

    /// Where the voxels lie, if the file said so.
    pub const fn affine(&self) -> Option<Affine> {
        self.affine
    }

    /// The voxels in (z, y, x) order, x fastest. All finite.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Whether voxels of equal index are the same place in both volumes, as far as shape, spacing and axis
    /// directions tell. Shifts and tilts are let pass: much software writes them carelessly.
    ///
    /// # Errors
    /// [`GridMismatch`] with the first difference.
    pub fn check_same_grid(&self, other: &Self) -> Result<(), GridMismatch> {
        if self.shape != other.shape {
            return Err(GridMismatch::Shape(self.shape, other.shape));
        }
        let close = |(a, b): (&f32, &f32)| (a - b).abs() < SPACING_TOLERANCE_MM;
        if !self.spacing.iter().zip(&other.spacing).all(close) {
            return Err(GridMismatch::Spacing(self.spacing, other.spacing));
        }
        match (self.orientation(), other.orientation()) {
            (Some(a), Some(b)) if a != b => Err(GridMismatch::Orientation(a, b)),
            _ => Ok(()),
        }
    }
}

/// Shows the grid, never a patient's voxels.
impl std::fmt::Debug for Volume {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Volume")
            .field("shape", &self.shape)
            .field("spacing", &self.spacing)
            .field("affine", &self.affine)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_volumes_are_refused() {
        let make = |shape, spacing: f32, value| Volume::new(shape, [spacing; 3], vec![value; 8]);
        assert!(make([2, 2, 2], 1.0, 1.0).is_ok());
        assert!(matches!(
            make([2, 2, 3], 1.0, 1.0),
            Err(InvalidVolume::Count { expected: 12, found: 8, .. })
        ));
        assert!(matches!(make([0, 2, 2], 1.0, 1.0), Err(InvalidVolume::Size(_))));
        assert!(matches!(make([usize::MAX, 2, 2], 1.0, 1.0), Err(InvalidVolume::Size(_))));
        assert!(matches!(make([2, 2, 2], 0.0, 1.0), Err(InvalidVolume::Spacing(_))));
        assert!(matches!(make([2, 2, 2], 1.0, f32::NAN), Err(InvalidVolume::NotFinite { count: 8 })));
    }

    #[test]
    fn grids_differ_by_shape_spacing_or_orientation() {
        let volume = |shape, mm: f32| Volume::new(shape, [mm; 3], vec![0.0; 8]).unwrap();
        let (lps, ras) = (Orientation([-1, -2, 3]), Orientation([1, 2, 3]));
        let plain = volume([2, 2, 2], 1.0);
        assert_eq!(plain.check_same_grid(&plain.clone().with_orientation(lps)), Ok(()));
        assert!(matches!(plain.check_same_grid(&volume([1, 2, 4], 1.0)), Err(GridMismatch::Shape(..))));
        assert!(matches!(plain.check_same_grid(&volume([2, 2, 2], 2.0)), Err(GridMismatch::Spacing(..))));
        let error = plain.clone().with_orientation(lps).check_same_grid(&plain.with_orientation(ras));
        assert_eq!(error.unwrap_err().to_string(), "axes towards LPS and RAS");
    }
}
