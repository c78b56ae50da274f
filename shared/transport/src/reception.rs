//! From a finished handshake to a connection: the same judgement over QUIC and over TCP.

use std::net::SocketAddr;

use consilium_domain::Role;
use tokio::sync::mpsc;

use crate::closed::CloseCode;
use crate::connection::Connection;
use crate::door::Door;
use crate::link::{Greeting, Link};
use crate::listener::AcceptError;
use crate::peer::Peer;
use crate::probe::ProbeDesk;
use crate::refusals::{RefusalCause, Refusals};
use crate::tls;

/// What all handshakes of one listener share.
#[derive(Clone)]
pub(crate) struct Reception {
    pub(crate) door: Door,
    pub(crate) refusals: Refusals,
    pub(crate) probes: ProbeDesk,
    pub(crate) ready: mpsc::Sender<Result<Connection, AcceptError>>,
}

impl Reception {
    /// Judges a caller whose handshake ended in `outcome`, and hands on who is to be accepted and who was refused.
    pub(crate) async fn judge(&self, address: SocketAddr, outcome: Result<(Link, Greeting), Unmet>) {
        let judged = match outcome {
            Ok((link, greeting)) => self.admit(address, link, &greeting),
            Err(Unmet { error, cause }) => {
                self.refusals.count(cause);
                Err(error)
            }
        };
        let admitted = match judged {
            Ok(Admitted::Measures(connection)) => return self.probes.serve(connection).await,
            Ok(Admitted::Works(connection)) => Ok(connection),
            Err(error) => Err(error),
        };
        // Nobody accepts any more: dropping the outcome closes the connection.
        self.ready.send(admitted).await.ok();
    }

    fn admit(&self, address: SocketAddr, link: Link, greeting: &Greeting) -> Result<Admitted, AcceptError> {
        let refuse = |code, cause, error: AcceptError| {
            self.refusals.count(cause);
            link.close(code, &error.to_string());
            error
        };
        let measures = greeting.protocol == tls::PROBE_ALPN;
        let peer = match holder(&greeting.chain, address) {
            Ok(peer) => peer,
            Err(error @ AcceptError::Certificate { .. }) => {
                return Err(refuse(CloseCode::WRONG_ROLE, RefusalCause::BAD_CERTIFICATE, error));
            }
            Err(error) => return Err(refuse(CloseCode::WRONG_ROLE, RefusalCause::WRONG_ROLE, error)),
        };
        let place = self.door.enter(address.ip(), &peer.role).map_err(|cause| {
            refuse(CloseCode::TOO_MANY, cause, AcceptError::TooMany { address, role: peer.role.clone() })
        })?;
        let connection = Connection::from_caller(link, peer, self.refusals.clone(), place);
        Ok(if measures { Admitted::Measures(connection) } else { Admitted::Works(connection) })
    }
}

/// Why a handshake did not end in a link.
pub(crate) struct Unmet {
    pub(crate) error: AcceptError,
    pub(crate) cause: RefusalCause,
}

enum Admitted {
    /// Wants to measure the network, and is served here.
    Measures(Connection),
    /// Wants everything else.
    Works(Connection),
}

/// The holder of the certificate, where its role has business here.
fn holder(chain: &[rustls::pki_types::CertificateDer<'_>], address: SocketAddr) -> Result<Peer, AcceptError> {
    let peer = Peer::of(chain).map_err(|source| AcceptError::Certificate { address, source })?;
    match peer.role {
        Role::Site(_) | Role::Admin(_) | Role::Observer(_) => Ok(peer),
        role @ Role::Coordinator => Err(AcceptError::WrongRole { address, role }),
    }
}
