//! One verified connection: who is there, what it cost so far, and how it ended.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::SystemTime;

use consilium_domain::Role;
use tokio::sync::Semaphore;

use crate::blobs::TRANSFERS_AT_ONCE;
use crate::closed::{CloseCode, Closed};
use crate::peer::Peer;

/// Bytes in UDP datagrams, headers and retransmissions included, since the connection began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Bytes we sent.
    pub bytes_sent: u64,
    /// Bytes that reached us.
    pub bytes_received: u64,
}

/// A QUIC connection to a peer whose certificate has been checked. Clones share it; the last one dropped closes it.
#[derive(Clone)]
pub struct Connection(Arc<Shared>);

struct Shared {
    quic: quinn::Connection,
    peer: Peer,
    /// A client's own socket, which lives as long as its one connection.
    endpoint: Option<quinn::Endpoint>,
    control_taken: AtomicBool,
    transfers: Semaphore,
}

impl Connection {
    pub(crate) fn new(quic: quinn::Connection, peer: Peer, endpoint: Option<quinn::Endpoint>) -> Self {
        let transfers = Semaphore::new(TRANSFERS_AT_ONCE);
        Self(Arc::new(Shared { quic, peer, endpoint, control_taken: AtomicBool::new(false), transfers }))
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

    /// The other side's present address; it may change as its network does.
    pub fn remote_address(&self) -> SocketAddr {
        self.0.quic.remote_address()
    }

    /// The bytes this connection has cost so far.
    pub fn traffic(&self) -> Traffic {
        let stats = self.0.quic.stats();
        Traffic { bytes_sent: stats.udp_tx.bytes, bytes_received: stats.udp_rx.bytes }
    }

    /// Ends the connection at once; undelivered messages are lost. The other side is shown `reason`.
    pub fn close(&self, code: CloseCode, reason: &str) {
        self.0.quic.close(code.into(), reason.as_bytes());
    }

    /// Waits until the connection has ended, and says why.
    pub async fn closed(&self) -> Closed {
        self.0.quic.closed().await.into()
    }

    /// Why the connection ended, if it has.
    pub fn close_reason(&self) -> Option<Closed> {
        self.0.quic.close_reason().map(Closed::from)
    }

    /// On a client: waits until the goodbye of [`Connection::close`] has left. A program that ends without this
    /// leaves the coordinator waiting for a minute. Does nothing on the coordinator's side: see
    /// [`crate::Listener::drained`].
    pub async fn drained(&self) {
        if let Some(endpoint) = &self.0.endpoint {
            endpoint.wait_idle().await;
        }
    }

    pub(crate) fn quic(&self) -> &quinn::Connection {
        &self.0.quic
    }

    pub(crate) fn is_client(&self) -> bool {
        self.0.quic.side().is_client()
    }

    pub(crate) fn control_taken(&self) -> &AtomicBool {
        &self.0.control_taken
    }

    pub(crate) fn transfer_slots(&self) -> &Semaphore {
        &self.0.transfers
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("peer", &self.0.peer)
            .field("address", &self.remote_address())
            .finish()
    }
}
