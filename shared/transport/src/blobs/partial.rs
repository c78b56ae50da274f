//! What has arrived of a blob, in a folder of whom it comes from, so that a transfer goes on where it broke off.
//!
//! Beside the content lies a file of one [`ChunkHash`] for each chunk, written after its chunk. Nothing is synced before
//! the end: what a record claims is looked at when the transfer is taken up again, and a chunk that a crash has torn, or a
//! disk has lost, is one that has not come.

use std::collections::HashMap;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use consilium_domain::{BlobRef, SiteId};

use super::chunk_hash::{CHUNK_HASH_BYTES, ChunkHash};
use super::incoming::Partial;
use super::store::{StoreError, list};
use super::streamed::{read_exact_at, write_all_at};
use super::{MAX_BLOB_BYTES, TRANSFERS_AT_ONCE, chunk_count, chunk_extent};

/// Partials of one source: those under way, and as many that broke off. A new one takes the place of the oldest.
const MAX_PARTIALS: usize = 2 * TRANSFERS_AT_ONCE;

/// Bytes that they may come to: two of the largest.
const MAX_PARTIAL_BYTES: u64 = 2 * MAX_BLOB_BYTES;

/// A partial that nobody has touched for so long is not gone on with: a study has asked for something else by then.
const PARTIAL_LIFE: Duration = Duration::from_hours(7 * 24);

/// The ending of the content's name. Temporary files have it too.
pub(super) const CONTENT: &str = "part";
/// The ending of the name of the hashes.
const RECORDS: &str = "chunks";

/// Whom a blob comes from. What one has sent is nobody else's to go on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source<'a> {
    /// The coordinator, at a client.
    Coordinator,
    /// A site, at the coordinator.
    Site(&'a SiteId),
}

impl fmt::Display for Source<'_> {
    /// The name of its folder.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Coordinator => f.write_str("coordinator"),
            Self::Site(site) => write!(f, "site-{site}"),
        }
    }
}

/// The two files of a partial.
#[derive(Debug)]
pub(super) struct Kept {
    place: Place,
    content: File,
    records: File,
}

/// Where they lie.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Place {
    content: PathBuf,
    records: PathBuf,
}

impl Place {
    /// In the folder of its source. A digest that is said to have two lengths has two places.
    pub(super) fn of(folder: &Path, blob: &BlobRef) -> Self {
        Self::at(&folder.join(format!("{}-{}.{CONTENT}", blob.digest, blob.bytes)))
    }

    fn at(content: &Path) -> Self {
        Self { content: content.to_owned(), records: content.with_extension(RECORDS) }
    }

    /// How long the blob is said to be.
    fn bytes(&self) -> Option<u64> {
        self.content.file_stem()?.to_str()?.split_once('-')?.1.parse().ok()
    }

