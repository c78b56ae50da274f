//! Why a scan cannot be predicted on, or no scans were found. The texts name folders, which may name patients: they
//! are for the site's own eyes.

use std::path::PathBuf;

use crate::CohortError;

/// Why one scan is no [`Subject`](super::Subject).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScanFault {
    /// No file has the name of an image.
    #[error(
        "has no image that is named as the layout names them: see docs/layouts.md, and name the folder of one scan"
    )]
    NoImage,
    /// No file has the name of a tumour mask.
    #[error(
        "has images but no tumour mask: every preprocessing profile looks where the mask says, so segment the tumour \
         first and name the mask as docs/layouts.md says"
    )]
    NoMask,
    /// A manifest names a file that is not there.
    #[error("a file named in the manifest is missing: correct its path, or leave the cell empty")]
    FileMissing,
    /// Two files for one purpose.
    #[error("has two files for the {kind}: leave one, for which of them holds is not for us to guess")]
    TwoFiles {
        /// `t1gd`, ..., or `mask`.
        kind: &'static str,
    },
    /// The names say that the files are of different scans.
    #[error(
        "has files of {count} scans, for their names begin differently: put each scan into a folder of its own, or give \
         all files of one scan the same beginning"
    )]
    SeveralScans {
        /// How many beginnings.
        count: usize,
    },
    /// Layouts see different files in it.
    #[error(
        "fits more than one layout, and each finds other files ({}): name the layout, or name all files as one layout \
         does",
        layouts.join(", ")
    )]
    Ambiguous {
        /// Their names.
        layouts: Vec<&'static str>,
    },
}

/// Why a scan, or a folder of scans, could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum SubjectError {
    /// The scan, or what should be one, cannot be used.
    #[error("{}: {fault}", place.display())]
    Scan {
        /// Its folder, or the manifest that lists it.
        place: PathBuf,
        /// Why.
        fault: ScanFault,
    },
    /// A folder cannot be listed, is in another layout, or the manifest is wrong.
    #[error(transparent)]
    Folder(#[from] CohortError),
    /// One scan was asked for.
    #[error(
        "{}: lists {count} scans where one is wanted: leave one row, or predict for all of them in one go",
        manifest.display()
    )]
    NotOneRow {
        /// The manifest, or the folder that holds it.
        manifest: PathBuf,
        /// How many rows.
        count: usize,
    },
    /// Nothing to predict on.
    #[error("{}: holds no scans: name the folder that holds the scans' folders", root.display())]
    NoScans {
        /// The folder, or the manifest.
        root: PathBuf,
    },
}
