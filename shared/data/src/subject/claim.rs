//! What a layout makes of the files in one folder: which scan they are of, and which is what.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use consilium_domain::Modality;

use super::{ScanFault, SubjectError, printable};
use crate::cohort::folder;
use crate::cohort::naming::{FileNames, Role};
use crate::cohort::settle::{FileMissing, Files, FoundScan};
use crate::cohort::upenn_gbm;
use crate::{CohortError, Layout, ScanName};

/// Names that need no collection: `t1gd.nii.gz` after the domain's names, and `mask.nii.gz`.
static PLAIN: FileNames = FileNames { separator: "", images: &PLAIN_IMAGES, masks: &["mask"] };

static PLAIN_IMAGES: [(Modality, &str); Modality::ALL.len()] = {
    let mut images = [(Modality::T1, ""); Modality::ALL.len()];
    let mut index = 0;
    while index < images.len() {
        images[index] = (Modality::ALL[index], Modality::ALL[index].name());
        index += 1;
    }
    images
};

/// The name under which [`PLAIN`] is spoken of. It is no [`Layout`]: no cohort can be opened in it.
const PLAIN_NAME: &str = "plain names";

/// The files that a layout recognises in a folder; there may be none.
pub(super) struct Claim {
    pub(super) layout: &'static str,
    /// The scan's name, where the files' names tell.
    pub(super) scan: Option<ScanName>,
    pub(super) files: Files,
}

impl Claim {
    /// What `layout` finds in `folder`.
    ///
    /// # Errors
    /// [`SubjectError`] where two files serve one purpose, the files are of several scans, or it cannot be read.
    pub(super) fn of(layout: Layout, folder: &Path) -> Result<Self, SubjectError> {
        // In the collection's own folders the mask and the other images lie elsewhere.
        let within = (layout == Layout::UpennGbm).then(|| upenn_gbm::scan_of_structural_folder(folder));
        if let Some((id, files)) = within.flatten() {
            return Ok(Self { layout: layout.name(), scan: Some(ScanName::new(id)), files });
        }
        match layout.file_names() {
            Some(names) => Self::by_names(names, layout.name(), folder),
            None => Self::of_one_row(layout, folder),
        }
    }

    /// What each layout finds in `folder`, the plain names last.
    ///
    /// # Errors
    /// As [`Claim::of`] for any of them: a folder with the files of two scans is refused, whatever else fits.
    pub(super) fn of_each(folder: &Path) -> Result<Vec<Self>, SubjectError> {
        let mut claims = Vec::new();
        for layout in Layout::ALL {
            match Self::of(layout, folder) {
                Ok(claim) => claims.push(claim),
                // No manifest is there, which is normal.
                Err(SubjectError::Folder(CohortError::NotThisLayout { .. })) => {}
                Err(error) => return Err(error),
            }
        }
        claims.push(Self::by_names(&PLAIN, PLAIN_NAME, folder)?);
        Ok(claims)
    }

    fn by_names(names: &FileNames, layout: &'static str, folder: &Path) -> Result<Self, SubjectError> {
        let refuse = |fault| Err(SubjectError::Scan { place: folder.to_owned(), fault });
        let listed = folder::names(folder)?;
        // `x.nii` beside `x.nii.gz` is one stem, of which the compressed file is taken, as everywhere.
        let stems: BTreeSet<&str> = listed.iter().filter_map(|name| folder::stem(name)).collect();
        let (mut scans, mut found) = (BTreeSet::new(), BTreeMap::new());
        for stem in stems {
            let Some((scan, role)) = names.read(stem) else { continue };
            let Some(path) = folder::image(folder, stem) else { continue };
            scans.insert(scan);
            if found.insert(role, path).is_some() {
                return refuse(ScanFault::TwoFiles { kind: kind(role) });
            }
        }
        if scans.len() > 1 {
            return refuse(ScanFault::SeveralScans { count: scans.len() });
        }
        let scan = scans.pop_first().filter(|scan| !scan.is_empty()).map(printable);
        Ok(Self { layout, scan, files: in_order(found) })
    }

    fn of_one_row(layout: Layout, manifest: &Path) -> Result<Self, SubjectError> {
        let rows = layout.every_scan(manifest)?;
        let place = manifest.to_owned();
        let [FoundScan { name, files }] = <[_; 1]>::try_from(rows)
            .map_err(|rows| SubjectError::NotOneRow { manifest: place.clone(), count: rows.len() })?;
        let missing = |FileMissing| SubjectError::Scan { place, fault: ScanFault::FileMissing };
        Ok(Self { layout: layout.name(), scan: Some(name), files: files.map_err(missing)? })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.files.images.is_empty() && self.files.mask.is_none()
    }

    /// Whether nothing that the other layout finds is lost by taking this one's word.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let images = &self.files.images;
        other.files.images.iter().all(|(modality, path)| images.get(modality) == Some(path))
            && other.files.mask.as_ref().is_none_or(|mask| self.files.mask.as_ref() == Some(mask))
    }
}

const fn kind(role: Role) -> &'static str {
    match role {
        Role::Image(modality) => modality.name(),
        Role::Mask(_) => "mask",
    }
}

/// The preferred mask is the first in order.
fn in_order(found: BTreeMap<Role, PathBuf>) -> Files {
    let mut files = Files::default();
    for (role, path) in found {
        match role {
            Role::Image(modality) => {
                files.images.insert(modality, path);
            }
            Role::Mask(_) => {
                files.mask.get_or_insert(path);
            }
        }
    }
    files
}
