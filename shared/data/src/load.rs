//! From a case's files to a network's input.

use std::path::PathBuf;

use consilium_domain::{Modality, Preprocessing};

use crate::align::aligned;
use crate::{Case, GridMismatch, PreprocessError, ReadVolumeError, Volume, preprocess};

/// Why a case gives no input. The texts name files, which name patients: they are for the site's own eyes.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The case lacks the modality.
    #[error(
        "the case of {} has no {modality} image: add it, or leave the modality out of the study",
        mask.display()
    )]
    NoImage {
        /// The mask, which tells the site which case it is.
        mask: PathBuf,
        /// What was asked for.
        modality: Modality,
    },
    /// A file cannot be read.
    #[error(transparent)]
    Read(#[from] ReadVolumeError),
    /// Image and mask are on different grids.
    #[error(
        "{} and {} are on different grids ({cause}): resample the mask to the image, or write into both files where they lie",
        image.display(),
        mask.display()
    )]
    Grid {
        /// The image.
        image: PathBuf,
        /// The mask.
        mask: PathBuf,
        /// How they differ.
        cause: GridMismatch,
    },
    /// The profile cannot use the image.
    #[error("{}: {cause}", image.display())]
    Preprocess {
        /// The image.
        image: PathBuf,
        /// Why.
        cause: PreprocessError,
    },
}

/// Reads one modality of a case and its mask, brings them together and preprocesses them.
///
/// Axes are turned to LPS, and an image on another grid than its mask is resampled onto the mask's where both files
/// say where they lie.
///
/// The result has the shape `preprocessing.input_shape()`, in (z, y, x) order, x fastest. Reads two files;
/// doing so for many cases at once is the caller's business.
///
/// # Errors
/// [`LoadError`] where the image is missing, unreadable, on another grid than its mask, or unusable.
pub fn load_input(
    case: &Case,
    modality: Modality,
    preprocessing: Preprocessing,
) -> Result<Vec<f32>, LoadError> {
    load_and_look(case, modality, preprocessing, |_, _| ()).map(|(values, ())| values)
}

/// As [`load_input`], and beside it what `look` makes of the image and its mask.
pub(crate) fn load_and_look<T>(
    case: &Case,
    modality: Modality,
    preprocessing: Preprocessing,
    look: impl FnOnce(&Volume, &Volume) -> T,
) -> Result<(Vec<f32>, T), LoadError> {
    let path =
        case.images.get(&modality).ok_or_else(|| LoadError::NoImage { mask: case.mask.clone(), modality })?;
    let on_other_grids = |cause| LoadError::Grid { image: path.clone(), mask: case.mask.clone(), cause };
    let (image, mask) = aligned(Volume::read(path)?, Volume::read(&case.mask)?).map_err(on_other_grids)?;
    let values = preprocess(&image, &mask, preprocessing)
        .map_err(|cause| LoadError::Preprocess { image: path.clone(), cause })?;
    Ok((values, look(&image, &mask)))
}
