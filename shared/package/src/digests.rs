//! Two digests of one file, read once and never as a whole.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use consilium_domain::Digest;
use sha2::{Digest as _, Sha256};

/// Read at a time: large enough that neither hash waits for the disk's calls.
const CHUNK_BYTES: usize = 1 << 20;

/// BLAKE3 and SHA-256 of some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Digests {
    /// How many bytes.
    pub(crate) bytes: u64,
    /// Their BLAKE3.
    pub(crate) blake3: Digest,
    /// Their SHA-256.
    pub(crate) sha256: Digest,
}

impl Digests {
    /// Of `bytes`.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self::read(bytes, u64::MAX).expect("memory can be read")
    }

    /// Of the file at `path`, or of its first `limit` bytes if it is longer.
    pub(crate) fn of_file(path: &Path, limit: u64) -> io::Result<Self> {
        Self::read(File::open(path)?, limit)
    }

    fn read(source: impl Read, limit: u64) -> io::Result<Self> {
        let mut source = source.take(limit);
        let (mut blake3, mut sha256) = (blake3::Hasher::new(), Sha256::new());
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut bytes = 0;
        loop {
            let count = match source.read(&mut chunk) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                count => count?,
            };
            if count == 0 {
                break;
            }
            blake3.update(&chunk[..count]);
            sha256.update(&chunk[..count]);
            bytes += count as u64;
        }
        let blake3 = Digest::from_bytes(*blake3.finalize().as_bytes());
        Ok(Self { bytes, blake3, sha256: Digest::from_bytes(sha256.finalize().into()) })
    }
}

/// The content of a file of at most `limit` bytes; `None` where it is longer.
pub(crate) fn read_bounded(path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let mut content = Vec::new();
    File::open(path)?.take(limit.saturating_add(1)).read_to_end(&mut content)?;
    Ok((content.len() as u64 <= limit).then_some(content))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `printf abc | sha256sum` and `| b3sum`.
    #[test]
    fn both_digests_are_those_of_the_standards() {
        let digests = Digests::of(b"abc");
        assert_eq!(digests.bytes, 3);
        assert_eq!(
            digests.sha256.to_string(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(
            digests.blake3.to_string(),
            "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"
        );
    }

    #[test]
    fn a_file_has_the_digests_of_its_bytes_over_any_number_of_chunks() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let bytes: Vec<u8> = (0..2 * CHUNK_BYTES + 3).map(|i| (i % 251) as u8).collect();
        std::fs::write(file.path(), &bytes).unwrap();
        assert_eq!(Digests::of_file(file.path(), u64::MAX).unwrap(), Digests::of(&bytes));
        assert_eq!(Digests::of_file(file.path(), 5).unwrap(), Digests::of(&bytes[..5]));
        assert_eq!(read_bounded(file.path(), bytes.len() as u64).unwrap(), Some(bytes.clone()));
        assert_eq!(read_bounded(file.path(), bytes.len() as u64 - 1).unwrap(), None);
    }
}