    /// The records first: content without records is nothing.
    pub(super) fn delete(&self) -> Result<(), StoreError> {
        for path in [&self.records, &self.content] {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(StoreError::io("delete", path)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl Kept {
    fn open(place: Place) -> Result<Self, StoreError> {
        let open = |path: &Path| {
            let mut options = File::options();
            options.read(true).write(true).create(true).truncate(false);
            options.open(path).map_err(StoreError::io("open", path))
        };
        Ok(Self { content: open(&place.content)?, records: open(&place.records)?, place })
    }

    /// The chunks that are here as they were received.
    pub(super) fn verified(&self, blob: &BlobRef) -> Result<Vec<Option<ChunkHash>>, StoreError> {
        let records = fs::read(&self.place.records).map_err(StoreError::io("read", &self.place.records))?;
        let mut claims = records.chunks(CHUNK_HASH_BYTES).map(ChunkHash::from_record);
        let mut buffer = Vec::new();
        let verify = |index| {
            let claim = claims.next().flatten()?;
            let (start, length) = chunk_extent(blob.bytes, index)?;
            buffer.resize(length, 0);
            // Content that ends before is as good as torn.
            read_exact_at(&self.content, start, &mut buffer).ok()?;
            (ChunkHash::of(&buffer, index, blob.bytes) == claim).then_some(claim)
        };
        Ok((0..chunk_count(blob.bytes)).map(verify).collect())
    }

    /// Keeps a chunk, then what it is known by.
    pub(super) fn write(
        &self,
        index: u32,
        start: u64,
        chunk: &[u8],
        hash: &ChunkHash,
    ) -> Result<(), StoreError> {
        let Place { content, records } = &self.place;
        write_all_at(&self.content, start, chunk).map_err(StoreError::io("write", content))?;
        let at = u64::from(index) * CHUNK_HASH_BYTES as u64;
        write_all_at(&self.records, at, hash.bytes()).map_err(StoreError::io("write", records))
    }

    /// Gives the content its name, durably as far as the file is concerned.
    pub(super) fn persist(self, path: &Path) -> Result<(), StoreError> {
        let Place { content, records } = &self.place;
        self.content.sync_all().map_err(StoreError::io("sync", content))?;
        fs::rename(content, path).map_err(StoreError::io("name", path))?;
        fs::remove_file(records).map_err(StoreError::io("delete", records))
    }

    pub(super) fn delete(self) -> Result<(), StoreError> {
        self.place.delete()
    }
}

/// The partials that are written to now. Each by one transfer: the last that asked.
#[derive(Debug, Default)]
pub(super) struct UnderWay(Mutex<HashMap<Place, Weak<Mutex<Partial>>>>);

/// A partial that somebody else may have had.
pub(super) struct Claimed {
    pub(super) kept: Kept,
    /// Who had it, and has not been told.
    pub(super) former: Option<Arc<Mutex<Partial>>>,
}

impl UnderWay {
    /// The partial in `place` is `partial`'s from now on; room is made for it.
    pub(super) fn claim(
        &self,
        folder: &Path,
        place: &Place,
        blob: &BlobRef,
        partial: &Arc<Mutex<Partial>>,
    ) -> Result<Claimed, StoreError> {
        fs::create_dir_all(folder).map_err(StoreError::io("create", folder))?;
        let mut live = self.lock();
        live.retain(|_, partial| partial.strong_count() > 0);
        make_room(folder, place, blob, &live)?;
        // Here, so that the next claim counts it.
        let kept = Kept::open(place.clone())?;
        let former = live.insert(place.clone(), Arc::downgrade(partial));
        Ok(Claimed { kept, former: former.and_then(|former| former.upgrade()) })
    }

    /// Deletes the partials in `folder`, whoever writes to them.
    pub(super) fn discard(&self, folder: &Path) -> Result<(), StoreError> {
        let taken: Vec<_> = {
            let live = self.lock();
            let here = live.iter().filter(|(place, _)| place.content.parent() == Some(folder));
            here.filter_map(|(_, partial)| partial.upgrade()).collect()
        };
        taken.iter().for_each(|partial| lock(partial).give_up());
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(StoreError::io("delete", folder)(error))
            }
            _ => Ok(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Place, Weak<Mutex<Partial>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn lock(partial: &Mutex<Partial>) -> MutexGuard<'_, Partial> {
    partial.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Deletes the oldest partials of a source until one more fits.
fn make_room(
    folder: &Path,
    wanted: &Place,
    blob: &BlobRef,
    live: &HashMap<Place, Weak<Mutex<Partial>>>,
) -> Result<(), StoreError> {
    let mut others: Vec<(SystemTime, Place, u64)> = Vec::new();
    for place in places(folder)?.into_iter().filter(|place| place != wanted) {
        let bytes = place.bytes().unwrap_or(0);
        others.push((touched(&place.content)?, place, bytes));
    }
    others.sort_by_key(|(touched, ..)| *touched);
    let mut bytes: u64 = others.iter().map(|(.., bytes)| bytes).sum();
    let mut count = others.len();
    for (_, place, length) in others {
        if count < MAX_PARTIALS && bytes + blob.bytes <= MAX_PARTIAL_BYTES {
            return Ok(());
        }
        if !live.contains_key(&place) {
            place.delete()?;
            bytes -= length;
            count -= 1;
        }
    }
    if count < MAX_PARTIALS && bytes + blob.bytes <= MAX_PARTIAL_BYTES {
        Ok(())
    } else {
        Err(StoreError::NoRoom(blob.digest))
    }
}

/// Deletes what nobody has touched for [`PARTIAL_LIFE`] before `now`.
pub(super) fn discard_old(folder: &Path, now: SystemTime) -> Result<(), StoreError> {
    for path in list(folder)? {
        let age = now.duration_since(touched(&path)?).unwrap_or_default();
        if age > PARTIAL_LIFE {
            fs::remove_file(&path).map_err(StoreError::io("delete", &path))?;
        }
    }
    Ok(())
}

fn places(folder: &Path) -> Result<Vec<Place>, StoreError> {
    let content = |path: &PathBuf| path.extension().is_some_and(|ending| ending == CONTENT);
    Ok(list(folder)?.iter().filter(|path| content(path)).map(|path| Place::at(path)).collect())
}

fn touched(path: &Path) -> Result<SystemTime, StoreError> {
    fs::metadata(path).and_then(|file| file.modified()).map_err(StoreError::io("inspect", path))
}
