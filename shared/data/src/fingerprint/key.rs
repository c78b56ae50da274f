//! From a case to tokens that mean nothing to those without the key.

use std::fmt;

use consilium_domain::{
    Fingerprint, FingerprintToken, IMAGE_BANDS, ImageTokens, MAX_ALIASES, Modality, StudyHash,
};

use super::ImageSketch;

/// The secret that the sites of a consortium share and the coordinator never has.
#[derive(Clone, PartialEq, Eq)]
pub struct FingerprintKey([u8; 32]);

/// The same for one study: tokens of two studies have nothing in common, so nobody can follow a patient from one
/// to the next.
#[derive(Clone, PartialEq, Eq)]
pub struct StudyFingerprintKey([u8; 32]);

/// A case with more names than a fingerprint holds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the case is known by {0} names, a fingerprint holds {MAX_ALIASES}: leave the least known ones out")]
pub struct TooManyAliases(pub usize);

impl FingerprintKey {
    /// The key with these bytes: random ones, made once for a consortium and kept from its coordinator.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The key of one study.
    pub fn for_study(&self, study: StudyHash) -> StudyFingerprintKey {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(b"consilium fingerprints of a study/").update(study.digest().as_bytes());
        StudyFingerprintKey(*hasher.finalize().as_bytes())
    }
}

impl StudyFingerprintKey {
    /// The fingerprint of one case: of the canonical names by which others may know the patient (for instance
    /// `brats21:00017`), and of its images. The order of neither matters, nor does a name given twice.
    ///
    /// # Errors
    /// [`TooManyAliases`] beyond [`MAX_ALIASES`] different names.
    pub fn fingerprint<'a>(
        &self,
        aliases: &[&str],
        sketches: impl IntoIterator<Item = (Modality, &'a ImageSketch)>,
    ) -> Result<Fingerprint, TooManyAliases> {
        let mut aliases: Vec<FingerprintToken> =
            aliases.iter().map(|alias| self.token("alias", alias.as_bytes())).collect();
        aliases.sort_unstable();
        aliases.dedup();
        if aliases.len() > MAX_ALIASES {
            return Err(TooManyAliases(aliases.len()));
        }
        let images = sketches.into_iter().map(|(modality, sketch)| (modality, self.image(modality, sketch)));
        Ok(Fingerprint { aliases, images: images.collect() })
    }

    fn image(&self, modality: Modality, sketch: &ImageSketch) -> ImageTokens {
        let tokens: [FingerprintToken; IMAGE_BANDS] = std::array::from_fn(|band| {
            let [low, high] = sketch.bands()[band].to_le_bytes();
            self.token(modality.name(), &[band as u8, low, high])
        });
        ImageTokens(tokens)
    }

    /// `kind` holds no slash, so that no two kinds' contents run into each other.
    fn token(&self, kind: &str, content: &[u8]) -> FingerprintToken {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(kind.as_bytes()).update(b"/").update(content);
        let mut token = [0; 8];
        hasher.finalize_xof().fill(&mut token);
        FingerprintToken(token)
    }
}

impl fmt::Debug for FingerprintKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FingerprintKey").finish_non_exhaustive()
    }
}

impl fmt::Debug for StudyFingerprintKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StudyFingerprintKey").finish_non_exhaustive()
    }
}
