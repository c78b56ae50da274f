//! One verified connection: who is there, what it cost so far, and how it ended.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use consilium_domain::Role;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::blobs::TRANSFERS_AT_ONCE;
use crate::closed::{CloseCode, Closed};
use crate::door::Place;
use crate::link::{BINDING_BYTES, Link, LinkKind};
use crate::peer::Peer;
use crate::refusals::Refusals;

/// How long the end of a connection may come after the end of a stream of it: a packet and the turn of a busy thread.
const LAST_WORD: Duration = Duration::from_secs(1);

/// Bytes since the connection began: over QUIC those of UDP datagrams, headers and retransmissions included, over TCP
/// those of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Bytes we sent.
    pub bytes_sent: u64,
    /// Bytes that reached us.
    pub bytes_received: u64,
}

/// What a connection has seen of the way to the other side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PathSeen {
    /// How long there and back, smoothed.
    pub round_trip: Duration,
    /// Packets we sent.
    pub packets_sent: u64,
    /// Those of them that were lost.
    pub packets_lost: u64,
}

impl PathSeen {
    /// The share of our packets that was lost.
    pub fn loss(self) -> f64 {
        self.packets_lost as f64 / self.packets_sent.max(1) as f64
    }
}

/// A connection to a peer whose certificate has been checked. Clones share it; the last one dropped closes it.
#[derive(Clone)]
pub struct Connection(Arc<Shared>);

struct Shared {
    link: Link,
    peer: Peer,
    control_taken: AtomicBool,
    transfers: Semaphore,
    /// How many chunks were begun to be sent.
    chunks: AtomicU32,
    /// Where the coordinator counts what this peer does wrong; on a client nobody looks.
    refusals: Refusals,
    /// The coordinator's room for this connection.
    _place: Option<Place>,
}

impl Connection {
    pub(crate) fn to_coordinator(link: Link, peer: Peer) -> Self {
        Self::new(link, peer, Refusals::default(), None)
    }

    pub(crate) fn from_caller(link: Link, peer: Peer, refusals: Refusals, place: Place) -> Self {
        Self::new(link, peer, refusals, Some(place))
    }

    fn new(link: Link, peer: Peer, refusals: Refusals, place: Option<Place>) -> Self {
        let transfers = Semaphore::new(TRANSFERS_AT_ONCE);
        let control_taken = AtomicBool::new(false);
        let chunks = AtomicU32::new(0);
        Self(Arc::new(Shared { link, peer, control_taken, transfers, chunks, refusals, _place: place }))
    }

    /// What carries it.
    pub fn kind(&self) -> LinkKind {
        self.0.link.kind()
    }

    /// Bytes that both ends of this very TLS session have and nobody else can (RFC 9266, `tls-exporter`): a proof that
    /// covers them cannot be carried to another connection.
    pub fn channel_binding(&self) -> [u8; BINDING_BYTES] {
        self.0.link.binding()
    }

    /// Whom the other side's certificate speaks for.
    pub fn peer(&self) -> &Role {
        &self.0.peer.role
    }

    /// The serial number of the other side's certificate, in hexadecimal with colons: what a revocation names.
    pub fn peer_serial(&self) -> &str {
        &self.0.peer.serial
    }

    /// Until when the other side's certificate is valid. Checked when it connects, not afterwards.
    pub fn peer_expires(&self) -> SystemTime {
        self.0.peer.expires
    }

    /// The other side's present address; over QUIC it may change as its network does. Through a proxy it is the
    /// proxy's.
    pub fn remote_address(&self) -> SocketAddr {
        self.0.link.remote_address()
    }

    /// The bytes this connection has cost so far.
    pub fn traffic(&self) -> Traffic {
        self.0.link.traffic()
    }

    /// What it has seen of the path; none over TCP, where the system knows and does not tell.
    pub fn path_seen(&self) -> Option<PathSeen> {
        match &self.0.link {
            Link::Quic(link) => Some(link.path_seen()),
            Link::Tcp(_) => None,
        }
    }

    /// Ends the connection at once; undelivered messages are lost. The other side is shown `reason`.
    pub fn close(&self, code: CloseCode, reason: &str) {
        self.0.link.close(code, reason);
    }

    /// Waits until the connection has ended, and says why.
    pub async fn closed(&self) -> Closed {
        self.0.link.closed().await
    }

    /// Why the connection ended, if it has.
    pub fn close_reason(&self) -> Option<Closed> {
        self.0.link.close_reason()
    }

    /// Why the connection ended, where it has ended or does within a moment. For a stream that ended where more was
    /// expected: those of a connection that is lost or closed may end shortly before it does, over either link.
    pub(crate) async fn last_word(&self) -> Option<Closed> {
        timeout(LAST_WORD, self.closed()).await.ok()
    }

    /// On a client: waits until the goodbye of [`Connection::close`] has left. A program that ends without this
    /// leaves the coordinator waiting for a minute. Does nothing on the coordinator's side: see
    /// [`crate::Listener::drained`].
    pub async fn drained(&self) {
        self.0.link.drained().await;
    }

    pub(crate) fn link(&self) -> &Link {
        &self.0.link
    }

    pub(crate) fn refusals(&self) -> &Refusals {
        &self.0.refusals
    }

    pub(crate) fn is_client(&self) -> bool {
        self.0.link.is_client()
    }

    pub(crate) fn control_taken(&self) -> &AtomicBool {
        &self.0.control_taken
    }

    /// The priority of the next chunk that is sent: below all earlier ones, and below what is asked and answered about them. What was lost of a chunk is sent again before
    /// later ones, or on a slow line it would wait behind them until the other side takes it for stalled.
    pub(crate) fn chunk_priority(&self) -> i32 {
        let number = self.0.chunks.fetch_add(1, Ordering::Relaxed) % (1 << 30);
        -1 - i32::try_from(number).expect("30 bits fit")
    }

    pub(crate) fn transfer_slots(&self) -> &Semaphore {
        &self.0.transfers
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("link", &self.kind())
            .field("peer", &self.0.peer)
            .field("address", &self.remote_address())
            .finish()
    }
}
