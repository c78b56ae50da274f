//! Joining: a caller without a certificate asks for one, with a one-time token.
//!
//! The token names the coordinator's address and pins the root's public key, so the caller knows whom it talks to
//! before it says anything. It then sends the token's secret and a request for a certificate, with an HMAC over this
//! TLS channel's exporter and the request: what was recorded cannot be used on another channel.
//!
//! What a token is worth, and what is certified, the coordinator decides; here is only the conversation. It is one
//! question and one answer on one stream, under a protocol name of its own.

mod applicant;
mod apply;
mod message;
mod pinned;
mod token;

pub use applicant::{Applicant, JoinClaim};
pub use apply::{JoinError, Joined, join};
pub use message::JoinRefusal;
pub use token::{JoinToken, TokenError, TokenId, TokenSecret};

pub(crate) use applicant::hear;

/// The protocol's name in the handshake. Its number changes when old and new cannot talk at all.
pub const JOIN_ALPN: &[u8] = b"consilium-join/1";
