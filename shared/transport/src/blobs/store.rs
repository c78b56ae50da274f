//! A folder of blobs, each in a file named after its digest: `ab/cdef...`.
//!
//! A name appears only once the content is complete, verified and durable: unfinished file, sync, rename, sync of
//! the folder. It knows nothing of networks or permissions, and deletes nothing complete on its own.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use consilium_domain::{BlobRef, Digest};
use tempfile::NamedTempFile;

use crate::aside::aside;

use super::incoming::{IncomingBlob, Partial, Room};
use super::partial::{CONTENT, Claimed, Place, Source, UnderWay, discard_old, lock};
use super::{MAX_BLOB_BYTES, chunk_count, chunk_extent};

/// Unfinished blobs live here, on the same file system, so that a rename completes them.
const INCOMING_DIR: &str = "incoming";

/// A content-addressed folder. Clones share it; several processes may too.
#[derive(Debug, Clone)]
pub struct BlobStore {
    dir: Arc<Path>,
    under_way: Arc<UnderWay>,
}

/// Why a blob could not be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system failed.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no such blob.
    #[error("blob {0} is not in this store")]
    Absent(Digest),
    /// The content does not have its digest, or not its length.
    #[error("blob {expected} is damaged: its content has the digest {actual}; fetch it again")]
    Mismatch {
        /// The digest it should have.
        expected: Digest,
        /// The digest it has.
        actual: Digest,
    },
    /// The content does not have the length it was said to have.
    #[error("blob {digest} has {actual} bytes, not the {expected} it was said to have")]
    Length {
        /// The blob.
        digest: Digest,
        /// The length it was said to have.
        expected: u64,
        /// The length it has.
        actual: u64,
    },
    /// It is larger than any blob may be.
    #[error("a blob of {0} bytes; at most {MAX_BLOB_BYTES} are allowed")]
    TooLarge(u64),
    /// A chunk beyond the end, or of the wrong length, or sent twice, or after the end.
    #[error("chunk {chunk} of {bytes} bytes does not fit blob {digest}, or came twice")]
    BadChunk {
        /// The blob.
        digest: Digest,
        /// The chunk.
        chunk: u32,
        /// Its length.
        bytes: usize,
    },
    /// Some chunks have not come.
    #[error("blob {digest} still misses {missing} chunks")]
    Incomplete {
        /// The blob.
        digest: Digest,
        /// How many chunks.
        missing: usize,
    },
    /// A later transfer of the same blob goes on with what this one had.
    #[error("blob {0} is received by a later transfer of it now")]
    TakenOver(Digest),
    /// There are too many unfinished blobs of one source, and all are being written to.
    #[error("blob {0} has to wait: too many others from there are unfinished")]
    NoRoom(Digest),
    /// The program is ending.
    #[error("the program is ending; the blob was not touched")]
    Ending,
}

impl StoreError {
    /// Whether the same may go well a little later.
    pub const fn is_passing(&self) -> bool {
        matches!(self, Self::TakenOver(_) | Self::NoRoom(_))
    }

    pub(super) fn io<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }
}

