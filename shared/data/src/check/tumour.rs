//! What a mask marks, and how much of it the images show.

use std::collections::BTreeSet;

use super::files::CaseFile;
use super::problem::{Problem, ProblemKind};
use crate::{Orientation, Volume};

/// The labels of the BraTS family: background, necrotic core, oedema, enhancing (3 in 2013 and 2023, 4 else).
const LABELS: [f32; 5] = [0.0, 1.0, 2.0, 3.0, 4.0];

/// Unknown labels named in a problem.
const LABELS_SHOWN: usize = 5;

/// A tumour that reaches this far into background is drawn carelessly, or beside the brain: voxels at the
/// border stay below it.
const OUTSIDE_WARNING: f64 = 0.05;

/// A tumour that is mostly background is not this patient's.
const OUTSIDE_ERROR: f64 = 0.5;

/// More of the brain than any tumour takes: rather a mask of the brain.
const MOST_OF_BRAIN: f64 = 0.5;

/// The voxels a mask marks, by index.
pub(super) struct Tumour {
    shape: [usize; 3],
    orientation: Option<Orientation>,
    voxels: Vec<u32>,
    /// Whether some image shows each voxel.
    seen: Vec<bool>,
    images: usize,
    /// Most voxels other than background in an image.
    brain: usize,
}

impl Tumour {
    pub(super) fn of(mask: &Volume) -> Self {
        let marked = mask.values().iter().zip(0u32..).filter(|(value, _)| **value > 0.0);
        let voxels: Vec<u32> = marked.map(|(_, index)| index).collect();
        Self {
            shape: mask.shape(),
            orientation: mask.orientation(),
            seen: vec![false; voxels.len()],
            voxels,
            images: 0,
            brain: 0,
        }
    }

