//! The gate: every message and every upload passes here on its way out, and nothing passes that the hospital's word
//! does not cover. What passes is in the audit log before its first byte leaves; a log that cannot be written lets
//! nothing out.
//!
//! Nothing else in this crate holds the sending half of a connection (`tests/architecture` looks).
//!
//! The study was judged when it was offered; this looks again at what really leaves, because the coordinator may have
//! sent an order that is not in the study, or the policy's hours may have ended meanwhile. It decides nothing about
//! the conversation: what does not pass is told to the caller.

use consilium_audit::{AuditError, WitnessError};
use consilium_domain::{BlobRef, OrderId, Study, StudyHash, Task, WorkOrder};
use consilium_protocol::{Outcome, ToCoordinator, bounded_reason};
use consilium_transport::{Connection, ControlError, ControlReceiver, ControlSender, FrameError};

use crate::auditing::Auditor;
use crate::policy::SitePolicy;
use crate::steward::{Steward, Word};
use crate::transfers::Transfers;

/// What became of something that was to leave.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Passage {
    /// It is on its way, or the reason why it may not leave is in its place.
    Gone,
    /// Nothing may leave now.
    NotNow,
    /// It may never leave, for this reason.
    Never(String),
}

/// Why a connection is given up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    /// The control stream.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The other side's signature over our audit log, or over its own.
    #[error(transparent)]
    Witness(#[from] WitnessError),
}

impl From<FrameError> for LinkError {
    fn from(error: FrameError) -> Self {
        Self::Control(error.into())
    }
}

/// An established connection. What is said on it passes the gate.
pub(crate) struct Link<'a> {
    connection: &'a Connection,
    sender: ControlSender,
}

impl<'a> Link<'a> {
    /// Opens the control stream of `connection`.
    pub(crate) async fn open(connection: &'a Connection) -> Result<(Self, ControlReceiver), ControlError> {
        let (sender, receiver) = connection.open_control().await?;
        Ok((Self { connection, sender }, receiver))
    }

    /// Where it goes.
    pub(crate) const fn connection(&self) -> &'a Connection {
        self.connection
    }
}

/// What the gate knows of the study under way.
#[derive(Default)]
pub(crate) struct Outgoing {
    approved: Option<Study>,
    /// Its hash, which is asked for with every message.
    approved_hash: Option<StudyHash>,
    /// Fingerprints that the site made, and how many of their cases it was told to leave out.
    compared: Option<usize>,
    named: usize,
    /// The order that is worked on: the last one that was let in.
    order: Option<WorkOrder>,
}

impl Outgoing {
    /// The hospital agreed to `study`.
    pub(crate) fn approve(&mut self, study: Study) {
        self.approved_hash = Some(study.hash());
        self.approved = Some(study);
    }

    /// The site has made so many fingerprints.
    pub(crate) fn fingerprinted(&mut self, cases: usize) {
        self.compared = Some(cases);
    }

    /// The coordinator named so many of them as duplicates. The error is the policy's objection.
    pub(crate) fn excluded(&mut self, named: usize, policy: &SitePolicy) -> Result<(), String> {
        self.named = named;
        self.check_duplicates(policy)
    }

    /// Lets in an order; the error is why it is not carried out.
    pub(crate) fn take(&mut self, order: &WorkOrder, policy: &SitePolicy) -> Result<(), String> {
        self.order = None;
        self.check_order(order, policy)?;
        self.order = Some(order.clone());
        Ok(())
    }

    /// Sends `message`, unless it may not leave. An answer that may not is replaced by the reason. The outer error ends
    /// the client, the inner the connection.
    pub(crate) async fn send(
        &self,
        message: ToCoordinator,
        steward: &mut Steward,
        auditor: &Auditor,
        link: &mut Link<'_>,
    ) -> Result<Result<Passage, LinkError>, AuditError> {
        let was_answer = matches!(message, ToCoordinator::Answer { .. });
        let message = match self.examine(message, steward) {
            Ok(message) => message,
            Err(withheld) => return Ok(Ok(withheld)),
        };
        if was_answer && matches!(message, ToCoordinator::Failed { .. }) {
            steward.held_back(self.study(), "answer");
            auditor.decided(steward.take_unwritten()).await?;
        }
        if let Err(error) = auditor.leaving(&message, link.connection).await? {
            return Ok(Err(error.into()));
        }
        Ok(link.sender.send(&message).await.map(|()| Passage::Gone).map_err(LinkError::from))
    }

