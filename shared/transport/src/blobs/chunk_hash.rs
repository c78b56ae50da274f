//! The digest of a blob from the hashes of its chunks, so that nothing is read twice to be believed.
//!
//! BLAKE3 hashes a tree of 1 KiB leaves. A chunk of 1 MiB is a whole subtree of it, wherever it lies: its chaining value
//! says all about the chunk, and those of all chunks give the root (section 2.1 of the BLAKE3 paper).

use blake3::Hasher;
use blake3::hazmat::{ChainingValue, HasherExt as _, Mode, merge_subtrees_non_root, merge_subtrees_root};
use consilium_domain::Digest;

use super::{CHUNK_BYTES, chunk_count};

/// Bytes of a [`ChunkHash`].
pub(super) const CHUNK_HASH_BYTES: usize = 32;

// A subtree whose leaves are no power of two, or of less than two leaves, is none.
const _: () = assert!(CHUNK_BYTES.is_power_of_two() && CHUNK_BYTES >= 2 * blake3::CHUNK_LEN as u64);

/// What one chunk adds to the digest of its blob: the chaining value of its subtree. Of the only chunk of a blob, the
/// digest itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ChunkHash(ChainingValue);

impl ChunkHash {
    /// The hash of chunk `index` of a blob of `blob_bytes`.
    pub(super) fn of(chunk: &[u8], index: u32, blob_bytes: u64) -> Self {
        if chunk_count(blob_bytes) == 1 {
            return Self(*blake3::hash(chunk).as_bytes());
        }
        let mut hasher = Hasher::new();
        hasher.set_input_offset(u64::from(index) * CHUNK_BYTES);
        Self(hasher.update(chunk).finalize_non_root())
    }

    /// What was written down as [`ChunkHash::bytes`]; none where nothing was: no chunk is known whose hash is zeros.
    pub(super) fn from_record(record: &[u8]) -> Option<Self> {
        let bytes: ChainingValue = record.try_into().ok()?;
        (bytes != [0; CHUNK_HASH_BYTES]).then_some(Self(bytes))
    }

    /// To be written down.
    pub(super) const fn bytes(&self) -> &[u8; CHUNK_HASH_BYTES] {
        &self.0
    }
}

/// The digest of the blob whose chunks have these hashes, in order. None of none.
pub(super) fn digest_of_chunks(hashes: &[ChunkHash]) -> Option<Digest> {
    let root = match hashes {
        [] => return None,
        [only] => only.0,
        several => {
            let (left, right) = several.split_at(left_side(several.len()));
            *merge_subtrees_root(&joined(left), &joined(right), Mode::Hash).as_bytes()
        }
    };
    Some(Digest::from_bytes(root))
}

fn joined(hashes: &[ChunkHash]) -> ChainingValue {
    match hashes {
        [only] => only.0,
        several => {
            let (left, right) = several.split_at(left_side(several.len()));
            merge_subtrees_non_root(&joined(left), &joined(right), Mode::Hash)
        }
    }
}

/// The left side of a tree of `leaves` is the largest full one that leaves something for the right.
const fn left_side(leaves: usize) -> usize {
    leaves.div_ceil(2).next_power_of_two()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::blobs::chunk_extent;

    fn by_chunks(content: &[u8]) -> Digest {
        let bytes = content.len() as u64;
        let hash = |index| {
            let (start, length) = chunk_extent(bytes, index).unwrap();
            ChunkHash::of(&content[start as usize..][..length], index, bytes)
        };
        digest_of_chunks(&(0..chunk_count(bytes)).map(hash).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn the_left_side_is_full_and_never_all() {
        assert_eq!([2, 3, 4, 5, 7, 8, 9].map(left_side), [1, 2, 2, 4, 4, 4, 8]);
    }

    #[test]
    fn chunks_give_the_digest_of_the_whole() {
        let content: Vec<u8> = (0..9 * CHUNK_BYTES + 7).map(|i| (i % 251) as u8).collect();
        let edges = [0, 1, 1024, 1025].map(|rest| rest as usize);
        for chunks in 0..=8 {
            for rest in edges {
                let part = &content[..chunks * CHUNK_BYTES as usize + rest];
                assert_eq!(by_chunks(part), Digest::of(part), "{chunks} chunks and {rest} bytes");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn so_they_do_for_any_length(bytes in 0usize..6 << 20, seed in any::<u8>()) {
            let content: Vec<u8> = (0..bytes).map(|i| (i % 253) as u8 ^ seed).collect();
            prop_assert_eq!(by_chunks(&content), Digest::of(&content));
        }
    }
}
