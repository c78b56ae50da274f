//! Mutual TLS over QUIC, or over TCP where UDP is blocked: who is on the other side, framed control messages, and blobs
//! by digest.
//!
//! One connection has two planes: one control stream (frames of at most 64 KiB, any serde message) and one data
//! stream for every chunk of at most 1 MiB of a blob. The client opens every stream; the coordinator only answers.
//!
//! It deliberately does not know what the messages mean, when to reconnect, or which site may see which blob: it
//! asks a [`BlobAccess`] for the last. A [`Connection`] returned by [`connect`] is *not yet* accepted by the
//! coordinator, which judges the client's certificate after the client's handshake has finished: wait for the
//! first control message, and show [`Connection::closed`] where it does not come.

mod aside;
mod blobs;
mod browsers;
mod closed;
mod connect;
mod connection;
mod control;
mod dial;
mod door;
mod endpoint;
mod entrance;
pub mod frame;
mod identity;
mod join;
mod link;
mod listener;
#[doc(hidden)]
pub mod parsers;
mod peer;
mod probe;
mod proxy;
mod reception;
mod refusals;
mod renewal;
mod shown;
mod sockets;
mod tls;
mod tuning;

pub use aside::aside;
pub use blobs::{
    BlobAccess, BlobAppender, BlobReader, BlobStore, BlobWriter, CHUNK_BYTES, Carriage, IncomingBlob,
    MAX_BLOB_BYTES, OpeningHours, Pace, Refusal, ServeError, Source, StoreError, TransferError, Transferred,
    serve_blobs,
};
pub use browsers::{BrowserTls, browser_tls, role_shown};
pub use closed::{CloseCode, Closed};
pub use connect::{ConnectError, connect, connect_tcp};
pub use connection::{Connection, PathSeen, Traffic};
pub use control::{ControlError, ControlReceiver, ControlSender};
pub use dial::{Attempt, DialError, Dialler, LinkChoice, LinkMemory, QUIC_PATIENCE, UnknownLink, Way};
pub use entrance::{Doorkeeper, Entrance};
pub use frame::FrameError;
pub use identity::{Identity, IdentityError};
pub use join::{
    Applicant, JOIN_ALPN, JoinClaim, JoinError, JoinRefusal, JoinToken, Joined, TokenError, TokenId,
    TokenSecret, join, join_tcp,
};
pub use link::LinkKind;
pub use listener::{AcceptError, BindError, Listener};
pub use peer::CertificateNameError;
pub use probe::{Probe, ProbeError, Rate};
pub use proxy::{NoProxyAddress, Proxy, ProxyChoice, ProxyError};
pub use refusals::{RefusalCause, Refusals};
pub use renewal::RenewalError;
pub use shown::ShownCertificate;
pub use sockets::{Inbox, MemoryNetwork, Sockets};
pub use tls::TlsError;
pub use tuning::{Congestion, Tuning, UnknownCongestion};
