//! Every scan of a folder, for predicting on all of them in one go.

use std::fs;
use std::path::{Path, PathBuf};

use super::{ScanFault, Subject, SubjectError, name_of};
use crate::cohort::settle::{FileMissing, FoundScan};
use crate::{CohortError, Layout, ScanName};

/// The scans of a folder, sorted by name.
#[derive(Debug)]
pub struct Subjects {
    /// Those with a mask and at least one image.
    pub found: Vec<Subject>,
    /// The others.
    pub left_out: Vec<LeftOut>,
}

/// A scan that cannot be predicted on.
#[derive(Debug)]
pub struct LeftOut {
    /// Which. Stays at the site.
    pub name: ScanName,
    /// Why. The text names a folder, which may name the patient.
    pub reason: SubjectError,
}

impl Subject {
    /// Finds every scan under `root`, the folder of a layout as a cohort has it, but without its clinical table and
    /// whatever the scans' labels: follow-ups and scans that the collection withdrew are among them. Of a manifest,
    /// every row.
    ///
    /// Without a layout it is recognised. Where `root` is in none, each folder in it is one scan, recognised by itself
    /// as [`Subject::in_folder`] does and named after the folder.
    ///
    /// # Errors
    /// [`SubjectError`] where `root` is in another layout, in several, cannot be listed, its manifest is wrong, or
    /// there is no scan at all. What is wrong with one scan leaves out that scan.
    pub fn all_in(root: &Path, layout: Option<Layout>) -> Result<Subjects, SubjectError> {
        let layout = layout.map_or_else(|| recognised(root), |layout| Ok(Some(layout)))?;
        let judged = match layout {
            Some(layout) => layout.every_scan(root)?.into_iter().map(|scan| judge(root, scan)).collect(),
            None => each_folder(root)?,
        };
        if judged.is_empty() {
            return Err(SubjectError::NoScans { root: root.to_owned() });
        }
        let mut subjects = Subjects { found: Vec::new(), left_out: Vec::new() };
        for (name, subject) in judged {
            match subject {
                Ok(subject) => subjects.found.push(subject),
                Err(reason) => subjects.left_out.push(LeftOut { name, reason }),
            }
        }
        Ok(subjects)
    }
}

/// A scan's name, and what came of it.
type Judged = (ScanName, Result<Subject, SubjectError>);

fn judge(root: &Path, FoundScan { name, files }: FoundScan) -> Judged {
    let files = files.map_err(|FileMissing| ScanFault::FileMissing);
    let subject = files.and_then(|files| Subject::new(name.clone(), files));
    (name, subject.map_err(|fault| SubjectError::Scan { place: root.to_owned(), fault }))
}

/// The layout that `root` is in, if any.
fn recognised(root: &Path) -> Result<Option<Layout>, SubjectError> {
    let mut fitting = Vec::new();
    for layout in Layout::ALL {
        match layout.every_scan(root) {
            Ok(_) => fitting.push(layout),
            Err(CohortError::NotThisLayout { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    match fitting.as_slice() {
        [] => Ok(None),
        &[layout] => Ok(Some(layout)),
        several => {
            let layouts = several.iter().map(|layout| layout.name()).collect();
            Err(SubjectError::Scan { place: root.to_owned(), fault: ScanFault::Ambiguous { layouts } })
        }
    }
}

/// Each folder in `root` as a scan, by name. Hidden folders are none.
fn each_folder(root: &Path) -> Result<Vec<Judged>, SubjectError> {
    let unlistable = |cause| CohortError::Io { folder: root.to_owned(), cause };
    let entries = fs::read_dir(root).map_err(unlistable)?;
    let mut folders: Vec<PathBuf> =
        entries.map(|entry| Ok(entry.map_err(unlistable)?.path())).collect::<Result<_, CohortError>>()?;
    folders.retain(|path| path.is_dir() && !name_of(path).reveal().starts_with('.'));
    folders.sort_unstable();
    Ok(folders.iter().map(|folder| judge_folder(folder)).collect())
}

fn judge_folder(folder: &Path) -> Judged {
    let name = name_of(folder);
    let subject = Subject::in_folder(folder, None);
    (name.clone(), subject.map(|subject| Subject { name, ..subject }))
}
