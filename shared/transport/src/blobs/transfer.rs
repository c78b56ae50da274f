//! The client's side of moving blobs: fetch one from the coordinator, or upload one to it.
//!
//! It does not retry: a failed transfer is started again by whoever knows whether it is still wanted.

use std::future::Future;
use std::time::Duration;

use consilium_domain::{BlobRef, Digest};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::incoming::IncomingBlob;
use super::store::{BlobStore, StoreError};
use super::wire::{BLOB_TAG, Refusal, Reply, Request, StreamError, read_header, write_header};
use super::{CHUNKS_IN_FLIGHT, SETTLE, STALL, chunk_count, chunk_extent};
use crate::closed::Closed;
use crate::connection::Connection;
use crate::link::{RecvHalf, SendHalf};

/// What a successful transfer did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transferred {
    /// The receiver had it: no chunk was sent.
    AlreadyThere,
    /// Every chunk was sent, and the receiver verified the whole.
    Moved,
}

/// Why a blob was not moved. The receiver then has nothing of it.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The coordinator said no.
    #[error("the coordinator refused blob {digest}: {refusal}")]
    Refused {
        /// The blob.
        digest: Digest,
        /// Why.
        refusal: Refusal,
    },
    /// The connection ended.
    #[error("the connection ended during the transfer of a blob: {0}")]
    Lost(Closed),
    /// No chunk finished for a long time.
    #[error("blob {digest} made no progress for {} s: the link is down or slower than 280 kbit/s", patience.as_secs())]
    Stalled {
        /// The blob.
        digest: Digest,
        /// How long was waited.
        patience: Duration,
    },
    /// The other side broke the rules of the data plane.
    #[error(
        "blob {digest}: the coordinator's answer makes no sense ({problem}): update both sides to the same release"
    )]
    Garbled {
        /// The blob.
        digest: Digest,
        /// What was wrong.
        problem: String,
    },
    /// Our own store failed, or what arrived does not have its digest.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Called on the coordinator.
    #[error("only a client moves blobs; the coordinator answers with `serve_blobs`")]
    WrongSide,
}

impl Connection {
    /// Brings `blob` from the coordinator into `store`, verified.
    ///
    /// # Errors
    /// See [`TransferError`]; on any of them the store has nothing of it.
    pub async fn fetch(&self, blob: BlobRef, store: &BlobStore) -> Result<Transferred, TransferError> {
        self.or_lost(self.try_fetch(blob, store).await).await
    }

    /// Sends `blob` from `store` to the coordinator. Success means that it is verified and durable there.
    ///
    /// # Errors
    /// See [`TransferError`]; the coordinator keeps nothing of an upload that failed.
    pub async fn upload(&self, blob: BlobRef, store: &BlobStore) -> Result<Transferred, TransferError> {
        self.or_lost(self.try_upload(blob, store).await).await
    }

    async fn try_fetch(&self, blob: BlobRef, store: &BlobStore) -> Result<Transferred, TransferError> {
        if store.contains(&blob.digest).await {
            return Ok(Transferred::AlreadyThere);
        }
        let _turn = self.turn().await?;
        let incoming = store.begin(blob).await?;
        let fetch = |chunk| fetch_chunk(self.clone(), incoming.clone(), chunk);
        each_chunk(blob, STALL, fetch).await?;
        incoming.finish().await?;
        Ok(Transferred::Moved)
    }

    async fn try_upload(&self, blob: BlobRef, store: &BlobStore) -> Result<Transferred, TransferError> {
        let _turn = self.turn().await?;
        let offer = timeout(STALL, offer(self, blob)).await;
        match offer.map_err(|_| TransferError::Stalled { digest: blob.digest, patience: STALL })?? {
            Reply::Present => return Ok(Transferred::AlreadyThere),
            Reply::Wanted => {}
            other => return Err(unexpected(blob.digest, other)),
        }
        let put = |chunk| put_chunk(self.clone(), store.clone(), blob, chunk);
        // The chunk that completes the blob is answered only after it was hashed and synced.
        let replies = each_chunk(blob, SETTLE, put).await?;
        if replies.contains(&Reply::Stored) {
            Ok(Transferred::Moved)
        } else {
            Err(unexpected(blob.digest, Reply::Accepted))
        }
    }

    /// A stream that ended early is no nonsense where its connection ended too.
    async fn or_lost(
        &self,
        outcome: Result<Transferred, TransferError>,
    ) -> Result<Transferred, TransferError> {
        match outcome {
            Err(error @ TransferError::Garbled { .. }) => {
                Err(self.last_word().await.map_or(error, TransferError::Lost))
            }
            outcome => outcome,
        }
    }

    /// Waits until fewer than the allowed number of transfers are under way.
    async fn turn(&self) -> Result<tokio::sync::SemaphorePermit<'_>, TransferError> {
        if !self.is_client() {
            return Err(TransferError::WrongSide);
        }
        Ok(self.transfer_slots().acquire().await.expect("the semaphore is never closed"))
    }
}

