//! What a connection runs on: QUIC, or where UDP is blocked TLS 1.3 over TCP with yamux.
//!
//! Both give the same: streams that only the client opens, a close with a code and a reason, and a count of bytes.
//! Nothing above this folder knows which of the two it has. What TCP cannot give is documented: a connection does
//! not survive a change of address, and a lost packet holds up every stream.

pub(crate) mod quic;
pub(crate) mod tcp;

use std::fmt;
use std::net::SocketAddr;

use rustls::pki_types::CertificateDer;

use crate::closed::{CloseCode, Closed};
use crate::connection::Traffic;
use quic::QuicLink;
use tcp::TcpLink;

/// What carries a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LinkKind {
    /// QUIC over UDP.
    Quic,
    /// TLS 1.3 over TCP, with or without a proxy between.
    Tcp,
}

impl fmt::Display for LinkKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Quic => "QUIC",
            Self::Tcp => "TCP",
        })
    }
}

/// Bytes of key material that both ends of one TLS session share and nobody else has (RFC 9266, `tls-exporter`).
pub(crate) const BINDING_BYTES: usize = 32;

/// The label that RFC 9266 gives it.
pub(crate) const BINDING_LABEL: &[u8] = b"EXPORTER-Channel-Binding";

/// What a handshake has told, before anybody judged it.
#[derive(Debug)]
pub(crate) struct Greeting {
    /// The other side's certificates, its own first; empty where it showed none.
    pub(crate) chain: Vec<CertificateDer<'static>>,
    /// The protocol that was agreed on.
    pub(crate) protocol: Vec<u8>,
}

/// Why a stream failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StreamFailure {
    /// With its connection.
    #[error("the connection ended: {0}")]
    Lost(Closed),
    /// The other side gave it up.
    #[error("the other side stopped the stream (code {0})")]
    Stopped(u64),
    /// It ended where more was expected, or was closed before.
    #[error("the stream ended early")]
    Ended,
}

/// One of the two.
pub(crate) enum Link {
    Quic(QuicLink),
    Tcp(TcpLink),
}

/// The sending half of a stream.
#[derive(Debug)]
pub(crate) enum SendHalf {
    Quic(quinn::SendStream),
    Tcp(tcp::SendHalf),
}

/// The receiving half of a stream.
#[derive(Debug)]
pub(crate) enum RecvHalf {
    Quic(quinn::RecvStream),
    Tcp(tcp::RecvHalf),
}

impl Link {
    pub(crate) const fn kind(&self) -> LinkKind {
        match self {
            Self::Quic(_) => LinkKind::Quic,
            Self::Tcp(_) => LinkKind::Tcp,
        }
    }

    /// On a client: a new stream. Waits while as many are open as the coordinator allows. The coordinator hears of
    /// it with its first byte.
    pub(crate) async fn open(&self) -> Result<(SendHalf, RecvHalf), Closed> {
        match self {
            Self::Quic(link) => link.open().await.map(|(s, r)| (SendHalf::Quic(s), RecvHalf::Quic(r))),
            Self::Tcp(link) => link.open().await.map(|(s, r)| (SendHalf::Tcp(s), RecvHalf::Tcp(r))),
        }
    }

    /// On the coordinator: the next stream that the client opened. Cancel safe.
    pub(crate) async fn accept(&self) -> Result<(SendHalf, RecvHalf), Closed> {
        match self {
            Self::Quic(link) => link.accept().await.map(|(s, r)| (SendHalf::Quic(s), RecvHalf::Quic(r))),
            Self::Tcp(link) => link.accept().await.map(|(s, r)| (SendHalf::Tcp(s), RecvHalf::Tcp(r))),
        }
    }

    pub(crate) fn close(&self, code: CloseCode, reason: &str) {
        match self {
            Self::Quic(link) => link.close(code, reason),
            Self::Tcp(link) => link.close(code, reason),
        }
    }

    pub(crate) async fn closed(&self) -> Closed {
        match self {
            Self::Quic(link) => link.closed().await,
            Self::Tcp(link) => link.closed().await,
        }
    }

    pub(crate) fn close_reason(&self) -> Option<Closed> {
        match self {
            Self::Quic(link) => link.close_reason(),
            Self::Tcp(link) => link.close_reason(),
        }
    }

