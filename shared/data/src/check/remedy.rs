//! From this crate's error texts to reason and remedy.
//!
//! Every error text here reads "file: reason: remedy" (`docs` of the errors promise it, a test below holds them to
//! it), so a report need not say everything a second time.

use std::path::Path;

use super::problem::ProblemKind;
use crate::{InvalidVolume, ReadVolumeError};

/// Reason and remedy of an error text that begins with `path`.
pub(super) fn split(text: &str, path: &Path) -> (String, String) {
    let text = text.strip_prefix(&format!("{}: ", path.display())).unwrap_or(text);
    match text.rsplit_once(": ") {
        Some((reason, remedy)) => (reason.to_owned(), remedy.to_owned()),
        None => (text.to_owned(), "mend or remove it".to_owned()),
    }
}

/// The kind of a failure to read.
pub(super) const fn kind_of(error: &ReadVolumeError) -> ProblemKind {
    match error {
        ReadVolumeError::Io { .. } | ReadVolumeError::NotAFile { .. } | ReadVolumeError::Memory { .. } => {
            ProblemKind::Unreadable
        }
        ReadVolumeError::Gzip { .. }
        | ReadVolumeError::Truncated { .. }
        | ReadVolumeError::Trailing { .. }
        | ReadVolumeError::Decode { .. } => ProblemKind::Damaged,
        ReadVolumeError::Voxels { cause: InvalidVolume::NotFinite { .. }, .. } => ProblemKind::NotFinite,
        ReadVolumeError::Header { .. } | ReadVolumeError::Voxels { .. } => ProblemKind::BadHeader,
    }
}
