//! The kinds of damage, each with the message that it must give.

use std::fs;
use std::path::Path;

use consilium_data::check::ProblemKind::{self, *};

use crate::file::{Nifti, SHAPE, gzip, head, in_head, in_tumour, tumour, voxels};
use crate::folder::SiteCase;

/// One kind of damage: the file it is done to, how, and what the check must say.
pub(crate) struct Damage {
    /// Also the case's name.
    pub(crate) name: &'static str,
    /// `mask`, `t1gd` or `flair`.
    pub(crate) file: &'static str,
    pub(crate) kind: ProblemKind,
    /// Part of the reason.
    pub(crate) reason: &'static str,
    pub(crate) apply: fn(&SiteCase, &Path),
}

const fn damage(
    name: &'static str,
    file: &'static str,
    kind: ProblemKind,
    reason: &'static str,
    apply: fn(&SiteCase, &Path),
) -> Damage {
    Damage { name, file, kind, reason, apply }
}

fn write(path: &Path, bytes: impl AsRef<[u8]>) {
    fs::write(path, bytes).unwrap();
}

/// Replaces the image by itself with something changed.
fn image(case: &SiteCase, path: &Path, change: impl FnOnce(&mut Nifti)) {
    let mut file = case.image(0);
    change(&mut file);
    write(path, file.gzip());
}

fn mask(case: &SiteCase, path: &Path, change: impl FnOnce(&mut Nifti)) {
    let mut file = case.mask();
    change(&mut file);
    write(path, file.gzip());
}

/// Files that are cut off, mangled or something else altogether.
pub(crate) const CONTENT: [Damage; 15] = [
    damage("zero-bytes", "t1gd", Damaged, "ends before its header", |_, path| write(path, "")),
    damage("text", "t1gd", BadHeader, "not a NIfTI image", |_, path| {
        write(path, "See the archive.\n".repeat(50));
    }),
    damage("half-header", "t1gd", Damaged, "ends before its header", |case, path| {
        write(path, &case.image(0).bytes()[..100]);
    }),
    damage("half-voxels", "t1gd", Damaged, "ends before its voxels", |case, path| {
        let bytes = case.image(0).bytes();
        write(path, &bytes[..bytes.len() / 2]);
    }),
    damage("half-gzip", "t1gd", Damaged, "ends before its voxels", |case, path| {
        let bytes = case.image(0).gzip();
        write(path, &bytes[..bytes.len() / 2]);
    }),
    damage("gzip-checksum", "t1gd", Damaged, "gzip data are damaged", |case, path| {
        let mut bytes = case.image(0).gzip();
        let checksum = bytes.len() - 8;
        bytes[checksum] ^= 1;
        write(path, bytes);
    }),
    damage("gzip-garbage", "t1gd", Damaged, "gzip data are damaged", |_, path| {
        write(path, [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3][..], &[0xff; 500]].concat());
    }),
    damage("gzip-twice", "t1gd", BadHeader, "compressed twice", |case, path| {
        write(path, gzip(&case.image(0).gzip()));
    }),
    damage("dicom", "t1gd", BadHeader, "DICOM", |_, path| {
        write(path, [&[0; 128][..], b"DICM", &[0; 400]].concat());
    }),
    damage("analyze", "t1gd", BadHeader, "ANALYZE", |case, path| {
        image(case, path, |file| file.magic = [0; 4]);
    }),
    damage("pair", "t1gd", BadHeader, "pair", |case, path| image(case, path, |file| file.magic = *b"ni1\0")),
    damage("bomb", "t1gd", Damaged, "much more data", |case, path| {
        write(path, gzip(&[case.image(0).bytes(), vec![0; 8 << 20]].concat()));
    }),
    damage("false-promise", "t1gd", Damaged, "ends before its voxels", |case, path| {
        image(case, path, |file| file.dim[1..4].copy_from_slice(&[500, 500, 500]));
    }),
    damage("half-mask", "mask", Damaged, "ends before its voxels", |case, path| {
        let bytes = case.mask().bytes();
        write(path, &bytes[..bytes.len() - 9]);
    }),
    damage("not-a-mask", "mask", BadHeader, "not a NIfTI image", |_, path| {
        write(path, "<html>Please log in</html>");
    }),
];

