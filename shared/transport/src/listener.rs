//! The coordinator's door: handshakes run beside each other, and only verified peers come out of it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use consilium_domain::Role;
use quinn::crypto::rustls::{HandshakeData, QuicServerConfig};
use quinn::{Endpoint, Incoming, ServerConfig};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{AbortHandle, JoinSet};

use crate::closed::{CloseCode, Closed};
use crate::connection::Connection;
use crate::endpoint;
use crate::entrance::Entrance;
use crate::identity::Identity;
use crate::join::{self, Applicant, JOIN_ALPN};
use crate::peer::{CertificateNameError, Peer};
use crate::tls::{self, TlsError};
use crate::tuning::{self, HANDSHAKE_TIMEOUT, Side, Tuning};

/// Handshakes at once. A consortium has at most some fifty sites; the rest is slack for their reconnecting together.
const MAX_HANDSHAKES: usize = 128;

/// From here on, callers must first prove that they own their address, so that forged ones cannot fill the slots.
const PROVE_ADDRESS_FROM: usize = 16;

/// Applicants that wait for an answer at once. Sites join once in their life; more is somebody guessing.
const MAX_APPLICANTS: usize = 8;

/// The coordinator's listening socket. Dropping it stops new connections and leaves the present ones alone.
pub struct Listener {
    endpoint: Endpoint,
    arrivals: mpsc::Receiver<Result<Connection, AcceptError>>,
    applicants: Option<mpsc::Receiver<Applicant>>,
    door: AbortHandle,
}

/// Why the coordinator cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The kit is not the coordinator's.
    #[error(
        "this kit is for `{0}`, not for the coordinator: use the kit made by `consilium-certs issue-coordinator`"
    )]
    NotTheCoordinator(Role),
    /// TLS refused the kit.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The address is taken or not ours.
    #[error(
        "cannot listen on UDP {address}: {source}; is another coordinator running, or the address another machine's?"
    )]
    Socket {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// Why somebody was not let in. One caller's failure: the listener goes on.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// The handshake failed: for instance no certificate, or one of another consortium.
    #[error("{address} was not let in: {reason}")]
    Handshake {
        /// The caller.
        address: SocketAddr,
        /// Why.
        reason: Closed,
    },
    /// The handshake did not finish.
    #[error("{address} was not let in: its handshake took more than {} s", HANDSHAKE_TIMEOUT.as_secs())]
    Slow {
        /// The caller.
        address: SocketAddr,
    },
    /// The certificate does not say whose it is.
    #[error("{address} was not let in: {source}")]
    Certificate {
        /// The caller.
        address: SocketAddr,
        /// What is wrong with the certificate.
        source: CertificateNameError,
    },
    /// Somebody who wanted to join did not keep to the conversation.
    #[error("{address} did not join: {problem}")]
    Join {
        /// The caller.
        address: SocketAddr,
        /// What it did.
        problem: String,
    },
    /// The certificate is valid but speaks for nobody who calls a coordinator.
    #[error(
        "{address} was not let in: its certificate is for `{role}`, and only sites, admins and observers connect"
    )]
    WrongRole {
        /// The caller.
        address: SocketAddr,
        /// Whose certificate it is.
        role: Role,
    },
}

impl AcceptError {
    /// A stable word for counters.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Handshake { .. } => "handshake",
            Self::Slow { .. } => "slow-handshake",
            Self::Certificate { .. } => "certificate-without-role",
            Self::Join { .. } => "join",
            Self::WrongRole { .. } => "wrong-role",
        }
    }
}

impl Listener {
    /// Listens on UDP `address`; port 0 takes any. Lets in whoever has a certificate. Must be called inside a tokio
    /// runtime.
    ///
    /// # Errors
    /// Where the kit is not the coordinator's or the address cannot be had.
    pub fn bind(address: SocketAddr, identity: &Identity, tuning: Tuning) -> Result<Self, BindError> {
        Self::bind_with(address, identity, &Entrance::default(), tuning)
    }

    /// As [`Listener::bind`], with a door that knows more than certificates.
    ///
    /// # Errors
    /// As [`Listener::bind`].
    pub fn bind_with(
        address: SocketAddr,
        identity: &Identity,
        entrance: &Entrance,
        tuning: Tuning,
    ) -> Result<Self, BindError> {
        if *identity.role() != Role::Coordinator {
            return Err(BindError::NotTheCoordinator(identity.role().clone()));
        }
        let quic = QuicServerConfig::try_from(tls::server(identity, entrance)?)
            .expect("our provider has AES-128-GCM for QUIC");
        let mut config = ServerConfig::with_crypto(Arc::new(quic));
        config.transport_config(tuning.transport(Side::Coordinator)).max_incoming(MAX_HANDSHAKES);
        let endpoint =
            endpoint::open(address, Some(config)).map_err(|source| BindError::Socket { address, source })?;
        let (ready, arrivals) = mpsc::channel(MAX_HANDSHAKES);
        let (asking, applicants) = mpsc::channel(MAX_APPLICANTS);
        let hall = Hall { ready, asking, hearing: Arc::new(Semaphore::new(MAX_HEARD)) };
        let door = tokio::spawn(admit_all(endpoint.clone(), hall)).abort_handle();
        Ok(Self { endpoint, arrivals, applicants: Some(applicants), door })
    }

