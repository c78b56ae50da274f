//! Scans that are not used, and why.

use std::fmt;

use super::ScanName;

/// Why a scan is not used. A scan has one reason, the first that applies in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Exclusion {
    /// A scan after the baseline.
    FollowUp,
    /// The collection's publishers ask to leave it out.
    Withdrawn,
    /// The laboratory could not decide.
    MgmtIndeterminate,
    /// No laboratory result.
    MgmtNotAvailable,
    /// A file that the manifest names is not there.
    FileMissing,
    /// No segmentation of the tumour.
    NoMask,
    /// No image of any known modality.
    NoImage,
    /// The patient's usable scans have different labels: one of them must be wrong.
    LabelsDiffer,
    /// Another usable scan of the same patient comes first by name.
    SecondScan,
    /// Images without a row in the table.
    NotInTable,
}

impl Exclusion {
    /// The reason in words, as counted in reports.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::FollowUp => "follow-up scan",
            Self::Withdrawn => "withdrawn by the collection",
            Self::MgmtIndeterminate => "MGMT indeterminate",
            Self::MgmtNotAvailable => "MGMT not available",
            Self::FileMissing => "a file named in the manifest is missing",
            Self::NoMask => "no tumour mask",
            Self::NoImage => "no image of any modality",
            Self::LabelsDiffer => "the patient's scans have different labels",
            Self::SecondScan => "another scan of the patient is used",
            Self::NotInTable => "not in the clinical table",
        }
    }
}

impl fmt::Display for Exclusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.reason())
    }
}

/// A scan that is not used. For the site's own eyes: only counts by reason leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExcludedScan {
    /// Which.
    pub scan: ScanName,
    /// Index of the folder it is in.
    pub root: usize,
    /// The line of the table that names it, from 1; `None` for a scan that no table names.
    pub line: Option<u64>,
    /// Why.
    pub reason: Exclusion,
}
