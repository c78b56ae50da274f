//! A scan of a patient without a label or a clinical table, as a finished model needs it.
//!
//! One scan is a folder whose files are named as a layout names them, or one row of a manifest; many are the folder
//! that a layout knows, follow-ups and unlabelled ones included. As for cohorts, only names are looked at.
//!
//! Deliberately absent: patients, aliases and labels. Who may be predicted on is not for this crate to judge.

mod batch;
mod claim;
mod error;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};

use consilium_domain::Modality;

pub use batch::{LeftOut, Subjects};
pub use error::{ScanFault, SubjectError};

use crate::cohort::settle::Files;
use crate::{ImagePair, Layout, LoadError, ScanName};
use claim::Claim;

/// A scan that a model can be asked about.
#[derive(Clone, PartialEq, Eq)]
pub struct Subject {
    /// Which scan. Stays at the site.
    pub name: ScanName,
    /// The images that exist; at least one.
    pub images: BTreeMap<Modality, PathBuf>,
    /// The tumour mask.
    pub mask: PathBuf,
}

/// Shows what there is, not who: file names hold the patient's name.
impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject").field("modalities", &self.images.keys()).finish_non_exhaustive()
    }
}

impl Subject {
    /// Finds the one scan in a folder by its files' names; with the layout `manifest`, the scan of the one row of a
    /// manifest, which `folder` is or holds.
    ///
    /// Without a layout it is recognised: the one whose names account for every file that any layout knows.
    ///
    /// # Errors
    /// [`SubjectError`] where no image or no mask is found, two files serve one purpose, the files are of several
    /// scans, layouts find different files, or the folder or manifest cannot be read.
    pub fn in_folder(folder: &Path, layout: Option<Layout>) -> Result<Self, SubjectError> {
        let claims = match layout {
            Some(layout) => vec![Claim::of(layout, folder)?],
            None if folder.is_file() => vec![Claim::of(Layout::Manifest, folder)?],
            None => Claim::of_each(folder)?,
        };
        let refused = |fault| SubjectError::Scan { place: folder.to_owned(), fault };
        let Claim { scan, files, .. } = the_one(claims).map_err(refused)?;
        Self::new(scan.unwrap_or_else(|| name_of(folder)), files).map_err(refused)
    }

    /// The files of the input to the network of `modality`, for [`load_pair`](crate::load_pair).
    ///
    /// # Errors
    /// [`LoadError::NoImage`] where the scan lacks the modality.
    pub fn pair(&self, modality: Modality) -> Result<ImagePair<'_>, LoadError> {
        ImagePair::of(&self.images, &self.mask, modality)
    }

    fn new(name: ScanName, Files { images, mask }: Files) -> Result<Self, ScanFault> {
        if images.is_empty() {
            return Err(ScanFault::NoImage);
        }
        Ok(Self { name, images, mask: mask.ok_or(ScanFault::NoMask)? })
    }
}

/// The claim that accounts for what every other finds. Several may, where they find the same files.
fn the_one(mut claims: Vec<Claim>) -> Result<Claim, ScanFault> {
    claims.retain(|claim| !claim.is_empty());
    if claims.is_empty() {
        return Err(ScanFault::NoImage);
    }
    match claims.iter().position(|claim| claims.iter().all(|other| claim.covers(other))) {
        Some(index) => Ok(claims.swap_remove(index)),
        None => Err(ScanFault::Ambiguous { layouts: claims.iter().map(|claim| claim.layout).collect() }),
    }
}

/// The folder's own name; of `.` or `..` the name of what it stands for.
fn name_of(folder: &Path) -> ScanName {
    let real = || folder.canonicalize().ok()?.file_name().map(OsStr::to_owned);
    let name = folder.file_name().map(OsStr::to_owned).or_else(real).unwrap_or_default();
    printable(&name.to_string_lossy())
}

/// A name from the disk, which may hold what would drive the terminal that shows it.
fn printable(name: &str) -> ScanName {
    ScanName::new(name.replace(char::is_control, "\u{fffd}"))
}
