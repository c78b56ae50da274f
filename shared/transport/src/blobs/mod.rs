//! Blobs by digest: kept as files named after their content, moved chunk by chunk, believed only once hashed. What breaks
//! off goes on where it was (docs/adr/0026-transfers-go-on-at-the-chunk.md).

mod chunk_hash;
mod incoming;
mod pace;
mod partial;
mod serve;
mod store;
mod streamed;
mod transfer;
mod wire;

pub use incoming::IncomingBlob;
pub use pace::{OpeningHours, Pace};
pub use partial::Source;
pub use serve::{BlobAccess, ServeError, serve_blobs};
pub use store::{BlobStore, StoreError};
pub use streamed::{BlobAppender, BlobReader, BlobWriter};
pub use transfer::{Carriage, TransferError, Transferred};
pub use wire::Refusal;
pub(crate) use wire::{BLOB_TAG, Reply, Request, StreamError, header_in, read_header, write_header};

use std::time::Duration;

/// Bytes of every chunk but the last. Larger chunks open so many gaps under loss that QUIC gives the connection up.
pub const CHUNK_BYTES: u64 = 1024 * 1024;

/// The largest blob: ten times the largest base weights, and still hashed and synced in two minutes.
pub const MAX_BLOB_BYTES: u64 = 2 * 1024 * 1024 * 1024;

/// Chunks of one transfer on the way at once: enough to fill a long link, few enough to bound memory.
pub(crate) const CHUNKS_IN_FLIGHT: usize = 8;

/// Transfers of one client at once; the others wait their turn, so that each makes progress.
pub(crate) const TRANSFERS_AT_ONCE: usize = 2;

/// Unfinished uploads of one site: those under way, and as many that broke off and were not yet forgotten.
const MAX_UPLOADS: usize = 2 * TRANSFERS_AT_ONCE;

/// A transfer in which no chunk finishes for this long has failed: 1 MiB in 30 s is 280 kbit/s.
const STALL: Duration = Duration::from_secs(30);

/// How long the other side may take to hash and sync a whole blob: 2 GiB at 20 MB/s.
const SETTLE: Duration = Duration::from_secs(120);

/// How many chunks a blob of `bytes` has. An empty blob has one empty chunk, so that it too is sent and verified.
fn chunk_count(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(CHUNK_BYTES).max(1)).unwrap_or(u32::MAX)
}

/// Where chunk `index` of a blob of `bytes` begins, and how many bytes it has; none beyond the last.
fn chunk_extent(bytes: u64, index: u32) -> Option<(u64, usize)> {
    let start = u64::from(index) * CHUNK_BYTES;
    let length = bytes.checked_sub(start)?.min(CHUNK_BYTES);
    let length = usize::try_from(length).expect("a chunk fits memory");
    (index < chunk_count(bytes)).then_some((start, length))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn chunks_tile_the_blob(bytes in 0u64..40 * CHUNK_BYTES) {
            let mut next = 0;
            for index in 0..chunk_count(bytes) {
                let (start, length) = chunk_extent(bytes, index).unwrap();
                prop_assert_eq!(start, next);
                next += length as u64;
            }
            prop_assert_eq!(next, bytes);
            prop_assert_eq!(chunk_extent(bytes, chunk_count(bytes)), None);
            prop_assert_eq!(chunk_extent(bytes, u32::MAX), None);
        }
    }
}
