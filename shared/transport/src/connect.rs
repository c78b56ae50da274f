//! The way in of a site, an admin or an observer: dial the coordinator and make sure it is one.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use consilium_domain::Role;
use quinn::ClientConfig;
use quinn::crypto::rustls::QuicClientConfig;

use crate::closed::{CloseCode, Closed};
use crate::connection::Connection;
use crate::endpoint;
use crate::identity::Identity;
use crate::peer::{CertificateNameError, Peer};
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
    /// The handshake did not finish.
    #[error(
        "{address} did not answer within {} s: is the coordinator running, is the address right, and does the \
         firewall let UDP through?",
        HANDSHAKE_TIMEOUT.as_secs()
    )]
    Silent {
        /// The coordinator's address.
        address: SocketAddr,
    },
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

/// Connects a site, an admin or an observer to the coordinator at `address`.
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
    if *identity.role() == Role::Coordinator {
        return Err(ConnectError::NotACaller(identity.role().clone()));
    }
    let quic =
        QuicClientConfig::try_from(tls::client(identity)?).expect("our provider has AES-128-GCM for QUIC");
    let mut config = ClientConfig::new(Arc::new(quic));
    config.transport_config(tuning.transport(Side::Client));

    let socket = |source| ConnectError::Socket { address, source };
    let endpoint = endpoint::open(any_port_for(address), None).map_err(socket)?;
    let dialling = endpoint
        .connect_with(config, address, Role::COORDINATOR_HOST)
        .map_err(|error| ConnectError::Dial { address, problem: error.to_string() })?;
    let quic = tokio::time::timeout(HANDSHAKE_TIMEOUT, dialling)
        .await
        .map_err(|_| ConnectError::Silent { address })?
        .map_err(|error| ConnectError::Refused { address, reason: error.into() })?;
    let peer = coordinator(&quic, address).inspect_err(|error| {
        quic.close(CloseCode::WRONG_ROLE.into(), error.to_string().as_bytes());
    })?;
    Ok(Connection::new(quic, peer, Some(endpoint)))
}

fn coordinator(quic: &quinn::Connection, address: SocketAddr) -> Result<Peer, ConnectError> {
    let peer = Peer::of(quic).map_err(|source| ConnectError::Certificate { address, source })?;
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
