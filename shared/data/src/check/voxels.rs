//! The deep pass: every voxel of a case is read once and judged.
//!
//! Cases run in parallel; a thread holds one image at a time and the list of the tumour's voxels, not the
//! mask.

use rayon::prelude::*;

use super::duplicates::{Digest, digest};
use super::files::CaseFile;
use super::headers::{Inspected, unreadable};
use super::problem::{Problem, ProblemKind, Role};
use super::progress::Counter;
use super::tumour::{Tumour, judge_labels, judge_view};
use crate::Volume;

/// A skull-stripped scan is mostly one value, its background. One with less of it than this has kept its
/// skull or its noise: even a head that fills its box leaves the corners.
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
        let volume = match &tumour {
            Some(tumour) => tumour.turned(volume),
            None => volume,
        };
        let seen = Intensities::of(&volume);
        if let Some(problem) = seen.judge(file) {
            let empty = problem.severity() == super::Severity::Error;
            self.problems.push(problem);
            if empty {
                return;
            }
        }
        let missed = tumour.and_then(|tumour| tumour.look_at(&volume, seen.background, seen.brain));
        self.problems.extend(missed.and_then(|missed| judge_view(file, missed)));
        self.digests.push((file.clone(), digest(volume)));
    }
}

/// The values of an image, in passing.
struct Intensities {
    voxels: usize,
    /// The value of the background: 0, unless the image's corner holds another that is common.
    background: f32,
    /// Voxels other than background.
    brain: usize,
    /// Of those.
    low: f32,
    high: f32,
    /// Whether all are labels.
    labels: bool,
}

impl Intensities {
    fn of(volume: &Volume) -> Self {
        let values = volume.values();
        let corner = values[0];
        let common = |value: f32| values.iter().filter(|other| **other == value).count();
        let is_background = corner != 0.0 && common(corner) as f64 >= LEAST_BACKGROUND * values.len() as f64;
        let background = if is_background { corner } else { 0.0 };
        let start = Self {
            voxels: values.len(),
            background,
            brain: 0,
            low: f32::INFINITY,
            high: f32::NEG_INFINITY,
            labels: true,
        };
        values.iter().filter(|value| **value != background).fold(start, |seen, &value| Self {
            brain: seen.brain + 1,
            low: seen.low.min(value),
            high: seen.high.max(value),
            labels: seen.labels && value.fract() == 0.0 && (0.0..=MOST_LABEL).contains(&value),
            ..seen
        })
    }

    fn judge(&self, file: &CaseFile) -> Option<Problem> {
        let background = self.background;
        let (kind, reason, remedy) = if self.brain == 0 && background == 0.0 {
            (
                ProblemKind::EmptyImage,
                "every voxel is 0".to_owned(),
                "export the image again, or leave it out",
            )
        } else if self.brain == 0 || self.low == self.high {
            let value = if self.brain == 0 { background } else { self.low };
            (
                ProblemKind::ConstantImage,
                format!("every voxel but the background is {value}"),
                "check that the file is the scan and not a mask or a failed export",
            )
        } else if self.labels {
            (
                ProblemKind::LooksLikeMask,
                format!("it holds only the whole numbers 0 to {}", self.high),
                "check that the file is the scan and not a segmentation",
            )
        } else if background != 0.0 {
            (
                ProblemKind::NotStripped,
                format!("the background is {background}, which the profiles take for brain"),
                "set the background to exactly 0, for instance with the brain mask",
            )
        } else if ((self.voxels - self.brain) as f64) < LEAST_BACKGROUND * self.voxels as f64 {
            let share = 100.0 * (self.voxels - self.brain) as f64 / self.voxels as f64;
            (
                ProblemKind::NotStripped,
                format!("only {share:.1} % of the voxels are exactly 0"),
                "remove the skull and set the background to 0",
            )
        } else {
            return None;
        };
        Some(Problem::new(kind, file.place(), reason, remedy))
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
        let noise: Vec<f32> = (0..20).map(|i| 1.5 + i as f32).collect();
        assert_eq!(judge(&noise), Some(ProblemKind::NotStripped));
        assert_eq!(judge(&[-0.5, -0.5, 2.5, 0.0]), Some(ProblemKind::NotStripped));
        assert_eq!(judge(&[0.0, 1.5, -2.0, 4.0]), None);
    }
}
