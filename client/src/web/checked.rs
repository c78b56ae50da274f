//! The data check in numbers and kinds: nothing of it names a patient, a case or a file.

use std::collections::BTreeMap;
use std::path::PathBuf;

use consilium_data::Layout;
use consilium_data::check::{CheckOptions, Severity, Verdict, check};
use consilium_domain::{ClassCounts, Modality};
use consilium_protocol::Timestamp;

use crate::steward::Clock;

/// The folds and the hold-out of the published evaluation: a study may have others, and a check says more of them.
pub(super) const FOLDS: u8 = 5;
pub(super) const HOLDOUT: f64 = 0.3;

/// What a check of the headers found.
#[derive(Debug, Clone)]
pub(super) struct CheckedData {
    pub(super) at: Timestamp,
    pub(super) verdict: Verdict,
    pub(super) scans: usize,
    pub(super) usable: ClassCounts,
    pub(super) modalities: BTreeMap<Modality, ClassCounts>,
    /// Kinds of problems, the gravest first, and how many of each.
    pub(super) problems: Vec<(Severity, &'static str, usize)>,
}

impl CheckedData {
    /// Looks at the headers of everything in `folders`.
    pub(super) fn of(layout: Layout, folders: &[PathBuf]) -> Self {
        let mut options = CheckOptions::new(FOLDS, HOLDOUT).expect("both are within what a study may have");
        options.headers_only = true;
        let report = check(layout, folders, &options, &|_| {});
        let mut kinds = BTreeMap::new();
        for problem in &report.problems {
            *kinds.entry(problem.kind).or_insert(0) += 1;
        }
        Self {
            at: Clock::system().now(),
            verdict: report.verdict(),
            scans: report.inventory.scans,
            usable: report.inventory.usable,
            modalities: report
                .inventory
                .modalities
                .iter()
                .map(|(&modality, found)| (modality, found.usable))
                .collect(),
            problems: kinds.into_iter().map(|(kind, count)| (kind.severity(), kind.title(), count)).collect(),
        }
    }

    /// How many problems are that bad.
    pub(super) fn count(&self, severity: Severity) -> usize {
        self.problems.iter().filter(|(bad, ..)| *bad == severity).map(|(.., count)| count).sum()
    }
}
