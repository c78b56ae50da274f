//! A blob on its way in: chunks in any order, each once, and a name only if the whole has its digest.

use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::sync::{Arc, Mutex};

use consilium_domain::{BlobRef, Digest};
use tempfile::NamedTempFile;

use super::chunk_hash::{ChunkHash, digest_of_chunks};
use super::partial::{Kept, lock};
use super::store::{BlobStore, StoreError, blocking};
use super::streamed::write_all_at;
use super::{CHUNK_BYTES, chunk_count, chunk_extent};

/// A partial blob in the store's waiting room.
#[derive(Debug, Clone)]
pub struct IncomingBlob {
    blob: BlobRef,
    store: BlobStore,
    /// One lock for the files and their bookkeeping: a chunk is never written twice, nor after the whole was hashed.
    partial: Arc<Mutex<Partial>>,
}

#[derive(Debug)]
pub(super) struct Partial {
    /// None once the blob is finished, well or badly, or another transfer goes on with it.
    room: Option<Room>,
    /// What is here.
    chunks: Vec<Option<ChunkHash>>,
}

/// Where chunks are kept until they are a blob.
#[derive(Debug)]
pub(super) enum Room {
    /// Deleted where it does not become one.
    Temporary(NamedTempFile),
    /// To be gone on with.
    Kept(Kept),
}

impl Room {
    fn write(&self, index: u32, start: u64, chunk: &[u8], hash: &ChunkHash) -> Result<(), StoreError> {
        match self {
            Self::Temporary(file) => {
                write_all_at(file.as_file(), start, chunk).map_err(StoreError::io("write", file.path()))
            }
            Self::Kept(kept) => kept.write(index, start, chunk, hash),
        }
    }

    fn delete(self) -> Result<(), StoreError> {
        match self {
            Self::Temporary(file) => {
                let path = file.path().to_owned();
                file.close().map_err(StoreError::io("delete", &path))
            }
            Self::Kept(kept) => kept.delete(),
        }
    }
}

impl Partial {
    pub(super) const fn new(room: Room, chunks: Vec<Option<ChunkHash>>) -> Self {
        Self { room: Some(room), chunks }
    }

    /// Takes and gives nothing.
    pub(super) const fn given_up() -> Self {
        Self { room: None, chunks: Vec::new() }
    }

    /// Leaves the files to somebody else.
    pub(super) fn give_up(&mut self) {
        // A temporary file is nobody else's, and is never given up.
        *self = Self::given_up();
    }

    fn missing(&self) -> Vec<u32> {
        let missing = self.chunks.iter().enumerate().filter(|(_, chunk)| chunk.is_none());
        missing.map(|(index, _)| u32::try_from(index).expect("chunks are counted in 32 bits")).collect()
    }
}

impl IncomingBlob {
    pub(super) fn new(store: BlobStore, blob: BlobRef, room: Room) -> Self {
        let partial = Partial::new(room, vec![None; chunk_count(blob.bytes) as usize]);
        Self::of(store, blob, Arc::new(Mutex::new(partial)))
    }

    pub(super) const fn of(store: BlobStore, blob: BlobRef, partial: Arc<Mutex<Partial>>) -> Self {
        Self { blob, store, partial }
    }

    /// What it shall become.
    pub const fn blob(&self) -> BlobRef {
        self.blob
    }

    /// The chunks that have not come, in order.
    pub fn missing(&self) -> Vec<u32> {
        lock(&self.partial).missing()
    }

    /// Keeps chunk `index` and returns how many chunks are still missing: exactly one caller is told zero.
    ///
    /// # Errors
    /// Where the chunk is beyond the end, of the wrong length, or came before; another transfer goes on with the blob; or
    /// the disk fails (then the chunk may be sent again).
    pub async fn write_chunk(&self, index: u32, chunk: Vec<u8>) -> Result<usize, StoreError> {
        let this = self.clone();
        blocking(move || {
            let blob = this.blob;
            let bad = || StoreError::BadChunk { digest: blob.digest, chunk: index, bytes: chunk.len() };
            let (start, length) = chunk_extent(blob.bytes, index).ok_or_else(bad)?;
            if length != chunk.len() {
                return Err(bad());
            }
            // Before the lock: several at once.
            let hash = ChunkHash::of(&chunk, index, blob.bytes);
            let mut partial = lock(&this.partial);
            let Partial { room, chunks } = &mut *partial;
            let room = room.as_ref().ok_or(StoreError::TakenOver(blob.digest))?;
            let here = &mut chunks[index as usize];
            if here.is_some() {
                return Err(bad());
            }
            room.write(index, start, &chunk, &hash)?;
            *here = Some(hash);
            Ok(partial.missing().len())
        })
        .await
    }

