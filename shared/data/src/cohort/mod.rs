//! The usable cases of a hospital, and why the other scans are not.
//!
//! A [`Layout`] knows how one data set names its files; everything after it sees only cases. A new layout is
//! one module beside `upenn_gbm` and one variant here.

mod patient;
pub(crate) mod upenn_gbm;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use consilium_domain::{Label, Modality};

pub use patient::PatientId;
pub use upenn_gbm::{ClinicalError, ClinicalScan, ClinicalTable, Mgmt};

/// How a folder of scans is organised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// The TCIA collection UPENN-GBM: `NIfTI-files/` and a `*clinical_info*.csv`.
    UpennGbm,
}

/// A text that names no layout.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a layout: use upenn-gbm")]
pub struct UnknownLayout(String);

impl Layout {
    /// The name used in configuration and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::UpennGbm => "upenn-gbm",
        }
    }

    fn scan(self, root: &Path) -> Result<Scanned, CohortError> {
        match self {
            Self::UpennGbm => upenn_gbm::scan(root),
        }
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Layout {
    type Err = UnknownLayout;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == Self::UpennGbm.name() { Ok(Self::UpennGbm) } else { Err(UnknownLayout(text.to_owned())) }
    }
}

/// One labelled patient at baseline.
#[derive(Clone, PartialEq, Eq)]
pub struct Case {
    /// Who. Stays at the site.
    pub patient: PatientId,
    /// The methylation of the MGMT promoter.
    pub label: Label,
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

/// Why a scan is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Exclusion {
    /// A scan after treatment.
    FollowUp,
    /// The laboratory could not decide.
    MgmtIndeterminate,
    /// No laboratory result.
    MgmtNotAvailable,
    /// No segmentation of the tumour.
    NoMask,
    /// No image of any known modality.
    NoImage,
    /// Images without a row in the clinical table.
    NotInTable,
}

impl Exclusion {
    /// The reason in words, as counted in reports.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::FollowUp => "follow-up scan",
            Self::MgmtIndeterminate => "MGMT indeterminate",
            Self::MgmtNotAvailable => "MGMT not available",
            Self::NoMask => "no tumour mask",
            Self::NoImage => "no image of any modality",
            Self::NotInTable => "not in the clinical table",
        }
    }
}

impl fmt::Display for Exclusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.reason())
    }
}

/// The usable cases of one hospital, sorted by folder and patient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cohort {
    /// The cases.
    pub cases: Vec<Case>,
    /// Scans left out, by reason. Each scan counts once, under the first reason that applies.
    pub exclusions: BTreeMap<Exclusion, u32>,
}

/// Why a cohort could not be opened. The texts name folders and rows, never a patient.
#[derive(Debug, thiserror::Error)]
pub enum CohortError {
    /// Nothing to open.
    #[error("no folder was given: name at least one folder with scans")]
    NoRoot,
    /// The folder is not there or not in this layout.
    #[error("{}: has no {expected}: point to the folder of the {layout} collection", root.display())]
    NotThisLayout {
        /// The folder.
        root: PathBuf,
        /// What was looked for.
        expected: &'static str,
        /// The layout that was asked for.
        layout: Layout,
    },
    /// Which table holds is not for us to guess.
    #[error(
        "{}: holds {count} clinical tables (*clinical_info*.csv): keep the one that applies",
        root.display()
    )]
    SeveralTables {
        /// The folder.
        root: PathBuf,
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
    /// The clinical table is wrong.
    #[error(transparent)]
    Clinical(#[from] ClinicalError),
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

/// What a layout found in one folder; `root` of its cases is not set yet.
struct Scanned {
    cases: Vec<Case>,
    exclusions: BTreeMap<Exclusion, u32>,
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
        let mut cases: Vec<Case> = Vec::new();
        let mut exclusions = BTreeMap::new();
        for (index, root) in roots.iter().enumerate() {
            let scanned = layout.scan(root)?;
            cases.extend(scanned.cases.into_iter().map(|case| Case { root: index, ..case }));
            for (reason, count) in scanned.exclusions {
                *exclusions.entry(reason).or_default() += count;
            }
        }
        check_distinct(&cases, roots)?;
        cases.sort_by(|a, b| (a.root, &a.patient).cmp(&(b.root, &b.patient)));
        Ok(Self { cases, exclusions })
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
