//! One line of the log: a record with its number, its time, the hash of the line before and its own.
//!
//! ```text
//! {"seq":7,"time":"...","event":"sent","fields":{...},"previous":"<64 digits>","hash":"<64 digits>"}
//! |<------------------- the hash is the SHA-256 of these bytes -------------->|
//! ```
//!
//! The hash covers bytes, not values, so that nobody needs a canonical form of JSON to verify it.

use consilium_domain::Digest;
use consilium_protocol::{AuditHead, Timestamp};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::moment;
use crate::record::Record;

/// Longest line: a chain of four certificates, the longest record, in Base64.
pub(crate) const MAX_LINE_BYTES: usize = 64 << 10;

/// What follows the covered bytes, up to the hash.
const BEFORE_HASH: &str = ",\"hash\":\"";
/// What follows the hash.
const AFTER_HASH: &str = "\"}";
/// Hexadecimal digits of a hash.
const HASH_DIGITS: usize = 64;

/// The head of a log without lines.
pub(crate) const EMPTY: AuditHead = AuditHead { records: 0, sha256: Digest::from_bytes([0; 32]) };

/// What a line says, once its bytes fit its hash.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) seq: u64,
    pub(crate) time: String,
    pub(crate) record: Record,
    pub(crate) previous: Digest,
    pub(crate) hash: Digest,
}

/// Why some bytes are not a line. It stays open which of its parts was altered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LineError {
    /// Far too long.
    #[error("it is longer than {MAX_LINE_BYTES} bytes, as no line of this program is")]
    TooLong,
    /// Not the end that every line has.
    #[error("it does not end as a line does")]
    Shape,
    /// The bytes are not those that the hash was taken of.
    #[error("its hash does not fit its content: it was edited")]
    Edited,
    /// The hash fits, and this release cannot make sense of it.
    #[error("this release cannot read it ({0}): use the release that wrote it")]
    Unknown(String),
}

/// The line after `head` that says `record`, with its line break, and the head with it.
pub(crate) fn compose(head: AuditHead, at: Timestamp, record: &Record) -> (String, AuditHead) {
    let value = serde_json::to_value(record).expect("a record has only text keys");
    let mut line = format!(
        "{{\"seq\":{},\"time\":\"{}\",\"event\":{},\"fields\":{},\"previous\":\"{}\"",
        head.records,
        moment::text(at),
        value["event"],
        value["fields"],
        head.sha256,
    );
    let hash = hash_of(line.as_bytes());
    line.push_str(&ending(hash));
    line.push('\n');
    (line, AuditHead { records: head.records + 1, sha256: hash })
}

/// Reads a line without its line break.
pub(crate) fn parse(line: &[u8]) -> Result<Entry, LineError> {
    if line.len() >= MAX_LINE_BYTES {
        return Err(LineError::TooLong);
    }
    let end = BEFORE_HASH.len() + HASH_DIGITS + AFTER_HASH.len();
    let (body, stated) = line.len().checked_sub(end).map(|at| line.split_at(at)).ok_or(LineError::Shape)?;
    if !stated.starts_with(BEFORE_HASH.as_bytes()) || !stated.ends_with(AFTER_HASH.as_bytes()) {
        return Err(LineError::Shape);
    }
    let hash = hash_of(body);
    if stated != ending(hash).as_bytes() {
        return Err(LineError::Edited);
    }
    let unknown = |error: serde_json::Error| LineError::Unknown(error.to_string());
    let text: Text = serde_json::from_slice(line).map_err(unknown)?;
    if !moment::is_time(&text.time, false) {
        return Err(LineError::Unknown("its time is none".to_owned()));
    }
    let record = serde_json::json!({ "event": text.event, "fields": text.fields });
    let record = serde_json::from_value(record).map_err(unknown)?;
    Ok(Entry { seq: text.seq, time: text.time, record, previous: text.previous, hash })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    seq: u64,
    time: String,
    event: String,
    fields: Value,
    previous: Digest,
    #[serde(rename = "hash")]
    _hash: String,
}

fn ending(hash: Digest) -> String {
    format!("{BEFORE_HASH}{hash}{AFTER_HASH}")
}

fn hash_of(bytes: &[u8]) -> Digest {
    Digest::from_bytes(Sha256::digest(bytes).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::StudyStep;
    use crate::words::Code;

    fn stopped() -> Record {
        Record::ProcessStopped { reason: Code::new("asked-to") }
    }

    #[test]
    fn a_line_looks_like_this() {
        let (line, head) = compose(EMPTY, Timestamp(0), &stopped());
        let zeros = "0".repeat(64);
        let body = format!(
            r#"{{"seq":0,"time":"1970-01-01T00:00:00.000Z","event":"process-stopped","fields":{{"reason":"asked-to"}},"previous":"{zeros}""#
        );
        assert_eq!(line, format!("{body},\"hash\":\"{}\"}}\n", hash_of(body.as_bytes())));
        let entry = parse(line.trim_end().as_bytes()).unwrap();
        assert_eq!((entry.seq, entry.hash, head.records), (0, head.sha256, 1));
        assert_eq!(entry.record, stopped());
    }

    #[test]
    fn what_this_release_does_not_know_is_not_taken_for_an_edit() {
        let (line, _) = compose(EMPTY, Timestamp(0), &stopped());
        for (from, to) in [("process-stopped", "process-paused"), ("\"reason\"", "\"note\":1,\"reason\"")] {
            let line = line.replace(from, to);
            let body = &line[..line.find(BEFORE_HASH).unwrap()];
            let again = format!("{body}{}", ending(hash_of(body.as_bytes())));
            assert!(matches!(parse(again.as_bytes()), Err(LineError::Unknown(_))), "{again}");
        }
    }

    #[test]
    fn numbers_that_are_none_do_not_break_a_line() {
        let content = crate::content::Content::Update {
            order: None,
            work: None,
            tensors: None,
            cases: Some(3),
            norm: Some(f64::NAN),
        };
        let peer = consilium_domain::Role::Coordinator.into();
        let sent = Record::Sent { peer, bytes: 1, blake3: Digest::of(b"x"), content };
        let (line, _) = compose(EMPTY, Timestamp(0), &sent);
        assert!(parse(line.trim_end().as_bytes()).is_ok(), "{line}");
        let step = StudyStep::Finished {};
        assert_eq!(serde_json::to_string(&step).unwrap(), r#"{"kind":"finished"}"#);
    }
}
