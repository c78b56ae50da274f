//! From a finished handshake to a connection: the same judgement over QUIC and over TCP.

use std::net::SocketAddr;
use std::sync::Arc;

use consilium_domain::Role;
use tokio::sync::{Semaphore, mpsc};

use crate::closed::CloseCode;
use crate::connection::Connection;
use crate::door::Door;
use crate::join::{self, Applicant, JoinLine, JoinRefusal};
use crate::link::{Greeting, Link};
use crate::listener::AcceptError;
use crate::peer::{CertificateNameError, Peer};
use crate::probe::ProbeDesk;
use crate::refusals::{RefusalCause, Refusals};
use crate::{tls, tuning};

/// Counted where somebody wants to join and there is no room.
const TOO_MANY_JOINING: RefusalCause = RefusalCause::new("too-many-joining");
/// Counted where somebody who wants to join says something else.
const MALFORMED_JOIN: RefusalCause = RefusalCause::new("malformed-join");
/// What who finds no room is told.
const TOO_MANY_WANT_TO_JOIN: &str =
    "too many want to join at once, or this coordinator takes nobody: try again in a minute";
/// The same as an answer.
const LATER: JoinRefusal = JoinRefusal::TooMany { wait_secs: 60 };

/// What all handshakes of one listener share.
#[derive(Clone)]
pub(crate) struct Reception {
    pub(crate) door: Door,
    pub(crate) refusals: Refusals,
    pub(crate) probes: ProbeDesk,
    pub(crate) ready: mpsc::Sender<Result<Connection, AcceptError>>,
    /// Where those who want to join wait.
    pub(crate) asking: mpsc::Sender<Applicant>,
    pub(crate) hearing: Arc<Semaphore>,
    /// Places of those who are sent away with a word.
    pub(crate) parting: Arc<Semaphore>,
}

/// Who has come, and has not been judged.
pub(crate) enum Met {
    /// Somebody who has shown a certificate, or should have.
    Caller(Link, Greeting),
    /// Somebody who only wants to join.
    Applicant(JoinLine),
}

impl Reception {
    /// Judges a caller whose handshake ended in `outcome`, and hands on who is to be accepted and who was refused.
    pub(crate) async fn judge(&self, address: SocketAddr, outcome: Result<Met, Unmet>) {
        let judged = match outcome {
            Ok(Met::Applicant(line)) => match self.hear(line, address).await {
                Ok(()) => return,
                Err(error) => Err(error),
            },
            Ok(Met::Caller(link, greeting)) => self.admit(address, link, &greeting),
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
            // Where sites may join, the handshake over QUIC lets callers without a certificate come as far as this.
            Err(error @ AcceptError::Certificate { source: CertificateNameError::Absent, .. }) => {
                return Err(refuse(CloseCode::WRONG_ROLE, RefusalCause::NO_CERTIFICATE, error));
            }
            Err(error @ AcceptError::Certificate { .. }) => {
                return Err(refuse(CloseCode::WRONG_ROLE, RefusalCause::BAD_CERTIFICATE, error));
            }
            Err(error) => return Err(refuse(CloseCode::WRONG_ROLE, RefusalCause::WRONG_ROLE, error)),
        };
        let place = self.door.enter(address.ip(), &peer.role).map_err(|cause| {
            refuse(CloseCode::TOO_MANY, cause, AcceptError::TooMany { address, role: peer.role.clone() })
        })?;
        if let Link::Quic(link) = &link {
            tuning::trust(link.connection());
        }
        let connection = Connection::from_caller(link, peer, self.refusals.clone(), place);
        Ok(if measures { Admitted::Measures(connection) } else { Admitted::Works(connection) })
    }
}

impl Reception {
    /// Hears somebody without a certificate who wants to join, and lets them wait for whoever keeps the tokens.
    async fn hear(&self, line: JoinLine, address: SocketAddr) -> Result<(), AcceptError> {
        let refused = |cause: RefusalCause, problem: String| {
            self.refusals.count(cause);
            AcceptError::Join { address, problem }
        };
        let Ok(_place) = self.hearing.try_acquire() else {
            if let Ok(_parting) = self.parting.try_acquire() {
                line.turn_away(LATER, TOO_MANY_WANT_TO_JOIN).await;
            }
            return Err(refused(TOO_MANY_JOINING, TOO_MANY_WANT_TO_JOIN.to_owned()));
        };
        let applicant =
            join::hear(line, address).await.map_err(|fault| refused(MALFORMED_JOIN, fault.to_string()))?;
        if let Err(full) = self.asking.try_send(applicant) {
            full.into_inner().turn_away(LATER, TOO_MANY_WANT_TO_JOIN).await;
            return Err(refused(TOO_MANY_JOINING, TOO_MANY_WANT_TO_JOIN.to_owned()));
        }
        Ok(())
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
