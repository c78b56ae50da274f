//! What a log tells in sum: how much of what kind left and came, and the last of what left.
//!
//! Kept while the log is open, and made again from its lines when it is opened: for the client's own page, and for
//! nothing that is decided.

use std::collections::{BTreeMap, VecDeque};

use serde_json::Value;

use crate::content::{Content, Work};
use crate::record::Record;

/// Lines of what left that are kept: some screens full.
const MOST_RECENT: usize = 50;

/// Hexadecimal digits of a digest.
const DIGEST_DIGITS: usize = 64;

/// How much.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Messages or blobs.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Something that left.
#[derive(Debug, Clone, PartialEq)]
pub struct Left {
    /// When, as the log has it: RFC 3339 in UTC.
    pub at: String,
    /// To whom.
    pub to: String,
    /// Its bytes.
    pub bytes: u64,
    /// The first digits of their BLAKE3 digest.
    pub digest: String,
    /// What it is: its kind, and everything that the log says of it.
    pub content: Content,
}

/// A log in sum.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ledger {
    /// What left, by kind.
    pub sent: BTreeMap<String, Tally>,
    /// What came, by kind.
    pub received: BTreeMap<String, Tally>,
    /// The last that left, the oldest first.
    pub recent: VecDeque<Left>,
}

impl Ledger {
    /// One more line, of the time `at`.
    pub(crate) fn note(&mut self, at: &str, record: &Record) {
        match record {
            Record::Sent { peer, bytes, blake3, content } => {
                count(&mut self.sent, content, *bytes);
                if self.recent.len() == MOST_RECENT {
                    self.recent.pop_front();
                }
                self.recent.push_back(Left {
                    at: at.to_owned(),
                    to: peer.to_string(),
                    bytes: *bytes,
                    digest: blake3.short(),
                    content: content.clone(),
                });
            }
            Record::Received { bytes, content, .. } => count(&mut self.received, content, *bytes),
            _ => {}
        }
    }
}

fn count(tallies: &mut BTreeMap<String, Tally>, content: &Content, bytes: u64) {
    let tally = tallies.entry(content.kind()).or_default();
    tally.count += 1;
    tally.bytes += bytes;
}

impl Content {
    /// The word for what it is, as lines have it.
    pub fn kind(&self) -> String {
        let fields = self.fields();
        fields.get("kind").and_then(Value::as_str).unwrap_or("unknown").to_owned()
    }

    /// What a line says of it, for people: `train random/t1gd/0 round 3, cases 12, norm 0.702`. Digests, and the names of
    /// orders, which are digests too, are left to the log.
    pub fn words(&self) -> String {
        let mut words = Vec::new();
        let mut fields = self.fields();
        if let Some(work) = fields.remove("work").and_then(|work| serde_json::from_value::<Work>(work).ok()) {
            let Work { task, arm, lane, round } = work;
            let place = lane.map(|lane| lane.to_string()).or_else(|| arm.map(|arm| arm.to_string()));
            let place = place.map_or_else(String::new, |place| format!(" {place}"));
            let round = round.map_or_else(String::new, |round| format!(" round {round}"));
            words.push(format!("{}{place}{round}", task.as_str()));
        }
        for (name, value) in fields.into_iter().filter(|(name, _)| name != "kind") {
            let value = match value {
                Value::Number(number) if number.is_f64() => {
                    format!("{:.3}", number.as_f64().unwrap_or_default())
                }
                Value::Number(number) => number.to_string(),
                Value::String(text) if text.len() < DIGEST_DIGITS => text,
                Value::Array(items) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
                Value::Bool(yes) => yes.to_string(),
                Value::String(_) | Value::Object(_) | Value::Null => continue,
            };
            words.push(format!("{} {value}", name.replace('_', " ")));
        }
        words.join(", ")
    }

    fn fields(&self) -> serde_json::Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(fields)) => fields,
            _ => serde_json::Map::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use consilium_domain::{Digest, Role};

    use super::*;
    use crate::AuditLog;

    fn sent(bytes: u64) -> Record {
        let content = Content::Halted { reason_bytes: 3 };
        Record::Sent { peer: Role::Coordinator.into(), bytes, blake3: Digest::of(b"x"), content }
    }

    #[test]
    fn an_opened_log_counts_as_the_one_that_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let log = AuditLog::open(folder.path(), &Role::Coordinator).unwrap();
        assert_eq!(log.ledger(), Ledger::default());
        let received = Record::Received {
            peer: Role::Coordinator.into(),
            bytes: 9,
            blake3: Digest::of(b"y"),
            content: Content::Ready {},
        };
        log.append_all(&[sent(5), sent(7), received]).unwrap();
        let ledger = log.ledger();
        assert_eq!(ledger.sent["halted"], Tally { count: 2, bytes: 12 });
        assert_eq!(ledger.received["ready"], Tally { count: 1, bytes: 9 });
        assert_eq!((ledger.recent.len(), ledger.recent[1].content.words().as_str()), (2, "reason bytes 3"));
        drop(log);
        assert_eq!(AuditLog::open(folder.path(), &Role::Coordinator).unwrap().ledger(), ledger);
    }

    #[test]
    fn people_are_told_what_was_done_and_no_digest() {
        let arm = consilium_domain::Arm::Random;
        let work = Work { task: crate::Code::new("train"), arm: Some(arm), lane: None, round: None };
        let order = Some(consilium_domain::OrderId(Digest::of(b"z")));
        let update =
            Content::Update { order, work: Some(work), tensors: None, cases: Some(12), norm: Some(0.70249) };
        assert_eq!(
            (update.kind().as_str(), update.words().as_str()),
            ("update", "train random, cases 12, norm 0.702")
        );
    }

    #[test]
    fn the_last_are_kept_and_all_are_counted() {
        let mut ledger = Ledger::default();
        for bytes in 0..=MOST_RECENT as u64 {
            ledger.note("now", &sent(bytes));
        }
        assert_eq!((ledger.recent.len(), ledger.recent[0].bytes), (MOST_RECENT, 1));
        assert_eq!(ledger.sent["halted"].count, MOST_RECENT as u64 + 1);
    }
}
