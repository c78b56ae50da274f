//! The client's side of moving blobs: fetch one from the coordinator, or upload one to it.
//!
//! It does not retry: a failed transfer is started again by whoever knows whether it is still wanted, and goes on with the
//! chunks that are missing.

use std::collections::VecDeque;
use std::future::{Future, pending};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use consilium_domain::{BlobRef, Digest};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use super::incoming::IncomingBlob;
use super::pace::{OpeningHours, Pace};
use super::partial::Source;
use super::store::{BlobStore, StoreError};
use super::wire::{BLOB_TAG, Refusal, Reply, Request, StreamError, missing_in, read_header, write_header};
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

/// How a client's blobs travel. Clones share their pace, and their count unless they are made by [`Carriage::to`].
#[derive(Debug, Clone, Default)]
pub struct Carriage {
    resumes: bool,
    pace: Option<Arc<Pace>>,
    hours: Option<OpeningHours>,
    moved: Arc<AtomicU64>,
}

impl Carriage {
    /// No faster than `pace`, and when that lets them.
    pub fn at(pace: Pace) -> Self {
        Self { pace: Some(Arc::new(pace)), ..Self::default() }
    }

    /// To a coordinator of which it is known (`resumes`) whether it takes up uploads that broke off: those of releases that
    /// speak version 4 of the conversation do. Others are sent all of a blob again. It counts from nothing.
    #[must_use]
    pub fn to(&self, resumes: bool) -> Self {
        Self { resumes, pace: self.pace.clone(), hours: self.hours.clone(), moved: Arc::default() }
    }

    /// At the same pace, and no chunk begins outside `hours`. It counts from nothing.
    #[must_use]
    pub fn within(&self, hours: OpeningHours) -> Self {
        Self { hours: Some(hours), ..self.to(self.resumes) }
    }

    /// Whether an upload that broke off is gone on with.
    pub const fn resumes(&self) -> bool {
        self.resumes
    }

    /// Bytes of chunks that arrived, either way.
    pub fn moved(&self) -> u64 {
        self.moved.load(Ordering::Relaxed)
    }

