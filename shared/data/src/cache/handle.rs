//! What stands for one input of a study: small enough to keep one for every case and modality.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use consilium_domain::{Digest, Modality, Preprocessing};

use super::sources::Sighting;
use super::{CachePrecision, Sketcher, entry};
use crate::{Case, LoadError};

/// Raised whenever the reader of images or a profile comes to compute other numbers from the same files: entries
/// of before are then not found, and age out.
const CONTENT_VERSION: u32 = 1;

/// One input of a study, as [`load`](super::InputCache::load) found it. Keeps digests and paths, no voxels.
#[derive(Clone, PartialEq, Eq)]
pub struct InputHandle {
    pub(super) key: Digest,
    /// With the one image that the input is made of.
    pub(super) case: Case,
    pub(super) modality: Modality,
    pub(super) preprocessing: Preprocessing,
    pub(super) image: Sighting,
    pub(super) mask: Sighting,
}

impl InputHandle {
    /// Depth, height and width (z, y, x) of the input, in voxels.
    pub const fn shape(&self) -> [usize; 3] {
        self.preprocessing.input_shape()
    }

    /// Voxels of the input.
    pub fn voxels(&self) -> usize {
        self.shape().iter().product()
    }

    /// The digest of the image's file, compressed as it lies there.
    pub const fn image_digest(&self) -> Digest {
        self.image.digest
    }

    /// The digest of the mask's file, compressed as it lies there.
    pub const fn mask_digest(&self) -> Digest {
        self.mask.digest
    }

    pub(super) fn image_path(&self) -> &Path {
        &self.case.images[&self.modality]
    }
}

/// Shows which input it is, not whose: file names hold the patient's name.
impl fmt::Debug for InputHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InputHandle")
            .field("key", &self.key)
            .field("modality", &self.modality)
            .field("preprocessing", &self.preprocessing)
            .finish_non_exhaustive()
    }
}

/// The case with nothing but the image of `modality`.
pub(super) fn narrowed(case: &Case, modality: Modality) -> Result<Case, LoadError> {
    let image = case.pair(modality)?.image.to_owned();
    Ok(Case { images: BTreeMap::from([(modality, image)]), ..case.clone() })
}

/// The address of an input: all that its numbers follow from.
pub(super) fn key(
    [image, mask]: [Digest; 2],
    preprocessing: Preprocessing,
    precision: CachePrecision,
    sketcher: Option<Sketcher>,
) -> Digest {
    let profile = serde_json::to_string(&preprocessing).expect("a profile has nothing but names and numbers");
    let sketcher = sketcher.map_or("", |sketcher| sketcher.name);
    let mut hasher = blake3::Hasher::new_derive_key("consilium 2026 preprocessed input");
    for number in [entry::VERSION, CONTENT_VERSION] {
        hasher.update(&number.to_le_bytes());
    }
    for text in [env!("CARGO_PKG_VERSION"), &profile, precision.name(), sketcher] {
        // With its length before it, no text can pass for the beginning of another.
        hasher.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
    }
    hasher.update(image.as_bytes()).update(mask.as_bytes());
    Digest::from_bytes(*hasher.finalize().as_bytes())
}