    /// Those who want to join, from a listener whose [`Entrance`] hears them. They can be taken once; while nobody
    /// takes them, or more than a few wait, they are sent away.
    pub const fn applicants(&mut self) -> Option<mpsc::Receiver<Applicant>> {
        self.applicants.take()
    }

    /// The address really listened on.
    ///
    /// # Errors
    /// Where the system has lost the socket.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.endpoint.local_addr()
    }

    /// The next site, admin or observer, or why a caller was not let in. None once the listener is closed. Cancel safe.
    pub async fn accept(&mut self) -> Option<Result<Connection, AcceptError>> {
        self.arrivals.recv().await
    }

    /// Closes the socket and every connection on it, telling each peer `reason`.
    pub fn close(&self, code: CloseCode, reason: &str) {
        self.endpoint.close(code.into(), reason.as_bytes());
    }

    /// After [`Listener::close`]: waits until every goodbye has left.
    pub async fn drained(&self) {
        self.endpoint.wait_idle().await;
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.door.abort();
    }
}

/// Callers who are being heard at once: each may take its time, and none of them the places of sites.
const MAX_HEARD: usize = 8;

/// Where callers go once it is known what they want.
#[derive(Clone)]
struct Hall {
    ready: mpsc::Sender<Result<Connection, AcceptError>>,
    asking: mpsc::Sender<Applicant>,
    hearing: Arc<Semaphore>,
}

async fn admit_all(endpoint: Endpoint, hall: Hall) {
    let mut handshakes = JoinSet::new();
    while let Some(incoming) = endpoint.accept().await {
        while handshakes.try_join_next().is_some() {}
        let address = incoming.remote_address();
        if handshakes.len() >= MAX_HANDSHAKES {
            tracing::warn!(%address, "too many handshakes at once: caller refused");
            incoming.refuse();
        } else if handshakes.len() >= PROVE_ADDRESS_FROM && !incoming.remote_address_validated() {
            incoming.retry().expect("an address not yet proven may be asked to");
        } else {
            let hall = hall.clone();
            handshakes.spawn(async move {
                if let Some(outcome) = admit(incoming, address, &hall).await.transpose() {
                    // Nobody accepts any more: dropping the outcome closes the connection.
                    hall.ready.send(outcome).await.ok();
                }
            });
        }
    }
}

/// The connection of a site; none where the caller wants to join and waits elsewhere.
async fn admit(
    incoming: Incoming,
    address: SocketAddr,
    hall: &Hall,
) -> Result<Option<Connection>, AcceptError> {
    let quic = tokio::time::timeout(HANDSHAKE_TIMEOUT, incoming)
        .await
        .map_err(|_| AcceptError::Slow { address })?
        .map_err(|error| AcceptError::Handshake { address, reason: error.into() })?;
    if wants_to_join(&quic) {
        return hear(quic, address, hall).await.map(|()| None);
    }
    let peer = caller(&quic, address).inspect_err(|error| {
        quic.close(CloseCode::WRONG_ROLE.into(), error.to_string().as_bytes());
    })?;
    tuning::trust(&quic);
    Ok(Some(Connection::new(quic, peer, None)))
}

fn wants_to_join(quic: &quinn::Connection) -> bool {
    let data = quic.handshake_data().and_then(|any| any.downcast::<HandshakeData>().ok());
    data.is_some_and(|data| data.protocol.as_deref() == Some(JOIN_ALPN))
}

async fn hear(quic: quinn::Connection, address: SocketAddr, hall: &Hall) -> Result<(), AcceptError> {
    let too_many = || {
        let problem =
            "too many want to join at once, or this coordinator takes nobody: try again in a minute";
        quic.close(CloseCode::JOIN_OVER.into(), problem.as_bytes());
        AcceptError::Join { address, problem: problem.to_owned() }
    };
    let Ok(_place) = hall.hearing.try_acquire() else { return Err(too_many()) };
    let applicant = join::hear(quic.clone(), address)
        .await
        .map_err(|error| AcceptError::Join { address, problem: error.to_string() })?;
    hall.asking.try_send(applicant).map_err(|_| too_many())
}

fn caller(quic: &quinn::Connection, address: SocketAddr) -> Result<Peer, AcceptError> {
    let peer = Peer::of(quic).map_err(|source| AcceptError::Certificate { address, source })?;
    match peer.role {
        Role::Site(_) | Role::Admin(_) | Role::Observer(_) => Ok(peer),
        role @ Role::Coordinator => Err(AcceptError::WrongRole { address, role }),
    }
}
