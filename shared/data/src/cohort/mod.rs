//! The usable cases of a hospital, and why the other scans are not.
//!
//! A [`Layout`] knows how one data set names its files; everything after it sees only cases. Only names and
//! tables are looked at here, never images. `docs/layouts.md` says how to add a layout.

mod alias;
mod brats;
mod clinical;
mod exclusion;
#[cfg(test)]
pub(crate) mod fixture;
pub(crate) mod folder;
mod identity;
mod layout;
mod manifest;
mod mgmt;
pub(crate) mod naming;
pub(crate) mod settle;
mod table;
mod ucsf_pdgm;
pub(crate) mod upenn_gbm;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use consilium_domain::{Label, Modality};

pub use clinical::{Clinical, Demographics, ScanDate, Sex};
pub use exclusion::{ExcludedScan, Exclusion};
pub use identity::{Alias, PatientId, ScanName};
pub use layout::{Layout, UnknownLayout};
pub use table::{RowFault, RowProblem, TableError};

/// One labelled patient at baseline.
#[derive(Clone, PartialEq, Eq)]
pub struct Case {
    /// Who. Stays at the site.
    pub patient: PatientId,
    /// Which scan of the patient. Stays at the site.
    pub scan: ScanName,
    /// Names under which public collections know the patient, the own one included; sorted, distinct. Two
    /// sites that share one hold the same patient. Stays at the site.
    pub aliases: Vec<Alias>,
    /// The methylation of the MGMT promoter.
    pub label: Label,
    /// Age, sex and the day of the scan, as far as the table has them. Stays at the site.
    pub clinical: Clinical,
    /// The images that exist; at least one.
    pub images: BTreeMap<Modality, PathBuf>,
    /// The tumour mask.
    pub mask: PathBuf,
    /// Index of the folder the case came from.
    pub root: usize,
}

/// Shows what there is, not who: file names hold the patient's name.
impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Case")
            .field("label", &self.label)
            .field("modalities", &self.images.keys())
            .field("root", &self.root)
            .finish_non_exhaustive()
    }
}

/// The usable cases of one hospital, sorted by folder and patient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cohort {
    /// The cases.
    pub cases: Vec<Case>,
    /// The scans left out, sorted by folder and name. Each is there once, with the first reason that applies.
    pub excluded: Vec<ExcludedScan>,
}

/// Why a cohort could not be opened. The texts name folders and rows, never a patient.
#[derive(Debug, thiserror::Error)]
pub enum CohortError {
    /// Nothing to open.
    #[error("no folder was given: name at least one folder with scans")]
    NoRoot,
    /// The folder is not there or not in this layout.
    #[error("{}: has no {expected}: point to a folder in the layout {layout}", root.display())]
    NotThisLayout {
        /// The folder.
        root: PathBuf,
        /// What was looked for.
        expected: &'static str,
        /// The layout that was asked for.
        layout: Layout,
    },
    /// Which table holds is not for us to guess.
    #[error("{}: holds {count} tables ({pattern}): keep the one that applies", root.display())]
    SeveralTables {
        /// The folder.
        root: PathBuf,
        /// What was looked for.
        pattern: &'static str,
        /// How many.
        count: usize,
    },
    /// A folder cannot be listed.
    #[error(
        "{}: cannot be listed ({cause}): check that it exists and that this account may read it",
        folder.display()
    )]
    Io {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// The table is wrong.
    #[error(transparent)]
    Table(#[from] TableError),
    /// One patient in two folders: training and hold-out could then share a patient.
    #[error(
        "{count} patients are both in {} and in {}: remove one copy, or leave one folder out",
        first.display(),
        second.display()
    )]
    SharedPatients {
        /// One folder.
        first: PathBuf,
        /// Another folder, or the same one given twice.
        second: PathBuf,
        /// How many patients they share.
        count: usize,
    },
}

impl Cohort {
    /// Finds the usable cases of one hospital, whose scans may lie in several folders.
    ///
    /// Looks at names only, never into images.
    ///
    /// # Errors
    /// [`CohortError`] where a folder is not in the layout, its table is wrong, or folders share a patient.
    pub fn open(layout: Layout, roots: &[PathBuf]) -> Result<Self, CohortError> {
        if roots.is_empty() {
            return Err(CohortError::NoRoot);
        }
        let (mut cases, mut excluded) = (Vec::new(), Vec::new());
        for (index, root) in roots.iter().enumerate() {
            let scanned = layout.scan(root)?;
            cases.extend(scanned.cases.into_iter().map(|case| Case { root: index, ..case }));
            excluded.extend(scanned.excluded.into_iter().map(|scan| ExcludedScan { root: index, ..scan }));
        }
        check_distinct(&cases, roots)?;
        cases.sort_by(|a, b| (a.root, &a.patient).cmp(&(b.root, &b.patient)));
        excluded.sort_by(|a, b| (a.root, &a.scan, a.line).cmp(&(b.root, &b.scan, b.line)));
        Ok(Self { cases, excluded })
    }

    /// How many scans were left out, by reason.
    pub fn exclusions(&self) -> BTreeMap<Exclusion, u32> {
        let mut counts = BTreeMap::new();
        for scan in &self.excluded {
            *counts.entry(scan.reason).or_default() += 1;
        }
        counts
    }
}

/// No patient may be in two folders.
fn check_distinct(cases: &[Case], roots: &[PathBuf]) -> Result<(), CohortError> {
    let mut seen: BTreeMap<&PatientId, usize> = BTreeMap::new();
    let mut shared: BTreeMap<(usize, usize), usize> = BTreeMap::new();
    for case in cases {
        if let Some(&first) = seen.get(&case.patient) {
            *shared.entry((first, case.root)).or_default() += 1;
        } else {
            seen.insert(&case.patient, case.root);
        }
    }
    match shared.into_iter().next() {
        None => Ok(()),
        Some(((first, second), count)) => Err(CohortError::SharedPatients {
            first: roots[first].clone(),
            second: roots[second].clone(),
            count,
        }),
    }
}
