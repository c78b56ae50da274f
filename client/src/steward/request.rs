//! What people ask and tell, and what they are answered. The same over the control socket and without a daemon.

use consilium_audit::{Decider, PolicyVerdict};
use consilium_domain::StudyHash;
use consilium_protocol::{MAX_REASON_BYTES, bounded_reason};
use serde::{Deserialize, Serialize};

use super::{Decided, DecidedBy, Record, StatusView, Steward, StudyView, Verdict};

/// Fewest digits of a hash that name a study: 32 bits, so that nobody approves another study by a slip.
const FEWEST_DIGITS: usize = 8;
/// Digits of a whole hash.
const ALL_DIGITS: usize = 64;

/// One request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum Request {
    Studies,
    Status,
    Approve { study: String },
    Decline { study: String, reason: Option<String> },
    Leave { study: String, reason: Option<String> },
    Pause,
    Resume,
}

/// Its answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Answer {
    Studies(Vec<StudyView>),
    Status(StatusView),
    /// It is done and on the disk.
    Done(String),
    /// It is not done, and why.
    Refused(String),
}

impl Steward {
    /// Carries out `request`.
    pub(crate) fn answer(&mut self, request: Request) -> Answer {
        let done = match request {
            Request::Studies => return Answer::Studies(self.study_views()),
            Request::Status => return Answer::Status(self.status_view()),
            Request::Approve { study } => self.approve(&study),
            Request::Decline { study, reason } => self.refuse_by_hand(&study, Verdict::Declined, reason),
            Request::Leave { study, reason } => self.refuse_by_hand(&study, Verdict::Left, reason),
            Request::Pause => self.pause(),
            Request::Resume => self.resume(),
        };
        match done {
            Ok(text) => Answer::Done(text),
            Err(reason) => Answer::Refused(reason),
        }
    }

    fn approve(&mut self, named: &str) -> Result<String, String> {
        let hash = self.named(named)?;
        let record = self.decisions.find(&hash);
        if let Some(reasons) = record.and_then(|record| record.ruling.as_ref()?.objections()) {
            return Err(format!(
                "the policy declines this study: {}; a study outside the policy cannot be approved: change the policy, \
                 restart the client, and ask the consortium's admin for a new study",
                reasons.join("; ")
            ));
        }
        match record.and_then(|record| record.decided.as_ref()).map(|decided| decided.verdict) {
            Some(Verdict::Approved) => return Ok(format!("{} is approved already", short(&hash))),
            Some(Verdict::Declined | Verdict::Left)
                if record.is_some_and(|record| record.offer.is_some()) =>
            {
                return Err(
                    "this site has withdrawn from the study, which is final: it can take part in the next"
                        .into(),
                );
            }
            Some(Verdict::Declined | Verdict::Left) | None => {}
        }
        self.decide(hash, Verdict::Approved, None)?;
        Ok(format!("{} is approved", short(&hash)))
    }

    /// Declining is for a study that is not approved, leaving for one that is: nobody does one for the other by a slip.
    fn refuse_by_hand(
        &mut self,
        named: &str,
        verdict: Verdict,
        reason: Option<String>,
    ) -> Result<String, String> {
        let hash = self.named(named)?;
        if reason.as_ref().is_some_and(|reason| reason.len() > MAX_REASON_BYTES) {
            return Err(format!("the reason is longer than {MAX_REASON_BYTES} bytes"));
        }
        let before = self.decisions.find(&hash).and_then(|record| record.decided.as_ref());
        match (before.map(|decided| decided.verdict), verdict) {
            (Some(Verdict::Approved), Verdict::Declined) => {
                return Err(format!("{} is approved: use `leave` to end it", short(&hash)));
            }
            (None, Verdict::Left) => {
                return Err(format!("{} is not approved yet: use `decline`", short(&hash)));
            }
            (Some(Verdict::Declined | Verdict::Left), _) => {
                return Ok(format!("{} is declined already", short(&hash)));
            }
            _ => {}
        }
        self.decide(hash, verdict, reason.map(|reason| bounded_reason(&reason)))?;
        let done = if verdict == Verdict::Left { "left" } else { "declined" };
        Ok(format!("{} is {done}; the coordinator is told as soon as it is connected", short(&hash)))
    }

    fn decide(&mut self, hash: StudyHash, verdict: Verdict, reason: Option<String>) -> Result<(), String> {
        let decided = Decided { verdict, by: DecidedBy::Hand, at: self.now(), reason };
        self.decisions
            .change(|book| book.record_of(hash).decided = Some(decided))
            .map_err(|error| error.to_string())?;
        self.note(Some(hash), verdict.into(), Decider::Person, "by-hand");
        Ok(())
    }

    fn pause(&mut self) -> Result<String, String> {
        if self.is_paused() {
            return Ok("paused already".into());
        }
        let now = self.now();
        self.decisions.change(|book| book.pause(Some(now))).map_err(|error| error.to_string())?;
        self.note(None, PolicyVerdict::Paused, Decider::Person, "by-hand");
        Ok("paused: nothing is computed or sent until `resume`, restarts included".into())
    }

    fn resume(&mut self) -> Result<String, String> {
        if !self.is_paused() {
            return Ok("not paused".into());
        }
        self.decisions.change(|book| book.pause(None)).map_err(|error| error.to_string())?;
        self.note(None, PolicyVerdict::Resumed, Decider::Person, "by-hand");
        Ok("resumed".into())
    }

    /// The study of which `digits` are the hash, or its beginning. A whole hash may be of a study not yet offered.
    fn named(&self, digits: &str) -> Result<StudyHash, String> {
        let digits = digits.to_ascii_lowercase();
        let hexadecimal = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        if !hexadecimal || !(FEWEST_DIGITS..=ALL_DIGITS).contains(&digits.len()) {
            return Err(format!(
                "`{digits}` names no study: give the first {FEWEST_DIGITS} or more digits of a hash from `studies`"
            ));
        }
        let found: Vec<&Record> = self
            .decisions
            .records()
            .iter()
            .filter(|record| record.hash.to_string().starts_with(&digits))
            .collect();
        match found[..] {
            [record] => Ok(record.hash),
            [] if digits.len() == ALL_DIGITS => {
                serde_json::from_value(serde_json::Value::String(digits)).map_err(|error| error.to_string())
            }
            [] => {
                Err(format!("no study begins with {digits}: see `studies`, or give all {ALL_DIGITS} digits"))
            }
            [..] => Err(format!("{} studies begin with {digits}: give more digits", found.len())),
        }
    }
}

fn short(hash: &StudyHash) -> String {
    format!("study {}", hash.digest().short())
}
