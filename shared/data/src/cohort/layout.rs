//! The ways in which scans may be organised, by name.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use super::naming::FileNames;
use super::settle::{FoundScan, Scanned};
use super::{CohortError, brats, manifest, ucsf_pdgm, upenn_gbm};

/// How a folder of scans is organised. `docs/layouts.md` describes each, and how to add one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// The TCIA collection UPENN-GBM: `NIfTI-files/` and a `*clinical_info*.csv`.
    UpennGbm,
    /// The TCIA collection UCSF-PDGM: `UCSF-PDGM-0004_nifti/` and a `UCSF-PDGM-metadata*.csv`.
    UcsfPdgm,
    /// BraTS 2021, the images of the RSNA-MICCAI challenge: `BraTS2021_00017/` and its `train_labels.csv`.
    Brats2021,
    /// BraTS 2023, adult glioma: `BraTS-GLI-00017-000/` and a `train_labels.csv`.
    Brats2023,
    /// Any folder, described by a `manifest.csv`.
    Manifest,
}

/// A text that names no layout.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a layout: use {known}", known = Layout::NAMES.map(|(name, _)| name).join(", "))]
pub struct UnknownLayout(String);

impl Layout {
    /// Every layout.
    pub const ALL: [Self; 5] =
        [Self::UpennGbm, Self::UcsfPdgm, Self::Brats2021, Self::Brats2023, Self::Manifest];

    /// Every accepted name. BraTS 2021 has a second one, of the challenge that published its labels.
    const NAMES: [(&'static str, Self); 6] = [
        (Self::UpennGbm.name(), Self::UpennGbm),
        (Self::UcsfPdgm.name(), Self::UcsfPdgm),
        (Self::Brats2021.name(), Self::Brats2021),
        ("rsna-miccai", Self::Brats2021),
        (Self::Brats2023.name(), Self::Brats2023),
        (Self::Manifest.name(), Self::Manifest),
    ];

    /// The name used in configuration and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::UpennGbm => "upenn-gbm",
            Self::UcsfPdgm => "ucsf-pdgm",
            Self::Brats2021 => "brats2021",
            Self::Brats2023 => "brats2023",
            Self::Manifest => "manifest",
        }
    }

    /// Whether `root` is of the right kind to be opened: a folder, or for a manifest also the file itself.
    pub fn admits(self, root: &Path) -> bool {
        root.is_dir() || (self == Self::Manifest && root.is_file())
    }

    pub(super) fn scan(self, root: &Path) -> Result<Scanned, CohortError> {
        match self {
            Self::UpennGbm => upenn_gbm::scan(root),
            Self::UcsfPdgm => ucsf_pdgm::scan(root),
            Self::Brats2021 => brats::scan(&brats::BRATS_2021, root),
            Self::Brats2023 => brats::scan(&brats::BRATS_2023, root),
            Self::Manifest => manifest::scan(root),
        }
    }

    /// Every scan under `root`, by name, whatever is known about it; no table but a manifest is read.
    pub(crate) fn every_scan(self, root: &Path) -> Result<Vec<FoundScan>, CohortError> {
        let mut found = match self {
            Self::UpennGbm => upenn_gbm::every_scan(root),
            Self::UcsfPdgm => ucsf_pdgm::every_scan(root),
            Self::Brats2021 => brats::every_scan(&brats::BRATS_2021, root),
            Self::Brats2023 => brats::every_scan(&brats::BRATS_2023, root),
            Self::Manifest => manifest::every_scan(root),
        }?;
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    /// How the files of a scan are called; `None` for a manifest, which names each itself.
    pub(crate) fn file_names(self) -> Option<&'static FileNames> {
        match self {
            Self::UpennGbm => Some(&upenn_gbm::NAMES),
            Self::UcsfPdgm => Some(&ucsf_pdgm::NAMES),
            Self::Brats2021 => Some(&brats::BRATS_2021.names),
            Self::Brats2023 => Some(&brats::BRATS_2023.names),
            Self::Manifest => None,
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
        let known = Self::NAMES.into_iter().find(|(name, _)| *name == text);
        known.map(|(_, layout)| layout).ok_or_else(|| UnknownLayout(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_layout_is_found_by_its_name_and_an_unknown_name_lists_them_all() {
        let error = "shoebox".parse::<Layout>().unwrap_err().to_string();
        for layout in Layout::ALL {
            assert_eq!(layout.to_string().parse(), Ok(layout));
            assert!(error.contains(layout.name()), "{error}");
        }
        assert_eq!("rsna-miccai".parse(), Ok(Layout::Brats2021));
        assert!(
            error.starts_with("`shoebox` is not a layout: use upenn-gbm, ") && error.contains("rsna-miccai")
        );
    }
}
