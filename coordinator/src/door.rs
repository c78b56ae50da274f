//! The coordinator's open door: lets callers in, each to a task of its own, and sees them out. Whoever is revoked stays
//! out or is put out, whoever wants to join is led to the registry.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use consilium_transport::{
    BindError, CloseCode, Connection, Entrance, Identity, Listener, Refusals, Sockets, Tuning,
};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::audited_refusals::AuditedRefusals;
use crate::auditing::Audit;
use crate::pace::Pace;
use crate::refusal_log::RefusalLog;
use crate::registry::Registry;

/// Connections served at once: twice the largest roster, so that reconnecting sites do not lock each other out.
const MAX_CONNECTIONS: usize = 1_000;

/// Why there is no door.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// The socket.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The system lost the socket.
    #[error("the socket has no address: {0}")]
    Socket(std::io::Error),
}

/// An open door and everybody who came through it.
pub(crate) struct Door {
    listener: Listener,
    address: SocketAddr,
    places: Arc<Semaphore>,
    within: JoinSet<()>,
    refused: RefusalLog,
    registry: Registry,
    _joining: JoinSet<()>,
    audit: Audit,
    audited: AuditedRefusals,
    /// How often the same party comes.
    pace: Pace,
}

impl Door {
    /// Opens it at a UDP address of `sockets` and, if given, a TCP address with the coordinator's kit, guarded by `registry`. Who is
    /// not let in is counted in `audit`.
    pub(crate) fn open(
        (udp, tcp, sockets): (SocketAddr, Option<SocketAddr>, Sockets),
        identity: &Identity,
        registry: Registry,
        tuning: Tuning,
        audit: Audit,
    ) -> Result<Self, DoorError> {
        let entrance = Entrance::default().guarded_by(Arc::new(registry.clone())).with_joins().over(sockets);
        let mut listener = Listener::bind_with(udp, tcp, identity, &entrance, tuning)?;
        if let Some(tcp) = listener.tcp_addr() {
            tracing::info!(%tcp, "listening on TCP too");
        }
        let address = listener.local_addr().map_err(DoorError::Socket)?;
        let mut joining = JoinSet::new();
        if let Some(applicants) = listener.applicants() {
            joining.spawn(registry.clone().receive(applicants));
        }
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let refused = RefusalLog::new(listener.refusals().clone());
        let (within, audited) = (JoinSet::new(), AuditedRefusals::default());
        let pace = Pace::default();
        Ok(Self {
            listener,
            address,
            places,
            within,
            refused,
            registry,
            _joining: joining,
            audit,
            audited,
            pace,
        })
    }

    /// Who was refused at the door and, as those within count there too, behind it.
    pub(crate) fn refusals(&self) -> &Refusals {
        self.listener.refusals()
    }

    /// Where it is.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets callers in and gives each to `serve`, until `until`.
    pub(crate) async fn let_in<F>(&mut self, serve: impl Fn(Connection) -> F, until: impl Future<Output = ()>)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut until = std::pin::pin!(until);
        loop {
            let (listener, places) = (&mut self.listener, self.places.clone());
            let arrival = async {
                let place = places.acquire_owned().await.expect("the semaphore is never closed");
                (place, listener.accept().await)
            };
            tokio::select! {
                () = &mut until => break,
                (place, arrival) = arrival => match arrival {
                    Some(Ok(connection)) => {
                        let Some(attendance) = self.registry.attend(&connection) else {
                            tracing::warn!(peer = %connection.peer(), "revoked: sent away");
                            continue;
                        };
                        let served = serve(connection.clone());
                        let (pace, refusals) = (self.pace.clone(), self.listener.refusals().clone());
                        self.within.spawn(async move {
                            if pace.wait_to_enter(&connection, &refusals).await.is_ok() {
                                drop(connection);
                                served.await;
                            }
                            drop((attendance, place));
                        });
                    }
                    Some(Err(error)) => {
                        self.refused.note(&error);
                        // Where it cannot be written, whoever watches the log ends the coordinator.
                        let _ = self.audited.count(&error, &self.audit).await;
                    }
                    None => break,
                },
                () = self.refused.minute() => {}
            }
            while self.within.try_join_next().is_some() {}
        }
        let _ = self.audited.write(&self.audit).await;
    }

    /// Closes the door, telling whoever is still within `reason`.
    pub(crate) fn close(&self, reason: &str) {
        self.listener.close(CloseCode::DONE, reason);
    }

    /// Waits until everybody has left, but not for ever.
    pub(crate) async fn empty(&mut self, patience: Duration) {
        let within = &mut self.within;
        let all = async { while within.join_next().await.is_some() {} };
        if tokio::time::timeout(patience, all).await.is_err() {
            tracing::warn!(sessions = self.within.len(), "cut off: their callers did not hang up");
        }
    }

    /// After [`Self::close`]: waits until every goodbye has left.
    pub(crate) async fn drained(&self) {
        self.listener.drained().await;
    }
}
