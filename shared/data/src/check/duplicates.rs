//! The same voxels twice inside the site.
//!
//! Found by a digest of the decoded voxels in one order of the axes, so that another compression, number type
//! or file name hides nothing. A copy that was resampled, cropped or rescaled is another image here. Digests
//! stay in memory; what sites compare with each other is made elsewhere, under a key.

use std::collections::BTreeMap;

use super::files::CaseFile;
use super::problem::{Problem, ProblemKind, Role};
use crate::{Case, Orientation, Volume};

/// Voxels hashed at once.
const PIECE_VOXELS: usize = 4096;

/// What two images share when they hold the same voxels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Digest([u8; 32]);

/// BLAKE3 of the shape and the values as little-endian `f32`, the axes turned to LPS where the file names
/// them.
pub(super) fn digest(volume: Volume) -> Digest {
    let volume = if volume.orientation().is_some() {
        volume.in_orientation(Orientation::LPS).expect("an image whose directions are known can be turned")
    } else {
        volume
    };
    let mut hasher = blake3::Hasher::new();
    for size in volume.shape() {
        hasher.update(&(size as u64).to_le_bytes());
    }
    let mut bytes = Vec::with_capacity(4 * PIECE_VOXELS);
    for piece in volume.values().chunks(PIECE_VOXELS) {
        bytes.clear();
        // Zero has two signs; adding 0 leaves the positive one.
        bytes.extend(piece.iter().flat_map(|value| (value + 0.0).to_le_bytes()));
        hasher.update(&bytes);
    }
    Digest(*hasher.finalize().as_bytes())
}

/// The problems of files that hold the same voxels: one for each file but, between patients of one label, the
/// first.
pub(super) fn find(digests: Vec<(CaseFile, Digest)>, cases: &[Case]) -> Vec<Problem> {
    let mut groups: BTreeMap<Digest, Vec<CaseFile>> = BTreeMap::new();
    for (file, digest) in digests {
        groups.entry(digest).or_default().push(file);
    }
    let mut problems = Vec::new();
    for mut files in groups.into_values().filter(|files| files.len() > 1) {
        files.sort_by_key(|file| (file.case, file.role));
        problems.extend((0..files.len()).filter_map(|index| judge(&files, index, cases)));
    }
    problems
}

/// What is wrong with the file of that index in a group of equal ones.
fn judge(files: &[CaseFile], index: usize, cases: &[Case]) -> Option<Problem> {
    let file = &files[index];
    let within = files.iter().find(|other| other.case == file.case && other.role != file.role);
    if let Some(other) = within {
        let reason = format!("holds the same voxels as {}", other.described(cases));
        let remedy = "find out which of the two it is and export the other again";
        return Some(Problem::new(ProblemKind::DuplicateModality, file.place(), reason, remedy));
    }
    let label = |file: &CaseFile| cases[file.case].label;
    let first = files.iter().find(|other| other.case != file.case)?;
    let differ = files.iter().any(|other| label(other) != label(file));
    // With one label, one copy may stay. With two, nobody knows which is right.
    if index == 0 && !differ {
        return None;
    }
    let labels = if differ { ", with another label" } else { "" };
    let reason = format!("holds the same voxels as {}{labels}", first.described(cases));
    let (kind, remedy) = match file.role {
        Role::Image(_) => {
            (ProblemKind::DuplicateImage, "keep one of the two patients, or the right file for each")
        }
        Role::Mask => (ProblemKind::DuplicateMask, "check that the mask belongs to this patient"),
    };
    Some(Problem::new(kind, file.place(), reason, remedy))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use consilium_domain::Modality;

    use super::*;

    #[test]
    fn turned_axes_and_the_sign_of_zero_hide_nothing_and_one_value_differs() {
        let values: Vec<f32> = (0..24).map(|i| i as f32).collect();
        let volume = |values: Vec<f32>| Volume::new([2, 3, 4], [1.0; 3], values).unwrap();
        let known = volume(values.clone()).with_orientation(Orientation::RAS);
        let turned = known.clone().in_orientation(Orientation::LPS).unwrap();
        assert_ne!(turned.values(), known.values());
        assert_eq!(digest(known.clone()), digest(turned));
        let mut signed = values.clone();
        signed[0] = -0.0;
        assert_eq!(digest(volume(signed)), digest(volume(values.clone())));
        let mut other = values.clone();
        other[23] = 0.0;
        assert_ne!(digest(volume(other)), digest(volume(values.clone())));
        let reshaped = Volume::new([4, 3, 2], [1.0; 3], values.clone()).unwrap();
        assert_ne!(digest(reshaped), digest(volume(values)));
    }

    fn file(case: usize, role: Role) -> CaseFile {
        CaseFile { case, role, path: PathBuf::from(format!("{case}")) }
    }

    fn kinds(files: &[CaseFile], labels: [u8; 2]) -> Vec<(usize, ProblemKind)> {
        let cases: Vec<Case> = labels.iter().map(|label| super::super::made_up_case(*label == 1)).collect();
        let digests = files.iter().map(|file| (file.clone(), Digest([0; 32]))).collect();
        find(digests, &cases)
            .into_iter()
            .map(|problem| (problem.place.case().unwrap(), problem.kind))
            .collect()
    }

    #[test]
    fn one_copy_stays_unless_labels_differ_and_two_modalities_lose_both() {
        let t1 = Role::Image(Modality::T1);
        let (image, two) = (ProblemKind::DuplicateImage, ProblemKind::DuplicateModality);
        assert_eq!(kinds(&[file(0, t1), file(1, t1)], [0, 0]), [(1, image)]);
        assert_eq!(kinds(&[file(0, t1), file(1, t1)], [0, 1]), [(0, image), (1, image)]);
        assert_eq!(kinds(&[file(0, t1), file(0, Role::Image(Modality::T2))], [0, 0]), [(0, two), (0, two)]);
        assert_eq!(
            kinds(&[file(0, Role::Mask), file(1, Role::Mask)], [0, 0]),
            [(1, ProblemKind::DuplicateMask)]
        );
        assert_eq!(kinds(&[file(0, t1)], [0, 0]), []);
    }
}
