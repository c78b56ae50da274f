//! The hospital's audit log: what left, what entered, and receipts of the coordinator for it.
//!
//! Records are made by `consilium_audit` of the messages themselves; here is decided when. Waiting for the disk
//! happens on threads that may wait.

use std::path::Path;
use std::sync::Arc;

use consilium_audit::{
    AuditError, AuditLog, Code, Content, Record, Serial, TensorSummary, Witness, WitnessError, Work, begin,
};
use consilium_domain::{BlobRef, Digest, OrderId, Role, Study, WorkOrder};
use consilium_protocol::{Outcome, SignedHead, ToCoordinator, ToSite, TrainingOutcome};
use consilium_signing::Authorities;
use consilium_transport::{Connection, FrameError, Identity, aside, frame};

/// The first version of the conversation in which heads are exchanged.
const FIRST_VERSION: u16 = 4;

/// What is said in return. The outer error ends the client, the inner the connection.
type Replies = Result<Result<Vec<ToCoordinator>, WitnessError>, AuditError>;

/// The log of this site, with what is known of the work that it tells of.
pub(crate) struct Auditor {
    log: AuditLog,
    authorities: Authorities,
    study: Option<Study>,
    order: Option<WorkOrder>,
    trained: Option<(OrderId, TrainingOutcome)>,
    exchange: Option<Exchange>,
}

/// The exchange of heads over the present connection.
struct Exchange {
    witness: Witness,
    /// Whether the other side speaks of heads at all.
    speaks: bool,
    /// Whether our head is stated and the other side's has not come in return.
    under_way: bool,
    /// Whether the coordinator has said that the study is over.
    farewell: bool,
}

impl Auditor {
    /// Opens the log in the state folder.
    pub(crate) fn open(
        state: &Path,
        identity_folder: &Path,
        identity: &Identity,
    ) -> Result<Self, AuditError> {
        let release = Code::new(env!("CARGO_PKG_VERSION"));
        let (log, authorities) =
            begin(state, identity_folder, &(Arc::new(identity.clone()) as _), own_serial(identity), release)?;
        Ok(Self { log, authorities, study: None, order: None, trained: None, exchange: None })
    }

    /// The log, to be looked at.
    pub(crate) fn log(&self) -> AuditLog {
        self.log.clone()
    }

    /// The client ends.
    pub(crate) async fn stopped(&self, reason: &'static str) -> Result<(), AuditError> {
        self.write(Record::ProcessStopped { reason: Code::new(reason) }).await
    }

    /// A connection is up. Its heads are signed as `identity`.
    pub(crate) async fn connected(
        &mut self,
        connection: &Connection,
        identity: &Identity,
    ) -> Result<(), AuditError> {
        let (log, authorities) = (self.log.clone(), self.authorities.clone());
        let witness = Witness::new(log, authorities, Arc::new(identity.clone()), connection.peer().clone());
        self.exchange = Some(Exchange { witness, speaks: false, under_way: false, farewell: false });
        let peer = connection.peer().clone().into();
        let serial = connection.peer_serial().parse();
        let serial = serial.expect("a serial number of a certificate is hexadecimal with colons");
        self.write(Record::ConnectionOpened { peer, serial }).await
    }

    /// The connection has ended.
    pub(crate) async fn disconnected(&mut self, connection: &Connection) -> Result<(), AuditError> {
        self.exchange = None;
        let (peer, traffic) = (connection.peer().clone().into(), connection.traffic());
        let (bytes_sent, bytes_received) = (traffic.bytes_sent, traffic.bytes_received);
        self.write(Record::ConnectionClosed { peer, bytes_sent, bytes_received }).await
    }

    /// `outcome` is about to leave as the answer to `order`, so that the records can say what it is.
    pub(crate) fn recall(&mut self, order: &WorkOrder, outcome: &Outcome) {
        self.order = Some(order.clone());
        if let Outcome::Trained(training) = outcome {
            self.trained = Some((order.id, training.clone()));
        }
    }

    /// `message` is about to leave.
    pub(crate) async fn leaving(
        &self,
        message: &ToCoordinator,
        connection: &Connection,
    ) -> Result<Result<(), FrameError>, AuditError> {
        let task = |id: &OrderId| self.order_of(id).map(|order| order.task.clone());
        let Some(content) = Content::of_site(message, task) else { return Ok(Ok(())) };
        let bytes = match frame::encode(message) {
            Ok(bytes) => bytes,
            Err(error) => return Ok(Err(error)),
        };
        let peer = connection.peer().clone().into();
        let (blake3, bytes) = (Digest::of(&bytes), bytes.len() as u64);
        self.write(Record::Sent { peer, bytes, blake3, content }).await.map(Ok)
    }

    /// `blob` is about to leave as the update of `order`.
    pub(crate) async fn uploading(
        &self,
        id: OrderId,
        blob: BlobRef,
        connection: &Connection,
    ) -> Result<(), AuditError> {
        let work = self.order_of(&id).map(|order| Work::of(&order.task));
        let trained = self.trained.as_ref().filter(|(trained, _)| *trained == id).map(|(_, outcome)| outcome);
        let content = Content::Update {
            order: Some(id),
            tensors: self
                .study
                .as_ref()
                .zip(work.as_ref())
                .and_then(|(study, work)| Some(TensorSummary::of(&study.trainable_tensors(work.arm?)))),
            work,
            cases: trained.map(|outcome| outcome.cases),
            norm: trained.map(|outcome| outcome.norm).filter(|norm| norm.is_finite()),
        };
        let peer = connection.peer().clone().into();
        self.write(Record::Sent { peer, bytes: blob.bytes, blake3: blob.digest, content }).await
    }

