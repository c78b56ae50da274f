//! The coordinator's door: handshakes run beside each other, and only verified peers come out of it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use consilium_domain::Role;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Endpoint, Incoming, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};

use crate::closed::{CloseCode, Closed};
use crate::connection::Connection;
use crate::door::{Door, Knock, MAX_HANDSHAKES};
use crate::endpoint;
use crate::entrance::Entrance;
use crate::identity::Identity;
use crate::join::{Applicant, JOIN_ALPN, JoinLine};
use crate::link::quic::{self, QuicLink};
use crate::link::{Link, tcp};
use crate::peer::CertificateNameError;
use crate::probe::ProbeDesk;
use crate::reception::{Met, Reception, Unmet};
use crate::refusals::{RefusalCause, Refusals};
use crate::sockets::Sockets;
use crate::tls::{self, TlsError};
use crate::tuning::{HANDSHAKE_TIMEOUT, Side, Tuning};

/// After the system could give no socket for a caller (there are too many open), how long until the next try.
const NO_SOCKET_PAUSE: Duration = Duration::from_millis(100);

/// Where both ports shall be one number of the system's choice: how many numbers are tried.
const PORT_TRIES: u32 = 16;

/// Applicants that wait for an answer at once. Sites join once in their life; more is somebody guessing.
const MAX_APPLICANTS: usize = 8;

/// Callers who are being heard at once: each may take its time, and none of them the places of sites.
const MAX_HEARD: usize = 8;

/// Callers over TCP who are being told that they cannot be heard. Others are hung up on without a word.
const MAX_PARTING: usize = 8;

/// The coordinator's listening sockets. Dropping it stops new connections and leaves the present ones alone.
pub struct Listener {
    endpoint: Endpoint,
    tcp: Option<SocketAddr>,
    arrivals: mpsc::Receiver<Result<Connection, AcceptError>>,
    applicants: Option<mpsc::Receiver<Applicant>>,
    doors: Vec<AbortHandle>,
    /// The goodbye to all connections over TCP, each of which has a receiver as long as it lives.
    closing: Arc<watch::Sender<Option<tcp::Farewell>>>,
    refusals: Refusals,
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
    /// The same for TCP.
    #[error(
        "cannot listen on TCP {address}: {source}; is another program listening there? Name another port with \
         --listen-tcp, or serve UDP alone with --listen-tcp off"
    )]
    TcpSocket {
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
    /// Its holder, or its address, has more connections than anybody needs.
    #[error("{address} was not let in: `{role}`, or this address, has too many connections already")]
    TooMany {
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
            Self::TooMany { .. } => "too-many",
        }
    }
}

impl Listener {
    /// Listens on UDP `address` alone; port 0 takes any. Lets in whoever has a certificate. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// Where the kit is not the coordinator's or the address cannot be had.
    pub fn bind(address: SocketAddr, identity: &Identity, tuning: Tuning) -> Result<Self, BindError> {
        Self::bind_with(address, None, identity, &Entrance::default(), tuning)
    }

    /// As [`Listener::bind`], and, for sites whose network drops UDP, on TCP `tcp`. Port 0 takes any; where it is 0 in
    /// both, both get the same.
    ///
    /// # Errors
    /// As [`Listener::bind`].
    pub fn bind_both(
        udp: SocketAddr,
        tcp: Option<SocketAddr>,
        identity: &Identity,
        tuning: Tuning,
    ) -> Result<Self, BindError> {
        Self::bind_with(udp, tcp, identity, &Entrance::default(), tuning)
    }

