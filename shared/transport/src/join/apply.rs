//! The hospital's end: ask the coordinator that was made sure of, check the answer.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use consilium_domain::{Role, SiteId};
use consilium_pki::{KeyError, OwnKey, public_key_sha256};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;

use super::JoinToken;
use super::caller::JoinCaller;
use super::line::JoinLine;
use super::message::{JoinRefusal, JoinReply, JoinRequest, PATIENCE, prove};
use crate::closed::{CloseCode, Closed};
use crate::dial::{Calling as _, DialError};
use crate::link::LinkKind;
use crate::proxy::ProxyError;
use crate::renewal::check_chain;
use crate::tls::TlsError;
use crate::tuning::{HANDSHAKE_TIMEOUT, Tuning};

/// What a site has after joining, besides its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// The name that the coordinator wrote into the certificate.
    pub site: SiteId,
    /// The certificate, then its issuer's.
    pub chain: Vec<CertificateDer<'static>>,
    /// The consortium's root, whose key the token pinned.
    pub root: CertificateDer<'static>,
}

/// Why a site did not join.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The key cannot sign a request.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// TLS cannot be configured.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// No UDP socket.
    #[error("cannot open a UDP socket to reach {address}: {source}")]
    Socket {
        /// The coordinator's address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Nobody answers.
    #[error(
        "{address} did not answer within {} s: is the coordinator running, is the address right, and does the \
         firewall let {} through?",
        patience.as_secs(), match kind { LinkKind::Quic => "UDP", LinkKind::Tcp => "TCP" }
    )]
    Silent {
        /// The coordinator's address.
        address: SocketAddr,
        /// What was tried.
        kind: LinkKind,
        /// How long was waited.
        patience: Duration,
    },
    /// TCP: nobody listens, or something on the way refuses.
    #[error(
        "cannot reach {address} over TCP: {source}; is the coordinator running, and does the firewall let TCP through?"
    )]
    Unreachable {
        /// The coordinator's address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The proxy.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// None of the ways that were tried leads to the coordinator.
    #[error(transparent)]
    NoWay(#[from] DialError),
    /// Somebody else answers.
    #[error(
        "{0} is not the coordinator that the token is for: the token is of another consortium, or somebody is in \
         between; nothing was sent"
    )]
    Foreign(SocketAddr),
    /// The right consortium, and a certificate that is not good.
    #[error("{address} cannot show that it is the coordinator ({problem}); nothing was sent")]
    NotTheCoordinator {
        /// The address.
        address: SocketAddr,
        /// What is wrong.
        problem: String,
    },
    /// The connection failed.
    #[error("cannot connect to {address}: {reason}")]
    Refused {
        /// The address.
        address: SocketAddr,
        /// Why.
        reason: Closed,
    },
    /// The conversation broke off.
    #[error("the coordinator's answer did not arrive: {0}; the same command may be given again")]
    Lost(String),
    /// The coordinator said no.
    #[error(transparent)]
    Said(#[from] JoinRefusal),
    /// The answer is no certificate for this site's key.
    #[error("the coordinator's answer cannot be used: {0}; tell the consortium's admin")]
    Answer(String),
}

/// Joins with `token` through the coordinator at `address`, over QUIC: gets a certificate for `key`, which stays here.
///
/// Nothing is sent before the coordinator has shown the root that the token pins. Given again with the same key and
/// token, it fetches the same certificate again, as long as the token is valid.
///
/// # Errors
/// Says whether network, coordinator or token is to blame.
pub async fn join(address: SocketAddr, token: &JoinToken, key: &OwnKey) -> Result<Joined, JoinError> {
    let line = JoinCaller::new(token, Tuning::default()).quic(address, HANDSHAKE_TIMEOUT).await?;
    ask(line, token, key).await
}

/// As [`join`], over TCP.
///
/// # Errors
/// As [`join`].
pub async fn join_tcp(address: SocketAddr, token: &JoinToken, key: &OwnKey) -> Result<Joined, JoinError> {
    let line = JoinCaller::new(token, Tuning::default()).tcp(address).await?;
    ask(line, token, key).await
}

/// Asks the coordinator at the other end of `line`, which has shown that it is the token's.
pub(crate) async fn ask(mut line: JoinLine, token: &JoinToken, key: &OwnKey) -> Result<Joined, JoinError> {
    let request = key.request()?;
    let proof = prove(token.secret(), line.exporter(), &request);
    let question = JoinRequest { token: token.id().0, secret: *token.secret().bytes(), request, proof };
    let conversation = async {
        line.say(&question).await?;
        line.hear::<JoinReply>().await
    };
    let reply = tokio::time::timeout(PATIENCE, conversation).await;
    line.hang_up(CloseCode::DONE, "").await;
    let reply = reply.map_err(|_| JoinError::Lost(format!("no answer in {} s", PATIENCE.as_secs())))?;
    match reply.map_err(|error| JoinError::Lost(error.to_string()))? {
        JoinReply::Refused(refusal) => Err(refusal.into()),
        JoinReply::Joined { site, chain, root } => {
            let chain = chain.into_iter().map(CertificateDer::from).collect();
            let joined = Joined { site, chain, root: CertificateDer::from(root) };
            check(&joined, token, key).map_err(JoinError::Answer)?;
            Ok(joined)
        }
    }
}

/// What is about to be written to the disk must work.
fn check(joined: &Joined, token: &JoinToken, key: &OwnKey) -> Result<(), String> {
    let root = public_key_sha256(&joined.root).map_err(|error| error.to_string())?;
    if root != *token.root_key_sha256() {
        return Err("its root is not the token's".to_owned());
    }
    let mut roots = RootCertStore::empty();
    roots.add(joined.root.clone()).map_err(|error| error.to_string())?;
    check_chain(&joined.chain, key, &Role::Site(joined.site.clone()), &Arc::new(roots))
}
