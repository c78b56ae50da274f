//! The hospital's end: make sure of the coordinator, ask, check the answer.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use consilium_domain::{Role, SiteId};
use consilium_pki::{KeyError, OwnKey, public_key_sha256};
use quinn::ClientConfig;
use quinn::crypto::rustls::QuicClientConfig;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::version::TLS13;

use super::message::{JoinRefusal, JoinReply, JoinRequest, PATIENCE, exporter, prove, receive, send};
use super::pinned::{Finding, PinnedRoot};
use super::{JOIN_ALPN, JoinToken};
use crate::closed::{CloseCode, Closed};
use crate::connect::any_port_for;
use crate::endpoint;
use crate::renewal::check_chain;
use crate::sockets::Sockets;
use crate::tls::{self, TlsError};
use crate::tuning::{HANDSHAKE_TIMEOUT, Side, Tuning};

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
        "{0} did not answer within {secs} s: is the coordinator running, is the address right, and does the firewall \
         let UDP through?",
        secs = HANDSHAKE_TIMEOUT.as_secs()
    )]
    Silent(SocketAddr),
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

/// Joins with `token` through the coordinator at `address`: gets a certificate for `key`, which stays here.
///
/// Nothing is sent before the coordinator has shown the root that the token pins. Given again with the same key and
/// token, it fetches the same certificate again, as long as the token is valid.
///
/// # Errors
/// Says whether network, coordinator or token is to blame.
pub async fn join(address: SocketAddr, token: &JoinToken, key: &OwnKey) -> Result<Joined, JoinError> {
    let request = key.request()?;
    let pinned = Arc::new(PinnedRoot::new(*token.root_key_sha256()));
    let quic = dial(address, &pinned).await?;
    let proof = prove(token.secret(), &exporter(&quic), &request);
    let question = JoinRequest { token: token.id().0, secret: *token.secret().bytes(), request, proof };
    let reply = tokio::time::timeout(PATIENCE, ask(&quic, &question)).await;
    quic.close(CloseCode::DONE.into(), b"");
    let reply = reply.map_err(|_| JoinError::Lost(format!("no answer in {} s", PATIENCE.as_secs())))?;
    match reply.map_err(JoinError::Lost)? {
        JoinReply::Refused(refusal) => Err(refusal.into()),
        JoinReply::Joined { site, chain, root } => {
            let chain = chain.into_iter().map(CertificateDer::from).collect();
            let joined = Joined { site, chain, root: CertificateDer::from(root) };
            check(&joined, token, key).map_err(JoinError::Answer)?;
            Ok(joined)
        }
    }
}

async fn dial(address: SocketAddr, pinned: &Arc<PinnedRoot>) -> Result<quinn::Connection, JoinError> {
    let mut tls = rustls::ClientConfig::builder_with_provider(Arc::new(tls::provider()))
        .with_protocol_versions(&[&TLS13])
        .map_err(tls::refused)?
        .dangerous()
        .with_custom_certificate_verifier(pinned.clone())
        .with_no_client_auth();
    tls.alpn_protocols = vec![JOIN_ALPN.to_vec()];
    tls.resumption = rustls::client::Resumption::disabled();
    let quic = QuicClientConfig::try_from(tls).expect("our provider has AES-128-GCM for QUIC");
    let mut config = ClientConfig::new(Arc::new(quic));
    config.transport_config(Tuning::default().transport(Side::Client));
    let socket = |source| JoinError::Socket { address, source };
    let endpoint = endpoint::open(&Sockets::default(), any_port_for(address), None).map_err(socket)?;
    let dialling = endpoint.connect_with(config, address, Role::COORDINATOR_HOST).map_err(|error| {
        JoinError::NotTheCoordinator { address, problem: format!("it cannot be dialled: {error}") }
    })?;
    let shaken = tokio::time::timeout(HANDSHAKE_TIMEOUT, dialling).await;
    let shaken = shaken.map_err(|_| JoinError::Silent(address))?;
    shaken.map_err(|error| match pinned.finding() {
        Some(Finding::Foreign) => JoinError::Foreign(address),
        Some(Finding::Bad(problem)) => JoinError::NotTheCoordinator { address, problem: problem.clone() },
        Some(Finding::Coordinator) | None => JoinError::Refused { address, reason: error.into() },
    })
}

async fn ask(quic: &quinn::Connection, question: &JoinRequest) -> Result<JoinReply, String> {
    let (mut sender, mut receiver) = quic.open_bi().await.map_err(|error| Closed::from(error).to_string())?;
    send(&mut sender, question).await.map_err(|error| error.to_string())?;
    let heard = receive(&mut receiver).await;
    // Why the connection was closed says more than that its stream broke off.
    heard.map_err(|error| {
        quic.close_reason().map_or(error.to_string(), |closed| Closed::from(closed).to_string())
    })
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
