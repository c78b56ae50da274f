//! The coordinator's audit log: what left, what entered, how its study went on, and receipts of the sites for it.
//!
//! Records are made by `consilium_audit` of the messages themselves; here is decided when. A log that cannot be written
//! ends the coordinator, as an event log does: [`Audit::failed`] tells whoever runs it.

use std::path::Path;
use std::sync::Arc;

use consilium_audit::{
    AppendError, AuditError, AuditLog, CertificateChange, Code, Content, Record, Serial, StudyStep, Witness,
    WitnessError, begin,
};
use consilium_domain::{BlobRef, Digest, OrderId, Role, SiteId, StudyHash, Task};
use consilium_protocol::admin::AdminRequest;
use consilium_protocol::{SignedHead, ToCoordinator, ToSite};
use consilium_signing::Authorities;
use consilium_transport::{Connection, Identity, Traffic, aside, frame};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::watch;

use crate::conductor::Stopped;

/// The log, shared by everything that happens.
#[derive(Clone)]
pub(crate) struct Audit {
    log: AuditLog,
    authorities: Authorities,
    identity: Identity,
    failure: Arc<watch::Sender<Option<AppendError>>>,
}

impl Audit {
    /// Opens the log in the state folder.
    pub(crate) fn open(state: &Path, identity_folder: &Path, identity: Identity) -> Result<Self, AuditError> {
        let release = Code::new(env!("CARGO_PKG_VERSION"));
        let signer = Arc::new(identity.clone()) as _;
        let (log, authorities) = begin(state, identity_folder, &signer, own_serial(&identity), release)?;
        Ok(Self { log, authorities, identity, failure: Arc::new(watch::Sender::new(None)) })
    }

    /// Who signs for the coordinator.
    pub(crate) const fn signer(&self) -> &Identity {
        &self.identity
    }

    /// How many lines there are.
    pub(crate) async fn lines(&self) -> u64 {
        let log = self.log.clone();
        // Asked on a thread that may wait: somebody may be writing.
        aside(move || log.head().records).await.unwrap_or_default()
    }

    /// How far the event log of `study` was, as far as this log tells.
    pub(crate) fn event_log_of(&self, study: &StudyHash) -> Option<(u64, Digest)> {
        self.log.event_log_of(study)
    }

    /// Writes `record`; when this returns, it survives a crash.
    ///
    /// # Errors
    /// When the disk refuses: then the coordinator stops.
    pub(crate) async fn write(&self, record: Record) -> Result<(), Stopped> {
        let log = self.log.clone();
        self.waiting(move || Ok(log.append(record)?)).await?.map(drop).map_err(|_| Stopped)
    }

    /// The same on a thread that may wait: see [`waiting_here`].
    fn write_here(&self, record: Record) -> Result<(), Stopped> {
        self.log.append(record).map(drop).map_err(|error| self.fail(error))
    }

    /// Waits until the log cannot be written any more.
    pub(crate) async fn failed(&self) -> AppendError {
        let mut failure = self.failure.subscribe();
        let failed = failure.wait_for(Option::is_some).await.expect("the sender lives as long as this");
        failed.clone().expect("waited for")
    }

    /// How `study` went on; `events` and `event_log` are the length and the last hash of its event log.
    pub(crate) async fn study(
        &self,
        study: StudyHash,
        step: StudyStep,
        (events, event_log): (u64, Digest),
    ) -> Result<(), Stopped> {
        self.write(Record::Study { study, step, events, event_log }).await
    }

    /// The coordinator's own certificate is a new one.
    pub(crate) async fn renewed(&self) -> Result<(), Stopped> {
        let (holder, serial) = (Some(self.identity.role().clone().into()), Some(own_serial(&self.identity)));
        self.write(Record::Certificate { holder, serial, change: CertificateChange::Renewed }).await
    }

    /// Callers who were not let in.
    pub(crate) async fn refused(&self, reason: &'static str, count: u64) -> Result<(), Stopped> {
        self.write(Record::ConnectionsRefused { reason: Code::new(reason), count }).await
    }

    /// The coordinator ends.
    ///
    /// # Errors
    /// When the log cannot be written.
    pub(crate) async fn stopped(&self, reason: &'static str) -> Result<(), AuditError> {
        match self.write(Record::ProcessStopped { reason: Code::new(reason) }).await {
            Ok(()) => Ok(()),
            Err(Stopped) => Err(self.failed().await.into()),
        }
    }

    /// A connection is up.
    pub(crate) async fn connected(&self, connection: &Connection) -> Result<SessionAudit, Stopped> {
        let peer = connection.peer().clone();
        let serial = connection.peer_serial().parse();
        let serial = serial.expect("a serial number of a certificate is hexadecimal with colons");
        self.write(Record::ConnectionOpened { peer: peer.clone().into(), serial }).await?;
        let signer = Arc::new(self.identity.clone());
        let witness = Witness::new(self.log.clone(), self.authorities.clone(), signer, peer.clone());
        Ok(SessionAudit { audit: self.clone(), peer, witness })
    }

