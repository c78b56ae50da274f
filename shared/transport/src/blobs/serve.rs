//! The coordinator's side of moving blobs: answers a site's requests, as far as a [`BlobAccess`] lets it.
//!
//! What a site sends unasked never touches the disk: a chunk is read only for a blob that was offered and wanted.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use consilium_domain::{BlobRef, Digest, SiteId};
use tokio::sync::{Mutex, MutexGuard};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::incoming::IncomingBlob;
use super::partial::Source;
use super::store::{BlobStore, StoreError};
use super::wire::{BLOB_TAG, Refusal, Reply, Request, StreamError, bits_of, read_header, write_header};
use super::{MAX_BLOB_BYTES, MAX_UPLOADS, SETTLE, STALL, chunk_count, chunk_extent};
use crate::closed::{CloseCode, Closed};
use crate::connection::Connection;
use crate::link::{RecvHalf, SendHalf};
use crate::refusals::RefusalCause;

/// Who may see and bring which blob. Asked for every chunk, so that a permission can end at any time.
pub trait BlobAccess: Send + Sync + 'static {
    /// Whether `site` may fetch the blob.
    fn may_read(&self, site: &SiteId, digest: &Digest) -> bool;
    /// Whether `site` may upload the blob.
    fn may_write(&self, site: &SiteId, blob: &BlobRef) -> bool;
    /// Whether a no of the other two is the site's to hear. It is not where they say no because our own disk refuses: the
    /// site then tries again later, instead of giving up what it has computed.
    fn is_well(&self) -> bool {
        true
    }
    /// What a site sends cannot be kept, for `error` of our own disk. The site tries again, and hears of nothing else.
    fn cannot_keep(&self, error: StoreError) {
        tracing::error!(%error, "an upload cannot be kept");
    }
}

/// Why blobs cannot be served on a connection: a mistake in the calling program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ServeError {
    /// The control stream comes first.
    #[error("accept the control stream before serving blobs: it is the first stream of a connection")]
    ControlFirst,
    /// Only the coordinator serves.
    #[error("only the coordinator serves blobs, and only to sites")]
    WrongSide,
}

/// Answers the requests on `connection` until it ends, and returns why it did. One request's failure is that
/// request's; a stream that is not a request closes the connection. Dropping the future stops the serving.
///
/// # Errors
/// On a client, or before [`Connection::accept_control`].
pub async fn serve_blobs(
    connection: Connection,
    store: BlobStore,
    access: Arc<dyn BlobAccess>,
) -> Result<Closed, ServeError> {
    let Some(site) = connection.peer().site().cloned() else { return Err(ServeError::WrongSide) };
    if !connection.control_taken().load(Ordering::Acquire) {
        return Err(ServeError::ControlFirst);
    }
    let desk = Arc::new(Desk { site, store, access, uploads: Mutex::default() });
    let mut requests = JoinSet::new();
    loop {
        // The link itself bounds the streams, hence the tasks.
        match connection.link().accept().await {
            Ok((send, recv)) => requests.spawn(answer(desk.clone(), connection.clone(), send, recv)),
            Err(closed) => return Ok(closed),
        };
        while requests.try_join_next().is_some() {}
    }
}

/// What one site has under way on one connection.
struct Desk {
    site: SiteId,
    store: BlobStore,
    access: Arc<dyn BlobAccess>,
    uploads: Mutex<HashMap<BlobRef, Upload>>,
}

struct Upload {
    incoming: IncomingBlob,
    touched: Instant,
}

/// Why a request got no data: a reply to the site, or a stream that is no more.
enum Unserved {
    Refused(Refusal),
    /// Our own disk refuses.
    Disk(StoreError),
    Stream(StreamError),
}

async fn answer(desk: Arc<Desk>, connection: Connection, mut send: SendHalf, mut recv: RecvHalf) {
    let outcome = match timeout(STALL, read_request(&connection, &mut recv)).await {
        Err(_) => Err(stalled()),
        Ok(Err(error)) => Err(error),
        Ok(Ok(request)) => {
            // Other answers are short, and do not wait for chunks.
            if let Request::Get { .. } = request {
                send.hasten(connection.chunk_priority());
            }
            desk.serve(request, &mut send, &mut recv).await
        }
    };
    if let Err(error) = outcome {
        if let StreamError::Frame(error) = &error {
            connection.refusals().count(RefusalCause::of_frame(error));
        }
        tracing::debug!(site = %desk.site, %error, "a request for a blob was given up");
    }
}

