//! The named transforms from a scan and its tumour mask to a network's input.
//!
//! A transform is part of the agreed study: every site must compute the same numbers, so nothing here is
//! tunable and a changed transform gets a new name.

#[cfg(test)]
mod golden_tests;
mod resize;
mod schmitz2024;
mod tumour_crop;

use consilium_domain::Preprocessing;

use crate::{GridMismatch, Volume};

/// Why an image gives no input.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PreprocessError {
    /// Image and mask are on different grids.
    #[error("image and mask are on different grids ({0}): resample the mask to the image")]
    Grid(GridMismatch),
    /// The profile is defined for one grid only.
    #[error(
        "the profile schmitz2024 needs 155x240x240 voxels (z, y, x), not {0:?}: register the scan \
         to the SRI24 atlas at 1 mm, or use the profile tumour-crop"
    )]
    NotAtlasGrid([usize; 3]),
    /// The mask marks no tumour, or none where the profile looks.
    #[error("the mask marks no tumour {0}: check that it belongs to this image")]
    NoTumour(&'static str),
    /// The image holds a single value.
    #[error("the image is constant {0}: check that the file is the scan and not a mask or an empty export")]
    Constant(&'static str),
}

/// Applies a profile. The result has the shape `profile.input_shape()`, in (z, y, x) order, x fastest.
///
/// `mask` marks the tumour with values above 0; both volumes must be on one grid.
///
/// # Errors
/// [`PreprocessError`] where the grids differ, the profile does not fit, or nothing is left to look at.
pub fn preprocess(
    image: &Volume,
    mask: &Volume,
    profile: Preprocessing,
) -> Result<Vec<f32>, PreprocessError> {
    image.check_same_grid(mask).map_err(PreprocessError::Grid)?;
    match profile {
        Preprocessing::Schmitz2024 => schmitz2024::apply(image, mask),
        Preprocessing::TumourCrop { side } => tumour_crop::apply(image, mask, usize::from(side)),
    }
}

/// A box of voxels, each axis from its first index to one past its last.
type Window = [std::ops::Range<usize>; 3];
