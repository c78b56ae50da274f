//! A blob on its way in: chunks in any order, each once, and a name only if the whole has its digest.

use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::sync::{Arc, Mutex, PoisonError};

use consilium_domain::{BlobRef, Digest};
use tempfile::NamedTempFile;

use super::store::{BlobStore, StoreError, blocking};
use super::{CHUNK_BYTES, chunk_count, chunk_extent};

/// A partial blob in the store's waiting room. Dropped before [`IncomingBlob::finish`] succeeded, it is deleted.
#[derive(Debug, Clone)]
pub struct IncomingBlob {
    blob: BlobRef,
    store: BlobStore,
    /// One lock for the file and its bookkeeping: a chunk is never written twice, nor after the hash was taken.
    partial: Arc<Mutex<Partial>>,
}

#[derive(Debug)]
struct Partial {
    /// None once the blob is finished, well or badly.
    file: Option<NamedTempFile>,
    received: Vec<bool>,
    missing: u32,
}

impl IncomingBlob {
    pub(super) fn new(store: BlobStore, blob: BlobRef, file: NamedTempFile) -> Self {
        let missing = chunk_count(blob.bytes);
        let partial = Partial { file: Some(file), received: vec![false; missing as usize], missing };
        Self { blob, store, partial: Arc::new(Mutex::new(partial)) }
    }

    /// What it shall become.
    pub const fn blob(&self) -> BlobRef {
        self.blob
    }

    /// Keeps chunk `index` and returns how many chunks are still missing: exactly one caller is told zero.
    ///
    /// # Errors
    /// Where the chunk is beyond the end, of the wrong length, or came before; or the disk fails (then the chunk
    /// may be sent again).
    pub async fn write_chunk(&self, index: u32, chunk: Vec<u8>) -> Result<u32, StoreError> {
        let this = self.clone();
        blocking(move || {
            let bad = StoreError::BadChunk { digest: this.blob.digest, chunk: index, bytes: chunk.len() };
            let mut partial = this.partial.lock().unwrap_or_else(PoisonError::into_inner);
            let partial = &mut *partial;
            let (Some((start, length)), Some(file)) =
                (chunk_extent(this.blob.bytes, index), partial.file.as_mut())
            else {
                return Err(bad);
            };
            let received = &mut partial.received[index as usize];
            if length != chunk.len() || *received {
                return Err(bad);
            }
            write_at(file, start, &chunk).map_err(|e| StoreError::io("write", file.path())(e))?;
            *received = true;
            partial.missing -= 1;
            Ok(partial.missing)
        })
        .await
    }

    /// Verifies the whole and gives it its name.
    ///
    /// # Errors
    /// Where chunks are missing (send them), or where the content does not have the promised digest: then the
    /// partial file is deleted, and nothing was stored.
    pub async fn finish(&self) -> Result<(), StoreError> {
        let this = self.clone();
        blocking(move || {
            let digest = this.blob.digest;
            let mut file = {
                let mut partial = this.partial.lock().unwrap_or_else(PoisonError::into_inner);
                match (partial.missing, partial.file.take()) {
                    (0, Some(file)) => file,
                    (missing, file) => {
                        partial.file = file;
                        return Err(StoreError::Incomplete { digest, missing });
                    }
                }
            };
            let actual = digest_of(&mut file).map_err(|e| StoreError::io("read", file.path())(e))?;
            if actual != digest {
                return Err(StoreError::Mismatch { expected: digest, actual });
            }
            this.store.keep(file, &digest)
        })
        .await
    }
}

fn write_at(file: &mut NamedTempFile, start: u64, chunk: &[u8]) -> io::Result<()> {
    file.seek(SeekFrom::Start(start))?;
    file.write_all(chunk)
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
        assert!(
            matches!(late, Err(StoreError::BadChunk { .. })),
            "nothing may change after the hash was taken"
        );
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