    /// `message` has arrived; what is said of the exchange of heads in return, one after the other. Nothing where nothing
    /// `may_leave`: then the next settled order brings the next exchange.
    pub(crate) async fn arrived(
        &mut self,
        message: &ToSite,
        connection: &Connection,
        may_leave: bool,
    ) -> Replies {
        match message {
            ToSite::AuditHead(_) if !may_leave => {
                self.exchange.iter_mut().for_each(|exchange| exchange.under_way = false);
                return Ok(Ok(Vec::new()));
            }
            ToSite::AuditHead(head) => return self.countersign(head.clone()).await,
            ToSite::Countersigned(head) => return self.keep(head.clone()).await,
            _ => {}
        }
        if let Some(content) = Content::of_coordinator(message) {
            // Messages are encoded in one way only, so that these are the bytes that came.
            let bytes = frame::encode(message).unwrap_or_default();
            let peer = connection.peer().clone().into();
            let (blake3, bytes) = (Digest::of(&bytes), bytes.len() as u64);
            self.write(Record::Received { peer, bytes, blake3, content }).await?;
        }
        self.learn(message);
        let settled = matches!(
            message,
            ToSite::Welcome { .. } | ToSite::Accepted { .. } | ToSite::Rejected { order: Some(_), .. }
        );
        if settled && may_leave { self.state().await } else { Ok(Ok(Vec::new())) }
    }

    /// Whether the other side's head is still to come.
    pub(crate) fn awaits_head(&self) -> bool {
        self.exchange.as_ref().is_some_and(|exchange| exchange.under_way)
    }

    /// The last head of a connection over which the coordinator has said that the study is over.
    pub(crate) async fn last_head(&mut self) -> Replies {
        let over = self.exchange.as_ref().is_some_and(|exchange| exchange.farewell);
        if over { self.state().await } else { Ok(Ok(Vec::new())) }
    }

    /// States the head of our log, if the other side wants to hear it.
    async fn state(&mut self) -> Replies {
        let Some(exchange) = self.exchange.as_mut().filter(|exchange| exchange.speaks) else {
            return Ok(Ok(Vec::new()));
        };
        exchange.under_way = true;
        let witness = exchange.witness.clone();
        said(waiting(move || witness.state()).await?.map(ToCoordinator::AuditHead))
    }

    /// What the hospital's policy or its people decided, and what became of its certificate.
    pub(crate) async fn decided(&self, records: Vec<Record>) -> Result<(), AuditError> {
        if records.is_empty() {
            return Ok(());
        }
        let log = self.log.clone();
        waiting(move || log.append_all(&records)).await??;
        Ok(())
    }

    /// `blob` was fetched; perhaps over a connection that is gone by now.
    pub(crate) async fn fetched(&self, blob: BlobRef) -> Result<(), AuditError> {
        let peer = Role::Coordinator.into();
        let (bytes, blake3) = (blob.bytes, blob.digest);
        self.write(Record::Received { peer, bytes, blake3, content: Content::Model {} }).await
    }

    /// Remembers what later records tell of.
    fn learn(&mut self, message: &ToSite) {
        match message {
            ToSite::Welcome { version, study, .. } => {
                self.study = Study::from_json(study).ok();
                if let Some(exchange) = &mut self.exchange {
                    exchange.speaks = *version >= FIRST_VERSION;
                }
            }
            ToSite::Finished | ToSite::Halted { .. } | ToSite::Withdrawn => {
                self.exchange.iter_mut().for_each(|exchange| exchange.farewell = true);
            }
            ToSite::Work(order) => self.order = Some(order.clone()),
            _ => {}
        }
    }

    fn order_of(&self, id: &OrderId) -> Option<&WorkOrder> {
        self.order.as_ref().filter(|order| order.id == *id)
    }

    async fn countersign(&mut self, head: SignedHead) -> Replies {
        let Some(exchange) = &mut self.exchange else { return Ok(Ok(Vec::new())) };
        exchange.under_way = false;
        let witness = exchange.witness.clone();
        said(waiting(move || witness.countersign(&head)).await?.map(ToCoordinator::Countersigned))
    }

    async fn keep(&self, head: SignedHead) -> Replies {
        let Some(exchange) = &self.exchange else { return Ok(Ok(Vec::new())) };
        let witness = exchange.witness.clone();
        match waiting(move || witness.keep_receipt(&head)).await? {
            Ok(()) => Ok(Ok(Vec::new())),
            Err(WitnessError::Append(error)) => Err(error.into()),
            Err(error) => Ok(Err(error)),
        }
    }

    async fn write(&self, record: Record) -> Result<(), AuditError> {
        let log = self.log.clone();
        waiting(move || log.append(record)).await??;
        Ok(())
    }
}

/// The serial number of the certificate that `identity` shows at present.
pub(crate) fn own_serial(identity: &Identity) -> Serial {
    let serial = identity.certificate().serial.parse();
    serial.expect("a serial number of a certificate is hexadecimal with colons")
}

/// Runs what waits for the disk on a thread that may.
async fn waiting<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, AuditError> {
    aside(work).await.map_err(|_| AuditError::Thread)
}

/// An unwritable log is the client's end; what else fails is the connection's.
fn said(result: Result<ToCoordinator, WitnessError>) -> Replies {
    match result {
        Ok(message) => Ok(Ok(vec![message])),
        Err(WitnessError::Append(error)) => Err(error.into()),
        Err(error) => Ok(Err(error)),
    }
}