    /// `image` with its axes as the mask's, where both say how they are.
    pub(super) fn turned(&self, image: Volume) -> Volume {
        match (self.orientation, image.orientation()) {
            (Some(wanted), Some(found)) if wanted != found => {
                image.in_orientation(wanted).expect("the image says where its axes point")
            }
            _ => image,
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.voxels.is_empty()
    }

    /// Takes note of what `image` shows, which has `brain` voxels other than `background`. Returns the share
    /// of the tumour where it is background; none where the grids differ or there is no tumour.
    pub(super) fn look_at(&mut self, image: &Volume, background: f32, brain: usize) -> Option<f64> {
        if image.shape() != self.shape || self.is_empty() {
            return None;
        }
        let values = image.values();
        let mut missed = 0usize;
        for (&voxel, seen) in self.voxels.iter().zip(&mut self.seen) {
            let shown = values[voxel as usize] != background;
            *seen |= shown;
            missed += usize::from(!shown);
        }
        self.images += 1;
        self.brain = self.brain.max(brain);
        Some(missed as f64 / self.voxels.len() as f64)
    }

    /// The share of the tumour where every image is background; none where there was nothing to compare.
    fn outside(&self) -> Option<f64> {
        let unseen = self.seen.iter().filter(|seen| !**seen).count();
        (self.images > 0 && !self.is_empty()).then(|| unseen as f64 / self.voxels.len() as f64)
    }

    /// The problems of where the mask lies, after all images.
    pub(super) fn judge(&self, mask: &CaseFile) -> Vec<Problem> {
        let Some(outside) = self.outside() else { return Vec::new() };
        let share = 100.0 * outside;
        if outside > OUTSIDE_WARNING {
            let kind = if outside > OUTSIDE_ERROR {
                ProblemKind::MaskOutside
            } else {
                ProblemKind::MaskPartlyOutside
            };
            let reason = format!("{share:.0} % of the marked voxels are background in every image");
            let remedy = "check in a viewer that the mask belongs to these images and is not mirrored";
            return vec![Problem::new(kind, mask.place(), reason, remedy)];
        }
        let of_brain = self.voxels.len() as f64 / self.brain.max(1) as f64;
        if of_brain > MOST_OF_BRAIN {
            let reason = format!("it marks {:.0} % of the voxels that are not background", 100.0 * of_brain);
            let remedy = "check that this is the mask of the tumour and not of the brain";
            return vec![Problem::new(ProblemKind::MaskTooLarge, mask.place(), reason, remedy)];
        }
        Vec::new()
    }
}

/// The problem of an image that does not show the tumour. `missed` is [`Tumour::look_at`]'s.
pub(super) fn judge_view(image: &CaseFile, missed: f64) -> Option<Problem> {
    (missed > OUTSIDE_ERROR).then(|| {
        let reason = format!("it is background in {:.0} % of the tumour's voxels", 100.0 * missed);
        let remedy = "check its field of view and that it belongs to this patient, or leave it out";
        Problem::new(ProblemKind::ImageMissesTumour, image.place(), reason, remedy)
    })
}

/// The problems of a mask's labels.
pub(super) fn judge_labels(mask: &Volume, file: &CaseFile) -> Option<Problem> {
    let unknown = mask.values().iter().filter(|value| !LABELS.contains(value));
    let mut count = 0usize;
    let mut shown = BTreeSet::new();
    for value in unknown {
        count += 1;
        if shown.len() < LABELS_SHOWN {
            shown.insert(value.to_string());
        }
    }
    if count > 0 {
        let shown: Vec<String> = shown.into_iter().collect();
        let reason = format!("{count} voxels hold other labels than 0 to 4, such as {}", shown.join(", "));
        let remedy = "relabel to 0 background, 1 core, 2 oedema, 3 or 4 enhancing, or name the right file";
        return Some(Problem::new(ProblemKind::UnknownLabels, file.place(), reason, remedy));
    }
    mask.values().iter().all(|value| *value == 0.0).then(|| {
        let remedy = "draw the mask, or leave the case out";
        Problem::new(ProblemKind::EmptyMask, file.place(), "every voxel is 0", remedy)
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::check::problem::Role;

    fn volume(values: [f32; 10]) -> Volume {
        Volume::new([1, 1, 10], [1.0; 3], values.to_vec()).unwrap()
    }

    fn mask_file() -> CaseFile {
        CaseFile { case: 0, role: Role::Mask, path: PathBuf::from("mask.nii") }
    }

    fn kinds(problems: &[Problem]) -> Vec<ProblemKind> {
        problems.iter().map(|problem| problem.kind).collect()
    }

    #[test]
    fn a_voxel_is_outside_only_where_every_image_is_zero_and_negative_values_are_brain() {
        let mask = volume([1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        let mut tumour = Tumour::of(&mask);
        let left = volume([-1.0, 5.0, 0.0, 0.0, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0]);
        let right = volume([0.0, 0.0, 2.0, 0.0, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0]);
        assert_eq!(tumour.look_at(&left, 0.0, 8), Some(0.5));
        assert_eq!(tumour.look_at(&right, 0.0, 7), Some(0.75));
        assert_eq!(tumour.outside(), Some(0.25));
        assert_eq!(kinds(&tumour.judge(&mask_file())), [ProblemKind::MaskPartlyOutside]);
    }

    #[test]
    fn a_mask_beside_the_brain_and_a_mask_of_the_brain_are_told_apart() {
        let mask = volume([1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        let judge = |image: [f32; 10]| {
            let mut tumour = Tumour::of(&mask);
            let brain = image.iter().filter(|value| **value != 0.0).count();
            tumour.look_at(&volume(image), 0.0, brain);
            kinds(&tumour.judge(&mask_file()))
        };
        assert_eq!(judge([0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]), [ProblemKind::MaskOutside]);
        assert_eq!(judge([1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0]), [ProblemKind::MaskTooLarge]);
        assert_eq!(judge([1.0; 10]), []);
    }

    #[test]
    fn labels_outside_the_vocabulary_are_counted() {
        let known = volume([0.0, 1.0, 2.0, 3.0, 4.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(judge_labels(&known, &mask_file()), None);
        let problem =
            judge_labels(&volume([0.0, 1.0, 5.0, 0.5, -1.0, 0.0, 0.0, 0.0, 0.0, 0.0]), &mask_file());
        let problem = problem.unwrap();
        assert!(problem.reason.contains("3 voxels") && problem.reason.contains("0.5"), "{}", problem.reason);
        let empty = judge_labels(&volume([0.0; 10]), &mask_file()).unwrap();
        assert_eq!(empty.kind, ProblemKind::EmptyMask);
    }
}
