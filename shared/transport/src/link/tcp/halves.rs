//! The two halves of one yamux stream. It is taken back when both are dropped and it was not finished.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead as _, AsyncWrite as _};
use tokio::sync::OwnedSemaphorePermit;

use super::TcpLink;
use crate::link::StreamFailure;

/// Read at once: one frame of yamux, as both sides cut them.
const READ_BYTES: usize = 16 * 1024;

#[derive(Debug)]
struct Shared {
    stream: Mutex<Inner>,
    /// Streams keep their connection.
    link: TcpLink,
    _place: OwnedSemaphorePermit,
}

#[derive(Debug)]
struct Inner {
    stream: yamux::Stream,
    /// What is still coming is not wanted. Then the stream is not finished but taken back, which alone tells the
    /// other side to stop sending: yamux says nothing about half a stream.
    stopped: bool,
}

#[derive(Debug)]
pub(crate) struct SendHalf(Arc<Shared>);

#[derive(Debug)]
pub(crate) struct RecvHalf(Arc<Shared>);

pub(super) fn split(
    stream: yamux::Stream,
    place: OwnedSemaphorePermit,
    link: TcpLink,
) -> (SendHalf, RecvHalf) {
    let stream = Mutex::new(Inner { stream, stopped: false });
    let shared = Arc::new(Shared { stream, link, _place: place });
    (SendHalf(shared.clone()), RecvHalf(shared))
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.stream.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn poll<T>(
        &self,
        mut poll: impl FnMut(Pin<&mut yamux::Stream>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Result<T, StreamFailure> {
        let polled = std::future::poll_fn(|cx| poll(Pin::new(&mut self.lock().stream), cx));
        tokio::select! {
            // What has arrived may still be read.
            biased;
            polled = polled => polled.map_err(|_| self.failure()),
            closed = self.link.0.fate.ended() => Err(StreamFailure::Lost(closed)),
        }
    }

    /// yamux tells a stream that was taken back from one whose connection ended by nothing but this.
    fn failure(&self) -> StreamFailure {
        self.link.0.fate.reason().map_or(StreamFailure::Ended, StreamFailure::Lost)
    }
}

impl SendHalf {
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<usize, StreamFailure> {
        if let Some(closed) = self.0.link.0.fate.reason() {
            return Err(StreamFailure::Lost(closed));
        }
        self.0.poll(|stream, cx| stream.poll_write(cx, bytes)).await
    }

    pub(crate) async fn finish(&mut self) {
        if !self.0.lock().stopped {
            // A stream that is gone needs no end.
            let _ = self.0.poll(|stream, cx| stream.poll_close(cx)).await;
        }
    }
}

impl RecvHalf {
    pub(crate) async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, StreamFailure> {
        let read = self.0.poll(|stream, cx| stream.poll_read(cx, buffer)).await?;
        self.unless_lost(read, buffer.len())
    }

    pub(crate) async fn read_into(
        &mut self,
        bytes: &mut Vec<u8>,
        most: usize,
    ) -> Result<bool, StreamFailure> {
        let most = most.min(READ_BYTES);
        let reading = self.0.poll(|stream, cx| {
            // Here and not in the future, which would carry it along wherever it goes, over QUIC too.
            let mut buffer = [0; READ_BYTES];
            let read = ready!(stream.poll_read(cx, &mut buffer[..most]))?;
            bytes.extend_from_slice(&buffer[..read]);
            Poll::Ready(Ok(read))
        });
        let read = reading.await?;
        Ok(self.unless_lost(read, most)? > 0)
    }

    /// An end that the other side did not say is none.
    fn unless_lost(&self, read: usize, wanted: usize) -> Result<usize, StreamFailure> {
        match self.0.link.0.fate.reason() {
            Some(closed) if read == 0 && wanted > 0 => Err(StreamFailure::Lost(closed)),
            _ => Ok(read),
        }
    }

    pub(crate) fn stop(&mut self) {
        self.0.lock().stopped = true;
    }
}
