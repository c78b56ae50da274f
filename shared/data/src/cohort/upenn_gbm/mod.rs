//! The folder of the TCIA collection UPENN-GBM (doi:10.7937/TCIA.709X-DN49).
//!
//! Scans are looked up from the clinical table, not the other way round, so that stray copies (`old/`
//! folders) are never picked up. A corrected mask is preferred over the automated one.

mod clinical_table;

use std::path::{Path, PathBuf};

use consilium_domain::Modality;

use super::settle::{Files, ListedScan, Scanned, settle};
use super::table::Table;
use super::{CohortError, ExcludedScan, Layout, folder};

use clinical_table::split_id;

/// What the clinical table is called.
const TABLE: &str = "*clinical_info*.csv";

/// Finds the usable cases under `root`: the folder that holds `NIfTI-files/`, or that folder itself.
pub(super) fn scan(root: &Path) -> Result<Scanned, CohortError> {
    let images = images_folder(root)?;
    let listed = clinical_table::scans(&Table::read(&find_table(root, &images)?)?)?;
    let strangers = strangers(&images, &listed)?;
    let mut scanned = settle(listed, |scan| scan, |scan| Ok(find_files(&images, scan.scan.reveal())));
    scanned.excluded.extend(strangers);
    Ok(scanned)
}

fn images_folder(root: &Path) -> Result<PathBuf, CohortError> {
    [root.join("NIfTI-files"), root.to_owned()]
        .into_iter()
        .find(|folder| folder.join("images_structural").is_dir())
        .ok_or_else(|| CohortError::NotThisLayout {
            root: root.to_owned(),
            expected: "NIfTI-files/images_structural folder",
            layout: Layout::UpennGbm,
        })
}

/// The one clinical table, beside `NIfTI-files/` or inside it.
fn find_table(root: &Path, images: &Path) -> Result<PathBuf, CohortError> {
    let mut folders = vec![root];
    if images != root {
        folders.push(images);
    } else if root.file_name().is_some_and(|name| name == "NIfTI-files") {
        folders.extend(root.parent());
    }
    folder::one_table(Layout::UpennGbm, &folders, TABLE, |name| {
        let name = name.to_ascii_lowercase();
        name.contains("clinical_info") && name.ends_with(".csv")
    })
}

fn find_files(images: &Path, id: &str) -> Files {
    let found = Modality::ALL
        .into_iter()
        .filter_map(|modality| Some((modality, find_image(images, id, modality)?)))
        .collect();
    Files { images: found, mask: find_mask(images, id) }
}

fn find_mask(images: &Path, id: &str) -> Option<PathBuf> {
    folder::image(&images.join("images_segm"), &format!("{id}_segm"))
        .or_else(|| folder::image(&images.join("automated_segm"), &format!("{id}_automated_approx_segm")))
}

fn find_image(images: &Path, id: &str, modality: Modality) -> Option<PathBuf> {
    let (folder, suffix) = place(modality);
    let [folder, nested] = nestings(images.join(folder));
    // Some scans lie in one more folder of their own name.
    [folder.join(id), nested.join(id), folder.join(id).join(id), nested.join(id).join(id)]
        .iter()
        .find_map(|folder| folder::image(folder, &format!("{id}_{suffix}")))
}

/// A folder, and the folder of the same name inside it: the archive of DTI unpacks to one.
fn nestings(folder: PathBuf) -> [PathBuf; 2] {
    let nested = folder.file_name().map_or_else(|| folder.clone(), |name| folder.join(name));
    [folder, nested]
}

/// The folder under `NIfTI-files/` and the end of the file's name.
pub(crate) const fn place(modality: Modality) -> (&'static str, &'static str) {
    match modality {
        Modality::T1 => ("images_structural", "T1"),
        Modality::T1gd => ("images_structural", "T1GD"),
        Modality::T2 => ("images_structural", "T2"),
        Modality::Flair => ("images_structural", "FLAIR"),
        Modality::DtiAd => ("images_DTI", "DTI_AD"),
        Modality::DtiFa => ("images_DTI", "DTI_FA"),
        Modality::DtiRd => ("images_DTI", "DTI_RD"),
        Modality::DtiTr => ("images_DTI", "DTI_TR"),
        Modality::DscApRcbv => ("images_DSC", "DSC_ap-rCBV"),
        Modality::DscPh => ("images_DSC", "DSC_PH"),
        Modality::DscPsr => ("images_DSC", "DSC_PSR"),
    }
}

/// Scans with a folder of structural images but without a row in the table.
fn strangers(images: &Path, listed: &[ListedScan]) -> Result<Vec<ExcludedScan>, CohortError> {
    let mut strangers = Vec::new();
    for folder in nestings(images.join("images_structural")).iter().filter(|folder| folder.is_dir()) {
        strangers.extend(folder::strangers(folder, listed, |name| {
            split_id(name).map(|(_, follow_up)| (name.to_owned(), follow_up))
        })?);
    }
    Ok(strangers)
}

#[cfg(test)]
mod tests;
