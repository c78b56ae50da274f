//! A connection over TCP: TLS 1.3, and yamux for streams. For networks that drop UDP.
//!
//! The first stream is the link's own ([`keeper`]): it carries keep-alives, and the goodbye with its code and
//! reason, which QUIC has built in. Every other stream is one of [`super::Link`]. The limits are those of QUIC.

mod driver;
mod halves;
mod handshake;
mod keeper;
mod socket;

pub(crate) use halves::{RecvHalf, SendHalf};
pub(crate) use handshake::{Arrival, Faces, Failed, dial, receive};
pub(crate) use keeper::LinkFrame;

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as AsyncMutex, Notify, Semaphore, mpsc, oneshot, watch};

use self::socket::Meter;
use super::BINDING_BYTES;
use crate::closed::{CloseCode, Closed};
use crate::connection::Traffic;
use crate::tuning::Side;

/// A goodbye: why, for programs and for people.
pub(crate) type Farewell = (CloseCode, String);

/// Streams at once in yamux's books on either side: those a client may have open (17 and the link's own) and as many
/// again whose end is on its way. Each may hold 256 KiB unread.
const MUX_STREAMS: usize = 64;

/// The handle of one connection. The task of [`driver::live`] does its work and ends with the last handle.
#[derive(Clone)]
pub(crate) struct TcpLink(Arc<Handle>);

struct Handle {
    side: Side,
    address: SocketAddr,
    binding: [u8; BINDING_BYTES],
    meter: Arc<Meter>,
    fate: Arc<Fate>,
    /// Asks the driver for a new stream.
    orders: mpsc::Sender<oneshot::Sender<yamux::Stream>>,
    /// The streams the client opened.
    inbound: AsyncMutex<mpsc::Receiver<yamux::Stream>>,
    /// As many streams as may be open: on the client those it opened, on the coordinator those it serves.
    places: Arc<Semaphore>,
    /// True once the task has ended and the socket is closed.
    gone: watch::Receiver<bool>,
}

/// How the connection ends, shared by its handles and its task.
#[derive(Default)]
struct Fate {
    ended: watch::Sender<Option<Closed>>,
    /// Our goodbye, to be sent by the task.
    farewell: Mutex<Option<Farewell>>,
    leaving: Notify,
}

impl Fate {
    /// The first end counts.
    fn end(&self, closed: Closed) {
        self.ended.send_if_modified(|ended| {
            let first = ended.is_none();
            ended.get_or_insert(closed);
            first
        });
    }

    fn leave(&self, code: CloseCode, reason: &str) {
        let mut farewell = self.farewell.lock().unwrap_or_else(PoisonError::into_inner);
        farewell.get_or_insert_with(|| (code, reason.to_owned()));
        drop(farewell);
        self.end(Closed::by_us());
        self.leaving.notify_one();
    }

    /// Our goodbye; where nobody has said one, the connection was let go of, as after work that is done.
    fn farewell_or_done(&self) -> Farewell {
        let farewell = self.farewell.lock().unwrap_or_else(PoisonError::into_inner).clone();
        farewell.unwrap_or((CloseCode::DONE, String::new()))
    }

    fn reason(&self) -> Option<Closed> {
        self.ended.borrow().clone()
    }

    async fn ended(&self) -> Closed {
        let mut ended = self.ended.subscribe();
        let closed = ended.wait_for(Option::is_some).await;
        closed.ok().and_then(|closed| closed.clone()).expect("the sender is ours, and it was waited for")
    }
}

impl TcpLink {
    pub(super) async fn open(&self) -> Result<(SendHalf, RecvHalf), Closed> {
        let open = async {
            let places = self.0.places.clone();
            let place = places.acquire_owned().await.expect("the semaphore is never closed");
            let (reply, stream) = oneshot::channel();
            self.0.orders.send(reply).await.ok()?;
            Some(halves::split(stream.await.ok()?, place, self.clone()))
        };
        tokio::select! {
            biased;
            closed = self.closed() => Err(closed),
            opened = open => match opened {
                Some(halves) => Ok(halves),
                None => Err(self.closed().await),
            },
        }
    }

    pub(super) async fn accept(&self) -> Result<(SendHalf, RecvHalf), Closed> {
        let mut inbound = self.0.inbound.lock().await;
        let places = self.0.places.clone();
        // Only then is a stream taken, so that none is lost where this future is dropped.
        let place = places.acquire_owned().await.expect("the semaphore is never closed");
        match inbound.recv().await {
            Some(stream) => Ok(halves::split(stream, place, self.clone())),
            None => Err(self.closed().await),
        }
    }

    pub(crate) fn close(&self, code: CloseCode, reason: &str) {
        self.0.fate.leave(code, reason);
    }

    pub(crate) async fn closed(&self) -> Closed {
        self.0.fate.ended().await
    }

    pub(super) fn close_reason(&self) -> Option<Closed> {
        self.0.fate.reason()
    }

    pub(super) async fn drained(&self) {
        let mut gone = self.0.gone.clone();
        // The sender goes with the task, which then has ended too.
        let _ = gone.wait_for(|gone| *gone).await;
    }

    pub(super) fn traffic(&self) -> Traffic {
        self.0.meter.traffic()
    }

    pub(super) fn remote_address(&self) -> SocketAddr {
        self.0.address
    }

    pub(super) fn is_client(&self) -> bool {
        self.0.side == Side::Client
    }

    pub(super) fn binding(&self) -> [u8; BINDING_BYTES] {
        self.0.binding
    }
}

impl fmt::Debug for TcpLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpLink").field("address", &self.0.address).finish_non_exhaustive()
    }
}
