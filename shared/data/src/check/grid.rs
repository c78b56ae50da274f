//! Whether the files of a case lie on one grid, as far as their headers tell.
//!
//! The mask decides: a study reads each image together with it. Where every image agrees with the others and
//! not with the mask, the mask is the odd one out and is named alone.

use super::headers::Inspected;
use super::problem::{Place, Problem, ProblemKind, Role};
use crate::align::{PLACE_TOLERANCE_VOXELS, are_close};
use crate::{GridMismatch, VolumeHeader};

/// Two spacings agree when they differ by less than this, in millimetres, as for `Volume::check_same_grid`.
const SPACING_TOLERANCE_MM: f32 = 1e-3;

/// The grid of the SRI24 atlas at 1 mm (z, y, x), which the profile `schmitz2024` asks for.
const ATLAS_SHAPE: [usize; 3] = [155, 240, 240];
const ATLAS_SPACING_MM: f32 = 1.0;

const RESAMPLE: &str = "resample the mask and all images of the case to one grid";
const LOOK: &str = "look at both in a viewer; a study resamples images onto the mask's grid";

/// How a file's grid differs from another's.
struct Difference {
    cause: GridMismatch,
    /// Whether both say where they lie, so that a study can resample one onto the other.
    placed: bool,
}

impl Difference {
    fn problem(&self, file: &Inspected, reason: String) -> Problem {
        let (kind, remedy) =
            if self.placed { (ProblemKind::Resampled, LOOK) } else { (ProblemKind::OtherGrid, RESAMPLE) };
        Problem::new(kind, file.file.place(), reason, remedy)
    }
}

/// The problems of one case's files.
pub(super) fn check_case(files: &[&Inspected]) -> Vec<Problem> {
    let known = |file: &&&Inspected| file.header.is_some();
    let mask = files.iter().copied().filter(|file| file.file.role == Role::Mask).find(|file| known(&file));
    let images: Vec<&Inspected> = files
        .iter()
        .copied()
        .filter(|file| file.file.role != Role::Mask)
        .filter(|file| known(&file))
        .collect();
    let Some(reference) = mask.or_else(|| images.first().copied()) else { return Vec::new() };
    let others: Vec<&Inspected> =
        images.into_iter().filter(|image| image.file.role != reference.file.role).collect();
    let off: Vec<(&Inspected, Difference)> = others
        .iter()
        .filter_map(|image| Some((*image, mismatch(header(image), header(reference))?)))
        .collect();
    if let [(first, difference), (second, _), ..] = off.as_slice()
        && off.len() == others.len()
        && others[1..].iter().all(|image| mismatch(header(first), header(image)).is_none())
    {
        let reason = format!(
            "{} and the other images agree with each other, not with this file: {}",
            name(second),
            difference.cause
        );
        return vec![difference.problem(reference, reason)];
    }
    let mut problems: Vec<Problem> = off
        .iter()
        .map(|(image, difference)| {
            let reason = format!("not on the grid of the {}: {}", name(reference), difference.cause);
            difference.problem(image, reason)
        })
        .collect();
    let same_grid = others.iter().filter(|image| mismatch(header(image), header(reference)).is_none());
    problems.extend(same_grid.filter_map(|image| shift(image, reference)));
    problems
}

fn name(file: &Inspected) -> &'static str {
    file.file.role.name()
}

fn header(file: &Inspected) -> &VolumeHeader {
    file.header.as_ref().expect("only files with a header are compared")
}