impl BlobStore {
    /// Opens the store in `dir`, which is created where absent. Blocks briefly: for the start of a program.
    ///
    /// # Errors
    /// Where the folder cannot be made.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let incoming = dir.join(INCOMING_DIR);
        fs::create_dir_all(&incoming).map_err(StoreError::io("create", &incoming))?;
        Ok(Self { dir: dir.into(), under_way: Arc::default() })
    }

    /// Deletes whatever is unfinished. Only for the one daemon that owns the store, as it starts: another process's
    /// transfers would be lost.
    ///
    /// # Errors
    /// Where a file cannot be deleted.
    pub fn discard_partials(&self) -> Result<(), StoreError> {
        for path in list(&self.incoming_dir())? {
            if path.is_dir() { self.under_way.discard(&path)? } else { delete(&path)? }
        }
        Ok(())
    }

    /// Deletes what cannot be gone on with: temporary files, and partials that nobody has touched for a week. Only for
    /// the one daemon that owns the store, as it starts.
    ///
    /// # Errors
    /// Where a file cannot be listed or deleted.
    pub fn discard_old_partials(&self) -> Result<(), StoreError> {
        for path in list(&self.incoming_dir())? {
            if path.is_dir() { discard_old(&path, SystemTime::now())? } else { delete(&path)? }
        }
        Ok(())
    }

    /// Deletes what is kept to be gone on with, of every source. Whoever is writing to it is refused from then on. Blocks
    /// briefly.
    ///
    /// # Errors
    /// Where a file cannot be deleted.
    pub fn forget_partials(&self) -> Result<(), StoreError> {
        let folders = list(&self.incoming_dir())?;
        folders.iter().filter(|path| path.is_dir()).try_for_each(|folder| self.under_way.discard(folder))
    }

    /// Deletes what is unfinished of `source`. Whoever is writing to it is refused from then on.
    ///
    /// # Errors
    /// Where a file cannot be deleted.
    pub async fn discard_partials_of(&self, source: Source<'_>) -> Result<(), StoreError> {
        let (store, folder) = (self.clone(), self.folder_of(source));
        blocking(move || store.under_way.discard(&folder)).await
    }

    /// What is here, the oldest first.
    ///
    /// # Errors
    /// Where a file cannot be listed.
    pub async fn blobs(&self) -> Result<Vec<BlobRef>, StoreError> {
        let store = self.clone();
        blocking(move || {
            let mut found = Vec::new();
            for (digest, path) in store.complete()? {
                let inspected =
                    fs::metadata(&path).and_then(|inspected| Ok((inspected.modified()?, inspected.len())));
                let (at, bytes) = inspected.map_err(StoreError::io("inspect", &path))?;
                found.push((at, BlobRef { digest, bytes }));
            }
            found.sort_by_key(|(at, blob)| (*at, blob.digest));
            Ok(found.into_iter().map(|(_, blob)| blob).collect())
        })
        .await
    }

    /// The files of complete blobs.
    fn complete(&self) -> Result<Vec<(Digest, PathBuf)>, StoreError> {
        let mut found = Vec::new();
        for folder in list(&self.dir)? {
            // Folders are two digits; the waiting room and whatever else is here are not.
            let Some(start) = name_of(&folder).filter(|name| name.len() == 2) else { continue };
            for path in list(&folder)? {
                let digest = name_of(&path).and_then(|end| format!("{start}{end}").parse::<Digest>().ok());
                found.extend(digest.map(|digest| (digest, path)));
            }
        }
        Ok(found)
    }

    /// Deletes every blob that `wanted` does not want. Only for the one daemon that owns the store, as it starts.
    ///
    /// # Errors
    /// Where a file cannot be listed or deleted.
    pub fn retain(&self, wanted: impl Fn(&Digest) -> bool) -> Result<(), StoreError> {
        let found = self.complete()?.into_iter().map(|(digest, _)| digest);
        found.filter(|digest| !wanted(digest)).try_for_each(|digest| self.remove_blocking(&digest))
    }

    /// Whether the blob is here, complete and once verified.
    pub async fn contains(&self, digest: &Digest) -> bool {
        let path = self.path(digest);
        blocking(move || Ok(path.is_file())).await.unwrap_or(false)
    }

    /// The whole content, verified again: disks rot.
    ///
    /// # Errors
    /// Where it is absent, damaged, of another length or unreadable.
    pub async fn read(&self, blob: &BlobRef) -> Result<Vec<u8>, StoreError> {
        let (blob, path) = (*blob, self.path(&blob.digest));
        blocking(move || {
            let mut file = open_blob(&path, &blob.digest)?;
            check_length(&file, &path, &blob)?;
            let mut content = Vec::with_capacity(usize::try_from(blob.bytes).unwrap_or(0));
            file.read_to_end(&mut content).map_err(StoreError::io("read", &path))?;
            match Digest::of(&content) {
                actual if actual == blob.digest => Ok(content),
                actual => Err(StoreError::Mismatch { expected: blob.digest, actual }),
            }
        })
        .await
    }

    /// Keeps `content`. Where it is here already, nothing is written.
    ///
    /// # Errors
    /// Where it is too large or the disk fails; the store is then as before.
    pub async fn insert(&self, content: Vec<u8>) -> Result<BlobRef, StoreError> {
        let store = self.clone();
        blocking(move || {
            let blob = BlobRef::of(&content);
            check_size(blob.bytes)?;
            if store.path(&blob.digest).is_file() {
                return Ok(blob);
            }
            let mut file = store.temporary()?;
            file.write_all(&content).map_err(StoreError::io("write", file.path()))?;
            store.keep(Room::Temporary(file), &blob.digest)?;
            Ok(blob)
        })
        .await
    }

    /// Makes room for a blob that will come in chunks, from its beginning. What has come of it is gone when the value is.
    ///
    /// # Errors
    /// Where it is too large or the disk fails.
    pub async fn begin(&self, blob: BlobRef) -> Result<IncomingBlob, StoreError> {
        let store = self.clone();
        blocking(move || {
            check_size(blob.bytes)?;
            let room = Room::Temporary(store.temporary()?);
            Ok(IncomingBlob::new(store, blob, room))
        })
        .await
    }

    /// Goes on with a blob that comes in chunks from `source`, where that has broken off, or begins with it. What has come
    /// outlives the value and the process. None where the blob is here already.
    ///
    /// An earlier value for the same blob and source is of no use any more: its chunks are refused. A blob of one chunk
    /// has nothing to go on with, and is begun anew.
    ///
    /// # Errors
    /// Where it is too large, or for too many others from there, or the disk fails.
    pub async fn resume(
        &self,
        source: Source<'_>,
        blob: BlobRef,
    ) -> Result<Option<IncomingBlob>, StoreError> {
        let (store, folder) = (self.clone(), self.folder_of(source));
        blocking(move || {
            check_size(blob.bytes)?;
            let path = store.path(&blob.digest);
            if path.is_file() {
                return Ok(None);
            }
            if chunk_count(blob.bytes) == 1 {
                let room = Room::Temporary(store.temporary()?);
                return Ok(Some(IncomingBlob::new(store, blob, room)));
            }
            let place = Place::of(&folder, &blob);
            let partial = Arc::new(Mutex::new(Partial::given_up()));
            // Locked until it is known what is here, so that who comes next waits for that.
            let mut ours = lock(&partial);
            let Claimed { kept, former } = store.under_way.claim(&folder, &place, &blob, &partial)?;
            if let Some(former) = former {
                lock(&former).give_up();
            }
            // The former may have been about to finish.
            if path.is_file() {
                place.delete()?;
                return Ok(None);
            }
            let here = kept.verified(&blob)?;
            *ours = Partial::new(Room::Kept(kept), here);
            drop(ours);
            Ok(Some(IncomingBlob::of(store, blob, partial)))
        })
        .await
    }

    /// Forgets a blob. Absent is fine.
    ///
    /// # Errors
    /// Where the file cannot be deleted.
    pub async fn remove(&self, digest: &Digest) -> Result<(), StoreError> {
        let (store, digest) = (self.clone(), *digest);
        blocking(move || store.remove_blocking(&digest)).await
    }

    /// [`Self::remove`] on a thread that may wait for the disk.
    ///
    /// # Errors
    /// Where the file system says no.
    pub fn remove_blocking(&self, digest: &Digest) -> Result<(), StoreError> {
        let path = self.path(digest);
        match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.map_err(StoreError::io("delete", &path)),
        }
    }

    /// One chunk and the length of the whole blob in bytes; not verified, the receiver hashes the whole. None where
    /// the blob has no such chunk.
    pub(super) async fn read_chunk(
        &self,
        digest: Digest,
        index: u32,
    ) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
        let path = self.path(&digest);
        blocking(move || {
            let mut file = open_blob(&path, &digest)?;
            let bytes = file.metadata().map_err(StoreError::io("inspect", &path))?.len();
            let Some((start, length)) = chunk_extent(bytes, index) else { return Ok(None) };
            let mut chunk = vec![0; length];
            file.seek(SeekFrom::Start(start)).map_err(StoreError::io("read", &path))?;
            file.read_exact(&mut chunk).map_err(StoreError::io("read", &path))?;
            Ok(Some((bytes, chunk)))
        })
        .await
    }

    /// Gives a complete, verified file its name, durably.
    pub(super) fn keep(&self, room: Room, digest: &Digest) -> Result<(), StoreError> {
        let path = self.path(digest);
        let dir = path.parent().expect("a blob's path has a folder");
        fs::create_dir_all(dir).map_err(StoreError::io("create", dir))?;
        // Another writer of the same blob may win the race: both wrote the same bytes.
        match room {
            Room::Temporary(file) => {
                file.as_file().sync_all().map_err(StoreError::io("sync", file.path()))?;
                file.persist(&path).map_err(|error| StoreError::io("name", &path)(error.error))?;
            }
            Room::Kept(kept) => kept.persist(&path)?,
        }
        sync_dir(dir)?;
        sync_dir(&self.dir)
    }

    pub(super) fn temporary(&self) -> Result<NamedTempFile, StoreError> {
        let dir = self.incoming_dir();
        tempfile::Builder::new()
            .suffix(&format!(".{CONTENT}"))
            .tempfile_in(&dir)
            .map_err(StoreError::io("create a file in", &dir))
    }

    fn incoming_dir(&self) -> PathBuf {
        self.dir.join(INCOMING_DIR)
    }

    fn folder_of(&self, source: Source<'_>) -> PathBuf {
        self.incoming_dir().join(source.to_string())
    }

    pub(super) fn path(&self, digest: &Digest) -> PathBuf {
        let digits = digest.to_string();
        let (folder, name) = digits.split_at(2);
        self.dir.join(folder).join(name)
    }
}

