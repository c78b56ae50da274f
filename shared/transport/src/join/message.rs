//! The question and the answer, and the proof that binds the question to its channel.

use std::io;
use std::time::Duration;

use aws_lc_rs::hmac;
use consilium_domain::SiteId;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::token::TokenSecret;
use crate::frame::{self, FrameError, PREFIX_BYTES};

/// Longest message: a chain of a few certificates. Far below a control frame, as strangers send it.
pub(super) const MAX_JOIN_BYTES: usize = 8 * 1024;

/// How long one side waits for the other.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// The question.
#[derive(Serialize, Deserialize)]
pub(super) struct JoinRequest {
    pub(super) token: [u8; 8],
    pub(super) secret: [u8; 16],
    /// PKCS #10, DER.
    pub(super) request: Vec<u8>,
    /// HMAC-SHA-256 under the secret, over the channel's exporter and the request.
    pub(super) proof: [u8; 32],
}

/// The answer.
#[derive(Serialize, Deserialize)]
pub(super) enum JoinReply {
    /// The certificate, its issuer's, and the root.
    Joined {
        site: SiteId,
        chain: Vec<Vec<u8>>,
        root: Vec<u8>,
    },
    Refused(JoinRefusal),
}

/// Why nobody joined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum JoinRefusal {
    /// No such token, or not its secret. Which of the two is not told.
    #[error("this coordinator has not issued this token: ask the consortium's admin for a new one")]
    Wrong,
    /// Its time is over.
    #[error("the token has expired: ask the consortium's admin for a new one")]
    Expired,
    /// Somebody has joined with it, with another key.
    #[error(
        "the token was used before: if that was not you, tell the consortium's admin at once; otherwise ask for a new one"
    )]
    Used,
    /// It was taken back: the site was revoked, or a newer token was made.
    #[error("the token was withdrawn: ask the consortium's admin for a new one")]
    Withdrawn,
    /// The request was made for another channel.
    #[error("the request was not made on this connection: somebody may be listening in; join again")]
    NotBound,
    /// The request is no request.
    #[error("the request cannot be used: {0}")]
    Malformed(String),
    /// Too many attempts.
    #[error("too many attempts to join: try again in {wait_secs} s")]
    TooMany {
        /// When to try again.
        wait_secs: u32,
    },
    /// The coordinator has no issuing key.
    #[error("this coordinator issues no certificates: ask the consortium's admin for a kit")]
    CannotIssue,
    /// Our own failure.
    #[error(
        "the coordinator cannot answer now: try again in a minute, and tell its operator if that does not help"
    )]
    Unavailable,
}

impl JoinRefusal {
    /// A stable word for counters.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Wrong => "join-wrong",
            Self::Expired => "join-expired",
            Self::Used => "join-used",
            Self::Withdrawn => "join-withdrawn",
            Self::NotBound => "join-not-bound",
            Self::Malformed(_) => "join-malformed",
            Self::TooMany { .. } => "join-too-many",
            Self::CannotIssue => "join-cannot-issue",
            Self::Unavailable => "join-unavailable",
        }
    }
}

pub(super) fn prove(secret: &TokenSecret, exporter: &[u8; 32], request: &[u8]) -> [u8; 32] {
    let tag = hmac::sign(&key(secret), &[exporter, request].concat());
    tag.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// In constant time.
pub(super) fn is_proven(secret: &TokenSecret, exporter: &[u8; 32], request: &[u8], proof: &[u8; 32]) -> bool {
    hmac::verify(&key(secret), &[exporter, request].concat(), proof).is_ok()
}

fn key(secret: &TokenSecret) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, secret.bytes())
}

/// Why a message did not come.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unheard {
    #[error("the stream ended early: {0}")]
    Stream(String),
    #[error("a message of {0} bytes, at most {MAX_JOIN_BYTES} are read")]
    TooLong(usize),
    #[error(transparent)]
    Frame(#[from] FrameError),
}

impl From<io::Error> for Unheard {
    fn from(error: io::Error) -> Self {
        Self::Stream(error.to_string())
    }
}

/// What is written again of the question, and of the answer, that `body` is read as.
pub(crate) fn read_and_written(body: &[u8]) -> Vec<Vec<u8>> {
    let question = frame::decode::<JoinRequest>(body).map(|question| frame::encode(&question));
    let answer = frame::decode::<JoinReply>(body).map(|answer| frame::encode(&answer));
    let written = [question, answer].into_iter().flatten();
    written.map(|written| written.expect("what was read can be written")).collect()
}

/// Writes `message`, and does not say that nothing follows it.
pub(super) async fn send(
    stream: &mut (impl AsyncWrite + Unpin),
    message: &impl Serialize,
) -> Result<(), Unheard> {
    let framed = frame::encode_framed(message)?;
    stream.write_all(&framed).await?;
    Ok(stream.flush().await?)
}

pub(super) async fn receive<M: DeserializeOwned>(
    stream: &mut (impl AsyncRead + Unpin),
) -> Result<M, Unheard> {
    let mut prefix = [0; PREFIX_BYTES];
    stream.read_exact(&mut prefix).await?;
    let length = frame::body_length(prefix)?;
    if length > MAX_JOIN_BYTES {
        return Err(Unheard::TooLong(length));
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(frame::decode(&body)?)
}
