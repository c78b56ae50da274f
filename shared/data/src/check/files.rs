//! The files of a cohort in one list, for the passes that go through all of them.

use std::path::{Path, PathBuf};

use super::problem::{Place, Role};
use crate::Case;

/// One file of one case.
#[derive(Clone)]
pub(super) struct CaseFile {
    pub(super) case: usize,
    pub(super) role: Role,
    pub(super) path: PathBuf,
}

impl CaseFile {
    pub(super) fn place(&self) -> Place {
        Place::File { case: self.case, role: self.role, path: self.path.clone() }
    }

    /// How another problem's text names it.
    pub(super) fn described(&self, cases: &[Case]) -> String {
        let patient = cases[self.case].patient.reveal();
        format!("{} of patient {patient} ({})", self.role.name(), self.path.display())
    }
}

/// Images by modality, then the mask, case by case.
pub(super) fn of_cases(cases: &[Case]) -> Vec<CaseFile> {
    let of_case = |(case, found): (usize, &Case)| {
        let file = move |role, path: &Path| CaseFile { case, role, path: path.to_owned() };
        let mut files: Vec<CaseFile> =
            found.images.iter().map(|(&modality, path)| file(Role::Image(modality), path)).collect();
        files.push(file(Role::Mask, &found.mask));
        files
    };
    cases.iter().enumerate().flat_map(of_case).collect()
}
