//! Results on their way out: kept before anything of them leaves, found again after a crash, forgotten once settled.

use consilium_domain::{OrderId, Study, StudyHash, Task, WorkOrder};
use consilium_protocol::participant::Input;
use consilium_protocol::{DETAILS_SINCE, Outcome, ToSite};

use super::Client;
use crate::daemon::DaemonError;
use crate::half_trained::HalfTrained;
use crate::worker::Done;

impl Client<'_> {
    /// Turns a result of the worker into what the participant is told; it is in the outbox by then. What the policy does
    /// not let leave is turned into the reason here.
    pub(super) async fn finished(&mut self, done: Done) -> Result<(), DaemonError> {
        let policy = self.house.steward.policy();
        let input = match done {
            Done::OwnFilesFailed(error) => return Err(error.into()),
            Done::Fingerprinted(result) => {
                self.gate.fingerprinted(result.as_ref().map_or(0, Vec::len));
                Input::Fingerprinted(result)
            }
            Done::Prepared(Ok(cohort)) => {
                let study = self.offered.as_ref();
                if let Some(objection) = study.and_then(|study| policy.objection_to_cohort(study, &cohort)) {
                    return self.leave(&objection).await;
                }
                Input::Prepared(Ok(cohort))
            }
            Done::Prepared(Err(reason)) => Input::Prepared(Err(reason)),
            Done::Executed { order, result } => {
                // It is another's, or nobody's, once the hospital has withdrawn.
                let current = self.participant.order().filter(|current| current.id == order).cloned();
                let result = match result {
                    Ok(answer) => self.kept(current.as_ref(), answer).await?,
                    Err(reason) => Err(reason),
                };
                if let Some(order) = &current {
                    self.forget_half_trained(order);
                }
                Input::WorkDone { order, result }
            }
        };
        self.inputs.push_back(input);
        Ok(())
    }

    /// Keeps the answer to `order` until it is settled; the inner error is why it may not leave.
    async fn kept(
        &mut self,
        order: Option<&WorkOrder>,
        (outcome, payload): (Outcome, Option<Vec<u8>>),
    ) -> Result<Result<Outcome, String>, DaemonError> {
        let outcome = match self.gate.lets_out(outcome, self.house.steward.policy()) {
            Ok(outcome) => outcome,
            Err(objection) => {
                self.house.steward.held_back(self.offered.as_ref().map(Study::hash), "answer");
                return Ok(Err(objection));
            }
        };
        if let Some(order) = order {
            self.house.outbox.keep(order, &outcome, payload).await?;
        }
        Ok(Ok(outcome))
    }

    /// Tells the participant of the answers to `study` that a crash has left here.
    pub(super) async fn recover(&mut self, study: StudyHash) -> Result<(), DaemonError> {
        for (order, outcome) in self.house.outbox.of_study(study).await? {
            tracing::info!(%order, "the answer of before is reported; nothing is computed again");
            self.inputs.push_back(Input::Recovered { order, outcome });
        }
        Ok(())
    }

    /// Gate and audit log look at every answer with its order, which for one of before a crash nobody has sent. Where the
    /// gate does not let it in again, it lets nothing of it out.
    pub(super) fn recall(&mut self, order: OrderId) {
        let Some((order, outcome)) = self.house.outbox.waiting(order) else { return };
        if let Err(reason) = self.gate.take(order, self.house.steward.policy()) {
            tracing::warn!(task = %order.task, reason, "an answer of before stays here");
        }
        self.house.auditor.recall(order, outcome);
    }

    /// An answer that is accepted or refused is not kept. One that only does not fit is, until its order is settled.
    pub(super) async fn settle(&mut self, message: &ToSite) -> Result<(), DaemonError> {
        match message {
            ToSite::Welcome { version, .. } => {
                self.packs = *version >= super::PACKED_UPDATES_VERSION;
                self.transfers.coordinator_resumes(*version >= super::RESUMPTION_VERSION);
                self.reads_details = *version >= DETAILS_SINCE;
            }
            ToSite::Accepted { order } => self.house.outbox.settle(*order).await?,
            ToSite::Rejected { order: Some(order), rejection } if !rejection.blames_the_answer() => {
                self.house.outbox.settle(*order).await?;
            }
            // No study needs the site: the one that it came back to is over.
            ToSite::Finished | ToSite::Halted { .. } | ToSite::Withdrawn | ToSite::Waiting => {
                self.study_over().await?;
            }
            _ => {}
        }
        Ok(())
    }

    /// The study that was offered, if one was, needs nothing of what is kept for it any more.
    async fn study_over(&mut self) -> Result<(), DaemonError> {
        let Some(study) = self.offered.as_ref().map(Study::hash) else { return Ok(()) };
        self.house.outbox.study_over(study).await?;
        if let Err(error) = HalfTrained::of(&self.house.half_trained(), study).study_over() {
            tracing::warn!(%error, "trainings of a study that is over stay on the disk");
        }
        self.at_hand.clear();
        self.models.study_over(self.participant.base(), &self.house.store).await;
        Ok(())
    }

    fn forget_half_trained(&self, order: &WorkOrder) {
        let Task::Train { lane, .. } = &order.task else { return };
        let trainings = HalfTrained::of(&self.house.half_trained(), order.study);
        // The next order of the lane replaces it.
        if let Err(error) = trainings.forget(lane) {
            tracing::warn!(%error, "the states of a finished training stay on the disk");
        }
    }
}