/// Runs `work` for every chunk, several at once, and fails where none finishes for [`STALL`] (`last` for the last).
async fn each_chunk<T, F>(
    blob: BlobRef,
    last: Duration,
    work: impl Fn(u32) -> F,
) -> Result<Vec<T>, TransferError>
where
    T: Send + 'static,
    F: Future<Output = Result<T, TransferError>> + Send + 'static,
{
    let mut waiting = 0..chunk_count(blob.bytes);
    let mut outcomes = Vec::with_capacity(waiting.len());
    let mut running = JoinSet::new();
    loop {
        while running.len() < CHUNKS_IN_FLIGHT
            && let Some(chunk) = waiting.next()
        {
            running.spawn(work(chunk));
        }
        let patience = if running.len() > 1 { STALL } else { last };
        let stalled = |_| TransferError::Stalled { digest: blob.digest, patience };
        match timeout(patience, running.join_next()).await.map_err(stalled)? {
            None => return Ok(outcomes),
            Some(Ok(outcome)) => outcomes.push(outcome?),
            Some(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Some(Err(_)) => return Err(StoreError::Ending.into()),
        }
    }
}

async fn fetch_chunk(
    connection: Connection,
    incoming: IncomingBlob,
    chunk: u32,
) -> Result<(), TransferError> {
    let blob = incoming.blob();
    let broken = failed(blob.digest);
    let (mut send, mut recv) =
        request(&connection, Request::Get { digest: blob.digest, chunk }).await.map_err(broken)?;
    send.end_request();
    match read_header(&mut recv).await.map_err(broken)? {
        Reply::Sending { bytes } => check_length(blob, bytes)?,
        other => return Err(unexpected(blob.digest, other)),
    }
    let (_, length) = chunk_extent(blob.bytes, chunk).expect("only chunks of the blob are asked for");
    let mut data = vec![0; length];
    recv.read_exact(&mut data).await.map_err(|error| broken(error.into()))?;
    incoming.write_chunk(chunk, data).await?;
    Ok(())
}

async fn offer(connection: &Connection, blob: BlobRef) -> Result<Reply, TransferError> {
    let broken = failed(blob.digest);
    let (mut send, mut recv) = request(connection, Request::Offer { blob }).await.map_err(broken)?;
    send.end_request();
    read_header(&mut recv).await.map_err(broken)
}

async fn put_chunk(
    connection: Connection,
    store: BlobStore,
    blob: BlobRef,
    chunk: u32,
) -> Result<Reply, TransferError> {
    let broken = failed(blob.digest);
    let (bytes, data) = store.read_chunk(blob.digest, chunk).await?.ok_or(StoreError::Absent(blob.digest))?;
    check_length(blob, bytes)?;
    let (mut send, mut recv) = request(&connection, Request::Put { blob, chunk }).await.map_err(broken)?;
    // A refusal may come before we have sent everything, and stops our sending: the reply says why, so it is read
    // whether or not the data went out. A lost connection fails the reading too.
    if send.write_all(&data).await.is_ok() {
        send.finish().await;
    }
    match read_header(&mut recv).await.map_err(broken)? {
        reply @ (Reply::Accepted | Reply::Stored) => Ok(reply),
        other => Err(unexpected(blob.digest, other)),
    }
}

/// Opens a data stream and asks for something.
async fn request(connection: &Connection, request: Request) -> Result<(SendHalf, RecvHalf), StreamError> {
    let (mut send, recv) = connection.link().open().await.map_err(StreamError::Lost)?;
    send.write_all(&[BLOB_TAG]).await?;
    write_header(&mut send, &request).await?;
    Ok((send, recv))
}

fn check_length(blob: BlobRef, actual: u64) -> Result<(), StoreError> {
    if actual == blob.bytes {
        Ok(())
    } else {
        Err(StoreError::Length { digest: blob.digest, expected: blob.bytes, actual })
    }
}

fn failed(digest: Digest) -> impl Fn(StreamError) -> TransferError + Copy {
    move |error| match error {
        StreamError::Lost(reason) => TransferError::Lost(reason),
        StreamError::Frame(error) => TransferError::Garbled { digest, problem: error.to_string() },
        StreamError::Broken(problem) => TransferError::Garbled { digest, problem },
    }
}

fn unexpected(digest: Digest, reply: Reply) -> TransferError {
    match reply {
        Reply::Refused(refusal) => TransferError::Refused { digest, refusal },
        other => TransferError::Garbled { digest, problem: format!("unexpected {other:?}") },
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_transfer_that_stops_moving_is_given_up() {
        let blob = BlobRef { digest: Digest::of(b"x"), bytes: 20 << 20 };
        let start = Instant::now();
        let outcome = each_chunk(blob, SETTLE, |chunk: u32| async move {
            tokio::time::sleep(Duration::from_secs(if chunk < 10 { 20 } else { 1_000 })).await;
            Ok(chunk)
        });
        assert!(matches!(outcome.await, Err(TransferError::Stalled { patience: STALL, .. })));
        // Two waves of eight: the first ten chunks take 40 s, then nothing moves.
        assert_eq!(start.elapsed(), Duration::from_secs(40) + STALL);
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_answer_may_take_longer() {
        let blob = BlobRef { digest: Digest::of(b"x"), bytes: 3 << 20 };
        let slow_end = |chunk: u32| async move {
            tokio::time::sleep(if chunk == 2 { SETTLE - STALL } else { Duration::ZERO }).await;
            Ok(chunk)
        };
        assert_eq!(each_chunk(blob, SETTLE, slow_end).await.unwrap(), [0, 1, 2]);
        assert!(matches!(each_chunk(blob, STALL, slow_end).await, Err(TransferError::Stalled { .. })));
    }
}
