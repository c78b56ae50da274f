//! Why the cache gives no input.

use std::io;
use std::path::{Path, PathBuf};

use crate::LoadError;

/// Why an input cannot be had from the cache. The texts name files, which name patients: they are for the site's
/// own eyes.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The case itself is at fault: missing, unreadable or unusable files. The one kind that concerns this case
    /// only; a caller may leave the case out and go on.
    #[error(transparent)]
    Case(#[from] LoadError),
    /// A file was written to while it was read: what was made of it belongs to no digest.
    #[error("{}: was written to while it was read: wait until the copy has ended, and load it again", path.display())]
    Busy {
        /// The image or mask.
        path: PathBuf,
    },
    /// The entry is gone, and the file it was made of is another by now. A study must not change its inputs.
    #[error(
        "{}: has changed since the study was prepared, and the input made of it is no longer in the cache: put \
         the former file back, or start the client again so that the study is prepared anew",
        path.display()
    )]
    SourceChanged {
        /// The image or mask.
        path: PathBuf,
    },
    /// A handle that another cache gave, of another precision or with another sketcher.
    #[error("the handle {key} was made by a cache with other settings: load the case from this cache first")]
    ForeignHandle {
        /// The first digits of the handle's key.
        key: String,
    },
    /// The buffer to fill has another size than the input.
    #[error("a buffer of {found} values cannot hold an input of {expected}: pass one value a voxel")]
    Length {
        /// Voxels of the input.
        expected: usize,
        /// Values in the buffer.
        found: usize,
    },
    /// The sketcher says more than an entry has room for.
    #[error(
        "the sketcher `{sketcher}` made {bytes} bytes of an image: at most {} are kept with an input",
        super::MAX_SKETCH_BYTES
    )]
    SketchTooLong {
        /// The sketcher's name.
        sketcher: &'static str,
        /// What it made.
        bytes: usize,
    },
    /// The folder is used for something else, and the cache deletes files.
    #[error(
        "{}: holds `{found}`, which is not the cache's: name a new or empty folder for the cache",
        folder.display()
    )]
    NotACache {
        /// The folder.
        folder: PathBuf,
        /// The first other file in it.
        found: String,
    },
    /// The cache's own folder fails.
    #[error(
        "{}: cannot be {action} ({cause}): check the cache folder's free space and permissions, or name another",
        path.display()
    )]
    Io {
        /// The file or folder of the cache.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the system said.
        cause: io::Error,
    },
}

impl CacheError {
    /// For `map_err`: the failure to do `action` to `path`.
    pub(super) fn io(action: &'static str, path: &Path) -> impl Fn(io::Error) -> Self {
        move |cause| Self::Io { path: path.to_owned(), action, cause }
    }
}
