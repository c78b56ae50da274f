//! An opened package: every file is there, none besides, and each has the digests that the card says.
//!
//! Whether the card itself is to be believed is another question: [`Package::verify`].

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use consilium_domain::{Fold, Modality, Study};
use consilium_weights::{Weights, WeightsError};

use crate::card::{Card, FileCard, place};
use crate::card_check::CardError;
use crate::digests::{Digests, read_bounded};
use crate::folder::{
    BASE_FILE, CARD_FILE, Difference, MAX_CARD_BYTES, MAX_SIGNATURE_BYTES, SIGNATURE_FILE, base_manifest,
    compare, listed_paths, model_manifest, model_path,
};
use crate::signature::{Signature, SignatureError};
use crate::signer::{Signer, VerifyError};

/// Names listed in an error before the rest is left out.
const LISTED_NAMES: usize = 20;

/// Why a folder is not a package, or gives no weights. Nothing of it was used.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// The file system refuses.
    #[error("{path} cannot be read: {source}")]
    Read {
        /// Which file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Files are missing, or there are others. Each list holds at most the first 20.
    #[error(
        "{folder} is not a whole model package: missing [{}], unexpected [{}]; copy it again as a whole",
        missing.join(", "), unexpected.join(", ")
    )]
    Files {
        /// The package.
        folder: PathBuf,
        /// In the card, not in the folder.
        missing: Vec<String>,
        /// In the folder, not in the card.
        unexpected: Vec<String>,
    },
    /// A link, a folder or a device where a file should be.
    #[error("{0} is not a plain file: copy the package again, with what links point to")]
    NotAFile(PathBuf),
    /// More than such a file can have.
    #[error("{path} has more than the {limit} bytes that such a file can have: it is not of a model package")]
    TooLarge {
        /// Which file.
        path: PathBuf,
        /// The most it may have.
        limit: u64,
    },
    /// Cut off, or longer than it was.
    #[error("{path} has {found} bytes, the card says {expected}: copy the package again")]
    Size {
        /// Which file.
        path: PathBuf,
        /// Its length.
        found: u64,
        /// The length in the card.
        expected: u64,
    },
    /// Other bytes than the card says.
    #[error("{0} was altered: its digest is not the one in the card; copy the package again")]
    Altered(PathBuf),
    /// The card.
    #[error("the card {path} is refused: {source}")]
    Card {
        /// The card's file.
        path: PathBuf,
        /// What is wrong with it.
        source: CardError,
    },
    /// The signature's file.
    #[error("the signature {path} is refused: {source}")]
    Signature {
        /// The signature's file.
        path: PathBuf,
        /// What is wrong with it.
        source: SignatureError,
    },
    /// A file has its digest and is not the network's weights.
    #[error("{path} does not fit the network of the card: {source}")]
    Weights {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        source: WeightsError,
    },
    /// Nothing of that kind in it.
    #[error("the package has no model of {modality}, fold {fold}")]
    NoModel {
        /// As asked.
        modality: Modality,
        /// As asked.
        fold: Fold,
    },
}

/// A package whose files were all compared with its card.
pub struct Package {
    folder: PathBuf,
    card: Card,
    card_bytes: Vec<u8>,
    study: Study,
    signature: Signature,
}

impl Package {
    /// Opens the package in `folder` and reads every file of it once.
    ///
    /// # Errors
    /// Names the file and the problem: missing, unexpected, too large, cut off, altered, contradictory.
    pub fn open(folder: &Path) -> Result<Self, PackageError> {
        let card_bytes = small_file(folder, CARD_FILE, MAX_CARD_BYTES)?;
        let (card, study) = Card::parse(&card_bytes)
            .map_err(|source| PackageError::Card { path: folder.join(CARD_FILE), source })?;
        refuse_difference(folder, &study, &card)?;
        let signature = small_file(folder, SIGNATURE_FILE, MAX_SIGNATURE_BYTES)?;
        let signature = Signature::parse(&signature)
            .map_err(|source| PackageError::Signature { path: folder.join(SIGNATURE_FILE), source })?;
        for file in &card.files {
            check_file(&place(folder, &file.path), file)?;
        }
        Ok(Self { folder: folder.to_owned(), card, card_bytes, study, signature })
    }

    /// What the models are and what they are worth.
    pub const fn card(&self) -> &Card {
        &self.card
    }

    /// The study they come from.
    pub const fn study(&self) -> &Study {
        &self.study
    }