async fn read_request(connection: &Connection, recv: &mut RecvHalf) -> Result<Request, StreamError> {
    let mut tag = [0];
    recv.read_exact(&mut tag).await?;
    if tag[0] != BLOB_TAG {
        let problem = format!("a stream began with {:#04x}, not as a request for a blob", tag[0]);
        connection.refusals().count(RefusalCause::UNKNOWN_STREAM);
        connection.close(CloseCode::PROTOCOL, &problem);
        return Err(StreamError::Broken(problem));
    }
    read_header(recv).await
}

impl Desk {
    async fn serve(
        &self,
        request: Request,
        send: &mut SendHalf,
        recv: &mut RecvHalf,
    ) -> Result<(), StreamError> {
        let served = match request {
            Request::Get { digest, chunk } => self.get(digest, chunk).await,
            Request::Offer { blob } => self.offer(blob).await.map(|reply| (reply, Vec::new())),
            Request::Resume { blob } => self.resume(blob).await,
            Request::Put { blob, chunk } => {
                self.put(blob, chunk, recv).await.map(|reply| (reply, Vec::new()))
            }
        };
        let (reply, data) = match served {
            Ok(served) => served,
            Err(Unserved::Stream(error)) => return Err(error),
            Err(Unserved::Disk(error)) => {
                match request {
                    Request::Get { .. } => tracing::error!(%error, "a blob cannot be read"),
                    _ => self.access.cannot_keep(error),
                }
                recv.stop();
                (Reply::Refused(Refusal::Disk), Vec::new())
            }
            Err(Unserved::Refused(refusal)) => {
                tracing::debug!(site = %self.site, ?request, %refusal, "refused");
                // Whatever is still coming is not wanted.
                recv.stop();
                (Reply::Refused(refusal), Vec::new())
            }
        };
        let write = async {
            write_header(send, &reply).await?;
            send.write_all(&data).await?;
            Ok(())
        };
        timeout(SETTLE, write).await.unwrap_or_else(|_| Err(stalled()))?;
        send.finish().await;
        Ok(())
    }

    /// Why access was not given.
    fn no(&self) -> Unserved {
        if self.access.is_well() { Refusal::NotAllowed.into() } else { Refusal::Disk.into() }
    }

    async fn get(&self, digest: Digest, chunk: u32) -> Result<(Reply, Vec<u8>), Unserved> {
        if !self.access.may_read(&self.site, &digest) {
            return Err(self.no());
        }
        let (bytes, data) = self.store.read_chunk(digest, chunk).await?.ok_or(Refusal::BadChunk)?;
        Ok((Reply::Sending { bytes }, data))
    }

    async fn offer(&self, blob: BlobRef) -> Result<Reply, Unserved> {
        let Some(mut uploads) = self.room_for(&blob).await? else { return Ok(Reply::Present) };
        let incoming = self.store.begin(blob).await?;
        uploads.insert(blob, Upload { incoming, touched: Instant::now() });
        Ok(Reply::Wanted)
    }

    async fn resume(&self, blob: BlobRef) -> Result<(Reply, Vec<u8>), Unserved> {
        let answer = |reply| Ok((reply, Vec::new()));
        let Some(mut uploads) = self.room_for(&blob).await? else { return answer(Reply::Present) };
        let source = Source::Site(&self.site);
        let Some(mut incoming) = self.store.resume(source, blob).await? else {
            return answer(Reply::Present);
        };
        let mut missing = incoming.missing();
        if missing.is_empty() {
            // We were killed after the last chunk.
            match incoming.finish().await {
                Ok(()) => return answer(Reply::Present),
                Err(StoreError::Mismatch { .. }) => incoming = self.store.begin(blob).await?,
                Err(error) => return Err(error.into()),
            }
            missing = incoming.missing();
        }
        uploads.insert(blob, Upload { incoming, touched: Instant::now() });
        match (missing.len(), chunk_count(blob.bytes)) {
            (all, count) if all == count as usize => answer(Reply::Wanted),
            (_, count) => Ok((Reply::Partly, bits_of(&missing, count))),
        }
    }

