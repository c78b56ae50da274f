//! Who speaks for the hospital: its policy, its people's decisions, and the clock.
//!
//! The daemon asks it what is allowed and tells it what was offered; people ask and tell it the same through
//! [`Request`]s, over the control socket or, while no daemon runs, directly. It decides nothing that the policy or a
//! person did not, and speaks to no coordinator.

mod clock;
mod decisions;
mod request;
#[cfg(test)]
mod tests;
mod view;

use std::path::Path;
use std::time::Duration;

use consilium_audit::{Code, Decider, PolicyVerdict};
use consilium_domain::{Study, StudyHash};
use consilium_protocol::{Timestamp, bounded_reason};

pub use clock::Clock;
pub use decisions::DecisionsError;
pub(crate) use decisions::{Decided, DecidedBy, Decisions, Record, Verdict};
pub(crate) use request::{Answer, Request};
pub(crate) use view::{StatusView, StudyView, utc};

use crate::policy::{Ruling, SitePolicy};

/// How often the clock is looked at: pauses of the machine and a clock that is set must not be slept through.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// The hospital's word on a study.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Word {
    /// It takes part.
    Approved,
    /// A person has not decided yet.
    Pending,
    /// It does not, or does not any more; the reason is told to the coordinator.
    Refused(String),
}

impl From<Verdict> for PolicyVerdict {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Approved => Self::Approved,
            Verdict::Declined => Self::Declined,
            Verdict::Left => Self::Withdrawn,
        }
    }
}

/// The policy, the decisions, and what the daemon does right now.
pub(crate) struct Steward {
    policy: SitePolicy,
    decisions: Decisions,
    clock: Clock,
    now_doing: Doing,
    /// Whether the clock was within the policy's hours when it was looked at last.
    within_hours: bool,
    /// What was decided and is not in the audit log yet.
    unwritten: Vec<consilium_audit::Record>,
}

/// What the daemon tells of itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct Doing {
    pub(crate) daemon: bool,
    pub(crate) connected: bool,
    pub(crate) out_of_reach_since: Option<Timestamp>,
    pub(crate) study: Option<StudyHash>,
    pub(crate) order: Option<String>,
}

impl Steward {
    /// Takes charge of the decisions in the folder `state`; nobody else can until this is dropped.
    pub(crate) fn open(state: &Path, policy: SitePolicy, clock: Clock) -> Result<Self, DecisionsError> {
        let (decisions, now_doing) = (Decisions::open(state)?, Doing::default());
        Ok(Self { policy, decisions, clock, now_doing, within_hours: true, unwritten: Vec::new() })
    }

    pub(crate) const fn policy(&self) -> &SitePolicy {
        &self.policy
    }