    /// Where the package lies.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The pretrained backbone; `None` where the arm has none. Against `NetworkSpec::backbone_tensors`.
    ///
    /// # Errors
    /// Where the file changed since the package was opened, or is not of the card's network.
    pub fn base(&self) -> Result<Option<Weights>, PackageError> {
        self.weights(BASE_FILE, base_manifest(&self.study))
    }

    /// The trained tensors of the model of `modality` that was not trained on `fold`. Against
    /// `Study::trainable_tensors`.
    ///
    /// # Errors
    /// Where there is no such model, its file changed since the package was opened, or is not of the card's network.
    pub fn model(&self, modality: Modality, fold: Fold) -> Result<Weights, PackageError> {
        let manifest = model_manifest(&self.study, self.card.arm);
        self.weights(&model_path(modality, fold), manifest)?.ok_or(PackageError::NoModel { modality, fold })
    }

    /// Who answers for the card, if the authority `ca_pem` (PEM) vouches for them as its coordinator.
    ///
    /// An expired certificate is not refused: ask [`Signer::standing`].
    ///
    /// # Errors
    /// Where the signature is of another card, the signer no coordinator, or of another authority.
    pub fn verify(&self, ca_pem: &str) -> Result<Signer, VerifyError> {
        Signer::verify(&self.card_bytes, &self.signature, ca_pem)
    }

    /// The same package after its folder was moved to `folder`.
    pub(crate) fn moved_to(self, folder: PathBuf) -> Self {
        Self { folder, ..self }
    }

    fn weights(
        &self,
        name: &str,
        manifest: std::sync::Arc<[consilium_domain::network::TensorSpec]>,
    ) -> Result<Option<Weights>, PackageError> {
        let Some(file) = self.card.file(name) else { return Ok(None) };
        let path = place(&self.folder, name);
        let bytes = read_bounded(&path, file.bytes)
            .map_err(|source| PackageError::Read { path: path.clone(), source })?
            .filter(|bytes| matches(&Digests::of(bytes), file))
            .ok_or_else(|| PackageError::Altered(path.clone()))?;
        let weights = Weights::from_safetensors(&bytes, manifest)
            .map_err(|source| PackageError::Weights { path, source })?;
        Ok(Some(weights))
    }
}

fn refuse_difference(folder: &Path, study: &Study, card: &Card) -> Result<(), PackageError> {
    let mut expected = listed_paths(study, card.arm);
    expected.extend([CARD_FILE.to_owned(), SIGNATURE_FILE.to_owned()]);
    let read = |source| PackageError::Read { path: folder.to_owned(), source };
    let Difference { mut missing, mut unexpected } = compare(folder, &expected).map_err(read)?;
    if missing.is_empty() && unexpected.is_empty() {
        return Ok(());
    }
    missing.truncate(LISTED_NAMES);
    unexpected.truncate(LISTED_NAMES);
    for name in &mut unexpected {
        *name = name.escape_debug().to_string();
    }
    Err(PackageError::Files { folder: folder.to_owned(), missing, unexpected })
}

/// A file that is read before the card can say how long it is.
fn small_file(folder: &Path, name: &str, limit: u64) -> Result<Vec<u8>, PackageError> {
    let path = folder.join(name);
    if let Err(PackageError::Read { source, .. }) = plain_length(&path)
        && source.kind() == io::ErrorKind::NotFound
        && folder.is_dir()
    {
        let missing = vec![name.to_owned()];
        return Err(PackageError::Files { folder: folder.to_owned(), missing, unexpected: Vec::new() });
    }
    plain_length(&path)?;
    let content =
        read_bounded(&path, limit).map_err(|source| PackageError::Read { path: path.clone(), source })?;
    content.ok_or(PackageError::TooLarge { path, limit })
}

fn plain_length(path: &Path) -> Result<u64, PackageError> {
    let metadata =
        fs::symlink_metadata(path).map_err(|source| PackageError::Read { path: path.to_owned(), source })?;
    if metadata.is_file() { Ok(metadata.len()) } else { Err(PackageError::NotAFile(path.to_owned())) }
}

fn check_file(path: &Path, file: &FileCard) -> Result<(), PackageError> {
    let found = plain_length(path)?;
    if found != file.bytes {
        return Err(PackageError::Size { path: path.to_owned(), found, expected: file.bytes });
    }
    let digests = Digests::of_file(path, file.bytes.saturating_add(1))
        .map_err(|source| PackageError::Read { path: path.to_owned(), source })?;
    if matches(&digests, file) { Ok(()) } else { Err(PackageError::Altered(path.to_owned())) }
}

fn matches(found: &Digests, file: &FileCard) -> bool {
    let expected = Digests { bytes: file.bytes, blake3: file.blake3, sha256: file.sha256 };
    *found == expected
}
