//! What is said about chunks on a data stream: a tag, a request header, a reply header; data follows raw.
//!
//! `Get`: the reply is `Sending`, then the chunk. `Offer`: the reply is `Wanted` or `Present`. `Put`: the chunk
//! follows the request; the reply is `Accepted`, or `Stored` to the chunk that completed the blob. `Resume`: as `Offer`, or
//! the reply is `Partly`, and a bit for each chunk follows.
//!
//! New requests and replies come at the end, and are for those who know them: `Resume` for coordinators that speak version 4
//! of the conversation, `Partly` for sites that asked with it.

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
    /// May I send you this blob, or what you do not have of it?
    Resume { blob: BlobRef },
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
    /// Send the rest: a bit for each chunk follows, the lowest of the first byte for the first, set where it is here.
    Partly,
}

/// What follows [`Reply::Partly`] for a blob of `count` chunks of which `missing` are.
pub(super) fn bits_of(missing: &[u32], count: u32) -> Vec<u8> {
    let mut bits = vec![0xff; count.div_ceil(8) as usize];
    for &chunk in missing {
        bits[chunk as usize / 8] &= !(1 << (chunk % 8));
    }
    bits
}

/// The chunks of `count` that are missing, as `bits` tell.
pub(super) fn missing_in(bits: &[u8], count: u32) -> Vec<u32> {
    let is_here =
        |chunk: &u32| bits.get(*chunk as usize / 8).is_some_and(|byte| byte >> (chunk % 8) & 1 == 1);
    (0..count).filter(|chunk| !is_here(chunk)).collect()
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
    #[error(transparent)]
    Cut(StreamFailure),
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

impl Refusal {
    /// Whether the same request may be granted a little later.
    pub const fn is_passing(self) -> bool {
        match self {
            Self::NotOffered | Self::TooManyUploads | Self::Disk => true,
            Self::NotAllowed | Self::NotFound | Self::TooLarge | Self::BadChunk | Self::DigestMismatch => {
                false
            }
        }
    }
}

impl From<StreamFailure> for StreamError {
    fn from(failure: StreamFailure) -> Self {
        match failure {
            StreamFailure::Lost(closed) => Self::Lost(closed),
            other => Self::Cut(other),
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

    #[test]
    fn what_came_with_resumption_is_at_the_end() {
        let blob = BlobRef { digest: Digest::from_bytes([9; 32]), bytes: 0x0102 };
        let resume = frame::encode(&Request::Resume { blob }).unwrap();
        assert_eq!(resume[..4], [3, 0, 0, 0]);
        assert_eq!(resume[4..], frame::encode(&Request::Offer { blob }).unwrap()[4..]);
        assert_eq!(frame::encode(&Reply::Partly).unwrap(), [6, 0, 0, 0]);
    }

    #[test]
    fn bits_tell_what_is_missing() {
        assert_eq!(bits_of(&[1, 8], 10), [0b1111_1101, 0b1111_1110]);
        for missing in [vec![], vec![0], vec![1, 8], (0..10).collect::<Vec<_>>()] {
            assert_eq!(missing_in(&bits_of(&missing, 10), 10), missing);
        }
        assert_eq!(missing_in(&[], 2), [0, 1], "what is not told is missing");
    }
}
