//! Blobs that are larger than what one wants in memory: read in parts, written in parts.
//!
//! All of it blocks, for threads that may. What was read is believed once [`BlobReader::verify`] has agreed; what
//! was written is a blob once [`BlobWriter::finish`] has returned.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use consilium_domain::{BlobRef, Digest};
use tempfile::NamedTempFile;

use super::CHUNK_BYTES;
use super::incoming::{Room, digest_of};
use super::store::{BlobStore, StoreError, check_length, check_size, open_blob};

/// A stored blob, from its beginning to its end or at any place. Reading from the beginning takes the hash on the way.
#[derive(Debug)]
pub struct BlobReader {
    file: File,
    path: PathBuf,
    blob: BlobRef,
    hasher: blake3::Hasher,
}

impl BlobStore {
    /// Opens a blob to read it in parts.
    ///
    /// # Errors
    /// Where it is absent, of another length or unreadable.
    pub fn reader(&self, blob: &BlobRef) -> Result<BlobReader, StoreError> {
        let path = self.path(&blob.digest);
        let file = open_blob(&path, &blob.digest)?;
        check_length(&file, &path, blob)?;
        Ok(BlobReader { file, path, blob: *blob, hasher: blake3::Hasher::new() })
    }

    /// Makes room for a blob of `bytes` bytes that will be written in parts.
    ///
    /// # Errors
    /// Where it is too large or the disk fails.
    pub fn writer(&self, bytes: u64) -> Result<BlobWriter, StoreError> {
        check_size(bytes)?;
        let file = self.temporary()?;
        file.as_file().set_len(bytes).map_err(StoreError::io("enlarge", file.path()))?;
        Ok(BlobWriter { store: self.clone(), file, bytes })
    }

    /// Makes room for `wanted`, which will be written from its beginning to its end.
    ///
    /// # Errors
    /// Where it is too large or the disk fails.
    pub fn appender(&self, wanted: BlobRef) -> Result<BlobAppender, StoreError> {
        check_size(wanted.bytes)?;
        let (store, file) = (self.clone(), self.temporary()?);
        Ok(BlobAppender { store, file, wanted, hasher: blake3::Hasher::new() })
    }
}

impl BlobReader {
    /// Fills `buffer` from `offset` on. Does not count for [`BlobReader::verify`].
    ///
    /// # Errors
    /// Where the blob ends before, or the disk fails.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), StoreError> {
        read_exact_at(&self.file, offset, buffer).map_err(StoreError::io("read", &self.path))
    }

    /// Reads what is left from the beginning on, and compares the digest.
    ///
    /// # Errors
    /// Where the blob is damaged or unreadable.
    pub fn verify(mut self) -> Result<(), StoreError> {
        let mut buffer = vec![0; CHUNK_BYTES as usize];
        while self.read(&mut buffer).map_err(StoreError::io("read", &self.path))? > 0 {}
        let actual = Digest::from_bytes(*self.hasher.finalize().as_bytes());
        if actual == self.blob.digest {
            Ok(())
        } else {
            Err(StoreError::Mismatch { expected: self.blob.digest, actual })
        }
    }
}

impl From<BlobReader> for File {
    /// The rest of the blob, for who proves in another way that it was undamaged.
    fn from(reader: BlobReader) -> Self {
        reader.file
    }
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        Ok(read)
    }
}

/// A blob that is being written. Dropped before [`BlobWriter::finish`], it is deleted.
#[derive(Debug)]
pub struct BlobWriter {
    store: BlobStore,
    file: NamedTempFile,
    bytes: u64,
}

impl BlobWriter {
    /// Writes `part` from `offset` on. Several threads may, each elsewhere.
    ///
    /// # Errors
    /// Where the disk fails.
    ///
    /// # Panics
    /// Where the part reaches beyond the length that was said.
    pub fn write_at(&self, offset: u64, part: &[u8]) -> Result<(), StoreError> {
        assert!(offset + part.len() as u64 <= self.bytes, "a part beyond the end of the blob");
        write_all_at(self.file.as_file(), offset, part).map_err(StoreError::io("write", self.file.path()))
    }

    /// The blob is shorter than was said: what lies beyond `bytes` is none of it.
    ///
    /// # Errors
    /// Where the disk fails.
    ///
    /// # Panics
    /// Where it would be longer.
    pub fn cut(&mut self, bytes: u64) -> Result<(), StoreError> {
        assert!(bytes <= self.bytes, "a blob is not made longer");
        self.bytes = bytes;
        self.file.as_file().set_len(bytes).map_err(StoreError::io("shorten", self.file.path()))
    }

    /// Takes the hash of all that was written, and keeps it durably. What was not written is zeros.
    ///
    /// # Errors
    /// Where the disk fails; the store is then as before.
    pub fn finish(mut self) -> Result<BlobRef, StoreError> {
        let digest = digest_of(&mut self.file).map_err(|e| StoreError::io("read", self.file.path())(e))?;
        if !self.store.path(&digest).is_file() {
            self.store.keep(Room::Temporary(self.file), &digest)?;
        }
        Ok(BlobRef { digest, bytes: self.bytes })
    }
}