/// Runs file work where it cannot hold up the network.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    match aside(work).await {
        Ok(outcome) => outcome,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Err(StoreError::Ending),
    }
}

pub(super) fn check_size(bytes: u64) -> Result<(), StoreError> {
    if bytes <= MAX_BLOB_BYTES { Ok(()) } else { Err(StoreError::TooLarge(bytes)) }
}

pub(super) fn check_length(file: &File, path: &Path, blob: &BlobRef) -> Result<(), StoreError> {
    match file.metadata().map_err(StoreError::io("inspect", path))?.len() {
        actual if actual == blob.bytes => Ok(()),
        actual => Err(StoreError::Length { digest: blob.digest, expected: blob.bytes, actual }),
    }
}

pub(super) fn open_blob(path: &Path, digest: &Digest) -> Result<File, StoreError> {
    File::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => StoreError::Absent(*digest),
        _ => StoreError::io("open", path)(error),
    })
}

fn delete(path: &Path) -> Result<(), StoreError> {
    fs::remove_file(path).map_err(StoreError::io("delete", path))
}

pub(super) fn list(dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let entries = fs::read_dir(dir).map_err(StoreError::io("list", dir))?;
    entries.map(|entry| entry.map(|entry| entry.path()).map_err(StoreError::io("list", dir))).collect()
}