/// How `a` and `b` differ, as a study sees it: axes that only have another order or direction do not matter.
fn mismatch(a: &VolumeHeader, b: &VolumeHeader) -> Option<Difference> {
    let placed = a.affine().zip(b.affine());
    let ((shape, spacing), (other_shape, other_spacing)) = match placed {
        Some(_) => (turned(a), turned(b)),
        None => ((a.shape(), a.spacing()), (b.shape(), b.spacing())),
    };
    let placed = placed.map(|(ours, theirs)| (ours.bounds(a.shape()), theirs.bounds(b.shape())));
    if shape != other_shape {
        let cause = GridMismatch::Shape(shape, other_shape);
        return Some(Difference { cause, placed: placed.is_some() });
    }
    if spacing.iter().zip(&other_spacing).any(|(a, b)| (a - b).abs() >= SPACING_TOLERANCE_MM) {
        let cause = GridMismatch::Spacing(spacing, other_spacing);
        return Some(Difference { cause, placed: placed.is_some() });
    }
    let edge = spacing.into_iter().fold(f32::INFINITY, f32::min);
    let apart = |(ours, theirs)| !are_close(ours, theirs, PLACE_TOLERANCE_VOXELS * f64::from(edge));
    match (a.orientation(), b.orientation()) {
        // A header that mirrors an image in place cannot be believed, and the study refuses it.
        (Some(a), Some(b)) if a != b && placed.is_some_and(apart) => {
            Some(Difference { cause: GridMismatch::Orientation(a, b), placed: false })
        }
        _ => None,
    }
}

/// Shape and spacing with axes in anatomical order (z superior or inferior, then y, then x).
fn turned(header: &VolumeHeader) -> ([usize; 3], [f32; 3]) {
    let axes = header.orientation().map_or([1, 2, 3], |orientation| orientation.axes().map(i8::unsigned_abs));
    let from = |anatomical: u8| 2 - axes.iter().position(|axis| *axis == anatomical).unwrap_or(0);
    let order = [3, 2, 1].map(from);
    (order.map(|axis| header.shape()[axis]), order.map(|axis| header.spacing()[axis]))
}

/// The farthest that a corner of one lies from the same corner of the other.
fn shift(image: &Inspected, reference: &Inspected) -> Option<Problem> {
    let (a, b) = (header(image).affine()?, header(reference).affine()?);
    if a.orientation() != b.orientation() {
        return None;
    }
    let [z, y, x] = header(image).shape().map(|voxels| (voxels - 1) as f64);
    let corners = (0..8).map(|corner: u8| {
        [(1, x), (2, y), (4, z)].map(|(bit, last)| if corner & bit == 0 { 0.0 } else { last })
    });
    let distance = |corner| {
        let squares =
            a.apply(corner).into_iter().zip(b.apply(corner)).map(|(a, b): (f64, f64)| (a - b).powi(2));
        squares.sum::<f64>().sqrt()
    };
    let apart = corners.map(distance).fold(0.0, f64::max);
    let edge = header(image).spacing().into_iter().fold(f32::INFINITY, f32::min);
    (apart > PLACE_TOLERANCE_VOXELS * f64::from(edge)).then(|| {
        let reason =
            format!("its header places voxels up to {apart:.1} mm from those of the {}", name(reference));
        let remedy = "look at both in a viewer, and resample to one grid if they do not overlap";
        Problem::new(ProblemKind::Shifted, image.file.place(), reason, remedy)
    })
}

/// A note for each case with a file off the SRI24 grid; one for the site where no case is on it.
pub(super) fn check_atlas(cases: &[Vec<&Inspected>]) -> Vec<Problem> {
    let off: Vec<usize> =
        (0..cases.len()).filter(|&case| cases[case].iter().any(|file| !on_atlas(file))).collect();
    let remedy = "use the profile tumour-crop, or register the scans to the SRI24 atlas";
    let note = |place, reason: &str| {
        Problem::new(ProblemKind::NotAtlas, place, reason.to_owned(), remedy.to_owned())
    };
    if !off.is_empty() && off.len() == cases.len() {
        return vec![note(
            Place::Site,
            "no case has 155x240x240 voxels of 1 mm: schmitz2024 refuses all of them",
        )];
    }
    let each = "not 155x240x240 voxels of 1 mm, which schmitz2024 needs";
    off.into_iter().map(|case| note(Place::Case(case), each)).collect()
}

fn on_atlas(file: &Inspected) -> bool {
    file.header.as_ref().is_none_or(|header| {
        let edge = |mm: &f32| (mm - ATLAS_SPACING_MM).abs() < SPACING_TOLERANCE_MM;
        header.shape() == ATLAS_SHAPE && header.spacing().iter().all(edge)
    })
}
