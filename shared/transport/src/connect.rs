//! The way in of a site, an admin or an observer: dial the coordinator and make sure it is one.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use consilium_domain::Role;
use quinn::ClientConfig;
use quinn::crypto::rustls::QuicClientConfig;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::closed::{CloseCode, Closed};
use crate::connection::Connection;
use crate::dial::Calling;
use crate::endpoint;
use crate::identity::Identity;
use crate::link::quic::{self, QuicLink};
use crate::link::{Greeting, Link, LinkKind, tcp};
use crate::peer::{CertificateNameError, Peer};
use crate::proxy::{self, Proxy, ProxyError};
use crate::shown::{self, Shown, ShownCertificate};
use crate::sockets::Sockets;
use crate::tls::{self, TlsError};
use crate::tuning::{HANDSHAKE_TIMEOUT, Side, Tuning};

/// Why the coordinator could not be reached.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The kit is the coordinator's own.
    #[error(
        "this kit is for `{0}`, which is called and calls nobody: use the kit of a site, an admin or an observer"
    )]
    NotACaller(Role),
    /// TLS refused the kit.
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
    /// The handshake failed.
    #[error("cannot connect to {address}: {reason}")]
    Refused {
        /// The coordinator's address.
        address: SocketAddr,
        /// Why.
        reason: Closed,
    },
    /// The certificate that was shown is not of this consortium.
    #[error(
        "cannot connect to {address}: {reason}; it shows a certificate for `{}` that `{}` issued: if that is your \
         own firewall or proxy, it inspects TLS, and connections to the coordinator must be exempt from that",
        shown.subject, shown.issuer
    )]
    Foreign {
        /// The coordinator's address.
        address: SocketAddr,
        /// Why it was refused.
        reason: Closed,
        /// What it says about itself.
        shown: Box<ShownCertificate>,
    },
    /// The handshake did not finish.
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
    /// The address cannot be dialled at all.
    #[error("cannot dial {address}: {problem}")]
    Dial {
        /// The coordinator's address.
        address: SocketAddr,
        /// What is wrong with it.
        problem: String,
    },
    /// The certificate does not say whose it is.
    #[error("{address} is not the coordinator: {source}")]
    Certificate {
        /// The address.
        address: SocketAddr,
        /// What is wrong with the certificate.
        source: CertificateNameError,
    },
    /// The certificate is valid but somebody else's.
    #[error("{address} is not the coordinator: its certificate is for `{role}`")]
    NotTheCoordinator {
        /// The address.
        address: SocketAddr,
        /// Whose certificate it is.
        role: Role,
    },
}

/// Connects a site, an admin or an observer to the coordinator at `address`, over QUIC.
///
/// `Ok` means that *we* have accepted the coordinator. It judges our certificate afterwards: the first control
/// message from it is the proof that it accepted us, and [`Connection::closed`] says why where it did not.
///
/// # Errors
/// Says whether the kit, the network or the other side's certificate is to blame.
pub async fn connect(
    address: SocketAddr,
    identity: &Identity,
    tuning: Tuning,
) -> Result<Connection, ConnectError> {
    Caller::to_work(identity, tuning)?.quic(address, HANDSHAKE_TIMEOUT).await
}

/// As [`connect`], over TCP.
///
/// # Errors
/// As [`connect`].
pub async fn connect_tcp(
    address: SocketAddr,
    identity: &Identity,
    tuning: Tuning,
) -> Result<Connection, ConnectError> {
    Caller::to_work(identity, tuning)?.tcp(address).await
}

/// Somebody who wants to be connected, with what is needed for it.
#[derive(Clone)]
pub(crate) struct Caller {
    tls: Arc<rustls::ClientConfig>,
    shown: Shown,
    tuning: Tuning,
    sockets: Sockets,
}

impl Caller {
    /// To take part in studies, or to run them.
    pub(crate) fn to_work(identity: &Identity, tuning: Tuning) -> Result<Self, ConnectError> {
        Self::new(identity, tls::ALPN, tuning)
    }

    /// To measure.
    pub(crate) fn to_measure(identity: &Identity, tuning: Tuning) -> Result<Self, ConnectError> {
        Self::new(identity, tls::PROBE_ALPN, tuning)
    }

    fn new(identity: &Identity, protocol: &[u8], tuning: Tuning) -> Result<Self, ConnectError> {
        if *identity.role() == Role::Coordinator {
            return Err(ConnectError::NotACaller(identity.role().clone()));
        }
        let (tls, shown) = shown::client(identity, protocol)?;
        Ok(Self { tls: Arc::new(tls), shown, tuning, sockets: Sockets::default() })
    }