    /// As [`Listener::bind_both`], with a door that knows more than certificates.
    ///
    /// # Errors
    /// As [`Listener::bind`].
    pub fn bind_with(
        udp: SocketAddr,
        tcp: Option<SocketAddr>,
        identity: &Identity,
        entrance: &Entrance,
        tuning: Tuning,
    ) -> Result<Self, BindError> {
        if *identity.role() != Role::Coordinator {
            return Err(BindError::NotTheCoordinator(identity.role().clone()));
        }
        let quic = QuicServerConfig::try_from(tls::server(identity, entrance)?)
            .expect("our provider has AES-128-GCM for QUIC");
        let strict = Entrance { joins: false, ..entrance.clone() };
        let strict = Arc::new(tls::server(identity, &strict)?);
        let joining = entrance.joins.then(|| tls::joining(identity).map(Arc::new)).transpose()?;
        let faces = tcp::Faces { strict, joining };
        let mut config = ServerConfig::with_crypto(Arc::new(quic));
        config.transport_config(tuning.transport(Side::Coordinator)).max_incoming(MAX_HANDSHAKES);
        let (endpoint, tcp) = open_sockets(&entrance.sockets, udp, tcp, &config)?;
        let address = tcp.as_ref().and_then(|tcp| tcp.local_addr().ok());

        let (ready, arrivals) = mpsc::channel(MAX_HANDSHAKES);
        let refusals = Refusals::default();
        let (asking, applicants) = mpsc::channel(MAX_APPLICANTS);
        let hearing = Arc::new(Semaphore::new(MAX_HEARD));
        let parting = Arc::new(Semaphore::new(MAX_PARTING));
        let closing = Arc::new(watch::Sender::new(None));
        let probes = ProbeDesk::default();
        let reception = Reception {
            door: Door::default(),
            refusals: refusals.clone(),
            probes,
            ready,
            asking,
            hearing,
            parting,
        };
        let mut doors = vec![tokio::spawn(receive_quic(endpoint.clone(), reception.clone())).abort_handle()];
        if let Some(listener) = tcp {
            let entrance = TcpEntrance { faces, tuning, closing: closing.clone(), reception };
            doors.push(tokio::spawn(entrance.receive_all(listener)).abort_handle());
        }
        Ok(Self { endpoint, tcp: address, arrivals, applicants: Some(applicants), doors, closing, refusals })
    }

    /// Those who want to join, from a listener whose [`Entrance`] hears them. They can be taken once; while nobody
    /// takes them, or more than a few wait, they are sent away.
    pub const fn applicants(&mut self) -> Option<mpsc::Receiver<Applicant>> {
        self.applicants.take()
    }

    /// The TCP address really listened on, if any.
    pub const fn tcp_addr(&self) -> Option<SocketAddr> {
        self.tcp
    }

    /// Who was refused, counted by reason, since this listener was bound. Layers above count their refusals here too.
    pub fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    /// The UDP address really listened on.
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

    /// Closes the sockets and every connection on them, telling each peer `reason`.
    pub fn close(&self, code: CloseCode, reason: &str) {
        self.closing.send_replace(Some((code, reason.to_owned())));
        self.endpoint.close(code.into(), reason.as_bytes());
    }

    /// After [`Listener::close`]: waits until every goodbye has left.
    pub async fn drained(&self) {
        self.endpoint.wait_idle().await;
        self.closing.closed().await;
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        for door in &self.doors {
            door.abort();
        }
    }
}

/// The sockets for UDP `udp` and TCP `tcp`.
fn open_sockets(
    sockets: &Sockets,
    udp: SocketAddr,
    tcp: Option<SocketAddr>,
    config: &ServerConfig,
) -> Result<(Endpoint, Option<TcpListener>), BindError> {
    let open_udp = || {
        endpoint::open(sockets, udp, Some(config.clone()))
            .map_err(|source| BindError::Socket { address: udp, source })
    };
    let endpoint = open_udp()?;
    let Some(tcp) = tcp else { return Ok((endpoint, None)) };
    let same = tcp.port() == 0 && udp.port() == 0;
    let beside = |endpoint: &Endpoint| {
        let mut address = tcp;
        if same {
            address.set_port(endpoint.local_addr()?.port());
        }
        endpoint::listen(address)
    };
    let mut last = beside(&endpoint).map(|listener| (endpoint, listener));
    // Another program may have the number that the system chose, for TCP.
    for _ in 1..PORT_TRIES {
        if last.is_ok() || !same {
            break;
        }
        let endpoint = open_udp()?;
        last = beside(&endpoint).map(|listener| (endpoint, listener));
    }
    let (endpoint, listener) = last.map_err(|source| BindError::TcpSocket { address: tcp, source })?;
    Ok((endpoint, Some(listener)))
}

