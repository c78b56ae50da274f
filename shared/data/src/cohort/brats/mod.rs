//! The folders of BraTS, adult glioma: 2021 with the names of the RSNA-MICCAI challenge, and 2023.
//!
//! A release is data ([`Release`]); how it is searched is the same for all. Labels come from a
//! `train_labels.csv` in the form of the RSNA-MICCAI challenge (arXiv:2107.02314).

mod train_labels;

use std::path::{Path, PathBuf};

use consilium_domain::Modality;

use super::naming::FileNames;
use super::settle::{Files, FoundScan, Scanned, settle};
use super::table::Table;
use super::{CohortError, Layout, folder};

/// What the table is called.
const TABLE: &str = "train_labels.csv";

/// How one year's release names its scans.
pub(super) struct Release {
    layout: Layout,
    /// Before a patient's five digits.
    prefix: &'static str,
    /// Whether a three-digit time point follows the patient: `-000` is the baseline.
    time_points: bool,
    pub(super) names: FileNames,
    /// The folder to which the archive unpacks.
    archive: &'static str,
    /// A scan folder, for the error text.
    example: &'static str,
    /// The table's column of scans.
    id_column: &'static str,
    /// What that column accepts.
    id_form: &'static str,
    /// Patients whom the publishers ask to leave out.
    withdrawn: &'static [&'static str],
}

/// `BraTS2021_00017/BraTS2021_00017_t1ce.nii.gz`. The challenge's announcement asks to leave out three
/// patients with faulty series.
pub(super) static BRATS_2021: Release = Release {
    layout: Layout::Brats2021,
    prefix: "BraTS2021_",
    time_points: false,
    names: FileNames {
        separator: "_",
        images: &[
            (Modality::T1, "t1"),
            (Modality::T1gd, "t1ce"),
            (Modality::T2, "t2"),
            (Modality::Flair, "flair"),
        ],
        masks: &["seg"],
    },
    archive: "BraTS2021_Training_Data",
    example: "BraTS2021_00000 folder",
    id_column: "BraTS21ID",
    id_form: "of the form 00017, 17 or BraTS2021_00017",
    withdrawn: &["00109", "00123", "00709"],
};

/// `BraTS-GLI-00017-000/BraTS-GLI-00017-000-t1c.nii.gz`.
pub(super) static BRATS_2023: Release = Release {
    layout: Layout::Brats2023,
    prefix: "BraTS-GLI-",
    time_points: true,
    names: FileNames {
        separator: "-",
        images: &[
            (Modality::T1, "t1n"),
            (Modality::T1gd, "t1c"),
            (Modality::T2, "t2w"),
            (Modality::Flair, "t2f"),
        ],
        masks: &["seg"],
    },
    archive: "ASNR-MICCAI-BraTS2023-GLI-Challenge-TrainingData",
    example: "BraTS-GLI-00000-000 folder",
    id_column: "BraTS23ID",
    id_form: "of the form BraTS-GLI-00017-000 or BraTS-GLI-00017",
    withdrawn: &[],
};

/// A scan of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Scan {
    /// Five digits.
    patient: String,
    /// `000`, or nothing in a release without time points.
    time_point: String,
}

impl Release {
    /// Reads a folder's name.
    fn scan(&self, name: &str) -> Option<Scan> {
        let rest = name.strip_prefix(self.prefix)?;
        let (patient, time_point) = if self.time_points { rest.split_once('-')? } else { (rest, "") };
        let fits = is_number(patient, 5) && (!self.time_points || is_number(time_point, 3));
        fits.then(|| Scan { patient: patient.to_owned(), time_point: time_point.to_owned() })
    }

    /// Reads a scan as a table may write it: its folder's name, or short for the baseline.
    fn listed_scan(&self, name: &str) -> Option<Scan> {
        if self.time_points {
            return self.scan(name).or_else(|| self.scan(&format!("{name}-000")));
        }
        // Spreadsheets drop leading zeros.
        let short = (1..=5).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_digit());
        if short { self.scan(&format!("{}{name:0>5}", self.prefix)) } else { self.scan(name) }
    }

    fn patient_name(&self, scan: &Scan) -> String {
        format!("{}{}", self.prefix, scan.patient)
    }

    fn folder_name(&self, scan: &Scan) -> String {
        let patient = self.patient_name(scan);
        if self.time_points { format!("{patient}-{}", scan.time_point) } else { patient }
    }

    fn find_files(&self, images: &Path, scan: &str) -> Files {
        self.names.files(&images.join(scan), scan)
    }

    /// The folder of the scans: the root, or the one in it to which the archive unpacks.
    fn images_folder(&self, root: &Path) -> Result<PathBuf, CohortError> {
        for folder in [root.to_owned(), root.join(self.archive)] {
            if folder.is_dir() && folder::names(&folder)?.iter().any(|name| self.scan(name).is_some()) {
                return Ok(folder);
            }
        }
        let root = root.to_owned();
        Err(CohortError::NotThisLayout { root, expected: self.example, layout: self.layout })
    }
}

impl Scan {
    fn is_follow_up(&self) -> bool {
        !matches!(self.time_point.as_str(), "" | "000")
    }
}

fn is_number(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|b| b.is_ascii_digit())
}

/// Finds the usable cases of a release under `root`.
pub(super) fn scan(release: &Release, root: &Path) -> Result<Scanned, CohortError> {
    let images = release.images_folder(root)?;
    let mut folders = vec![root];
    folders.extend((images != root).then_some(images.as_path()));
    let table = folder::one_table(release.layout, &folders, TABLE, |name| name == TABLE)?;
    let listed = train_labels::scans(release, &Table::read(&table)?)?;
    let strangers = folder::strangers(&images, &listed, |name| {
        release.scan(name).map(|scan| (name.to_owned(), scan.is_follow_up()))
    })?;
    let mut scanned = settle(listed, |scan| scan, |scan| Ok(release.find_files(&images, scan.scan.reveal())));
    scanned.excluded.extend(strangers);
    Ok(scanned)
}

/// Every scan of a release under `root` that has a folder.
pub(super) fn every_scan(release: &Release, root: &Path) -> Result<Vec<FoundScan>, CohortError> {
    let images = release.images_folder(root)?;
    let scans = folder::scans(&images, |name| release.scan(name).is_some())?;
    Ok(FoundScan::all(scans, |scan| release.find_files(&images, scan)))
}

#[cfg(test)]
mod tests;
