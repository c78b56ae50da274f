//! What the layout says: why a folder cannot be opened, and which of the scans it left out need a hand.
//!
//! Follow-ups, scans without a laboratory result and the like are as they should be; they are counted, not
//! listed.

use std::path::PathBuf;

use super::problem::{Place, Problem, ProblemKind};
use super::remedy;
use crate::{CohortError, ExcludedScan, Exclusion, TableError};

/// The problems of folders that cannot be opened.
pub(super) fn refused(error: &CohortError, roots: &[PathBuf]) -> Vec<Problem> {
    let problem = |path: Option<&PathBuf>, text: &str| {
        let place = path.map_or(Place::Site, |path| Place::Path(path.clone()));
        let (reason, remedy) = path
            .map_or_else(|| remedy::split(text, std::path::Path::new("")), |path| remedy::split(text, path));
        Problem::new(ProblemKind::CannotOpen, place, reason, remedy)
    };
    if let CohortError::Table(TableError::Rows { path, faults }) = error {
        return faults.iter().map(|fault| problem(Some(path), &fault.to_string())).collect();
    }
    // Every text begins with the path it is about; a table lies in a folder that was given.
    let text = error.to_string();
    let path = match error {
        CohortError::NoRoot | CohortError::SharedPatients { .. } => None,
        CohortError::NotThisLayout { root, .. } | CohortError::SeveralTables { root, .. } => Some(root),
        CohortError::Io { folder, .. } => Some(folder),
        CohortError::Table(error) => Some(table_of(error)),
    };
    vec![problem(path.or_else(|| roots.first().filter(|_| roots.len() == 1)), &text)]
}

const fn table_of(error: &TableError) -> &PathBuf {
    match error {
        TableError::Io { path, .. }
        | TableError::TooLarge { path, .. }
        | TableError::NotText { path, .. }
        | TableError::Csv { path, .. }
        | TableError::Column { path, .. }
        | TableError::UnknownColumn { path, .. }
        | TableError::NoModality { path }
        | TableError::Rows { path, .. } => path,
    }
}

/// The problem of a scan that was left out, where somebody can mend it.
pub(super) fn left_out(scan: &ExcludedScan, roots: &[PathBuf]) -> Option<Problem> {
    let (kind, remedy) = match scan.reason {
        Exclusion::FileMissing => {
            (ProblemKind::FileMissing, "put the file in its place, or correct or empty the cell of that line")
        }
        Exclusion::LabelsDiffer => {
            (ProblemKind::LabelsDiffer, "find out which label is right and correct the rows of the others")
        }
        Exclusion::NoMask => {
            (ProblemKind::NoMask, "segment the tumour and save the mask under the layout's name")
        }
        Exclusion::NoImage => {
            (ProblemKind::NoImage, "put at least one modality in its place, or check the names of its files")
        }
        Exclusion::NotInTable => {
            (ProblemKind::NotInTable, "add its row to the table, or move the images elsewhere")
        }
        Exclusion::FollowUp
        | Exclusion::Withdrawn
        | Exclusion::MgmtIndeterminate
        | Exclusion::MgmtNotAvailable
        | Exclusion::SecondScan => return None,
    };
    let place = Place::Scan {
        name: scan.scan.reveal().to_owned(),
        folder: roots.get(scan.root).cloned().unwrap_or_default(),
        line: scan.line,
    };
    Some(Problem::new(kind, place, scan.reason.reason(), remedy))
}