async fn receive_quic(endpoint: Endpoint, reception: Reception) {
    let mut handshakes = JoinSet::new();
    while let Some(incoming) = endpoint.accept().await {
        while handshakes.try_join_next().is_some() {}
        let address = incoming.remote_address();
        match reception.door.knock(address.ip(), incoming.remote_address_validated()) {
            Knock::Full(cause) => {
                tracing::debug!(%address, %cause, "caller refused");
                reception.refusals.count(cause);
                incoming.refuse();
            }
            Knock::Prove => incoming.retry().expect("an address not yet proven may be asked to"),
            Knock::Come(place) => {
                let reception = reception.clone();
                handshakes.spawn(async move {
                    let outcome = shake_hands(incoming, address).await;
                    drop(place);
                    reception.judge(address, outcome).await;
                });
            }
        }
    }
}

async fn shake_hands(incoming: Incoming, address: SocketAddr) -> Result<Met, Unmet> {
    match tokio::time::timeout(HANDSHAKE_TIMEOUT, incoming).await {
        Ok(Ok(connection)) => {
            let greeting = quic::greeting(&connection);
            Ok(if greeting.protocol == JOIN_ALPN {
                Met::Applicant(JoinLine::quic(connection))
            } else {
                Met::Caller(Link::Quic(QuicLink::new(connection, None)), greeting)
            })
        }
        Ok(Err(error)) => {
            let cause = RefusalCause::of_quic(&error);
            Err(Unmet { error: AcceptError::Handshake { address, reason: error.into() }, cause })
        }
        Err(_) => Err(slow(address)),
    }
}

fn slow(address: SocketAddr) -> Unmet {
    Unmet { error: AcceptError::Slow { address }, cause: RefusalCause::SLOW_HANDSHAKE }
}

/// What handshakes over TCP need.
#[derive(Clone)]
struct TcpEntrance {
    faces: tcp::Faces,
    tuning: Tuning,
    closing: Arc<watch::Sender<Option<tcp::Farewell>>>,
    reception: Reception,
}

impl TcpEntrance {
    async fn receive_all(self, listener: TcpListener) {
        let mut handshakes = JoinSet::new();
        let mut closing = self.closing.subscribe();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = closing.wait_for(Option::is_some) => return,
            };
            while handshakes.try_join_next().is_some() {}
            let (socket, address) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "the system gives no socket for a caller");
                    tokio::time::sleep(NO_SOCKET_PAUSE).await;
                    continue;
                }
            };
            match self.reception.door.knock(address.ip(), true) {
                Knock::Come(place) => {
                    let this = self.clone();
                    handshakes.spawn(async move {
                        let outcome = this.shake_hands(socket, address).await;
                        drop(place);
                        this.reception.judge(address, outcome).await;
                    });
                }
                Knock::Full(cause) => {
                    tracing::debug!(%address, %cause, "caller refused");
                    self.reception.refusals.count(cause);
                }
                Knock::Prove => unreachable!("over TCP every address is proven"),
            }
        }
    }

    async fn shake_hands(&self, socket: TcpStream, address: SocketAddr) -> Result<Met, Unmet> {
        if let Err(error) = endpoint::prompt(&socket) {
            tracing::debug!(%error, "the system delays small messages");
        }
        let (closing, refusals) = (self.closing.subscribe(), &self.reception.refusals);
        let received = tcp::receive(socket, address, &self.faces, self.tuning, closing, refusals);
        match tokio::time::timeout(HANDSHAKE_TIMEOUT, received).await {
            Ok(Ok(tcp::Arrival::Caller(link, greeting))) => Ok(Met::Caller(Link::Tcp(link), greeting)),
            Ok(Ok(tcp::Arrival::Applicant(line))) => Ok(Met::Applicant(line)),
            Ok(Err(tcp::Failed { reason, cause })) => {
                Err(Unmet { error: AcceptError::Handshake { address, reason }, cause })
            }
            Err(_) => Err(slow(address)),
        }
    }
}
