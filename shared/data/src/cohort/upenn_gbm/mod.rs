//! The folder of the TCIA collection UPENN-GBM (doi:10.7937/TCIA.709X-DN49).
//!
//! Scans are looked up from the clinical table, not the other way round, so that stray copies (`old/`
//! folders) are never picked up. A corrected mask is preferred over the automated one.

mod clinical_table;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use consilium_domain::Modality;

use super::naming::FileNames;
use super::settle::{Files, FoundScan, ListedScan, Scanned, settle};
use super::table::Table;
use super::{CohortError, ExcludedScan, Layout, folder};

use clinical_table::split_id;

/// What the clinical table is called.
const TABLE: &str = "*clinical_info*.csv";

/// The files of a scan, in whichever folder they lie.
pub(super) static NAMES: FileNames = FileNames {
    separator: "_",
    images: &[
        (Modality::T1, "T1"),
        (Modality::T1gd, "T1GD"),
        (Modality::T2, "T2"),
        (Modality::Flair, "FLAIR"),
        (Modality::DtiAd, "DTI_AD"),
        (Modality::DtiFa, "DTI_FA"),
        (Modality::DtiRd, "DTI_RD"),
        (Modality::DtiTr, "DTI_TR"),
        (Modality::DscApRcbv, "DSC_ap-rCBV"),
        (Modality::DscPh, "DSC_PH"),
        (Modality::DscPsr, "DSC_PSR"),
    ],
    masks: &["segm", "automated_approx_segm"],
};

const STRUCTURAL: &str = "images_structural";
const DTI: &str = "images_DTI";
const DSC: &str = "images_DSC";

/// The folder under `NIfTI-files/` of each mask, as [`NAMES`] has them: corrected by hand, and automated.
const MASK_FOLDERS: [&str; 2] = ["images_segm", "automated_segm"];

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
        .find(|folder| folder.join(STRUCTURAL).is_dir())
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
    let mut masks = MASK_FOLDERS.iter().zip(NAMES.masks);
    masks.find_map(|(folder, ending)| folder::image(&images.join(folder), &NAMES.stem(id, ending)))
}

fn find_image(images: &Path, id: &str, modality: Modality) -> Option<PathBuf> {
    let (folder, ending) = place(modality);
    let [folder, nested] = nestings(images.join(folder));
    // Some scans lie in one more folder of their own name.
    [folder.join(id), nested.join(id), folder.join(id).join(id), nested.join(id).join(id)]
        .iter()
        .find_map(|folder| folder::image(folder, &NAMES.stem(id, ending)))
}

/// A folder, and the folder of the same name inside it: the archive of DTI unpacks to one.
fn nestings(folder: PathBuf) -> [PathBuf; 2] {
    let nested = folder.file_name().map_or_else(|| folder.clone(), |name| folder.join(name));
    [folder, nested]
}

/// The folder under `NIfTI-files/` and the end of the file's name.
pub(crate) fn place(modality: Modality) -> (&'static str, &'static str) {
    let folder = match modality {
        Modality::T1 | Modality::T1gd | Modality::T2 | Modality::Flair => STRUCTURAL,
        Modality::DtiAd | Modality::DtiFa | Modality::DtiRd | Modality::DtiTr => DTI,
        Modality::DscApRcbv | Modality::DscPh | Modality::DscPsr => DSC,
    };
    (folder, NAMES.ending(modality).expect("the collection has every modality"))
}

/// Every scan under `root`, follow-ups included: whatever has a folder of images or a mask.
pub(super) fn every_scan(root: &Path) -> Result<Vec<FoundScan>, CohortError> {
    let images = images_folder(root)?;
    let mut ids = BTreeSet::new();
    for folder in [STRUCTURAL, DTI, DSC].into_iter().flat_map(|folder| nestings(images.join(folder))) {
        if folder.is_dir() {
            ids.extend(folder::scans(&folder, |name| split_id(name).is_some())?);
        }
    }
    for folder in MASK_FOLDERS.map(|folder| images.join(folder)).iter().filter(|folder| folder.is_dir()) {
        for name in folder::names(folder)? {
            let mask = folder::stem(&name).and_then(|stem| NAMES.read(stem));
            let scan = mask.map(|(scan, _)| scan).filter(|scan| split_id(scan).is_some());
            ids.extend(scan.map(str::to_owned));
        }
    }
    Ok(FoundScan::all(ids, |id| find_files(&images, id)))
}

/// The scan whose structural images `folder` holds within the collection's own folders, where its mask and other
/// images lie elsewhere.
pub(crate) fn scan_of_structural_folder(folder: &Path) -> Option<(String, Files)> {
    let folder = std::path::absolute(folder).ok()?;
    let id = folder.file_name()?.to_str().filter(|id| split_id(id).is_some())?;
    // Both the collection's folder and the scan's may be nested once more under their own name.
    let structural = folder.ancestors().skip(1).take(3).filter(|above| above.ends_with(STRUCTURAL)).last()?;
    Some((id.to_owned(), find_files(structural.parent()?, id)))
}

/// Scans with a folder of structural images but without a row in the table.
fn strangers(images: &Path, listed: &[ListedScan]) -> Result<Vec<ExcludedScan>, CohortError> {
    let mut strangers = Vec::new();
    for folder in nestings(images.join(STRUCTURAL)).iter().filter(|folder| folder.is_dir()) {
        strangers.extend(folder::strangers(folder, listed, |name| {
            split_id(name).map(|(_, follow_up)| (name.to_owned(), follow_up))
        })?);
    }
    Ok(strangers)
}

#[cfg(test)]
mod tests;
