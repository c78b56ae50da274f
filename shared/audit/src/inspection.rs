//! A log or an extract, looked at from the first line to the last, and beside the other side's.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use consilium_domain::{Digest, Role};
use consilium_protocol::{AuditHead, Timestamp};
use consilium_signing::{Authorities, Holder};

use crate::chain::{Chain, ChainError, next_line};
use crate::export::{Mark, mark};
use crate::finding::{Finding, Verdict};
use crate::line::{EMPTY, Entry};
use crate::log::compare;
use crate::record::{PeerLog, Record};
use crate::statement::{Statement, StatementError};

/// Findings after which a file is not looked at any further: it is not the log any more, whatever it is.
const MAX_FINDINGS: usize = 100;

/// Why a log cannot be inspected at all.
#[derive(Debug, thiserror::Error)]
pub enum InspectionError {
    /// It cannot be read.
    #[error("{path} cannot be read: {source}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// What stands in a log, and what is wrong with it.
#[derive(Debug)]
pub struct Inspection {
    owner: Option<Role>,
    chain: Chain,
    /// The hash of the last line, by how many lines the log had then.
    hashes: BTreeMap<u64, Digest>,
    omitted: u64,
    /// Signatures over this log's heads.
    receipts: Vec<Signed>,
    /// Heads of other logs.
    received: Vec<Signed>,
    certificates: BTreeMap<Digest, Vec<Vec<u8>>>,
    findings: Vec<Finding>,
}

/// A signed head as a record keeps it.
#[derive(Debug)]
struct Signed {
    line: u64,
    peer: Role,
    head: AuditHead,
    at: Timestamp,
    signature: Vec<u8>,
    certificate_sha256: Digest,
}

impl Inspection {
    /// Follows the lines of `path`, and verifies every signature in it against `authorities`.
    ///
    /// # Errors
    /// When it cannot be read. What is wrong with it is told by the verdict.
    pub fn of(path: &Path, authorities: &Authorities) -> Result<Self, InspectionError> {
        let fail = |source| InspectionError::Read { path: path.to_owned(), source };
        let mut reader = BufReader::new(File::open(path).map_err(fail)?);
        let mut inspection = Self {
            owner: None,
            chain: Chain::new(),
            hashes: BTreeMap::from([(0, EMPTY.sha256)]),
            omitted: 0,
            receipts: Vec::new(),
            received: Vec::new(),
            certificates: BTreeMap::new(),
            findings: Vec::new(),
        };
        let (mut number, mut is_extract) = (0, false);
        while let Some(line) = next_line(&mut reader).map_err(fail)? {
            number += 1;
            let Some(text) = line.strip_suffix(b"\n") else {
                inspection.findings.push(Finding::Unfinished { line: number });
                break;
            };
            match mark(text) {
                Some(Mark::Extract) if number == 1 => is_extract = true,
                Some(Mark::Omitted(head)) if is_extract => inspection.leave_out(number, head),
                _ => inspection.take(number, text),
            }
            if inspection.findings.len() >= MAX_FINDINGS {
                break;
            }
        }
        if inspection.owner.is_none() {
            inspection.findings.push(Finding::NoBeginning);
        }
        inspection.check_receipts(authorities);
        inspection.check_received(authorities);
        Ok(inspection)
    }

    /// The verdict on this log alone.
    pub fn alone(self) -> Verdict {
        self.verdict(Vec::new(), false)
    }

    /// The verdict on this log, beside the one of another party: each holds signatures over the other's heads.
    pub fn beside(self, other: &Self) -> Verdict {
        let mut findings: Vec<Finding> =
            other.findings.iter().map(|finding| Finding::Other(finding.to_string())).collect();
        findings.extend(self.against(other));
        findings.extend(other.against(&self).into_iter().map(|finding| Finding::Other(finding.to_string())));
        self.verdict(findings, true)
    }

    fn verdict(mut self, more: Vec<Finding>, compared: bool) -> Verdict {
        self.findings.extend(more);
        Verdict {
            owner: self.owner,
            head: self.chain.head(),
            omitted: self.omitted,
            receipts: self.receipts.len() as u64,
            countersigned: self.receipts.iter().map(|receipt| receipt.head.records).max().unwrap_or(0),
            compared,
            findings: self.findings,
        }
    }

    /// Takes the next line, and goes on after it even if it is not sound.
    fn take(&mut self, line: u64, text: &[u8]) {
        match self.chain.take(text) {
            Ok(entry) => self.note(line, entry),
            Err(error) => {
                self.findings.push(Finding::Line { line, problem: error.to_string() });
                // What follows is measured by this line, so that one edit is one finding or two, not a thousand.
                if let (ChainError::Number { .. } | ChainError::Previous, Ok(entry)) =
                    (&error, crate::line::parse(text))
                {
                    self.chain
                        .skip_to(AuditHead { records: entry.seq.saturating_add(1), sha256: entry.hash });
                    self.note(line, entry);
                }
            }
        }
    }

