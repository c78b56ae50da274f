//! An extract of a log for somebody else: chosen lines as they are, of the others only the hashes.
//!
//! Whoever reads it can follow the chain over what is left out, and verify every signature: certificates, heads and
//! receipts are never left out.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use consilium_domain::{Digest, Role, StudyHash};
use consilium_protocol::AuditHead;
use consilium_signing::Authorities;
use serde::{Deserialize, Serialize};

use crate::chain::{Chain, next_line};
use crate::content::Content;
use crate::line::Entry;
use crate::moment;
use crate::record::Record;
use crate::words::{Base64, Party};

/// The layout of extracts that this release writes.
const FORMAT: u16 = 1;

/// Which lines to take. Of both conditions each must hold.
#[derive(Debug, Clone, Default)]
pub struct Extract {
    /// From this time on: RFC 3339 in UTC, or the beginning of it, such as a day.
    pub since: Option<String>,
    /// Only what names this study, or its orders.
    pub study: Option<StudyHash>,
}

/// Why there is no extract.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A file.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Not a time.
    #[error("`{0}` is not a time: write 2026-11-06 or 2026-11-06T11:54:56.789Z (UTC)")]
    Since(String),
    /// The log is not sound.
    #[error("line {line} of {path}: {problem}; look at it with `audit verify`")]
    Altered {
        /// The log.
        path: PathBuf,
        /// Which line, from 1.
        line: u64,
        /// What is wrong.
        problem: String,
    },
}

/// A line of an extract that is not one of the log.
pub(crate) enum Mark {
    /// The first line.
    Extract,
    /// A line was left out; the head with it.
    Omitted(AuditHead),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum MarkText {
    Extract { format: u16, owner: Party, head: AuditHead, authorities: Vec<Base64> },
    Omitted { seq: u64, hash: Digest },
}

/// Reads `line` as what only extracts have.
pub(crate) fn mark(line: &[u8]) -> Option<Mark> {
    match serde_json::from_slice(line).ok()? {
        MarkText::Extract { .. } => Some(Mark::Extract),
        MarkText::Omitted { seq, hash } => {
            Some(Mark::Omitted(AuditHead { records: seq.checked_add(1)?, sha256: hash }))
        }
    }
}

impl Extract {
    /// Writes the extract of `log` to `out`; how many lines are in it.
    ///
    /// # Errors
    /// When a file cannot be read or written, or the log is not sound.
    pub fn write(&self, log: &Path, authorities: &Authorities, out: &Path) -> Result<u64, ExportError> {
        if let Some(since) = self.since.as_ref().filter(|since| !moment::is_time(since, true)) {
            return Err(ExportError::Since(since.chars().take(40).collect()));
        }
        // Twice, so that the first line of the extract can say how long the log is.
        let (mut owner, mut head) = (Role::Coordinator, None);
        each_line(log, |_, entry, chain| {
            if let Record::LogBegun { owner: begun, .. } = &entry.record {
                owner = begun.0.clone();
            }
            head = Some(chain);
            Ok(())
        })?;
        let end = head.unwrap_or(crate::line::EMPTY);
        let fail = |source| ExportError::Io { path: out.to_owned(), source };
        let mut writer = BufWriter::new(File::create(out).map_err(fail)?);
        let authorities = authorities.certificates().map(|der| Base64(der.to_vec())).collect();
        let first = MarkText::Extract { format: FORMAT, owner: owner.into(), head: end, authorities };
        write_mark(&mut writer, &first).map_err(fail)?;
        let mut taken = 0;
        let mut orders = Vec::new();
        each_line(log, |text, entry, head| {
            // A line that was written since the first look belongs to the next extract.
            if head.records > end.records {
                return Ok(());
            }
            if self.takes(entry, &mut orders) {
                taken += 1;
                return writer.write_all(text).map_err(fail);
            }
            write_mark(&mut writer, &MarkText::Omitted { seq: entry.seq, hash: entry.hash }).map_err(fail)
        })?;
        writer.flush().map_err(fail)?;
        Ok(taken)
    }

    fn takes(&self, entry: &Entry, orders: &mut Vec<consilium_domain::OrderId>) -> bool {
        // Orders are learnt from all lines, so that answers to one that came before `since` are known too.
        let of_study = self.study.is_none_or(|study| names(&entry.record, study, orders));
        let in_time = self.since.as_ref().is_none_or(|since| entry.time.as_str() >= since.as_str());
        is_proof(&entry.record) || (of_study && in_time)
    }
}

/// What an extract always has: without it nothing could be verified.
const fn is_proof(record: &Record) -> bool {
    matches!(
        record,
        Record::LogBegun { .. }
            | Record::LineTorn { .. }
            | Record::CertificateChain { .. }
            | Record::HeadStated { .. }
            | Record::HeadReceived { .. }
            | Record::Receipt { .. }
            | Record::ReceiptRefused { .. }
    )
}

/// Whether `record` is about `study`, itself or through an order of it.
fn names(record: &Record, study: StudyHash, orders: &mut Vec<consilium_domain::OrderId>) -> bool {
    match record {
        Record::Study { study: named, .. } => *named == study,
        Record::PolicyDecision { study: named, .. } | Record::AdminCommand { study: named, .. } => {
            *named == Some(study)
        }
        Record::Sent { content, .. } | Record::Received { content, .. } => match content {
            Content::Welcome { study: named, .. } => *named == Some(study),
            Content::Enlistment { study: named, .. } | Content::Fingerprints { study: named, .. } => {
                *named == study
            }
            Content::WorkOrder { order, study: named, .. } => {
                if *named == study && !orders.contains(order) {
                    orders.push(*order);
                }
                *named == study
            }
            Content::Update { order, .. } | Content::Rejected { order, .. } => {
                order.is_some_and(|order| orders.contains(&order))
            }
            Content::Training { order, .. }
            | Content::Scores { order, .. }
            | Content::FusedScores { order, .. }
            | Content::RegressionSums { order, .. }
            | Content::Failure { order, .. }
            | Content::Accepted { order } => orders.contains(order),
            _ => false,
        },
        _ => false,
    }
}

fn each_line(
    log: &Path,
    mut visit: impl FnMut(&[u8], &Entry, AuditHead) -> Result<(), ExportError>,
) -> Result<(), ExportError> {
    let fail = |source| ExportError::Io { path: log.to_owned(), source };
    let mut reader = BufReader::new(File::open(log).map_err(fail)?);
    let mut chain = Chain::new();
    while let Some(line) = next_line(&mut reader).map_err(fail)? {
        // A daemon may be writing its next line just now.
        let Some(text) = line.strip_suffix(b"\n") else { break };
        let number = chain.head().records + 1;
        let entry = chain.take(text).map_err(|error| ExportError::Altered {
            path: log.to_owned(),
            line: number,
            problem: error.to_string(),
        })?;
        visit(&line, &entry, chain.head())?;
    }
    Ok(())
}

fn write_mark(writer: &mut impl Write, mark: &MarkText) -> io::Result<()> {
    serde_json::to_writer(&mut *writer, mark)?;
    writer.write_all(b"\n")
}