    /// What the daemon does, to be kept up to date by it.
    pub(crate) const fn now_doing(&mut self) -> &mut Doing {
        &mut self.now_doing
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// What was decided since the last call, for the audit log: nothing follows from it before it is there.
    pub(crate) fn take_unwritten(&mut self) -> Vec<consilium_audit::Record> {
        std::mem::take(&mut self.unwritten)
    }

    fn note(&mut self, study: Option<StudyHash>, verdict: PolicyVerdict, by: Decider, reason: &'static str) {
        let reason = Code::new(reason);
        self.unwritten.push(consilium_audit::Record::PolicyDecision { study, verdict, by, reason });
    }

    /// Something of `study` was about to leave, or an order to be carried out, against the policy.
    pub(crate) fn held_back(&mut self, study: Option<StudyHash>, what: &'static str) {
        self.note(study, PolicyVerdict::HeldBack, Decider::Rule, what);
    }

    /// Looks at the clock for the audit log: the policy's hours begin or end.
    pub(crate) fn look_at_hours(&mut self) {
        let within = self.is_within_hours();
        if std::mem::replace(&mut self.within_hours, within) != within {
            let verdict = if within { PolicyVerdict::Resumed } else { PolicyVerdict::Paused };
            self.note(None, verdict, Decider::Rule, "hours");
        }
    }

    /// Whether people stopped everything.
    pub(crate) fn is_paused(&self) -> bool {
        self.decisions.paused_since().is_some()
    }

    /// Whether work may be done and something may leave right now.
    pub(crate) fn may_leave(&self) -> bool {
        !self.is_paused() && self.is_within_hours()
    }

    fn is_within_hours(&self) -> bool {
        self.policy.hours().is_none_or(|hours| hours.contain(self.now()))
    }

    /// How long until [`Self::may_leave`] should be asked again, if nothing else happens.
    pub(crate) fn next_look(&self) -> Duration {
        let Some(hours) = self.policy.hours() else { return LOOK_INTERVAL };
        let now = self.now();
        Duration::from_millis(hours.next_change(now).0.saturating_sub(now.0)).min(LOOK_INTERVAL)
    }

    /// The coordinator offers `study`: it is written down, with what the policy says.
    pub(crate) fn offered(&mut self, study: &Study) -> Result<(), DecisionsError> {
        let at = self.now();
        let ruling = self.policy.judge(study);
        let decided = match &ruling {
            Ruling::Approve => Some((Verdict::Approved, None)),
            Ruling::Ask => None,
            Ruling::Decline(reasons) => Some((Verdict::Declined, Some(reasons.join("; ")))),
        };
        self.decisions.change(|book| {
            let record = book.record_of(study.hash());
            record.offer(study, at);
            record.ruling = Some(ruling.into());
            // A policy that changed since decides anew; a person's word stays.
            if record.decided.as_ref().is_none_or(|decided| decided.by == DecidedBy::Rule) {
                record.decided =
                    decided.map(|(verdict, reason)| Decided { verdict, by: DecidedBy::Rule, at, reason });
            }
        })?;
        self.note_word_on(study.hash());
        Ok(())
    }

    /// Notes what holds for a study that is offered: a person may have decided before, or while no client ran.
    fn note_word_on(&mut self, study: StudyHash) {
        let record = self.decisions.find(&study);
        let outside = record
            .is_some_and(|record| record.ruling.as_ref().is_some_and(|ruling| ruling.objections().is_some()));
        let decided = record.and_then(|record| record.decided.as_ref());
        let (verdict, by, reason) = match decided.map(|decided| (decided.verdict, decided.by)) {
            _ if outside => (PolicyVerdict::Declined, Decider::Rule, "outside-policy"),
            None => (PolicyVerdict::Asked, Decider::Rule, "manual-approval"),
            Some((verdict, DecidedBy::Rule)) => (verdict.into(), Decider::Rule, "policy"),
            Some((verdict, DecidedBy::Hand)) => (verdict.into(), Decider::Person, "decided-before"),
        };
        self.note(Some(study), verdict, by, reason);
    }

    /// The policy was broken while the study ran: the site leaves it.
    pub(crate) fn refuse(&mut self, study: StudyHash, reason: &str) -> Result<(), DecisionsError> {
        let (at, reason) = (self.now(), Some(bounded_reason(reason)));
        self.decisions.change(|book| {
            let decided = Decided { verdict: Verdict::Left, by: DecidedBy::Rule, at, reason };
            book.record_of(study).decided = Some(decided);
        })?;
        self.note(Some(study), PolicyVerdict::Withdrawn, Decider::Rule, "policy-broken");
        Ok(())
    }

    /// The hospital's word on a study that was [offered](Self::offered). Outside the policy nobody's approval counts.
    pub(crate) fn word_on(&self, study: &StudyHash) -> Word {
        let Some(record) = self.decisions.find(study) else { return Word::Pending };
        if let Some(reasons) = record.ruling.as_ref().and_then(|ruling| ruling.objections()) {
            return Word::Refused(format!("declined by this site's policy: {}", reasons.join("; ")));
        }
        match &record.decided {
            None => Word::Pending,
            Some(Decided { verdict: Verdict::Approved, .. }) => Word::Approved,
            Some(Decided { verdict, by, reason, .. }) => {
                let done = if *verdict == Verdict::Left { "left" } else { "declined" };
                let who = if *by == DecidedBy::Rule { "this site's policy" } else { "this site" };
                let why = reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"));
                Word::Refused(format!("{done} by {who}{why}"))
            }
        }
    }
}