    /// An extract's word that a line is left out.
    fn leave_out(&mut self, line: u64, head: AuditHead) {
        if head.records != self.chain.head().records + 1 {
            let problem = "an omitted line is not the next one".to_owned();
            self.findings.push(Finding::Line { line, problem });
        }
        self.omitted += 1;
        self.hashes.entry(head.records).or_insert(head.sha256);
        self.chain.skip_to(head);
    }

    fn note(&mut self, line: u64, entry: Entry) {
        self.hashes.entry(entry.seq.saturating_add(1)).or_insert(entry.hash);
        match entry.record {
            Record::LogBegun { owner, .. } if entry.seq == 0 => self.owner = Some(owner.0),
            Record::CertificateChain { certificate_sha256, certificates } => {
                let chain = certificates.into_iter().map(|der| der.0).collect();
                self.certificates.insert(certificate_sha256, chain);
            }
            Record::Receipt { peer, head, at, signature, certificate_sha256 } => self.receipts.push(Signed {
                line,
                peer: peer.0,
                head,
                at,
                signature: signature.0,
                certificate_sha256,
            }),
            Record::HeadReceived { peer, head, at, signature, certificate_sha256, .. } => {
                self.received.push(Signed {
                    line,
                    peer: peer.0,
                    head,
                    at,
                    signature: signature.0,
                    certificate_sha256,
                });
            }
            _ => {}
        }
    }

    /// The hash of the line with which the log had `records`.
    fn hash_at(&self, records: u64) -> Option<Digest> {
        self.hashes.get(&records).copied()
    }

    /// Other sides signed heads of this log: they must be of these lines.
    fn check_receipts(&mut self, authorities: &Authorities) {
        let Some(owner) = self.owner.clone() else { return };
        let mut wrong = Vec::new();
        for receipt in &self.receipts {
            if self.hash_at(receipt.head.records) != Some(receipt.head.sha256) {
                let (line, peer, records) = (receipt.line, receipt.peer.clone(), receipt.head.records);
                wrong.push(Finding::ReceiptOfAnotherLog { line, peer, records });
            }
            wrong.extend(self.check_signature(&owner, receipt, authorities));
        }
        self.findings.append(&mut wrong);
    }

    /// Other sides stated their heads: signed by themselves, and each going on from the one before.
    fn check_received(&mut self, authorities: &Authorities) {
        let mut wrong = Vec::new();
        let mut before: BTreeMap<&Role, AuditHead> = BTreeMap::new();
        for stated in &self.received {
            wrong.extend(self.check_signature(&stated.peer, stated, authorities));
            let last = before.insert(&stated.peer, stated.head);
            if matches!(compare(last.as_ref(), stated.head), PeerLog::Shrunk | PeerLog::Rewritten) {
                wrong.push(Finding::PeerLogChanged {
                    line: stated.line,
                    peer: stated.peer.clone(),
                    before: last.map_or(0, |head| head.records),
                    after: stated.head.records,
                });
            }
        }
        self.findings.append(&mut wrong);
    }

    fn check_signature(&self, owner: &Role, signed: &Signed, authorities: &Authorities) -> Option<Finding> {
        let fault =
            |problem: String| Finding::Signature { line: signed.line, peer: signed.peer.clone(), problem };
        let Some(chain) = self.certificates.get(&signed.certificate_sha256) else {
            return Some(fault("its certificate is not in the log".to_owned()));
        };
        let statement = Statement { owner, signer: &signed.peer, head: signed.head, at: signed.at };
        let vouched = Holder::trusted(chain, authorities).map_err(StatementError::from);
        match vouched.and_then(|holder| statement.verify(&signed.signature, &holder)) {
            Ok(certificate) if certificate == signed.certificate_sha256 => None,
            Ok(_) => Some(fault("its certificate is not the one that is named".to_owned())),
            Err(error) => Some(fault(error.to_string())),
        }
    }

    /// What is wrong with this log, by what `other` says of it.
    fn against(&self, other: &Self) -> Vec<Finding> {
        let (Some(owner), Some(peer)) = (&self.owner, &other.owner) else { return Vec::new() };
        let seen = || other.received.iter().filter(|stated| stated.peer == *owner);
        let mut wrong = Vec::new();
        for stated in seen() {
            let AuditHead { records, sha256 } = stated.head;
            match self.hash_at(records) {
                None => {
                    let found = self.chain.head().records;
                    wrong.push(Finding::CutOff { peer: peer.clone(), seen: records, found });
                }
                Some(hash) if hash != sha256 => {
                    wrong.push(Finding::Rewritten { peer: peer.clone(), records });
                }
                Some(_) => {}
            }
        }
        for receipt in self.receipts.iter().filter(|receipt| receipt.peer == *peer) {
            if !seen().any(|stated| stated.head == receipt.head) {
                let (owner, records) = (peer.clone(), receipt.head.records);
                wrong.push(Finding::OtherLacks { owner, records });
            }
        }
        wrong
    }
}
