//! What can be wrong with a table. The texts show lines and columns, never a cell: they can reach the
//! coordinator.

use std::fmt;
use std::path::PathBuf;

use consilium_domain::Modality;

/// Most faulty rows that an error shows. Many alike have one cause.
const MAX_FAULTS_SHOWN: usize = 10;

/// Why a table could not be read. Rows are named by their line, never by the patient.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The file cannot be opened or read.
    #[error(
        "{}: cannot be read ({cause}): check that the file exists and that this account may read it",
        path.display()
    )]
    Io {
        /// The table.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// More bytes, rows or columns than any such table has.
    #[error("{}: has more than {limit}: this is not the table of a hospital's patients", path.display())]
    TooLarge {
        /// The table.
        path: PathBuf,
        /// The limit, with its unit.
        limit: String,
    },
    /// Another encoding, or no text at all.
    #[error("{}: line {line} is not text in UTF-8: save the table again as CSV UTF-8", path.display())]
    NotText {
        /// The table.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// Not CSV.
    #[error("{}: is not a CSV table ({cause}): save it again as CSV UTF-8", path.display())]
    Csv {
        /// The table.
        path: PathBuf,
        /// What the parser said.
        cause: csv::Error,
    },
    /// A column is missing or there twice.
    #[error("{}: needs one column `{column}`, found {found}: mend the header", path.display())]
    Column {
        /// The table.
        path: PathBuf,
        /// Its name.
        column: &'static str,
        /// How often it is there.
        found: usize,
    },
    /// A column that the layout does not know. It is named by its place: a table without a header begins with
    /// a patient.
    #[error(
        "{}: column {position} of the header is not known: use {known}, and remove other columns",
        path.display()
    )]
    UnknownColumn {
        /// The table.
        path: PathBuf,
        /// Its place, from 1.
        position: usize,
        /// The names that are known.
        known: String,
    },
    /// No column for any modality.
    #[error(
        "{}: has no column for images: name one after each modality that there is ({known})",
        path.display(), known = Modality::ALL.map(Modality::name).join(", ")
    )]
    NoModality {
        /// The table.
        path: PathBuf,
    },
    /// Rows that cannot be used.
    #[error("{}: {}", path.display(), ShownFaults(faults))]
    Rows {
        /// The table.
        path: PathBuf,
        /// All of them, in the table's order; at least one.
        faults: Vec<RowFault>,
    },
}

/// What is wrong with one row: the first problem in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct RowFault {
    /// The line, from 1.
    pub line: u64,
    /// The problem.
    pub problem: RowProblem,
}

/// A problem of a row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RowProblem {
    /// More or fewer cells than the header.
    #[error("has {found} cells, the header {expected}: quote cells that hold the separator")]
    Cells {
        /// Of this row.
        found: usize,
        /// Of the header.
        expected: usize,
    },
    /// A name that is not as the layout's names are.
    #[error("`{column}` must be {form}")]
    Name {
        /// The column.
        column: &'static str,
        /// What is accepted.
        form: &'static str,
    },
    /// A word that says nothing known.
    #[error("`{column}` must be {accepted}")]
    Word {
        /// The column.
        column: &'static str,
        /// What is accepted.
        accepted: &'static str,
    },
    /// The same scan twice.
    #[error("is the same scan as line {first}: remove one")]
    Twice {
        /// The line that named it first.
        first: u64,
    },
    /// Not a path.
    #[error("`{column}` is not a path: at most {max} characters, no control characters")]
    Path {
        /// The column.
        column: &'static str,
        /// The longest path.
        max: usize,
    },
    /// One file for two purposes.
    #[error("`{column}` names the same file as `{other}` in line {first}: correct one")]
    SameFile {
        /// The column.
        column: &'static str,
        /// The column that named it first.
        other: &'static str,
        /// The line that named it first.
        first: u64,
    },
}

/// The first few faults, on one line.
struct ShownFaults<'a>(&'a [RowFault]);

impl fmt::Display for ShownFaults<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: Vec<String> = self.0.iter().take(MAX_FAULTS_SHOWN).map(RowFault::to_string).collect();
        f.write_str(&shown.join("; "))?;
        match self.0.len().saturating_sub(MAX_FAULTS_SHOWN) {
            0 => Ok(()),
            more => write!(f, "; and {more} more lines"),
        }
    }
}