    /// Waits until the goodbye has left, as far as this side can know.
    pub(crate) async fn drained(&self) {
        match self {
            Self::Quic(link) => link.drained().await,
            Self::Tcp(link) => link.drained().await,
        }
    }

    pub(crate) fn traffic(&self) -> Traffic {
        match self {
            Self::Quic(link) => link.traffic(),
            Self::Tcp(link) => link.traffic(),
        }
    }

    pub(crate) fn remote_address(&self) -> SocketAddr {
        match self {
            Self::Quic(link) => link.remote_address(),
            Self::Tcp(link) => link.remote_address(),
        }
    }

    pub(crate) fn is_client(&self) -> bool {
        match self {
            Self::Quic(link) => link.is_client(),
            Self::Tcp(link) => link.is_client(),
        }
    }

    /// What binds a proof to this very TLS session.
    pub(crate) fn binding(&self) -> [u8; BINDING_BYTES] {
        match self {
            Self::Quic(link) => link.binding(),
            Self::Tcp(link) => link.binding(),
        }
    }
}

impl SendHalf {
    /// Sends a part of `bytes`; how much. Cancel safe.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<usize, StreamFailure> {
        match self {
            Self::Quic(stream) => Ok(stream.write(bytes).await?),
            Self::Tcp(stream) => stream.write(bytes).await,
        }
    }

    pub(crate) async fn write_all(&mut self, mut bytes: &[u8]) -> Result<(), StreamFailure> {
        while !bytes.is_empty() {
            let written = self.write(bytes).await?;
            bytes = &bytes[written..];
        }
        Ok(())
    }

    /// Nothing more will come, and the other side is told so. That it had given the stream up is no failure.
    pub(crate) async fn finish(&mut self) {
        match self {
            Self::Quic(stream) => stream.finish().unwrap_or_default(),
            Self::Tcp(stream) => stream.finish().await,
        }
    }

    /// As [`SendHalf::finish`] for a request whose length the other side knows. Over TCP nothing is said: yamux can
    /// take back only a stream that was not finished, and an answer that is given up half read must be taken back,
    /// or the coordinator waits for us to read the rest.
    pub(crate) fn end_request(&mut self) {
        if let Self::Quic(stream) = self {
            stream.finish().unwrap_or_default();
        }
    }

    /// Frames of this stream overtake those of others with a lower `priority`, where the link can do that: over TCP they
    /// cannot.
    pub(crate) fn hasten(&self, priority: i32) {
        if let Self::Quic(stream) = self {
            // Only a stream that was finished or reset has no priority any more.
            stream.set_priority(priority).unwrap_or_default();
        }
    }
}

impl RecvHalf {
    /// Reads some bytes; none at the end of the stream. Cancel safe.
    pub(crate) async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, StreamFailure> {
        match self {
            Self::Quic(stream) => Ok(stream.read(buffer).await?.unwrap_or(0)),
            Self::Tcp(stream) => stream.read(buffer).await,
        }
    }

    /// Appends some bytes, `most` at most; whether there were any before the end of the stream. Cancel safe.
    pub(crate) async fn read_into(
        &mut self,
        bytes: &mut Vec<u8>,
        most: usize,
    ) -> Result<bool, StreamFailure> {
        match self {
            Self::Quic(stream) => {
                let chunk = stream.read_chunk(most, true).await?;
                Ok(chunk.map(|chunk| bytes.extend_from_slice(&chunk.bytes)).is_some())
            }
            Self::Tcp(stream) => stream.read_into(bytes, most).await,
        }
    }

    /// Fills `buffer`, or fails.
    pub(crate) async fn read_exact(&mut self, mut buffer: &mut [u8]) -> Result<(), StreamFailure> {
        while !buffer.is_empty() {
            match self.read(buffer).await? {
                0 => return Err(StreamFailure::Ended),
                read => buffer = &mut buffer[read..],
            }
        }
        Ok(())
    }

    /// Whatever is still coming is not wanted.
    pub(crate) fn stop(&mut self) {
        match self {
            // Only a stream that has ended cannot be stopped.
            Self::Quic(stream) => stream.stop(CloseCode::DONE.into()).unwrap_or_default(),
            Self::Tcp(stream) => stream.stop(),
        }
    }
}