/// A blob that is written from its beginning to its end, and is known before. Dropped before [`BlobAppender::finish`], it
/// is deleted.
#[derive(Debug)]
pub struct BlobAppender {
    store: BlobStore,
    file: NamedTempFile,
    wanted: BlobRef,
    hasher: blake3::Hasher,
}

impl BlobAppender {
    /// Keeps what was written durably, if it is what was wanted.
    ///
    /// # Errors
    /// Where it is something else, or the disk fails; the store is then as before.
    pub fn finish(self) -> Result<(), StoreError> {
        let expected = self.wanted.digest;
        let actual = Digest::from_bytes(*self.hasher.finalize().as_bytes());
        if actual != expected {
            return Err(StoreError::Mismatch { expected, actual });
        }
        check_length(self.file.as_file(), self.file.path(), &self.wanted)?;
        self.store.keep(Room::Temporary(self.file), &expected)
    }
}

impl Write for BlobAppender {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        let written = self.file.write(part)?;
        self.hasher.update(&part[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(unix)]
pub(super) fn read_exact_at(file: &File, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, offset)
}

#[cfg(unix)]
pub(super) fn write_all_at(file: &File, offset: u64, part: &[u8]) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, part, offset)
}

#[cfg(windows)]
pub(super) fn read_exact_at(file: &File, mut offset: u64, mut buffer: &mut [u8]) -> io::Result<()> {
    while !buffer.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, buffer, offset)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                buffer = &mut buffer[read..];
                offset += read as u64;
            }
        }
    }
    Ok(())
}

#[cfg(windows)]
pub(super) fn write_all_at(file: &File, mut offset: u64, mut part: &[u8]) -> io::Result<()> {
    while !part.is_empty() {
        match std::os::windows::fs::FileExt::seek_write(file, part, offset)? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => {
                part = &part[written..];
                offset += written as u64;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content() -> Vec<u8> {
        (0..2 * CHUNK_BYTES + 5).map(|i| (i % 251) as u8).collect()
    }

    #[tokio::test]
    async fn parts_in_any_order_make_the_blob_that_one_insert_makes() {
        let dir = tempfile::tempdir().unwrap();
        let store = BlobStore::open(dir.path()).unwrap();
        let content = content();
        let writer = store.writer(content.len() as u64).unwrap();
        writer.write_at(1_000, &content[1_000..]).unwrap();
        writer.write_at(0, &content[..1_000]).unwrap();
        let blob = writer.finish().unwrap();
        assert_eq!(blob, BlobRef::of(&content));
        assert_eq!(store.read(&blob).await.unwrap(), content);
        let mut again = store.writer(content.len() as u64 + 7).unwrap();
        again.write_at(0, &content).unwrap();
        again.cut(content.len() as u64).unwrap();
        assert_eq!(again.finish().unwrap(), blob, "it is here already");
        drop(store.writer(5).unwrap());
        assert_eq!(std::fs::read_dir(dir.path().join("incoming")).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn what_is_appended_is_kept_if_it_is_what_was_wanted() {
        let dir = tempfile::tempdir().unwrap();
        let store = BlobStore::open(dir.path()).unwrap();
        let (content, wanted) = (content(), BlobRef::of(&content()));
        let write = |content: &[u8], wanted| {
            let mut file = store.appender(wanted).unwrap();
            content.chunks(1_000).for_each(|part| file.write_all(part).unwrap());
            file.finish()
        };
        let cut = write(&content[1..], wanted);
        assert!(matches!(cut, Err(StoreError::Mismatch { expected, .. }) if expected == wanted.digest));
        let longer = BlobRef { bytes: wanted.bytes + 1, ..wanted };
        assert!(matches!(write(&content, longer), Err(StoreError::Length { .. })));
        assert!(!store.contains(&wanted.digest).await);
        write(&content, wanted).unwrap();
        assert_eq!(store.read(&wanted).await.unwrap(), content);
        assert_eq!(std::fs::read_dir(dir.path().join("incoming")).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_reader_sees_all_and_believes_only_what_it_was_promised() {
        let dir = tempfile::tempdir().unwrap();
        let store = BlobStore::open(dir.path()).unwrap();
        let content = content();
        let blob = store.insert(content.clone()).await.unwrap();
        let mut reader = store.reader(&blob).unwrap();
        let mut part = [0; 7];
        reader.read_at(CHUNK_BYTES, &mut part).unwrap();
        assert_eq!(part, content[CHUNK_BYTES as usize..][..7]);
        assert!(matches!(reader.read_at(blob.bytes - 6, &mut part), Err(StoreError::Io { .. })));
        let mut all = Vec::new();
        reader.by_ref().take(9).read_to_end(&mut all).unwrap();
        assert_eq!(all, content[..9]);
        reader.verify().unwrap();
        let mut damaged = content;
        *damaged.last_mut().unwrap() ^= 1;
        std::fs::write(store.path(&blob.digest), &damaged).unwrap();
        assert!(matches!(store.reader(&blob).unwrap().verify(), Err(StoreError::Mismatch { .. })));
        damaged.pop();
        std::fs::write(store.path(&blob.digest), &damaged).unwrap();
        assert!(matches!(store.reader(&blob), Err(StoreError::Length { .. })));
    }
}