fn name_of(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}

/// A renamed file survives a power cut only once its folder is synced. Windows neither needs nor allows it.
fn sync_dir(dir: &Path) -> Result<(), StoreError> {
    if cfg!(unix) {
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(StoreError::io("sync", dir))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn content_comes_back_and_can_be_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let store = BlobStore::open(dir.path()).unwrap();
        let blob = store.insert(b"brain".to_vec()).await.unwrap();
        assert_eq!(blob, BlobRef::of(b"brain"));
        assert_eq!(store.insert(b"brain".to_vec()).await.unwrap(), blob);
        let digits = blob.digest.to_string();
        assert!(dir.path().join(&digits[..2]).join(&digits[2..]).is_file());
        assert!(store.contains(&blob.digest).await);
        assert_eq!(store.read(&blob).await.unwrap(), b"brain");
        store.remove(&blob.digest).await.unwrap();
        store.remove(&blob.digest).await.unwrap();
        assert!(matches!(store.read(&blob).await, Err(StoreError::Absent(digest)) if digest == blob.digest));
        assert_eq!(fs::read_dir(dir.path().join(INCOMING_DIR)).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn rot_and_wrong_lengths_are_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let store = BlobStore::open(dir.path()).unwrap();
        let blob = store.insert(b"brain".to_vec()).await.unwrap();
        fs::write(store.path(&blob.digest), b"brawn").unwrap();
        assert!(matches!(store.read(&blob).await, Err(StoreError::Mismatch { .. })));
        let longer = BlobRef { bytes: 6, ..blob };
        assert!(matches!(store.read(&longer).await, Err(StoreError::Length { actual: 5, .. })));
        let giant = BlobRef { bytes: MAX_BLOB_BYTES + 1, ..blob };
        assert!(matches!(store.begin(giant).await, Err(StoreError::TooLarge(_))));
    }

    #[tokio::test]
    async fn only_what_is_wanted_is_retained() {
        let dir = tempfile::tempdir().unwrap();
        let store = BlobStore::open(dir.path()).unwrap();
        let [kept, gone] = ["kept", "gone"].map(|text| text.as_bytes().to_vec());
        let (kept, gone) = (store.insert(kept).await.unwrap(), store.insert(gone).await.unwrap());
        let coming = store.begin(BlobRef::of(b"coming")).await.unwrap();
        store.retain(|digest| *digest == kept.digest).unwrap();
        assert!(store.contains(&kept.digest).await && !store.contains(&gone.digest).await);
        assert_eq!(store.blobs().await.unwrap(), [kept], "what is coming is not here");
        coming.write_chunk(0, b"coming".to_vec()).await.unwrap();
        coming.finish().await.unwrap();
    }

    #[tokio::test]
    async fn leftovers_are_discarded_on_request_only() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join(INCOMING_DIR)).unwrap();
        let leftover = dir.path().join(INCOMING_DIR).join("x.part");
        fs::write(&leftover, b"half").unwrap();
        let store = BlobStore::open(dir.path()).unwrap();
        assert!(leftover.exists());
        store.discard_partials().unwrap();
        assert!(!leftover.exists());
    }
}
