//! The hospital's word: whether the site takes part, and when something may leave it.
//!
//! What the word is and who gives it is the shell's business: a policy file, a person at a keyboard, a clock.

use consilium_domain::WorkOrder;

use super::{Action, Participant, Session, Step};
use crate::{ToCoordinator, WITHDRAWALS_SINCE, bounded_reason};

/// What the hospital says of the study.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Consent {
    Unasked,
    Asked,
    Given,
    /// For this reason the site takes no part any more.
    Refused(String),
}

impl Participant {
    /// What a welcomed session does while the hospital's word is not given, or is a refusal; `None` once it is given.
    pub(super) fn await_consent(&mut self, session: &Session) -> Option<Vec<Action>> {
        match &self.consent {
            Consent::Given if self.held => {
                self.step = Step::Held;
                Some(Vec::new())
            }
            Consent::Given => None,
            Consent::Refused(reason) => {
                let reason = reason.clone();
                Some(self.withdraw(session, reason))
            }
            Consent::Asked => {
                self.step = Step::Judging;
                Some(Vec::new())
            }
            Consent::Unasked => {
                self.step = Step::Judging;
                self.consent = Consent::Asked;
                Some(vec![Action::Judge(Box::new(session.study.clone()))])
            }
        }
    }

    /// Said over every connection until the coordinator confirms it. An older coordinator cannot be told.
    fn withdraw(&mut self, session: &Session, reason: String) -> Vec<Action> {
        if session.version < WITHDRAWALS_SINCE {
            return self.stop(format!(
                "{reason} (the coordinator is too old to be told: it will wait for this site until its deadlines)"
            ));
        }
        self.step = Step::Withdrawing;
        vec![Action::Send(ToCoordinator::Withdraw { study: session.hash, reason })]
    }

    pub(super) fn approved(&mut self) -> Vec<Action> {
        if matches!(self.consent, Consent::Unasked | Consent::Asked) {
            self.consent = Consent::Given;
        }
        if self.step == Step::Judging { self.go_on() } else { Vec::new() }
    }

    /// What is under way loses its purpose: its results are ignored.
    pub(super) fn declined(&mut self, reason: &str) -> Vec<Action> {
        self.consent = Consent::Refused(bounded_reason(reason));
        (self.order, self.outbox, self.working) = (None, None, false);
        self.go_on()
    }

    pub(super) const fn is_withdrawing(&self) -> bool {
        matches!(self.consent, Consent::Refused(_))
    }

    pub(super) fn withdrawn(&mut self) -> Vec<Action> {
        if !self.is_withdrawing() {
            return self.stop(
                "this site withdrew from the study before, which is final: it can take part in the next one"
                    .into(),
            );
        }
        self.step = Step::Over;
        vec![Action::Withdrawn]
    }

    pub(super) fn released(&mut self) -> Vec<Action> {
        self.held = false;
        if self.step == Step::Held { self.go_on() } else { Vec::new() }
    }

    /// An order that the hospital does not carry out is answered with the reason, as one that failed.
    pub(super) fn refuse(&mut self, order: WorkOrder, reason: String) -> Vec<Action> {
        if self.step != Step::Idle {
            return self.stop("the coordinator sent work that was not asked for".into());
        }
        self.finished(order.id, Err(reason))
    }
}