    /// Over the UDP of `sockets`.
    pub(crate) fn over(mut self, sockets: Sockets) -> Self {
        self.sockets = sockets;
        self
    }

    /// The certificate that the last handshake showed, if it came that far.
    pub(crate) fn shown(&self) -> Option<ShownCertificate> {
        self.shown.last()
    }

    async fn on(&self, socket: TcpStream, address: SocketAddr) -> Result<Connection, ConnectError> {
        self.shown.forget();
        let dialled = tcp::dial(socket, address, self.tls.clone(), self.tuning).await;
        let (link, greeting) = dialled.map_err(|reason| self.refused(address, reason))?;
        self.finish(address, Link::Tcp(link), &greeting)
    }

    fn refused(&self, address: SocketAddr, reason: Closed) -> ConnectError {
        match self.shown() {
            Some(shown) if !shown.trusted => {
                ConnectError::Foreign { address, reason, shown: Box::new(shown) }
            }
            _ => ConnectError::Refused { address, reason },
        }
    }

    fn finish(
        &self,
        address: SocketAddr,
        link: Link,
        greeting: &Greeting,
    ) -> Result<Connection, ConnectError> {
        match coordinator(greeting, address) {
            Ok(peer) => Ok(Connection::to_coordinator(link, peer)),
            Err(error) => {
                link.close(CloseCode::WRONG_ROLE, &error.to_string());
                Err(error)
            }
        }
    }
}

impl Calling for Caller {
    type Line = Connection;
    type Error = ConnectError;

    async fn quic(&self, address: SocketAddr, patience: Duration) -> Result<Connection, ConnectError> {
        let crypto =
            QuicClientConfig::try_from(self.tls.clone()).expect("our provider has AES-128-GCM for QUIC");
        let mut config = ClientConfig::new(Arc::new(crypto));
        config.transport_config(self.tuning.transport(Side::Client));
        self.shown.forget();
        let socket = |source| ConnectError::Socket { address, source };
        let endpoint = endpoint::open(&self.sockets, any_port_for(address), None).map_err(socket)?;
        let dialling = endpoint
            .connect_with(config, address, Role::COORDINATOR_HOST)
            .map_err(|error| ConnectError::Dial { address, problem: error.to_string() })?;
        let connection = timeout(patience, dialling)
            .await
            .map_err(|_| ConnectError::Silent { address, kind: LinkKind::Quic, patience })?
            .map_err(|error| self.refused(address, error.into()))?;
        let greeting = quic::greeting(&connection);
        self.finish(address, Link::Quic(QuicLink::new(connection, Some(endpoint))), &greeting)
    }

    async fn tcp(&self, address: SocketAddr) -> Result<Connection, ConnectError> {
        let dialling = async {
            let unreachable = |source| ConnectError::Unreachable { address, source };
            let socket = TcpStream::connect(address).await.map_err(unreachable)?;
            endpoint::prompt(&socket).map_err(unreachable)?;
            self.on(socket, address).await
        };
        in_time(address, dialling).await
    }

    /// Over TCP through `proxy`, at `address`, to the coordinator at `host`:`port`.
    async fn through(
        &self,
        proxy: &Proxy,
        address: SocketAddr,
        (host, port): (&str, u16),
    ) -> Result<Connection, ConnectError> {
        let dialling = async {
            let socket = proxy::open(proxy, address, host, port).await?;
            self.on(socket, address).await
        };
        in_time(address, dialling).await
    }
}

async fn in_time(
    address: SocketAddr,
    dialling: impl Future<Output = Result<Connection, ConnectError>>,
) -> Result<Connection, ConnectError> {
    let silent = ConnectError::Silent { address, kind: LinkKind::Tcp, patience: HANDSHAKE_TIMEOUT };
    timeout(HANDSHAKE_TIMEOUT, dialling).await.unwrap_or(Err(silent))
}

fn coordinator(greeting: &Greeting, address: SocketAddr) -> Result<Peer, ConnectError> {
    let peer = Peer::of(&greeting.chain).map_err(|source| ConnectError::Certificate { address, source })?;
    match peer.role {
        Role::Coordinator => Ok(peer),
        role => Err(ConnectError::NotTheCoordinator { address, role }),
    }
}

pub(crate) fn any_port_for(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    }
}
