//! From this crate's error texts to reason and remedy.
//!
//! Every error text here reads "file: reason: remedy" (`docs` of the errors promise it, a test below holds
//! them to it), so a report need not say everything a second time.

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

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::PathBuf;

    use super::*;
    use crate::HeaderError;

    #[test]
    fn every_error_of_a_file_has_a_reason_and_a_remedy() {
        let path = || PathBuf::from("/data/a: b/image.nii");
        let cause = || io::Error::other("odd");
        let errors = [
            ReadVolumeError::Io { path: path(), cause: cause() },
            ReadVolumeError::NotAFile { path: path() },
            ReadVolumeError::Gzip { path: path(), cause: cause() },
            ReadVolumeError::Truncated { path: path(), part: "voxels" },
            ReadVolumeError::Trailing { path: path() },
            ReadVolumeError::Memory { path: path(), voxels: 8 },
            ReadVolumeError::Header { path: path(), cause: HeaderError::NotNifti },
            ReadVolumeError::Header { path: path(), cause: HeaderError::Offset(1.0) },
            ReadVolumeError::Voxels { path: path(), cause: InvalidVolume::NotFinite { count: 3 } },
        ];
        for error in errors {
            let (reason, remedy) = split(&error.to_string(), &path());
            assert!(!reason.contains("/data") && reason.split(' ').count() > 2, "{reason}");
            assert!(!remedy.contains("/data") && remedy.split(' ').count() > 2, "{remedy}");
        }
    }
}
