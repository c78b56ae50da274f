//! Whether the files of a case lie on one grid, as far as their headers tell.
//!
//! The mask decides: a study reads each image together with it. Where every image agrees with the others and
//! not with the mask, the mask is the odd one out and is named alone.

use super::headers::Inspected;
use super::problem::{Place, Problem, ProblemKind, Role};
use crate::{GridMismatch, VolumeHeader};

/// Two spacings agree when they differ by less than this, in millimetres, as for `Volume::check_same_grid`.
const SPACING_TOLERANCE_MM: f32 = 1e-3;

/// Corners farther apart than this, in voxels' edges, are different places: half a voxel is rounding of
/// centres and corners, which much software mixes up.
const SHIFT_TOLERANCE_VOXELS: f64 = 0.51;

/// The grid of the SRI24 atlas at 1 mm (z, y, x), which the profile `schmitz2024` asks for.
const ATLAS_SHAPE: [usize; 3] = [155, 240, 240];
const ATLAS_SPACING_MM: f32 = 1.0;

const RESAMPLE: &str = "resample the mask and all images of the case to one grid";

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
    let off: Vec<(&Inspected, GridMismatch)> = others
        .iter()
        .filter_map(|image| Some((*image, mismatch(header(image), header(reference))?)))
        .collect();
    if let [(first, cause), (second, _), ..] = off.as_slice()
        && off.len() == others.len()
        && others[1..].iter().all(|image| mismatch(header(first), header(image)).is_none())
    {
        let reason = format!(
            "{} and the other images agree with each other, not with this file: {cause}",
            name(second)
        );
        return vec![Problem::new(ProblemKind::OtherGrid, reference.file.place(), reason, RESAMPLE)];
    }
    let mut problems: Vec<Problem> = off
        .iter()
        .map(|(image, cause)| {
            let reason = format!("not on the grid of the {}: {cause}", name(reference));
            Problem::new(ProblemKind::OtherGrid, image.file.place(), reason, RESAMPLE)
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

fn mismatch(a: &VolumeHeader, b: &VolumeHeader) -> Option<GridMismatch> {
    if a.shape() != b.shape() {
        return Some(GridMismatch::Shape(a.shape(), b.shape()));
    }
    let (own, other) = (a.spacing(), b.spacing());
    if own.iter().zip(&other).any(|(a, b)| (a - b).abs() >= SPACING_TOLERANCE_MM) {
        return Some(GridMismatch::Spacing(own, other));
    }
    match (a.orientation(), b.orientation()) {
        (Some(a), Some(b)) if a != b => Some(GridMismatch::Orientation(a, b)),
        _ => None,
    }
}

/// The farthest that a corner of one lies from the same corner of the other.
fn shift(image: &Inspected, reference: &Inspected) -> Option<Problem> {
    let (a, b) = (header(image).affine()?, header(reference).affine()?);
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
    (apart > SHIFT_TOLERANCE_VOXELS * f64::from(edge)).then(|| {
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
