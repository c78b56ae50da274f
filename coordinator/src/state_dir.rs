//! The folder a coordinator keeps: one process at a time.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use consilium_transport::{BlobStore, StoreError};

/// Why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateDirError {
    /// The file system refuses.
    #[error("the state folder {path} cannot be used: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Another process has it.
    #[error("another coordinator is using the state folder {0}: stop it first, or name another folder")]
    InUse(PathBuf),
    /// The blobs cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The open folder. The lock ends with the value.
pub(crate) struct StateDir {
    path: PathBuf,
    _lock: File,
}

impl StateDir {
    /// Creates the folder where absent and locks it.
    pub(crate) fn open(path: &Path) -> Result<Self, StateDirError> {
        let io = |source| StateDirError::Io { path: path.to_owned(), source };
        std::fs::create_dir_all(path).map_err(io)?;
        let lock =
            File::options().create(true).truncate(false).write(true).open(path.join("lock")).map_err(io)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(StateDirError::InUse(path.to_owned())),
            Err(TryLockError::Error(source)) => Err(io(source)),
        }
    }

    pub(crate) fn event_log(&self) -> PathBuf {
        self.path.join("events.sqlite")
    }

    /// Where the sites of the consortium are kept.
    pub(crate) fn registry(&self) -> PathBuf {
        self.path.join("registry.sqlite")
    }

    /// Where it is noted who has heard that the study is over.
    pub(crate) fn farewells(&self) -> PathBuf {
        self.path.join("heard-the-end.json")
    }

    pub(crate) fn blobs(&self) -> Result<BlobStore, StateDirError> {
        let store = BlobStore::open(&self.path.join("blobs"))?;
        store.discard_old_partials()?;
        Ok(store)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_coordinator_is_refused_until_the_first_ends() {
        let dir = tempfile::tempdir().unwrap();
        let first = StateDir::open(dir.path()).unwrap();
        assert!(matches!(StateDir::open(dir.path()), Err(StateDirError::InUse(_))));
        drop(first);
        assert!(StateDir::open(dir.path()).is_ok());
    }
}