    /// Runs what waits for the disk on a thread that may.
    async fn waiting<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, WitnessError> + Send + 'static,
    ) -> Result<Result<T, WitnessError>, Stopped> {
        match aside(work).await.map_err(|_| Stopped)? {
            Err(WitnessError::Append(error)) => Err(self.fail(error)),
            other => Ok(other),
        }
    }

    fn fail(&self, error: AppendError) -> Stopped {
        self.failure.send_replace(Some(error));
        Stopped
    }
}

/// What an admin or an observer asks for, as far as it is written down.
#[derive(Debug, Clone)]
pub(crate) struct Command {
    pub(crate) name: Code,
    pub(crate) study: Option<StudyHash>,
    pub(crate) subject: Option<SiteId>,
}

/// The log as one connection writes it.
#[derive(Clone)]
pub(crate) struct SessionAudit {
    audit: Audit,
    peer: Role,
    witness: Witness,
}

impl SessionAudit {
    /// `message` has arrived. `task` tells what an order was about.
    pub(crate) async fn arrived(
        &self,
        message: &ToCoordinator,
        task: impl FnOnce(&OrderId) -> Option<Task>,
    ) -> Result<(), Stopped> {
        let Some(content) = Content::of_site(message, task) else { return Ok(()) };
        // Messages are encoded in one way only, so that these are the bytes that came.
        let bytes = frame::encode(message).unwrap_or_default();
        let (blake3, bytes) = (Digest::of(&bytes), bytes.len() as u64);
        let peer = self.peer.clone().into();
        self.audit.write(Record::Received { peer, bytes, blake3, content }).await
    }

    /// An admin or an observer asks for something.
    pub(crate) async fn asked(&self, request: &AdminRequest) -> Result<(), Stopped> {
        let bytes = frame::encode(request).unwrap_or_default();
        let (blake3, bytes) = (Digest::of(&bytes), bytes.len() as u64);
        let (peer, content) = (self.peer.clone().into(), Content::of_request(request));
        self.audit.write(Record::Received { peer, bytes, blake3, content }).await
    }

    /// What came of `command`, asked for by whom this connection belongs to.
    pub(crate) async fn commanded(&self, command: Command, outcome: &'static str) -> Result<(), Stopped> {
        let Command { name, study, subject } = command;
        let subject = subject.map(|site| Role::Site(site).into());
        let (admin, outcome) = (self.peer.clone().into(), Code::new(outcome));
        self.audit.write(Record::AdminCommand { admin, command: name, study, subject, outcome }).await
    }

    /// A message is about to leave as `bytes`.
    pub(crate) async fn leaving(&self, content: Content, bytes: &[u8]) -> Result<(), Stopped> {
        let (blake3, bytes) = (Digest::of(bytes), bytes.len() as u64);
        self.audit.write(Record::Sent { peer: self.peer.clone().into(), bytes, blake3, content }).await
    }

    /// Whether the log cannot be written any more.
    pub(crate) fn has_failed(&self) -> bool {
        self.audit.failure.borrow().is_some()
    }

    /// The bytes of a model are about to leave.
    pub(crate) fn model_leaves(&self, blob: BlobRef) -> Result<(), Stopped> {
        let (peer, content) = (self.peer.clone().into(), Content::Model {});
        self.audit.write_here(Record::Sent { peer, bytes: blob.bytes, blake3: blob.digest, content })
    }

    /// The bytes of an update were announced and are about to come. Whose training they are is told by the answer.
    pub(crate) fn update_comes(&self, blob: BlobRef) -> Result<(), Stopped> {
        let content = Content::Update { order: None, work: None, tensors: None, cases: None, norm: None };
        let peer = self.peer.clone().into();
        self.audit.write_here(Record::Received { peer, bytes: blob.bytes, blake3: blob.digest, content })
    }

    /// The connection has ended.
    pub(crate) async fn disconnected(&self, traffic: Traffic) -> Result<(), Stopped> {
        let Traffic { bytes_sent, bytes_received } = traffic;
        let peer = self.peer.clone().into();
        self.audit.write(Record::ConnectionClosed { peer, bytes_sent, bytes_received }).await
    }

    /// Countersigns the head of the site's log, and states our own.
    pub(crate) async fn exchange(
        &self,
        head: SignedHead,
    ) -> Result<Result<[ToSite; 2], WitnessError>, Stopped> {
        let witness = self.witness.clone();
        let exchange = move || {
            let receipt = witness.countersign(&head)?;
            Ok([ToSite::Countersigned(receipt), ToSite::AuditHead(witness.state()?)])
        };
        self.audit.waiting(exchange).await
    }

    /// Keeps the site's signature over the head that was stated.
    pub(crate) async fn keep(&self, receipt: SignedHead) -> Result<Result<(), WitnessError>, Stopped> {
        let witness = self.witness.clone();
        self.audit.waiting(move || witness.keep_receipt(&receipt)).await
    }
}

fn own_serial(identity: &Identity) -> Serial {
    let serial = identity.certificate().serial.parse();
    serial.expect("a serial number of a certificate is hexadecimal with colons")
}

/// Runs what waits for the disk in a place that cannot wait for a future. The runtime moves its other tasks to another
/// thread meanwhile.
pub(crate) fn waiting_here<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}
