//! The deep pass: every voxel of a case is read once and judged.
//!
//! Cases run in parallel; a thread holds one image at a time and the list of the tumour's voxels, not the mask.

use rayon::prelude::*;

use super::duplicates::{Digest, digest};
use super::files::CaseFile;
use super::headers::{Inspected, unreadable};
use super::problem::{Problem, ProblemKind, Role};
use super::progress::Counter;
use super::tumour::{Tumour, judge_labels, judge_view};
use crate::Volume;

/// A skull-stripped scan is mostly background. One with less of it than this has kept its skull or its noise: even
/// a head that fills its box leaves the corners.
const LEAST_BACKGROUND: f64 = 0.1;

/// The highest label; an image of such whole numbers is a mask.
const MOST_LABEL: f32 = 4.0;

/// What the deep pass knows of a case.
#[derive(Default)]
pub(super) struct CaseVoxels {
    pub(super) problems: Vec<Problem>,
    /// Of the files that hold something; duplicates of nothing are no news.
    pub(super) digests: Vec<(CaseFile, Digest)>,
}

/// Reads the voxels of every file with a sound header, case by case.
pub(super) fn inspect(cases: &[Vec<&Inspected>], counter: &Counter<'_>) -> Vec<CaseVoxels> {
    cases.par_iter().map(|files| inspect_case(files, counter)).collect()
}

fn inspect_case(files: &[&Inspected], counter: &Counter<'_>) -> CaseVoxels {
    let mut found = CaseVoxels::default();
    let readable = |file: &&&Inspected| file.header.is_some();
    let mask = files.iter().filter(readable).find(|file| file.file.role == Role::Mask);
    let mut tumour = mask.and_then(|file| {
        let tumour = found.read(&file.file).map(|volume| found.mask(volume, &file.file));
        counter.add(1);
        tumour
    });
    for file in files.iter().filter(readable).filter(|file| file.file.role != Role::Mask) {
        if let Some(volume) = found.read(&file.file) {
            found.image(volume, &file.file, tumour.as_mut());
        }
        counter.add(1);
    }
    if let (Some(mask), Some(tumour)) = (mask, tumour) {
        found.problems.extend(tumour.judge(&mask.file));
    }
    found
}

impl CaseVoxels {
    fn read(&mut self, file: &CaseFile) -> Option<Volume> {
        Volume::read(&file.path).map_err(|error| self.problems.push(unreadable(file, &error))).ok()
    }

    fn mask(&mut self, volume: Volume, file: &CaseFile) -> Tumour {
        let tumour = Tumour::of(&volume);
        self.problems.extend(judge_labels(&volume, file));
        if !tumour.is_empty() {
            self.digests.push((file.clone(), digest(volume)));
        }
        tumour
    }

    fn image(&mut self, volume: Volume, file: &CaseFile, tumour: Option<&mut Tumour>) {
        let seen = Intensities::of(&volume);
        if let Some(problem) = seen.judge(file) {
            let empty = problem.severity() == super::Severity::Error;
            self.problems.push(problem);
            if empty {
                return;
            }
        }
        let missed = tumour.and_then(|tumour| tumour.look_at(&volume, seen.brain));
        self.problems.extend(missed.and_then(|missed| judge_view(file, missed)));
        self.digests.push((file.clone(), digest(volume)));
    }
}

/// The values of an image, in passing.
struct Intensities {
    voxels: usize,
    /// Voxels other than 0.
    brain: usize,
    /// Of those.
    low: f32,
    high: f32,
    /// Whether all are labels.
    labels: bool,
}

impl Intensities {
    fn of(volume: &Volume) -> Self {
        let start = Self {
            voxels: volume.values().len(),
            brain: 0,
            low: f32::INFINITY,
            high: f32::NEG_INFINITY,
            labels: true,
        };
        volume.values().iter().filter(|value| **value != 0.0).fold(start, |seen, &value| Self {
            brain: seen.brain + 1,
            low: seen.low.min(value),
            high: seen.high.max(value),
            labels: seen.labels && value.fract() == 0.0 && (0.0..=MOST_LABEL).contains(&value),
            ..seen
        })
    }

    fn judge(&self, file: &CaseFile) -> Option<Problem> {
        let problem = |kind, reason: String, remedy: &str| Some(Problem::new(kind, file.place(), reason, remedy));
        if self.brain == 0 {
            return problem(
                ProblemKind::EmptyImage,
                "every voxel is 0".to_owned(),
                "export the image again, or leave it out",
            );
        }
        if self.low == self.high {
            return problem(
                ProblemKind::ConstantImage,
                format!("every voxel that is not 0 is {}", self.low),
                "check that the file is the scan and not a mask or a failed export",
            );
        }
        if self.labels {
            return problem(
                ProblemKind::LooksLikeMask,
                format!("it holds only the whole numbers 0 to {}", self.high),
                "check that the file is the scan and not a segmentation",
            );
        }
        let background = 1.0 - self.brain as f64 / self.voxels as f64;
        if background < LEAST_BACKGROUND {
            return problem(
                ProblemKind::NotStripped,
                format!("only {:.1} % of the voxels are exactly 0", 100.0 * background),
                "remove the skull and set the background to 0, as the other sites' scans have it",
            );
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use consilium_domain::Modality;

    use super::*;

    fn judge(values: &[f32]) -> Option<ProblemKind> {
        let volume = Volume::new([1, 1, values.len()], [1.0; 3], values.to_vec()).unwrap();
        let file = CaseFile { case: 0, role: Role::Image(Modality::T1), path: PathBuf::from("t1.nii") };
        Intensities::of(&volume).judge(&file).map(|problem| problem.kind)
    }

    #[test]
    fn what_is_no_scan_is_told_from_what_is_one() {
        assert_eq!(judge(&[0.0, 0.0]), Some(ProblemKind::EmptyImage));
        assert_eq!(judge(&[0.0, 7.0, 7.0]), Some(ProblemKind::ConstantImage));
        assert_eq!(judge(&[3.0, 3.0]), Some(ProblemKind::ConstantImage));
        assert_eq!(judge(&[0.0, 1.0, 2.0, 4.0]), Some(ProblemKind::LooksLikeMask));
        assert_eq!(judge(&[9.0, 1.5, 2.0, 4.0]), Some(ProblemKind::NotStripped));
        assert_eq!(judge(&[0.0, 1.5, -2.0, 4.0]), None);
    }
}