    fn count(&self, bytes: usize) {
        self.moved.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Waits until `bytes` may go over `connection`, or it has ended.
    async fn turn(&self, bytes: usize, connection: &Connection) -> Result<(), TransferError> {
        let turn = async {
            if let Some(pace) = &self.pace {
                pace.take(bytes as u64).await;
            }
            // Last: they may have ended while others of the same pace had their turn.
            if let Some(hours) = &self.hours {
                hours.opened().await;
            }
        };
        tokio::select! {
            () = turn => Ok(()),
            closed = connection.closed() => Err(TransferError::Lost(closed)),
        }
    }
}

/// Why a blob was not moved. What has arrived of it waits for the next try.
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
    /// A stream ended early, and its connection did not.
    #[error("a stream ended early during the transfer of blob {digest}")]
    Cut {
        /// The blob.
        digest: Digest,
    },
    /// Every chunk went, and some of them to an older connection of ours: what came of them is not known.
    #[error("whether blob {digest} is with the coordinator is not known yet")]
    Unsettled {
        /// The blob.
        digest: Digest,
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

impl TransferError {
    /// Whether the same transfer may go well a little later. What does not pass is to be told to whoever waits for it.
    pub const fn is_passing(&self) -> bool {
        match self {
            Self::Refused { refusal, .. } => refusal.is_passing(),
            Self::Lost(_) | Self::Stalled { .. } | Self::Cut { .. } | Self::Unsettled { .. } => true,
            Self::Store(error) => error.is_passing(),
            Self::Garbled { .. } | Self::WrongSide => false,
        }
    }
}

impl Connection {
    /// Brings `blob` from the coordinator into `store`, verified, or what `store` does not have of it.
    ///
    /// # Errors
    /// See [`TransferError`].
    pub async fn fetch(&self, blob: BlobRef, store: &BlobStore) -> Result<Transferred, TransferError> {
        self.fetch_by(&Carriage::default(), blob, store).await
    }

    /// Sends `blob` from `store` to the coordinator, all of it. Success means that it is verified and durable there.
    ///
    /// # Errors
    /// See [`TransferError`].
    pub async fn upload(&self, blob: BlobRef, store: &BlobStore) -> Result<Transferred, TransferError> {
        self.upload_by(&Carriage::default(), blob, store).await
    }

    /// As [`Connection::fetch`], by `carriage`.
    ///
    /// # Errors
    /// See [`TransferError`].
    pub async fn fetch_by(
        &self,
        carriage: &Carriage,
        blob: BlobRef,
        store: &BlobStore,
    ) -> Result<Transferred, TransferError> {
        self.or_lost(self.try_fetch(carriage, blob, store).await).await
    }

    /// As [`Connection::upload`], by `carriage`; or what the coordinator does not have of it.
    ///
    /// # Errors
    /// See [`TransferError`].
    pub async fn upload_by(
        &self,
        carriage: &Carriage,
        blob: BlobRef,
        store: &BlobStore,
    ) -> Result<Transferred, TransferError> {
        self.or_lost(self.try_upload(carriage, blob, store).await).await
    }

    async fn try_fetch(
        &self,
        carriage: &Carriage,
        blob: BlobRef,
        store: &BlobStore,
    ) -> Result<Transferred, TransferError> {
        if store.contains(&blob.digest).await {
            return Ok(Transferred::AlreadyThere);
        }
        let _turn = self.turn().await?;
        let Some(incoming) = store.resume(Source::Coordinator, blob).await? else {
            return Ok(Transferred::AlreadyThere);
        };
        let turn = |bytes| carriage.turn(bytes, self);
        let fetch = |chunk| fetch_chunk(self.clone(), carriage.clone(), incoming.clone(), chunk);
        each_chunk(blob, incoming.missing(), turn, STALL, fetch).await?;
        incoming.finish().await?;
        Ok(Transferred::Moved)
    }

    async fn try_upload(
        &self,
        carriage: &Carriage,
        blob: BlobRef,
        store: &BlobStore,
    ) -> Result<Transferred, TransferError> {
        let _turn = self.turn().await?;
        // The coordinator looks at what it has before it says so.
        let patience = if carriage.resumes { SETTLE } else { STALL };
        let stalled = |_| TransferError::Stalled { digest: blob.digest, patience };
        let Some(missing) = timeout(patience, offer(self, carriage, blob)).await.map_err(stalled)?? else {
            return Ok(Transferred::AlreadyThere);
        };
        let turn = |bytes| carriage.turn(bytes, self);
        let put = |chunk| put_chunk(self.clone(), carriage.clone(), store.clone(), blob, chunk);
        // The chunk that completes the blob is answered only after it was verified and synced.
        let replies = each_chunk(blob, missing, turn, SETTLE, put).await?;
        if replies.contains(&Reply::Stored) {
            Ok(Transferred::Moved)
        } else {
            Err(TransferError::Unsettled { digest: blob.digest })
        }
    }

    /// A stream that ended early is no nonsense where its connection ended too.
    async fn or_lost(
        &self,
        outcome: Result<Transferred, TransferError>,
    ) -> Result<Transferred, TransferError> {
        match outcome {
            Err(error @ TransferError::Cut { .. }) => {
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

/// Runs `work` for each of `chunks`, several at once and each in its `turn`, and fails where none finishes for [`STALL`]
/// (`last` for the last).
async fn each_chunk<T, F, W>(
    blob: BlobRef,
    chunks: Vec<u32>,
    turn: impl Fn(usize) -> W,
    last: Duration,
    work: impl Fn(u32) -> F,
) -> Result<Vec<T>, TransferError>
where
    T: Send + 'static,
    F: Future<Output = Result<T, TransferError>> + Send + 'static,
    W: Future<Output = Result<(), TransferError>>,
{
    let mut waiting = VecDeque::from(chunks);
    let mut outcomes = Vec::with_capacity(waiting.len());
    let mut running = JoinSet::new();
    // Waiting for one's turn is no stall: only what is on its way can be late.
    let mut moved_at = Instant::now();
    while !(waiting.is_empty() && running.is_empty()) {
        let next = waiting.front().copied().filter(|_| running.len() < CHUNKS_IN_FLIGHT);
        let patience = if running.len() > 1 || !waiting.is_empty() { STALL } else { last };
        let starting = async {
            match next.and_then(|chunk| chunk_extent(blob.bytes, chunk)) {
                Some((_, length)) => turn(length).await,
                None => pending().await,
            }
        };
        tokio::select! {
            started = starting => {
                started?;
                let chunk = waiting.pop_front().expect("it is the next");
                if running.is_empty() {
                    moved_at = Instant::now();
                }
                running.spawn(work(chunk));
            }
            outcome = timeout_at(moved_at + patience, running.join_next()), if !running.is_empty() => {
                let stalled = |_| TransferError::Stalled { digest: blob.digest, patience };
                moved_at = Instant::now();
                match outcome.map_err(stalled)?.expect("some are running") {
                    Ok(outcome) => outcomes.push(outcome?),
                    Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                    Err(_) => return Err(StoreError::Ending.into()),
                }
            }
        }
    }
    Ok(outcomes)
}

async fn fetch_chunk(
    connection: Connection,
    carriage: Carriage,
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
    carriage.count(length);
    Ok(())
}

/// Offers `blob`: the chunks that the coordinator wants, none where it has all of it.
async fn offer(
    connection: &Connection,
    carriage: &Carriage,
    blob: BlobRef,
) -> Result<Option<Vec<u32>>, TransferError> {
    let broken = failed(blob.digest);
    let question = if carriage.resumes { Request::Resume { blob } } else { Request::Offer { blob } };
    let (mut send, mut recv) = request(connection, question).await.map_err(broken)?;
    send.end_request();
    let count = chunk_count(blob.bytes);
    match read_header(&mut recv).await.map_err(broken)? {
        Reply::Present => Ok(None),
        Reply::Wanted => Ok(Some((0..count).collect())),
        Reply::Partly if carriage.resumes => {
            let mut bits = vec![0; count.div_ceil(8) as usize];
            recv.read_exact(&mut bits).await.map_err(|error| broken(error.into()))?;
            match missing_in(&bits, count) {
                missing if missing.is_empty() => Err(unexpected(blob.digest, Reply::Partly)),
                missing => Ok(Some(missing)),
            }
        }
        other => Err(unexpected(blob.digest, other)),
    }
}

async fn put_chunk(
    connection: Connection,
    carriage: Carriage,
    store: BlobStore,
    blob: BlobRef,
    chunk: u32,
) -> Result<Reply, TransferError> {
    let broken = failed(blob.digest);
    let (bytes, data) = store.read_chunk(blob.digest, chunk).await?.ok_or(StoreError::Absent(blob.digest))?;
    check_length(blob, bytes)?;
    let (mut send, mut recv) = connection.link().open().await.map_err(TransferError::Lost)?;
    // Before its first byte: the coordinator must not wait for a chunk whose turn has not come.
    send.hasten(connection.chunk_priority());
    ask(&mut send, Request::Put { blob, chunk }).await.map_err(broken)?;
    // A refusal may come before we have sent everything, and stops our sending: the reply says why, so it is read
    // whether or not the data went out. A lost connection fails the reading too.
    if send.write_all(&data).await.is_ok() {
        send.finish().await;
    }
    match read_header(&mut recv).await.map_err(broken)? {
        reply @ (Reply::Accepted | Reply::Stored) => {
            carriage.count(data.len());
            Ok(reply)
        }
        other => Err(unexpected(blob.digest, other)),
    }
}

/// Opens a data stream and asks for something.
async fn request(connection: &Connection, request: Request) -> Result<(SendHalf, RecvHalf), StreamError> {
    let (mut send, recv) = connection.link().open().await.map_err(StreamError::Lost)?;
    ask(&mut send, request).await?;
    Ok((send, recv))
}

async fn ask(stream: &mut SendHalf, request: Request) -> Result<(), StreamError> {
    stream.write_all(&[BLOB_TAG]).await?;
    write_header(stream, &request).await
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
        StreamError::Cut(_) => TransferError::Cut { digest },
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
    use std::num::NonZeroU64;

    use super::*;
    use crate::blobs::CHUNK_BYTES;

    fn all(blob: BlobRef) -> Vec<u32> {
        (0..chunk_count(blob.bytes)).collect()
    }

    async fn at_once(_: usize) -> Result<(), TransferError> {
        Ok(())
    }

    #[tokio::test(start_paused = true)]
    async fn a_transfer_that_stops_moving_is_given_up() {
        let blob = BlobRef { digest: Digest::of(b"x"), bytes: 20 << 20 };
        let start = Instant::now();
        let outcome = each_chunk(blob, all(blob), at_once, SETTLE, |chunk: u32| async move {
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
        assert_eq!(each_chunk(blob, all(blob), at_once, SETTLE, slow_end).await.unwrap(), [0, 1, 2]);
        let stalled = each_chunk(blob, all(blob), at_once, STALL, slow_end).await;
        assert!(matches!(stalled, Err(TransferError::Stalled { .. })));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_pace_is_no_stall_and_only_what_is_missing_is_moved() {
        let blob = BlobRef { digest: Digest::of(b"x"), bytes: 20 << 20 };
        // A chunk in ten minutes.
        let pace = Pace::new(NonZeroU64::new(CHUNK_BYTES / 600), || None);
        let turn = async |bytes| {
            pace.take(bytes as u64).await;
            Ok(())
        };
        let start = Instant::now();
        let work = |chunk: u32| async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok(chunk)
        };
        let moved = each_chunk(blob, vec![3, 7, 19], turn, STALL, work).await.unwrap();
        assert_eq!(moved, [3, 7, 19]);
        assert!(start.elapsed() >= Duration::from_secs(1200));
    }

    #[test]
    fn what_passes_is_told_from_what_does_not() {
        let digest = Digest::of(b"x");
        let refused = |refusal| TransferError::Refused { digest, refusal };
        let closed = Closed::silent();
        for passing in [
            refused(Refusal::NotOffered),
            refused(Refusal::TooManyUploads),
            refused(Refusal::Disk),
            TransferError::Lost(closed),
            TransferError::Stalled { digest, patience: STALL },
            TransferError::Cut { digest },
            TransferError::Unsettled { digest },
            StoreError::TakenOver(digest).into(),
            StoreError::NoRoom(digest).into(),
        ] {
            assert!(passing.is_passing(), "{passing}");
        }
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        for lasting in [
            refused(Refusal::NotAllowed),
            refused(Refusal::NotFound),
            refused(Refusal::TooLarge),
            refused(Refusal::BadChunk),
            refused(Refusal::DigestMismatch),
            TransferError::Garbled { digest, problem: "nonsense".into() },
            TransferError::WrongSide,
            StoreError::Absent(digest).into(),
            StoreError::Ending.into(),
            StoreError::TooLarge(1).into(),
            StoreError::Mismatch { expected: digest, actual: digest }.into(),
            StoreError::Length { digest, expected: 1, actual: 2 }.into(),
            StoreError::BadChunk { digest, chunk: 0, bytes: 0 }.into(),
            StoreError::Incomplete { digest, missing: 1 }.into(),
            StoreError::Io { action: "write", path: "x".into(), source: full }.into(),
        ] {
            assert!(!lasting.is_passing(), "{lasting}");
        }
    }
}
