//! What an inspection found, and its sum.

use std::fmt;

use consilium_domain::Role;
use consilium_protocol::AuditHead;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Finding {
    /// A line.
    #[error("line {line}: {problem}")]
    Line {
        /// Which, from 1.
        line: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// The end is missing.
    #[error("line {line} is unfinished: the end of the file was cut off, by a crash or by hand")]
    Unfinished {
        /// Which, from 1.
        line: u64,
    },
    /// The file has no first line, or it does not begin a log.
    #[error("the log does not begin as a log does: its beginning is missing")]
    NoBeginning,
    /// A receipt is not of this log.
    #[error("line {line}: {peer} signed another head of {records} lines: the lines before it were rewritten")]
    ReceiptOfAnotherLog {
        /// Where the receipt is, from 1.
        line: u64,
        /// Who signed it.
        peer: Role,
        /// The head's length.
        records: u64,
    },
    /// A signature does not hold.
    #[error("line {line}: the signature of {peer} does not hold: {problem}")]
    Signature {
        /// Where, from 1.
        line: u64,
        /// Whose it should be.
        peer: Role,
        /// Why not.
        problem: String,
    },
    /// The other side's log changed under our eyes.
    #[error(
        "line {line}: the log of {peer} was shortened or rewritten: it had {before} lines, then {after} that do not go on from there"
    )]
    PeerLogChanged {
        /// Where the head was received, from 1.
        line: u64,
        /// Whose log.
        peer: Role,
        /// Its length before.
        before: u64,
        /// Its length in this line.
        after: u64,
    },
    /// The other side saw more of this log than there is.
    #[error("{peer} saw {seen} lines of this log, and there are {found}: its end was cut off")]
    CutOff {
        /// Who saw them.
        peer: Role,
        /// How many.
        seen: u64,
        /// How many there are.
        found: u64,
    },
    /// The other side saw another log.
    #[error("{peer} saw another line {records} of this log: the lines up to it were rewritten")]
    Rewritten {
        /// Who saw it.
        peer: Role,
        /// Which.
        records: u64,
    },
    /// What the other file should show, and does not.
    #[error(
        "the other log does not hold that {owner} countersigned its head of {records} lines: it is not the log that it was"
    )]
    OtherLacks {
        /// Who countersigned, the owner of this log.
        owner: Role,
        /// The head's length.
        records: u64,
    },
    /// The other file itself.
    #[error("the other log: {0}")]
    Other(String),
}

/// What is known of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Whose log it is, if it says so.
    pub owner: Option<Role>,
    /// Its length and last hash.
    pub head: AuditHead,
    /// Lines that an extract leaves out.
    pub omitted: u64,
    /// Signatures of other sides over heads of this log, all of which hold.
    pub receipts: u64,
    /// The longest head among them: what was written up to it cannot be rewritten without the other side.
    pub countersigned: u64,
    /// Whether another log was compared.
    pub compared: bool,
    /// Everything that is wrong.
    pub findings: Vec<Finding>,
}

impl Verdict {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let owner = self.owner.as_ref().map_or_else(|| "unknown".to_owned(), ToString::to_string);
        writeln!(f, "log of {owner}: {} lines, last hash {}", self.head.records, self.head.sha256)?;
        if self.omitted > 0 {
            writeln!(f, "{} lines are left out of this extract; their hashes are there", self.omitted)?;
        }
        let after = self.head.records.saturating_sub(self.countersigned);
        writeln!(
            f,
            "{} receipts; lines up to {} are countersigned, {after} after them are not",
            self.receipts, self.countersigned
        )?;
        if !self.compared {
            writeln!(f, "lines cut off from the end show only beside the other side's log: --receipts FILE")?;
        }
        for finding in &self.findings {
            writeln!(f, "WRONG {finding}")?;
        }
        write!(f, "{}", if self.is_sound() { "sound" } else { "NOT SOUND" })
    }
}