/// Headers that cannot be true.
pub(crate) const HEADERS: [Damage; 19] = [
    damage("bits", "t1gd", BadHeader, "8 bits a voxel contradict", |case, path| {
        image(case, path, |file| file.bitpix = 8);
    }),
    damage("complex", "t1gd", BadHeader, "datatype 32", |case, path| {
        image(case, path, |file| file.datatype = 32);
    }),
    damage("colour", "t1gd", BadHeader, "datatype 128", |case, path| {
        image(case, path, |file| file.datatype = 128);
    }),
    damage("unknown-type", "t1gd", BadHeader, "datatype 9999", |case, path| {
        image(case, path, |file| file.datatype = 9999);
    }),
    damage("flat", "t1gd", BadHeader, "dimensions", |case, path| image(case, path, |file| file.dim[0] = 2)),
    damage("no-rank", "t1gd", BadHeader, "dimensions", |case, path| {
        image(case, path, |file| file.dim[0] = 0);
    }),
    damage("negative-size", "t1gd", BadHeader, "dimensions", |case, path| {
        image(case, path, |file| file.dim[2] = -12);
    }),
    damage("zero-size", "t1gd", BadHeader, "dimensions", |case, path| {
        image(case, path, |file| file.dim[3] = 0);
    }),
    damage("huge", "t1gd", BadHeader, "exceed", |case, path| {
        image(case, path, |file| file.dim[1..4].copy_from_slice(&[32767; 3]));
    }),
    damage("series", "t1gd", BadHeader, "5 volumes", |case, path| {
        image(case, path, |file| (file.dim[0], file.dim[4]) = (4, 5));
    }),
    damage("no-spacing", "t1gd", BadHeader, "spacing", |case, path| {
        image(case, path, |file| file.pixdim[1] = 0.0);
    }),
    damage("nan-spacing", "t1gd", BadHeader, "spacing", |case, path| {
        image(case, path, |file| file.pixdim[2] = f32::NAN);
    }),
    damage("early-voxels", "t1gd", BadHeader, "cannot start at byte", |case, path| {
        image(case, path, |file| file.vox_offset = -1.0);
    }),
    damage("late-voxels", "t1gd", BadHeader, "cannot start at byte", |case, path| {
        image(case, path, |file| file.vox_offset = 1e12);
    }),
    damage("infinite-slope", "t1gd", BadHeader, "scaling", |case, path| {
        image(case, path, |file| file.slope = f32::INFINITY);
    }),
    damage("nan-sform", "t1gd", BadHeader, "sform", |case, path| {
        image(case, path, |file| file.srow[0][0] = f32::NAN);
    }),
    damage("flat-sform", "t1gd", BadHeader, "sform", |case, path| {
        image(case, path, |file| file.srow[2] = [0.0; 4]);
    }),
    damage("no-orientation", "t1gd", UnknownOrientation, "neither sform nor qform", |case, path| {
        image(case, path, |file| file.sform_code = 0);
    }),
    damage("two-spacings", "flair", SpacingDisagrees, "pixdim says", |case, path| {
        let mut file = case.image(1);
        file.srow[2][2] = 1.5;
        write(path, file.gzip());
    }),
];

