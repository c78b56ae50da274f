//! From a scan's files to a network's input.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use consilium_domain::{Modality, Preprocessing};

use crate::align::aligned;
use crate::{Case, GridMismatch, PreprocessError, ReadVolumeError, Volume, preprocess};

/// Why a scan gives no input. The texts name files, which name patients: they are for the site's own eyes.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The scan lacks the modality.
    #[error(
        "the scan with the mask {} has no {modality} image: add it, or leave the modality out of the study",
        mask.display()
    )]
    NoImage {
        /// The mask, which tells the site which scan it is.
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

/// The two files that an input is made of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ImagePair<'a> {
    /// The image of one modality.
    pub image: &'a Path,
    /// The tumour mask.
    pub mask: &'a Path,
}

/// Shows nothing: file names hold the patient's name.
impl fmt::Debug for ImagePair<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImagePair").finish_non_exhaustive()
    }
}

impl<'a> ImagePair<'a> {
    /// The image of `modality` among a scan's, and the scan's mask.
    pub(crate) fn of(
        images: &'a BTreeMap<Modality, PathBuf>,
        mask: &'a Path,
        modality: Modality,
    ) -> Result<Self, LoadError> {
        let image = images.get(&modality);
        let image = image.ok_or_else(|| LoadError::NoImage { mask: mask.to_owned(), modality })?;
        Ok(Self { image, mask })
    }
}

impl Case {
    /// The files of the input to the network of `modality`.
    ///
    /// # Errors
    /// [`LoadError::NoImage`] where the case lacks the modality.
    pub fn pair(&self, modality: Modality) -> Result<ImagePair<'_>, LoadError> {
        ImagePair::of(&self.images, &self.mask, modality)
    }
}

/// Reads one modality of a case and preprocesses it: [`load_pair`] of its files.
///
/// # Errors
/// [`LoadError`] where the image is missing, and as [`load_pair`].
pub fn load_input(
    case: &Case,
    modality: Modality,
    preprocessing: Preprocessing,
) -> Result<Vec<f32>, LoadError> {
    load_pair(case.pair(modality)?, preprocessing)
}

/// Reads an image and its mask, brings them together and preprocesses them.
///
/// Axes are turned to LPS, and an image on another grid than its mask is resampled onto the mask's where both files
/// say where they lie.
///
/// The result has the shape `preprocessing.input_shape()`, in (z, y, x) order, x fastest. Reads two files;
/// doing so for many scans at once is the caller's business.
///
/// # Errors
/// [`LoadError`] where a file is unreadable, the image on another grid than its mask, or unusable.
pub fn load_pair(pair: ImagePair<'_>, preprocessing: Preprocessing) -> Result<Vec<f32>, LoadError> {
    load_and_look(pair, preprocessing, |_, _| ()).map(|(values, ())| values)
}

/// As [`load_pair`], and beside it what `look` makes of the image and its mask.
pub(crate) fn load_and_look<T>(
    ImagePair { image: image_path, mask: mask_path }: ImagePair<'_>,
    preprocessing: Preprocessing,
    look: impl FnOnce(&Volume, &Volume) -> T,
) -> Result<(Vec<f32>, T), LoadError> {
    let on_other_grids =
        |cause| LoadError::Grid { image: image_path.to_owned(), mask: mask_path.to_owned(), cause };
    let (image, mask) =
        aligned(Volume::read(image_path)?, Volume::read(mask_path)?).map_err(on_other_grids)?;
    let values = preprocess(&image, &mask, preprocessing)
        .map_err(|cause| LoadError::Preprocess { image: image_path.to_owned(), cause })?;
    Ok((values, look(&image, &mask)))
}