    /// Begins to upload the blob of an answer, unless it may not leave.
    pub(crate) async fn upload(
        &self,
        order: OrderId,
        blob: BlobRef,
        steward: &mut Steward,
        auditor: &Auditor,
        transfers: &Transfers,
        link: &Link<'_>,
    ) -> Result<Passage, AuditError> {
        if !steward.may_leave() {
            return Ok(Passage::NotNow);
        }
        let training = |order: &WorkOrder| matches!(order.task, Task::Train { .. });
        let checked = self.current(order, steward).and_then(|order| {
            if training(order) { Ok(()) } else { Err(format!("{} has no blob as its answer", order.task)) }
        });
        match checked {
            Ok(()) => {
                auditor.uploading(order, blob, link.connection).await?;
                transfers.upload(order, blob, link.connection);
                Ok(Passage::Gone)
            }
            Err(objection) => {
                steward.held_back(self.study(), "update");
                auditor.decided(steward.take_unwritten()).await?;
                Ok(Passage::Never(objection))
            }
        }
    }

    fn study(&self) -> Option<StudyHash> {
        self.approved_hash
    }

    /// What leaves in place of `message`.
    fn examine(&self, message: ToCoordinator, steward: &Steward) -> Result<ToCoordinator, Passage> {
        let policy = steward.policy();
        match &message {
            // A greeting, a farewell and a request for a certificate say nothing of a patient.
            ToCoordinator::Hello { .. } | ToCoordinator::Withdraw { .. } | ToCoordinator::Renew { .. } => {
                return Ok(message);
            }
            _ if !steward.may_leave() => return Err(Passage::NotNow),
            ToCoordinator::Ready => self.approved_study(steward).map(|_| ()),
            ToCoordinator::Failed { .. } => Ok(()),
            // Counts of steps and bytes, of an order whose cases the coordinator knows.
            ToCoordinator::Progress { .. } => self.approved_study(steward).map(|_| ()),
            // A length and a hash of what has left already.
            ToCoordinator::AuditHead(_) | ToCoordinator::Countersigned(_) => Ok(()),
            ToCoordinator::Fingerprints { study, .. } => self.check_study(study, steward).map(|_| ()),
            ToCoordinator::Enlist { study, cohort } => self
                .check_study(study, steward)
                .and_then(|study| policy.objection_to_cohort(study, cohort).map_or(Ok(()), Err))
                .and_then(|()| self.check_duplicates(policy)),
            ToCoordinator::Answer { order, outcome } => {
                if let Err(objection) = self.check_answer(*order, outcome, steward) {
                    tracing::warn!(%order, objection, "an answer stays here");
                    return Ok(ToCoordinator::Failed { order: *order, reason: bounded_reason(&objection) });
                }
                Ok(())
            }
        }
        .map_err(Passage::Never)?;
        Ok(message)
    }

    fn check_answer(&self, order: OrderId, outcome: &Outcome, steward: &Steward) -> Result<(), String> {
        self.current(order, steward)?;
        self.check_outcome(outcome, steward.policy())
    }

    /// What of `outcome` the policy lets leave, as soon as it is there; the error is why nothing of it does.
    pub(crate) fn lets_out(&self, outcome: Outcome, policy: &SitePolicy) -> Result<Outcome, String> {
        let outcome = policy.withhold(outcome);
        self.check_outcome(&outcome, policy)?;
        Ok(outcome)
    }

    /// Whether the policy lets `outcome` leave as it is: asked again before it goes.
    fn check_outcome(&self, outcome: &Outcome, policy: &SitePolicy) -> Result<(), String> {
        policy.objection_to_outcome(outcome).map_or(Ok(()), Err)
    }

    /// The order that was let in, if it is `id`, and still within the policy and the approved study.
    fn current(&self, id: OrderId, steward: &Steward) -> Result<&WorkOrder, String> {
        self.approved_study(steward)?;
        let order = self.order.as_ref().filter(|order| order.id == id);
        let order = order.ok_or("the answer is to no order that this site took")?;
        self.check_order(order, steward.policy())?;
        Ok(order)
    }

    fn check_order(&self, order: &WorkOrder, policy: &SitePolicy) -> Result<(), String> {
        let study = self.approved.as_ref().ok_or("no study is approved at this site")?;
        policy.objection_to_order(study, order).map_or(Ok(()), Err)
    }

    fn check_study(&self, hash: &StudyHash, steward: &Steward) -> Result<&Study, String> {
        let study = self.approved_study(steward)?;
        if self.approved_hash == Some(*hash) {
            Ok(study)
        } else {
            Err("this is not the study that was approved".into())
        }
    }

    /// The study, if the hospital's word on it still stands.
    fn approved_study(&self, steward: &Steward) -> Result<&Study, String> {
        let study = self.approved.as_ref().ok_or("no study is approved at this site")?;
        if self.approved_hash.is_some_and(|hash| steward.word_on(&hash) == Word::Approved) {
            return Ok(study);
        }
        Err("this site does not agree to the study any more".into())
    }

    fn check_duplicates(&self, policy: &SitePolicy) -> Result<(), String> {
        let Some(cases) = self.compared else { return Ok(()) };
        policy.objection_to_duplicates(self.named, cases).map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests;