    /// Verifies the whole and gives it its name.
    ///
    /// # Errors
    /// Where chunks are missing (send them), or where the content does not have the promised digest: then what had come is
    /// deleted, and nothing was stored.
    pub async fn finish(&self) -> Result<(), StoreError> {
        let this = self.clone();
        blocking(move || {
            let expected = this.blob.digest;
            let mut partial = lock(&this.partial);
            if partial.room.is_none() {
                return Err(StoreError::TakenOver(expected));
            }
            let Some(hashes) = partial.chunks.iter().copied().collect::<Option<Vec<_>>>() else {
                let missing = partial.missing().len();
                return Err(StoreError::Incomplete { digest: expected, missing });
            };
            let room = partial.room.take().expect("looked at above");
            match digest_of_chunks(&hashes).expect("a blob has a chunk") {
                actual if actual == expected => this.store.keep(room, &expected),
                actual => {
                    room.delete()?;
                    Err(StoreError::Mismatch { expected, actual })
                }
            }
        })
        .await
    }

    /// Deletes what has come: nobody wants it any more.
    ///
    /// # Errors
    /// Where the disk fails.
    pub async fn discard(&self) -> Result<(), StoreError> {
        let this = self.clone();
        blocking(move || lock(&this.partial).room.take().map_or(Ok(()), Room::delete)).await
    }
}

pub(super) fn digest_of(file: &mut NamedTempFile) -> io::Result<Digest> {
    file.seek(SeekFrom::Start(0))?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; usize::try_from(CHUNK_BYTES).expect("a chunk fits memory")];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(Digest::from_bytes(*hasher.finalize().as_bytes())),
            read => hasher.update(&buffer[..read]),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content() -> Vec<u8> {
        (0..2 * CHUNK_BYTES + 5).map(|i| (i % 251) as u8).collect()
    }

    fn pieces(content: &[u8]) -> Vec<Vec<u8>> {
        content.chunks(CHUNK_BYTES as usize).map(<[u8]>::to_vec).collect()
    }

    #[tokio::test]
    async fn chunks_come_in_any_order() {
        let dir = tempfile::tempdir().unwrap();
        let store = BlobStore::open(dir.path()).unwrap();
        let (content, blob) = (content(), BlobRef::of(&content()));
        let incoming = store.begin(blob).await.unwrap();
        let pieces = pieces(&content);
        assert_eq!(incoming.write_chunk(2, pieces[2].clone()).await.unwrap(), 2);
        assert_eq!(incoming.write_chunk(0, pieces[0].clone()).await.unwrap(), 1);
        assert!(matches!(incoming.finish().await, Err(StoreError::Incomplete { missing: 1, .. })));
        assert!(!store.contains(&blob.digest).await);
        assert_eq!(incoming.write_chunk(1, pieces[1].clone()).await.unwrap(), 0);
        incoming.finish().await.unwrap();
        assert_eq!(store.read(&blob).await.unwrap(), content);
        let late = incoming.write_chunk(1, pieces[1].clone()).await;
        assert!(matches!(late, Err(StoreError::TakenOver(_))), "nothing may change after the hash was taken");
    }

    #[tokio::test]
    async fn misfits_and_repeats_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let store = BlobStore::open(dir.path()).unwrap();
        let pieces = pieces(&content());
        let incoming = store.begin(BlobRef::of(&content())).await.unwrap();
        incoming.write_chunk(0, pieces[0].clone()).await.unwrap();
        for (index, chunk) in [(0, &pieces[0]), (1, &pieces[2]), (3, &pieces[2]), (u32::MAX, &pieces[2])] {
            let refused = incoming.write_chunk(index, chunk.clone()).await;
            assert!(matches!(refused, Err(StoreError::BadChunk { .. })), "{index}");
        }
    }

    #[tokio::test]
    async fn a_wrong_digest_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let store = BlobStore::open(dir.path()).unwrap();
        let blob = BlobRef::of(b"brain");
        let incoming = store.begin(blob).await.unwrap();
        incoming.write_chunk(0, b"brawn".to_vec()).await.unwrap();
        let refused = incoming.finish().await;
        assert!(
            matches!(refused, Err(StoreError::Mismatch { actual, .. }) if actual == Digest::of(b"brawn"))
        );
        assert!(!store.contains(&blob.digest).await);
        assert_eq!(std::fs::read_dir(dir.path().join("incoming")).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn an_empty_blob_and_an_abandoned_one() {
        let dir = tempfile::tempdir().unwrap();
        let store = BlobStore::open(dir.path()).unwrap();
        let empty = store.begin(BlobRef::of(b"")).await.unwrap();
        assert_eq!(empty.write_chunk(0, Vec::new()).await.unwrap(), 0);
        empty.finish().await.unwrap();
        assert_eq!(store.read(&BlobRef::of(b"")).await.unwrap(), b"");
        drop(store.begin(BlobRef::of(b"abandoned")).await.unwrap());
        assert_eq!(std::fs::read_dir(dir.path().join("incoming")).unwrap().count(), 0);
    }
}
