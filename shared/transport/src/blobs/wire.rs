//! What is said about chunks on a data stream: a tag, a request header, a reply header; data follows raw.
//!
//! `Get`: the reply is `Sending`, then the chunk. `Offer`: the reply is `Wanted` or `Present`. `Put`: the chunk
//! follows the request; the reply is `Accepted`, or `Stored` to the chunk that completed the blob.

use consilium_domain::{BlobRef, Digest};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::closed::Closed;
use crate::frame::{self, FrameError, PREFIX_BYTES};
use crate::link::{RecvHalf, SendHalf, StreamFailure};

/// The first byte of every data stream.
pub(crate) const BLOB_TAG: u8 = 0xB1;

/// The longest header, a `Put`, has 48 bytes: this leaves room for growth and none for abuse.
const MAX_HEADER: usize = 128;

/// What a client asks of the coordinator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Request {
    /// Send me this chunk.
    Get { digest: Digest, chunk: u32 },
    /// May I send you this blob?
    Offer { blob: BlobRef },
    /// Here is this chunk of a blob you want.
    Put { blob: BlobRef, chunk: u32 },
}

/// What the coordinator answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// The chunk follows; the whole blob has this many bytes.
    Sending { bytes: u64 },
    /// Send it.
    Wanted,
    /// It is here already.
    Present,
    /// The chunk is kept; others are missing.
    Accepted,
    /// That was the last chunk: the blob is verified and durable.
    Stored,
    /// No.
    Refused(Refusal),
}

/// Why the coordinator refused a request for a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// The site may not read or write this blob now.
    #[error("this site may not touch it now: no order of the study names it")]
    NotAllowed,
    /// The coordinator does not have it.
    #[error("the coordinator does not have it")]
    NotFound,
    /// It is longer than any blob may be.
    #[error("it is larger than the 2 GiB a blob may have")]
    TooLarge,
    /// A chunk of a blob that was not offered, or whose offer was dropped.
    #[error("it was not offered on this connection: start the upload again")]
    NotOffered,
    /// Too many unfinished uploads.
    #[error("too many uploads are unfinished: wait for one of them")]
    TooManyUploads,
    /// A chunk beyond the end, of the wrong length, or sent twice.
    #[error("a chunk does not fit it: update both sides to the same release")]
    BadChunk,
    /// All chunks came, and are not the blob they were said to be.
    #[error("what arrived does not have its digest: the file may have changed or been damaged at the site")]
    DigestMismatch,
    /// The coordinator's disk failed or is full.
    #[error("the coordinator could not read or write its disk: its log says why")]
    Disk,
}

/// Why a data stream failed, on either side.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StreamError {
    #[error("the connection ended: {0}")]
    Lost(Closed),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("{0}")]
    Broken(String),
}

pub(crate) async fn write_header<M: Serialize>(stream: &mut SendHalf, header: &M) -> Result<(), StreamError> {
    stream.write_all(&frame::encode_framed(header)?).await?;
    Ok(())
}

pub(crate) async fn read_header<M: DeserializeOwned>(stream: &mut RecvHalf) -> Result<M, StreamError> {
    let mut prefix = [0; PREFIX_BYTES];
    stream.read_exact(&mut prefix).await?;
    let length = header_length(prefix)?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(frame::decode(&body)?)
}

fn header_length(prefix: [u8; PREFIX_BYTES]) -> Result<usize, FrameError> {
    match frame::body_length(prefix)? {
        length @ 0..=MAX_HEADER => Ok(length),
        bytes => Err(FrameError::TooLarge { bytes }),
    }
}

/// The header that `bytes` begin with, if all of it is there: what [`read_header`] does to a stream.
pub(crate) fn header_in<M: DeserializeOwned>(bytes: &[u8]) -> Result<Option<M>, FrameError> {
    let Some((prefix, rest)) = bytes.split_first_chunk::<PREFIX_BYTES>() else { return Ok(None) };
    rest.get(..header_length(*prefix)?).map(frame::decode).transpose()
}

impl From<StreamFailure> for StreamError {
    fn from(failure: StreamFailure) -> Self {
        match failure {
            StreamFailure::Lost(closed) => Self::Lost(closed),
            other => Self::Broken(other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_each_header() {
        let blob = BlobRef { digest: Digest::from_bytes([9; 32]), bytes: 0x0102 };
        let put = frame::encode(&Request::Put { blob, chunk: 3 }).unwrap();
        let mut expected = vec![2, 0, 0, 0];
        expected.extend_from_slice(&[9; 32]);
        expected.extend_from_slice(&[2, 1, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0]);
        assert_eq!(put, expected);
        assert_eq!(
            frame::encode(&Reply::Sending { bytes: 7 }).unwrap(),
            [0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0]
        );
        assert_eq!(frame::encode(&Reply::Refused(Refusal::Disk)).unwrap(), [5, 0, 0, 0, 7, 0, 0, 0]);
    }
}
