//! Reaching the one coordinator that a token is for, without a certificate to show: nothing is said to any other.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use consilium_domain::Role;
use quinn::crypto::rustls::QuicClientConfig;
use rustls::pki_types::ServerName;
use rustls::version::TLS13;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::apply::JoinError;
use super::line::{Channel, JoinLine};
use super::pinned::{Finding, PinnedRoot};
use super::{JOIN_ALPN, JoinToken};
use crate::closed::Closed;
use crate::connect::any_port_for;
use crate::dial::Calling;
use crate::endpoint;
use crate::link::LinkKind;
use crate::proxy::{self, Proxy};
use crate::sockets::Sockets;
use crate::tls;
use crate::tuning::{HANDSHAKE_TIMEOUT, Side, Tuning};

/// Somebody with a token.
pub(crate) struct JoinCaller {
    root_key_sha256: [u8; 32],
    tuning: Tuning,
}

/// What one handshake needs: it remembers whom it met.
struct Handshake {
    tls: Arc<rustls::ClientConfig>,
    pinned: Arc<PinnedRoot>,
}

impl JoinCaller {
    pub(crate) const fn new(token: &JoinToken, tuning: Tuning) -> Self {
        Self { root_key_sha256: *token.root_key_sha256(), tuning }
    }

    fn handshake(&self) -> Result<Handshake, JoinError> {
        let pinned = Arc::new(PinnedRoot::new(self.root_key_sha256));
        let mut tls = rustls::ClientConfig::builder_with_provider(Arc::new(tls::provider()))
            .with_protocol_versions(&[&TLS13])
            .map_err(tls::refused)?
            .dangerous()
            .with_custom_certificate_verifier(pinned.clone())
            .with_no_client_auth();
        tls.alpn_protocols = vec![JOIN_ALPN.to_vec()];
        tls.resumption = rustls::client::Resumption::disabled();
        Ok(Handshake { tls: Arc::new(tls), pinned })
    }

    /// TLS over `socket`, which leads to the coordinator, perhaps through a proxy at `address`.
    async fn over(&self, socket: impl Channel, address: SocketAddr) -> Result<JoinLine, JoinError> {
        let handshake = self.handshake()?;
        let host =
            ServerName::try_from(Role::COORDINATOR_HOST).expect("the coordinator's name is a DNS name");
        let connected = TlsConnector::from(handshake.tls.clone()).connect(host, socket).await;
        let channel = connected.map_err(|error| handshake.refused(address, error.into()))?;
        if channel.get_ref().1.alpn_protocol() != Some(JOIN_ALPN) {
            let problem = "it does not say that it takes anybody in over TCP".to_owned();
            return Err(JoinError::NotTheCoordinator { address, problem });
        }
        let exporter = JoinLine::exporter_of(channel.get_ref().1);
        Ok(JoinLine::tcp(channel, exporter))
    }
}

impl Handshake {
    fn refused(&self, address: SocketAddr, reason: Closed) -> JoinError {
        match self.pinned.finding() {
            Some(Finding::Foreign) => JoinError::Foreign(address),
            Some(Finding::Bad(problem)) => JoinError::NotTheCoordinator { address, problem: problem.clone() },
            Some(Finding::Coordinator) | None => JoinError::Refused { address, reason },
        }
    }
}

impl Calling for JoinCaller {
    type Line = JoinLine;
    type Error = JoinError;

    async fn quic(&self, address: SocketAddr, patience: Duration) -> Result<JoinLine, JoinError> {
        let handshake = self.handshake()?;
        let crypto = QuicClientConfig::try_from(handshake.tls.clone());
        let crypto = crypto.expect("our provider has AES-128-GCM for QUIC");
        let mut config = quinn::ClientConfig::new(Arc::new(crypto));
        config.transport_config(self.tuning.transport(Side::Client));
        let socket = |source| JoinError::Socket { address, source };
        let endpoint = endpoint::open(&Sockets::default(), any_port_for(address), None).map_err(socket)?;
        let dialling = endpoint.connect_with(config, address, Role::COORDINATOR_HOST).map_err(|error| {
            JoinError::NotTheCoordinator { address, problem: format!("it cannot be dialled: {error}") }
        })?;
        let shaken = timeout(patience, dialling).await;
        let shaken = shaken.map_err(|_| JoinError::Silent { address, kind: LinkKind::Quic, patience })?;
        let connection = shaken.map_err(|error| handshake.refused(address, error.into()))?;
        Ok(JoinLine::quic(connection))
    }

    async fn tcp(&self, address: SocketAddr) -> Result<JoinLine, JoinError> {
        let dialling = async {
            let unreachable = |source| JoinError::Unreachable { address, source };
            let socket = TcpStream::connect(address).await.map_err(unreachable)?;
            endpoint::prompt(&socket).map_err(unreachable)?;
            self.over(socket, address).await
        };
        in_time(address, dialling).await
    }

    async fn through(
        &self,
        proxy: &Proxy,
        address: SocketAddr,
        (host, port): (&str, u16),
    ) -> Result<JoinLine, JoinError> {
        let dialling = async {
            let socket = proxy::open(proxy, address, host, port).await?;
            self.over(socket, address).await
        };
        in_time(address, dialling).await
    }
}

async fn in_time(
    address: SocketAddr,
    dialling: impl Future<Output = Result<JoinLine, JoinError>>,
) -> Result<JoinLine, JoinError> {
    let silent = JoinError::Silent { address, kind: LinkKind::Tcp, patience: HANDSHAKE_TIMEOUT };
    timeout(HANDSHAKE_TIMEOUT, dialling).await.unwrap_or(Err(silent))
}
