//! Line after line: each must be the next, and name the hash of the one before.

use std::io::{self, BufRead, Read as _};

use consilium_protocol::AuditHead;

use crate::line::{EMPTY, Entry, LineError, MAX_LINE_BYTES, parse};

/// Why a line is not the next one of a log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ChainError {
    /// It is not a sound line.
    #[error("{0}")]
    Line(#[from] LineError),
    /// Its number is another.
    #[error(
        "it has number {found} where {expected} follows: lines were removed, repeated or put in another order"
    )]
    Number {
        /// What comes next.
        expected: u64,
        /// What the line says.
        found: u64,
    },
    /// It was written after another line.
    #[error("it was not written after the line before it: one of them was replaced")]
    Previous,
}

/// How far a log was followed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chain {
    head: AuditHead,
}

impl Chain {
    /// Before the first line.
    pub(crate) const fn new() -> Self {
        Self { head: EMPTY }
    }

    /// The lines so far.
    pub(crate) const fn head(&self) -> AuditHead {
        self.head
    }

    /// Takes the next line, without its line break.
    pub(crate) fn take(&mut self, line: &[u8]) -> Result<Entry, ChainError> {
        let entry = parse(line)?;
        let AuditHead { records: expected, sha256 } = self.head;
        if entry.seq != expected {
            return Err(ChainError::Number { expected, found: entry.seq });
        }
        if entry.previous != sha256 {
            return Err(ChainError::Previous);
        }
        self.skip_to(AuditHead { records: expected + 1, sha256: entry.hash });
        Ok(entry)
    }

    /// Goes on after a line that is not looked at.
    pub(crate) const fn skip_to(&mut self, head: AuditHead) {
        self.head = head;
    }
}

/// The next bytes up to a line break, with it, or to the end; none at the end. Reads no more than a line can have.
pub(crate) fn next_line(reader: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    reader.by_ref().take(MAX_LINE_BYTES as u64 + 1).read_until(b'\n', &mut line)?;
    Ok(Some(line).filter(|line| !line.is_empty()))
}
