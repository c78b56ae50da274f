//! Everything a check found, and what follows from it.

use std::collections::BTreeSet;
use std::path::PathBuf;

use consilium_domain::Modality;

use super::folds::FoldSizes;
use super::inventory::Inventory;
use super::options::CheckOptions;
use super::problem::{Problem, Severity};
use super::progress::PassTiming;
use crate::{Case, Layout};

/// Whether a site can take part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Nothing to mend.
    Usable,
    /// It can take part without the files with errors; somebody should look at errors and warnings.
    UsableWithWarnings,
    /// It cannot take part as it is.
    NotUsable,
}

impl Verdict {
    /// `usable`, `usable-with-warnings` or `not-usable`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Usable => "usable",
            Self::UsableWithWarnings => "usable-with-warnings",
            Self::NotUsable => "not-usable",
        }
    }

    /// The exit code of the command: 0, 1 or 2.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Usable => 0,
            Self::UsableWithWarnings => 1,
            Self::NotUsable => 2,
        }
    }
}

/// A case and what is left of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedCase {
    /// As the layout found it, with the modalities that were asked for.
    pub case: Case,
    /// The images without an error; empty where the mask or the case has one.
    pub usable: BTreeSet<Modality>,
}

impl CheckedCase {
    /// Whether an image and the mask are left.
    pub fn is_usable(&self) -> bool {
        !self.usable.is_empty()
    }
}

/// The result of a check. It names patients: it is for the site's own eyes and never sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The layout that was asked for.
    pub layout: Layout,
    /// The folders that were given.
    pub folders: Vec<PathBuf>,
    /// What was asked.
    pub options: CheckOptions,
    /// The cases, sorted by folder and patient.
    pub cases: Vec<CheckedCase>,
    /// The site in numbers.
    pub inventory: Inventory,
    /// The folds of the usable cases; none where there are none.
    pub folds: Option<FoldSizes>,
    /// The gravest first, then by kind and place.
    pub problems: Vec<Problem>,
    /// How long reading took.
    pub passes: Vec<PassTiming>,
}

impl Report {
    /// Whether the site can take part.
    pub fn verdict(&self) -> Verdict {
        if self.problems.iter().any(|problem| problem.kind.stops_site()) {
            Verdict::NotUsable
        } else if self.count(Severity::Error) + self.count(Severity::Warning) > 0 {
            Verdict::UsableWithWarnings
        } else {
            Verdict::Usable
        }
    }

    /// How many problems are that bad.
    pub fn count(&self, severity: Severity) -> usize {
        self.problems.iter().filter(|problem| problem.severity() == severity).count()
    }
}
