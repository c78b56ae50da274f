//! A reference to bytes that travel on the data plane.

use serde::{Deserialize, Serialize};

use crate::Digest;

/// What a control message says about a blob: enough to fetch it, bound the fetch and verify it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BlobRef {
    /// BLAKE3 digest of the whole blob.
    pub digest: Digest,
    /// Length in bytes.
    pub bytes: u64,
}

impl BlobRef {
    /// The reference to `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self { digest: Digest::of(bytes), bytes: bytes.len() as u64 }
    }
}
