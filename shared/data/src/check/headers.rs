//! The header pass: what every file says of itself, read in parallel, and whether a scanner can have meant
//! it.
//!
//! Whether the files of one case fit together is `grid`'s business.

use std::fs;
use std::path::PathBuf;

use rayon::prelude::*;

use super::files::CaseFile;
use super::problem::{Problem, ProblemKind};
use super::progress::Counter;
use super::remedy;
use crate::{ReadVolumeError, VolumeHeader};

/// Voxel edges, in millimetres, that a clinical scan of the head has: from microscopic to the thickest
/// slices.
const USUAL_SPACING_MM: std::ops::RangeInclusive<f32> = 0.2..=8.0;

/// `pixdim` and the affine may differ by rounding; by more than this share one of them is wrong.
const SPACING_TOLERANCE: f32 = 0.01;

/// What the header pass knows of a file.
pub(super) struct Inspected {
    pub(super) file: CaseFile,
    /// None where the header is not one of a usable image.
    pub(super) header: Option<VolumeHeader>,
    /// Where the file really lies, links followed.
    pub(super) real_path: Option<PathBuf>,
    pub(super) problems: Vec<Problem>,
}

/// Reads all headers, in the order of `files`.
pub(super) fn inspect(files: Vec<CaseFile>, counter: &Counter<'_>) -> Vec<Inspected> {
    files
        .into_par_iter()
        .map(|file| {
            let inspected = inspect_one(file);
            counter.add(1);
            inspected
        })
        .collect()
}

fn inspect_one(file: CaseFile) -> Inspected {
    let real_path = fs::canonicalize(&file.path).ok();
    let (header, problems) = match VolumeHeader::read(&file.path) {
        Ok(header) => {
            let problems = doubts(&file, &header);
            (Some(header), problems)
        }
        Err(error) => (None, vec![unreadable(&file, &error)]),
    };
    Inspected { file, header, real_path, problems }
}

/// The problem of a file that cannot be read.
pub(super) fn unreadable(file: &CaseFile, error: &ReadVolumeError) -> Problem {
    let (reason, remedy) = remedy::split(&error.to_string(), &file.path);
    Problem::new(remedy::kind_of(error), file.place(), reason, remedy)
}

fn doubts(file: &CaseFile, header: &VolumeHeader) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut doubt = |kind, reason: String, remedy: &str| {
        problems.push(Problem::new(kind, file.place(), reason, remedy));
    };
    let spacing = header.spacing();
    match header.affine() {
        None => doubt(
            ProblemKind::UnknownOrientation,
            "neither sform nor qform is set, so a mirrored image would go unnoticed".to_owned(),
            "export the image again with its orientation",
        ),
        Some(affine) if !agree(spacing, affine.spacing()) => doubt(
            ProblemKind::SpacingDisagrees,
            format!("pixdim says {spacing:?} mm (z, y, x), the affine {:?} mm", affine.spacing()),
            "find out which holds and mend the other",
        ),
        Some(_) => {}
    }
    if !spacing.iter().all(|edge| USUAL_SPACING_MM.contains(edge)) {
        doubt(
            ProblemKind::OddSpacing,
            format!("voxels of {spacing:?} mm (z, y, x) are unlikely for a scan of the head"),
            "check pixdim and its unit (xyzt_units) against the scanner's protocol",
        );
    }
    problems
}

fn agree(a: [f32; 3], b: [f32; 3]) -> bool {
    a.iter().zip(&b).all(|(a, b)| (a - b).abs() <= SPACING_TOLERANCE * a.max(*b))
}
