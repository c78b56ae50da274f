//! The data check: what a site has, what of it is usable, and why the rest is not.
//!
//! [`check`] opens the cohort as a study would, reads every header and then every voxel, and deals the folds
//! of what is left. [`render_text`], [`render_json`] and [`write_page`] show the [`Report`].
//!
//! Deliberately absent: any change to the site's files, and any way to send a report. It names patients and
//! files; the places where it does so are the three above and nowhere else.

mod dates;
mod duplicates;
mod files;
mod folds;
mod grid;
mod headers;
mod inventory;
mod json;
mod opening;
mod options;
mod page;
mod problem;
mod progress;
mod remedy;
mod report;
mod sharing;
mod strays;
mod text;
mod tumour;
mod voxels;

use std::collections::BTreeSet;
use std::path::PathBuf;

use consilium_domain::Modality;

pub use dates::ScanDates;
pub use folds::{CountRange, FoldSizes, Sizes};
pub use inventory::{GridCount, Inventory, ModalityInventory};
pub use json::{JSON_SCHEMA, JSON_VERSION, render_json};
pub use options::{CheckOptions, InvalidOptions};
pub use page::{PageError, write_page};
pub use problem::{Place, Problem, ProblemKind, Role, Severity};
pub use progress::{Pass, PassTiming, Progress};
pub use report::{CheckedCase, Report, Verdict};
pub use text::{Listing, render_text};

use crate::{Case, Cohort, Layout};
use headers::Inspected;
use progress::Counter;

/// Checks the scans of one hospital in `folders`, on all processors. `progress` hears of every file, on any
/// thread.
///
/// Never fails: what is wrong is in the report, a folder that cannot be opened included.
pub fn check(
    layout: Layout,
    folders: &[PathBuf],
    options: &CheckOptions,
    progress: &(dyn Fn(Progress) + Sync),
) -> Report {
    match Cohort::open(layout, folders) {
        Ok(cohort) => check_cohort(cohort, layout, folders, options, progress),
        Err(error) => Report {
            layout,
            folders: folders.to_vec(),
            options: options.clone(),
            cases: Vec::new(),
            inventory: Inventory::default(),
            folds: None,
            problems: opening::refused(&error, folders),
            passes: Vec::new(),
        },
    }
}

fn check_cohort(
    mut cohort: Cohort,
    layout: Layout,
    folders: &[PathBuf],
    options: &CheckOptions,
    progress: &(dyn Fn(Progress) + Sync),
) -> Report {
    let without_modality = keep_wanted(&mut cohort, options);
    let mut problems: Vec<Problem> =
        cohort.excluded.iter().filter_map(|scan| opening::left_out(scan, folders)).collect();
    let files = files::of_cases(&cohort.cases);
    let counter = Counter::start(Pass::Headers, files.len(), progress);
    let mut inspected = headers::inspect(files, &counter);
    let mut passes = vec![counter.finish()];

    problems.extend(inspected.iter_mut().flat_map(|file| std::mem::take(&mut file.problems)));
    problems.extend(sharing::find(&inspected, &cohort.cases));
    problems.extend(strays::find(folders, &inspected));
    let by_case = by_case(&inspected, cohort.cases.len());
    problems.extend(by_case.iter().flat_map(|files| grid::check_case(files)));
    problems.extend(grid::check_atlas(&by_case));

    if !options.headers_only {
        let readable = inspected.iter().filter(|file| file.header.is_some()).count();
        let counter = Counter::start(Pass::Voxels, readable, progress);
        let found = voxels::inspect(&by_case, &counter);
        passes.push(counter.finish());
        let shared = shared_files(&problems);
        let mut digests = Vec::new();
        for case in found {
            problems.extend(case.problems);
            digests.extend(
                case.digests.into_iter().filter(|(file, _)| !shared.contains(&(file.case, file.role))),
            );
        }
        problems.extend(duplicates::find(digests, &cohort.cases));
    }
    let cases = usable_cases(&cohort.cases, &problems);
    let folds = folds::deal(&cases, options);
    problems.extend(folds::judge(folds.as_ref(), &cases, options));
    problems.extend(dates::judge(&cases, options));
    problems.sort_by(|a, b| (a.kind, &a.place).cmp(&(b.kind, &b.place)));
    let wanted: Vec<Modality> =
        Modality::ALL.into_iter().filter(|&modality| options.wants(modality)).collect();
    let inventory = Inventory::of(&cohort, &cases, without_modality, &wanted, &inspected);
    Report {
        layout,
        folders: folders.to_vec(),
        options: options.clone(),
        cases,
        inventory,
        folds,
        problems,
        passes,
    }
}

/// Leaves out the images of other modalities, and the cases that then have none. Returns how many those are.
fn keep_wanted(cohort: &mut Cohort, options: &CheckOptions) -> usize {
    let before = cohort.cases.len();
    for case in &mut cohort.cases {
        case.images.retain(|&modality, _| options.wants(modality));
    }
    cohort.cases.retain(|case| !case.images.is_empty());
    before - cohort.cases.len()
}

fn by_case(files: &[Inspected], cases: usize) -> Vec<Vec<&Inspected>> {
    let mut by_case = vec![Vec::new(); cases];
    for file in files {
        by_case[file.file.case].push(file);
    }
    by_case
}

/// The files that are reported as used twice, which need not be reported as duplicates of themselves.
fn shared_files(problems: &[Problem]) -> BTreeSet<(usize, Role)> {
    let shared = problems.iter().filter(|problem| problem.kind == ProblemKind::SameFile);
    shared
        .filter_map(|problem| match problem.place {
            Place::File { case, role, .. } => Some((case, role)),
            _ => None,
        })
        .collect()
}

/// What is left of each case: an image's error costs the image, any other error of a case all of it.
fn usable_cases(cases: &[Case], problems: &[Problem]) -> Vec<CheckedCase> {
    let mut checked: Vec<CheckedCase> = cases
        .iter()
        .map(|case| CheckedCase { usable: case.images.keys().copied().collect(), case: case.clone() })
        .collect();
    for problem in problems.iter().filter(|problem| problem.severity() == Severity::Error) {
        match problem.place {
            Place::File { case, role: Role::Image(modality), .. } => {
                checked[case].usable.remove(&modality);
            }
            Place::File { case, role: Role::Mask, .. } | Place::Case(case) => checked[case].usable.clear(),
            Place::Site | Place::Path(_) | Place::Scan { .. } => {}
        }
    }
    checked
}

/// A case with two modalities and no files.
#[cfg(test)]
pub(crate) fn made_up_case(methylated: bool) -> Case {
    use consilium_domain::Label;
    Case {
        patient: crate::PatientId::new("P"),
        scan: crate::ScanName::new("S"),
        aliases: Vec::new(),
        label: if methylated { Label::Methylated } else { Label::Unmethylated },
        clinical: crate::Clinical::default(),
        images: [Modality::T1, Modality::Flair].map(|modality| (modality, "image.nii".into())).into(),
        mask: "mask.nii".into(),
        root: 0,
    }
}
