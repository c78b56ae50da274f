//! Joining: a caller without a certificate asks for one, with a one-time token.
//!
//! The token names the coordinator's address and pins the root's public key, so the caller knows whom it talks to
//! before it says anything. It then sends the token's secret and a request for a certificate, with an HMAC over this
//! TLS channel's exporter and the request: what was recorded cannot be used on another channel.
//!
//! What a token is worth, and what is certified, the coordinator decides; here is only the conversation. It is one
//! question and one answer, under a protocol name of its own: over QUIC on one stream, over TCP on the bare TLS channel.

mod applicant;
mod apply;
mod caller;
mod line;
mod message;
mod pinned;
mod token;

pub use applicant::{Applicant, JoinClaim};
pub use apply::{JoinError, Joined, join, join_tcp};
pub use message::JoinRefusal;
pub use token::{JoinToken, TokenError, TokenId, TokenSecret};

pub(crate) use applicant::hear;
pub(crate) use apply::ask;
pub(crate) use caller::JoinCaller;
pub(crate) use line::JoinLine;
pub(crate) use message::read_and_written;

/// The protocol's name in the handshake. Its number changes when old and new cannot talk at all.
pub const JOIN_ALPN: &[u8] = b"consilium-join/1";