/// Files that do not fit the others of their case.
pub(crate) const GRIDS: [Damage; 6] = [
    damage("fewer-slices", "t1gd", Resampled, "voxels (z, y, x)", |case, path| {
        image(case, path, |file| {
            file.dim[3] -= 1;
            file.voxels.truncate((SHAPE[0] - 1) * SHAPE[1] * SHAPE[2]);
        });
    }),
    damage("other-shape", "t1gd", OtherGrid, "voxels (z, y, x)", |case, path| {
        image(case, path, |file| {
            file.sform_code = 0;
            file.dim[3] -= 1;
            file.voxels.truncate((SHAPE[0] - 1) * SHAPE[1] * SHAPE[2]);
        });
    }),
    damage("other-spacing", "t1gd", Resampled, "mm (z, y, x)", |case, path| {
        image(case, path, |file| (file.pixdim[3], file.srow[2][2]) = (2.0, 2.0));
    }),
    damage("mirrored", "t1gd", OtherGrid, "RPS and LPS", |case, path| {
        image(case, path, |file| file.srow[0][0] = 1.0);
    }),
    damage("mirrored-mask", "mask", OtherGrid, "agree with each other", |case, path| {
        mask(case, path, |file| file.srow[0][0] = 1.0);
    }),
    damage("shifted", "t1gd", Shifted, "30.0 mm", |case, path| {
        image(case, path, |file| file.srow[1][3] = 30.0);
    }),
];

/// Voxels that are no scan, or no tumour of this scan.
pub(crate) const VOXELS: [Damage; 13] = [
    damage("nan-voxels", "t1gd", NotFinite, "2 voxels are NaN", |case, path| {
        image(case, path, |file| (file.voxels[3], file.voxels[900]) = (f32::NAN, f32::INFINITY));
    }),
    damage("overflow", "t1gd", NotFinite, "NaN or infinite", |case, path| {
        image(case, path, |file| (file.slope, file.voxels[900]) = (1e30, 1e30));
    }),
    damage("empty", "t1gd", EmptyImage, "every voxel is 0", |case, path| {
        image(case, path, |file| file.voxels.fill(0.0));
    }),
    damage("constant", "t1gd", ConstantImage, "is 7", |case, path| {
        image(case, path, |file| file.voxels = voxels(|at, _| if in_head(at) { 7.0 } else { 0.0 }));
    }),
    damage("mask-as-image", "t1gd", LooksLikeMask, "whole numbers 0 to 2", |case, path| {
        image(case, path, |file| file.voxels = tumour(case.number + 500));
    }),
    damage("skull", "t1gd", NotStripped, "exactly 0", |case, path| {
        image(case, path, |file| file.voxels = voxels(|_, i| 1.5 + ((i + case.number) % 71) as f32));
    }),
    damage("empty-mask", "mask", EmptyMask, "every voxel is 0", |case, path| {
        mask(case, path, |file| file.voxels.fill(0.0));
    }),
    damage("labels", "mask", UnknownLabels, "such as 17", |case, path| {
        mask(case, path, |file| file.voxels[0] = 17.0);
    }),
    damage("soft-mask", "mask", UnknownLabels, "such as 0.5", |case, path| {
        mask(case, path, |file| file.voxels.iter_mut().for_each(|value| *value *= 0.5));
    }),
    damage("mask-beside", "mask", MaskOutside, "100 % of the marked voxels", |case, path| {
        mask(case, path, |file| file.voxels = voxels(|[z, y, _], _| if z < 2 && y > 5 { 1.0 } else { 0.0 }));
    }),
    damage("mask-over-edge", "mask", MaskPartlyOutside, "of the marked voxels", |case, path| {
        mask(case, path, |file| {
            file.voxels =
                voxels(
                    |at, _| {
                        if (in_tumour(at) && at[2] < 8) || (at[2] == 0 && at[0] == 5) { 1.0 } else { 0.0 }
                    },
                );
        });
    }),
    damage("brain-mask", "mask", MaskTooLarge, "100 % of the voxels", |case, path| {
        mask(case, path, |file| file.voxels = voxels(|at, _| if in_head(at) { 1.0 } else { 0.0 }));
    }),
    damage("cut-off", "t1gd", ImageMissesTumour, "100 % of the tumour", |case, path| {
        image(case, path, |file| {
            let head = head(case.number + 500);
            file.voxels = voxels(|at, i| if at[0] >= 7 { head[i] } else { 0.0 });
        });
    }),
];
