//! The folder of the TCIA collection UCSF-PDGM (doi:10.7937/tcia.bdgf-8v37).
//!
//! The table writes `UCSF-PDGM-004`, the folders `UCSF-PDGM-0004_nifti`. Of its many images the four
//! structural ones are read; diffusion, perfusion and susceptibility are no modalities of the domain.

mod metadata;

use std::path::{Path, PathBuf};

use consilium_domain::Modality;

use super::settle::{Files, Scanned, settle};
use super::table::Table;
use super::{CohortError, Layout, folder};

use metadata::ExamName;
pub(super) use metadata::patient_number;

/// What the table is called.
const TABLE: &str = "UCSF-PDGM-metadata*.csv";

/// The end of an exam's folder.
const FOLDER_SUFFIX: &str = "_nifti";

/// The images that are read, by the end of their names.
const IMAGES: [(Modality, &str); 4] =
    [(Modality::T1, "T1"), (Modality::T1gd, "T1c"), (Modality::T2, "T2"), (Modality::Flair, "FLAIR")];

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
    let folder = images.join(format!("{exam}{FOLDER_SUFFIX}"));
    let find = |suffix| folder::image(&folder, &format!("{exam}_{suffix}"));
    Files {
        images: IMAGES.into_iter().filter_map(|(modality, suffix)| Some((modality, find(suffix)?))).collect(),
        mask: find("tumor_segmentation"),
    }
}

#[cfg(test)]
mod tests;
