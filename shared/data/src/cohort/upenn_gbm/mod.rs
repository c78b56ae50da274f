//! The folder of the TCIA collection UPENN-GBM (doi:10.7937/TCIA.709X-DN49).
//!
//! Scans are looked up from the clinical table, not the other way round, so that stray copies (`old/`
//! folders) are never picked up. A corrected mask is preferred over the automated one.

mod clinical;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use consilium_domain::{Label, Modality};

pub use clinical::{ClinicalError, ClinicalScan, ClinicalTable, Mgmt};

use super::{Case, CohortError, Exclusion, Layout, Scanned};

/// Compressed first; plain files are accepted too.
const EXTENSIONS: [&str; 2] = ["nii.gz", "nii"];

/// Finds the usable cases under `root`: the folder that holds `NIfTI-files/`, or that folder itself.
pub(super) fn scan(root: &Path) -> Result<Scanned, CohortError> {
    let images = images_folder(root)?;
    let table = ClinicalTable::read(&clinical_table(root, &images)?)?;
    let mut cases = Vec::new();
    let mut exclusions: BTreeMap<Exclusion, u32> = BTreeMap::new();
    for scan in table.scans() {
        match find_case(&images, scan) {
            Ok(case) => cases.push(case),
            Err(reason) => *exclusions.entry(reason).or_default() += 1,
        }
    }
    let strangers = count_strangers(&images, &table)?;
    if strangers > 0 {
        exclusions.insert(Exclusion::NotInTable, strangers);
    }
    Ok(Scanned { cases, exclusions })
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

/// The one `*clinical_info*.csv` in the folder, beside `NIfTI-files/` or inside it.
fn clinical_table(root: &Path, images: &Path) -> Result<PathBuf, CohortError> {
    let mut folders = BTreeSet::from([root.to_owned(), images.to_owned()]);
    if images == root && root.file_name().is_some_and(|name| name == "NIfTI-files") {
        folders.extend(root.parent().map(Path::to_owned));
    }
    let mut tables = Vec::new();
    for folder in &folders {
        tables.extend(
            names_in(folder)?
                .into_iter()
                .filter(|name| is_clinical_table(name))
                .map(|name| folder.join(name)),
        );
    }
    match tables.as_slice() {
        [table] => Ok(table.clone()),
        [] => Err(CohortError::NotThisLayout {
            root: root.to_owned(),
            expected: "*clinical_info*.csv",
            layout: Layout::UpennGbm,
        }),
        several => Err(CohortError::SeveralTables { root: root.to_owned(), count: several.len() }),
    }
}

fn is_clinical_table(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    // A leading dot is a resource fork or an editor's lock, not a table.
    name.contains("clinical_info") && name.ends_with(".csv") && !name.starts_with('.')
}

fn names_in(folder: &Path) -> Result<Vec<String>, CohortError> {
    let io_error = |cause| CohortError::Io { folder: folder.to_owned(), cause };
    fs::read_dir(folder)
        .map_err(io_error)?
        .map(|entry| Ok(entry.map_err(io_error)?.file_name().to_string_lossy().into_owned()))
        .collect()
}

fn find_case(images: &Path, scan: &ClinicalScan) -> Result<Case, Exclusion> {
    if !scan.is_baseline() {
        return Err(Exclusion::FollowUp);
    }
    let label = match scan.mgmt() {
        Mgmt::Methylated => Label::Methylated,
        Mgmt::Unmethylated => Label::Unmethylated,
        Mgmt::Indeterminate => return Err(Exclusion::MgmtIndeterminate),
        Mgmt::NotAvailable => return Err(Exclusion::MgmtNotAvailable),
    };
    let id = scan.id();
    let mask = find_mask(images, id).ok_or(Exclusion::NoMask)?;
    let found: BTreeMap<Modality, PathBuf> = Modality::ALL
        .into_iter()
        .filter_map(|modality| Some((modality, find_image(images, id, modality)?)))
        .collect();
    if found.is_empty() {
        return Err(Exclusion::NoImage);
    }
    Ok(Case { patient: scan.patient().clone(), label, images: found, mask, root: 0 })
}

fn find_mask(images: &Path, id: &str) -> Option<PathBuf> {
    existing(&images.join("images_segm"), &format!("{id}_segm"))
        .or_else(|| existing(&images.join("automated_segm"), &format!("{id}_automated_approx_segm")))
}

fn find_image(images: &Path, id: &str, modality: Modality) -> Option<PathBuf> {
    let (folder, suffix) = place(modality);
    let folder = images.join(folder);
    // The DTI archive unpacks to a folder of its own name, and some scans to one more of their own.
    let nested = folder.join(folder.file_name()?);
    [folder.join(id), nested.join(id), folder.join(id).join(id), nested.join(id).join(id)]
        .iter()
        .find_map(|folder| existing(folder, &format!("{id}_{suffix}")))
}

fn existing(folder: &Path, stem: &str) -> Option<PathBuf> {
    EXTENSIONS.iter().map(|extension| folder.join(format!("{stem}.{extension}"))).find(|path| path.is_file())
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

/// Scans with a folder but without a row in the table.
fn count_strangers(images: &Path, table: &ClinicalTable) -> Result<u32, CohortError> {
    let folder = images.join("images_structural");
    let known: BTreeSet<&str> = table.scans().iter().map(ClinicalScan::id).collect();
    let strangers = names_in(&folder)?
        .into_iter()
        .filter(|name| !name.starts_with('.') && folder.join(name).is_dir() && !known.contains(name.as_str()))
        .count();
    Ok(u32::try_from(strangers).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests;
