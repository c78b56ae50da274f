//! The line on which somebody without a certificate asks to join: one question, one answer.
//!
//! Over QUIC it is a connection's one stream; over TCP it is the bare TLS channel. There is no yamux on it: a stranger
//! has one thing to say, and whatever reads many streams need not face it.

use std::fmt;
use std::time::Duration;

use quinn::{RecvStream, SendStream};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use super::message::{JoinRefusal, JoinReply, Unheard, receive, send};
use crate::closed::{CloseCode, Closed};

/// Names our use of the channel's exporter (RFC 8446, section 7.5).
const EXPORTER_LABEL: &[u8] = b"EXPORTER-consilium-join";

/// Bytes of key material that only the two ends of one TLS channel know.
pub(super) const EXPORTER_BYTES: usize = 32;

/// How long who is sent away over TCP may take to read why.
const PARTING: Duration = Duration::from_secs(1);

/// As much of what it still says is read meanwhile, so that our reason is not taken back by closing on it.
const PARTING_BYTES: u64 = 64 * 1024;

/// A TLS channel over TCP, or over a proxy's.
pub(crate) trait Channel: AsyncRead + AsyncWrite + Send + Sync + Unpin + 'static {}

impl<C: AsyncRead + AsyncWrite + Send + Sync + Unpin + 'static> Channel for C {}

/// One conversation about joining. Whoever speaks first opens the stream. Dropping it hangs up.
pub(crate) struct JoinLine {
    carrier: Carrier,
    exporter: [u8; EXPORTER_BYTES],
}

enum Carrier {
    Quic { connection: quinn::Connection, streams: Option<(SendStream, RecvStream)> },
    Tcp(Box<dyn Channel>),
}

impl JoinLine {
    /// Over QUIC.
    pub(crate) fn quic(connection: quinn::Connection) -> Self {
        let mut exporter = [0; EXPORTER_BYTES];
        connection
            .export_keying_material(&mut exporter, EXPORTER_LABEL, b"")
            .expect("a finished handshake exports 32 bytes");
        Self { carrier: Carrier::Quic { connection, streams: None }, exporter }
    }

    /// Over TCP: `channel` has finished its handshake, and `exporter` is of its session.
    pub(crate) fn tcp(channel: impl Channel, exporter: [u8; EXPORTER_BYTES]) -> Self {
        Self { carrier: Carrier::Tcp(Box::new(channel)), exporter }
    }

    /// The key material of a TLS session over TCP.
    pub(crate) fn exporter_of<S, T>(session: &S) -> [u8; EXPORTER_BYTES]
    where
        S: std::ops::Deref<Target = rustls::ConnectionCommon<T>>,
        T: rustls::SideData,
    {
        let exported = session.export_keying_material([0; EXPORTER_BYTES], EXPORTER_LABEL, Some(b""));
        exported.expect("a finished handshake exports 32 bytes")
    }

    /// What only the two ends of this line know.
    pub(super) const fn exporter(&self) -> &[u8; EXPORTER_BYTES] {
        &self.exporter
    }

    /// Says `message`.
    pub(super) async fn say(&mut self, message: &impl Serialize) -> Result<(), Unheard> {
        match &mut self.carrier {
            Carrier::Quic { connection, streams } => {
                let (sender, _) = match streams {
                    Some(streams) => streams,
                    None => streams.insert(connection.open_bi().await.map_err(ended)?),
                };
                send(sender, message).await?;
                // Over TCP the end is not told: many a proxy then hangs up both ways.
                Ok(sender.shutdown().await?)
            }
            Carrier::Tcp(channel) => send(channel, message).await,
        }
    }

    /// Hears what the other side says.
    pub(super) async fn hear<M: DeserializeOwned>(&mut self) -> Result<M, Unheard> {
        match &mut self.carrier {
            Carrier::Quic { connection, streams } => {
                let (_, receiver) = match streams {
                    Some(streams) => streams,
                    None => streams.insert(connection.accept_bi().await.map_err(ended)?),
                };
                let heard = receive(receiver).await;
                // Why the connection was closed says more than that its stream broke off.
                heard.map_err(|error| connection.close_reason().map_or(error, ended))
            }
            Carrier::Tcp(channel) => receive(channel).await,
        }
    }

    /// Waits until the other side has hung up, or says more than there is to say.
    pub(super) async fn gone(&mut self) {
        match &mut self.carrier {
            Carrier::Quic { connection, .. } => drop(connection.closed().await),
            Carrier::Tcp(channel) => drop(channel.read_u8().await),
        }
    }

    /// Hangs up; `reason` is what the log of the other side may tell.
    pub(super) async fn hang_up(mut self, code: CloseCode, reason: &str) {
        match &mut self.carrier {
            Carrier::Quic { connection, .. } => connection.close(code.into(), reason.as_bytes()),
            // Who is gone need not be told.
            Carrier::Tcp(channel) => drop(timeout(PARTING, channel.shutdown()).await),
        }
    }

    /// Sends the caller away with `refusal`, or where the link can close with words of its own, with `problem`.
    pub(crate) async fn turn_away(mut self, refusal: JoinRefusal, problem: &str) {
        let Carrier::Tcp(channel) = &mut self.carrier else {
            return self.hang_up(CloseCode::JOIN_OVER, problem).await;
        };
        let told = async {
            send(channel, &JoinReply::Refused(refusal)).await?;
            channel.shutdown().await?;
            tokio::io::copy(&mut channel.take(PARTING_BYTES), &mut tokio::io::sink()).await?;
            Ok::<_, Unheard>(())
        };
        // It owes us nothing.
        let _ = timeout(PARTING, told).await;
    }
}

fn ended(error: quinn::ConnectionError) -> Unheard {
    Unheard::Stream(Closed::from(error).to_string())
}

impl fmt::Debug for JoinLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let link = if matches!(self.carrier, Carrier::Quic { .. }) { "QUIC" } else { "TCP" };
        f.debug_struct("JoinLine").field("link", &link).finish_non_exhaustive()
    }
}