    /// The uploads, with room for `blob`; none where it is here. Asking again is how a client starts over: what was under way
    /// of it on this connection is no more.
    async fn room_for(
        &self,
        blob: &BlobRef,
    ) -> Result<Option<MutexGuard<'_, HashMap<BlobRef, Upload>>>, Unserved> {
        if !self.access.may_write(&self.site, blob) {
            return Err(self.no());
        }
        if blob.bytes > MAX_BLOB_BYTES {
            return Err(Refusal::TooLarge.into());
        }
        if self.store.contains(&blob.digest).await {
            return Ok(None);
        }
        let mut uploads = self.uploads.lock().await;
        uploads.remove(blob);
        if uploads.len() >= MAX_UPLOADS {
            uploads.retain(|_, upload| upload.touched.elapsed() < STALL);
        }
        if uploads.len() >= MAX_UPLOADS {
            return Err(Refusal::TooManyUploads.into());
        }
        Ok(Some(uploads))
    }

    async fn put(&self, blob: BlobRef, chunk: u32, recv: &mut RecvHalf) -> Result<Reply, Unserved> {
        if !self.access.may_write(&self.site, &blob) {
            if let Some(upload) = self.uploads.lock().await.remove(&blob) {
                upload.incoming.discard().await?;
            }
            return Err(self.no());
        }
        let incoming = self.wanted(&blob).await.ok_or(Refusal::NotOffered)?;
        let (_, length) = chunk_extent(blob.bytes, chunk).ok_or(Refusal::BadChunk)?;
        let data = read_steadily(recv, length).await?;
        self.wanted(&blob).await.ok_or(Refusal::NotOffered)?;
        if incoming.write_chunk(chunk, data).await? > 0 {
            return Ok(Reply::Accepted);
        }
        let finished = incoming.finish().await;
        self.uploads.lock().await.remove(&blob);
        finished?;
        Ok(Reply::Stored)
    }

    /// The upload of `blob`, if it was offered; notes that it is alive.
    async fn wanted(&self, blob: &BlobRef) -> Option<IncomingBlob> {
        let mut uploads = self.uploads.lock().await;
        let upload = uploads.get_mut(blob)?;
        upload.touched = Instant::now();
        Some(upload.incoming.clone())
    }
}

/// Exactly `length` bytes, and not one more, as long as some keep coming.
async fn read_steadily(recv: &mut RecvHalf, length: usize) -> Result<Vec<u8>, Unserved> {
    let mut data = Vec::with_capacity(length + 1);
    loop {
        let room = length + 1 - data.len();
        let more = timeout(STALL, recv.read_into(&mut data, room)).await;
        let more = more.map_err(|_| Unserved::Stream(stalled()))?;
        match more.map_err(|failure| Unserved::Stream(failure.into()))? {
            true if data.len() <= length => {}
            false if data.len() == length => return Ok(data),
            _ => return Err(Refusal::BadChunk.into()),
        }
    }
}

fn stalled() -> StreamError {
    StreamError::Broken(format!("nothing moved for {} s", STALL.as_secs()))
}

impl From<Refusal> for Unserved {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<StoreError> for Unserved {
    fn from(error: StoreError) -> Self {
        Self::Refused(match error {
            StoreError::Absent(_) => Refusal::NotFound,
            StoreError::TooLarge(_) => Refusal::TooLarge,
            StoreError::BadChunk { .. } | StoreError::Incomplete { .. } => Refusal::BadChunk,
            StoreError::Mismatch { .. } => Refusal::DigestMismatch,
            StoreError::TakenOver(_) => Refusal::NotOffered,
            StoreError::NoRoom(_) => Refusal::TooManyUploads,
            StoreError::Length { .. } | StoreError::Ending => {
                tracing::error!(%error, "a request for a blob failed on our side");
                Refusal::Disk
            }
            StoreError::Io { .. } => return Self::Disk(error),
        })
    }
}
