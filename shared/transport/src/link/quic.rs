//! A connection over QUIC: what quinn gives, in the words of [`super::Link`].

use std::net::SocketAddr;

use quinn::crypto::rustls::HandshakeData;
use quinn::{ReadError, WriteError};
use rustls::pki_types::CertificateDer;

use super::{BINDING_BYTES, BINDING_LABEL, Greeting, StreamFailure};
use crate::closed::{CloseCode, Closed};
use crate::connection::{PathSeen, Traffic};

pub(crate) struct QuicLink {
    connection: quinn::Connection,
    /// A client's own socket, which lives as long as its one connection.
    endpoint: Option<quinn::Endpoint>,
}

impl QuicLink {
    pub(crate) const fn new(connection: quinn::Connection, endpoint: Option<quinn::Endpoint>) -> Self {
        Self { connection, endpoint }
    }

    /// The connection itself.
    pub(crate) const fn connection(&self) -> &quinn::Connection {
        &self.connection
    }

    pub(super) async fn open(&self) -> Result<(quinn::SendStream, quinn::RecvStream), Closed> {
        Ok(self.connection.open_bi().await?)
    }

    pub(super) async fn accept(&self) -> Result<(quinn::SendStream, quinn::RecvStream), Closed> {
        Ok(self.connection.accept_bi().await?)
    }

    pub(super) fn close(&self, code: CloseCode, reason: &str) {
        self.connection.close(code.into(), reason.as_bytes());
    }

    pub(super) async fn closed(&self) -> Closed {
        self.connection.closed().await.into()
    }

    pub(super) fn close_reason(&self) -> Option<Closed> {
        self.connection.close_reason().map(Closed::from)
    }

    pub(super) async fn drained(&self) {
        if let Some(endpoint) = &self.endpoint {
            endpoint.wait_idle().await;
        }
    }

    pub(super) fn traffic(&self) -> Traffic {
        let stats = self.connection.stats();
        Traffic { bytes_sent: stats.udp_tx.bytes, bytes_received: stats.udp_rx.bytes }
    }

    pub(crate) fn path_seen(&self) -> PathSeen {
        let path = self.connection.stats().path;
        PathSeen { round_trip: path.rtt, packets_sent: path.sent_packets, packets_lost: path.lost_packets }
    }

    pub(super) fn remote_address(&self) -> SocketAddr {
        self.connection.remote_address()
    }

    pub(super) fn is_client(&self) -> bool {
        self.connection.side().is_client()
    }

    pub(super) fn binding(&self) -> [u8; BINDING_BYTES] {
        let mut binding = [0; BINDING_BYTES];
        self.connection
            .export_keying_material(&mut binding, BINDING_LABEL, b"")
            .expect("a finished handshake exports 32 bytes");
        binding
    }
}

/// What the finished handshake of `connection` told.
pub(crate) fn greeting(connection: &quinn::Connection) -> Greeting {
    let chain =
        connection.peer_identity().and_then(|any| any.downcast::<Vec<CertificateDer<'static>>>().ok());
    let data = connection.handshake_data().and_then(|any| any.downcast::<HandshakeData>().ok());
    Greeting {
        chain: chain.map(|chain| *chain).unwrap_or_default(),
        protocol: data.and_then(|data| data.protocol).unwrap_or_default(),
    }
}

impl From<WriteError> for StreamFailure {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::ConnectionLost(error) => Self::Lost(error.into()),
            WriteError::Stopped(code) => Self::Stopped(code.into_inner()),
            WriteError::ClosedStream | WriteError::ZeroRttRejected => Self::Ended,
        }
    }
}

impl From<ReadError> for StreamFailure {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::ConnectionLost(error) => Self::Lost(error.into()),
            ReadError::Reset(code) => Self::Stopped(code.into_inner()),
            ReadError::ClosedStream | ReadError::IllegalOrderedRead | ReadError::ZeroRttRejected => {
                Self::Ended
            }
        }
    }
}
