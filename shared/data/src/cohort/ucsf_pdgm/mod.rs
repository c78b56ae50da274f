//! The folder of the TCIA collection UCSF-PDGM (doi:10.7937/tcia.bdgf-8v37).
//!
//! The table writes `UCSF-PDGM-004`, the folders `UCSF-PDGM-0004_nifti`. Of its many images the four
//! structural ones are read; diffusion, perfusion and susceptibility are no modalities of the domain.

mod metadata;

use std::path::{Path, PathBuf};

use consilium_domain::Modality;

use super::naming::FileNames;
use super::settle::{Files, FoundScan, Scanned, settle};
use super::table::Table;
use super::{CohortError, Layout, folder};

use metadata::ExamName;
pub(super) use metadata::patient_number;

/// What the table is called.
const TABLE: &str = "UCSF-PDGM-metadata*.csv";

/// The end of an exam's folder.
const FOLDER_SUFFIX: &str = "_nifti";

/// The files that are read.
pub(super) static NAMES: FileNames = FileNames {
    separator: "_",
    images: &[
        (Modality::T1, "T1"),
        (Modality::T1gd, "T1c"),
        (Modality::T2, "T2"),
        (Modality::Flair, "FLAIR"),
    ],
    masks: &["tumor_segmentation"],
};

/// Finds the usable cases under `root`: the folder of the exams, or one that holds it as `UCSF-PDGM-v5`.
pub(super) fn scan(root: &Path) -> Result<Scanned, CohortError> {
    let images = images_folder(root)?;
    let mut folders = vec![root];
    folders.extend((images != root).then_some(images.as_path()));
    let table = folder::one_table(Layout::UcsfPdgm, &folders, TABLE, |name| {
        name.starts_with("UCSF-PDGM-metadata") && name.ends_with(".csv")
    })?;
    let listed = metadata::scans(&Table::read(&table)?)?;
    let strangers = folder::strangers(&images, &listed, |name| {
        exam_of(name).map(|exam| (exam.scan(), exam.is_follow_up()))
    })?;
    let mut scanned = settle(listed, |scan| scan, |scan| Ok(find_files(&images, scan.scan.reveal())));
    scanned.excluded.extend(strangers);
    Ok(scanned)
}

/// Every exam under `root` that has a folder.
pub(super) fn every_scan(root: &Path) -> Result<Vec<FoundScan>, CohortError> {
    let images = images_folder(root)?;
    let folders = folder::scans(&images, |name| exam_of(name).is_some())?;
    let exams = folders.iter().filter_map(|name| name.strip_suffix(FOLDER_SUFFIX)).map(str::to_owned);
    Ok(FoundScan::all(exams, |exam| find_files(&images, exam)))
}

/// The first folder with exams in it: the root, or one of the names that the archive unpacks to.
fn images_folder(root: &Path) -> Result<PathBuf, CohortError> {
    let no_exam = CohortError::NotThisLayout {
        root: root.to_owned(),
        expected: "UCSF-PDGM-0000_nifti folder",
        layout: Layout::UcsfPdgm,
    };
    if !root.is_dir() {
        return Err(no_exam);
    }
    let names = folder::names(root)?;
    if names.iter().any(|name| exam_of(name).is_some()) {
        return Ok(root.to_owned());
    }
    for archive in names.iter().filter(|name| name.starts_with("UCSF-PDGM-v")).map(|name| root.join(name)) {
        if archive.is_dir() && folder::names(&archive)?.iter().any(|name| exam_of(name).is_some()) {
            return Ok(archive);
        }
    }
    Err(no_exam)
}

/// The exam whose images a folder of this name holds.
fn exam_of(folder: &str) -> Option<ExamName<'_>> {
    ExamName::parse(folder.strip_suffix(FOLDER_SUFFIX)?)
}

fn find_files(images: &Path, exam: &str) -> Files {
    NAMES.files(&images.join(format!("{exam}{FOLDER_SUFFIX}")), exam)
}

#[cfg(test)]
mod tests;
