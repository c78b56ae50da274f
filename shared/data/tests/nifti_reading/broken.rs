//! Files that must be refused, each for its own reason and with its own remedy.

use std::fs;
use std::path::Path;

use consilium_data::ReadVolumeError::{self, Gzip, Header, NotAFile, Trailing, Truncated, Voxels};
use consilium_data::{HeaderError, InvalidVolume, Volume, VolumeHeader};

use crate::files::{NiftiFile, gzip};

type IsExpected = fn(&ReadVolumeError) -> bool;

/// Matches an error variant, with conditions on its fields.
macro_rules! is {
    ($($pattern:tt)+) => {
        (|error| matches!(error, $($pattern)+)) as IsExpected
    };
}

fn sound() -> NiftiFile {
    NiftiFile::sound()
}

fn sound2() -> NiftiFile {
    NiftiFile::sound2()
}

fn cut(mut bytes: Vec<u8>, length: usize) -> Vec<u8> {
    bytes.truncate(length);
    bytes
}

fn patched(mut bytes: Vec<u8>, at: usize, patch: &[u8]) -> Vec<u8> {
    bytes[at..at + patch.len()].copy_from_slice(patch);
    bytes
}

/// Wrong from the first bytes: other formats.
fn foreign() -> Vec<(&'static str, Vec<u8>, IsExpected)> {
    let dicom = patched(vec![0; 400], 128, b"DICM");
    vec![
        ("empty", Vec::new(), is!(Truncated { part: "header", .. })),
        ("empty gzip", gzip(&[]), is!(Truncated { part: "header", .. })),
        ("text", b"patient,label\n1,0\n".to_vec(), is!(Header { cause: HeaderError::NotNifti, .. })),
        ("png", b"\x89PNG\r\n\x1a\n".repeat(99), is!(Header { cause: HeaderError::NotNifti, .. })),
        ("zip", b"PK\x03\x04".repeat(99), is!(Header { cause: HeaderError::NotNifti, .. })),
        ("dicom", dicom, is!(Header { cause: HeaderError::Dicom, .. })),
        ("gzip twice", gzip(&sound().gzip()), is!(Header { cause: HeaderError::GzipTwice, .. })),
        ("only the gzip mark", vec![0x1f, 0x8b], is!(Truncated { part: "header", .. })),
        ("gzip mark, then noise", [&[0x1f, 0x8b][..], &[0x5a; 99]].concat(), is!(Gzip { .. })),
        (
            "header size 349",
            NiftiFile { header_size: 349, ..sound() }.bytes(),
            is!(Header { cause: HeaderError::NotNifti, .. }),
        ),
        (
            "foreign magic",
            NiftiFile { magic: *b"nifti\0\0\0", ..sound() }.bytes(),
            is!(Header { cause: HeaderError::NotNifti, .. }),
        ),
        (
            "analyze",
            NiftiFile { magic: [0; 8], ..sound() }.bytes(),
            is!(Header { cause: HeaderError::Analyze, .. }),
        ),
        (
            "pair",
            NiftiFile { magic: *b"ni1\0\0\0\0\0", ..sound() }.bytes(),
            is!(Header { cause: HeaderError::Pair, .. }),
        ),
        (
            "nifti-2 pair",
            NiftiFile { magic: *b"ni2\0\r\n\x1a\n", ..sound2() }.bytes(),
            is!(Header { cause: HeaderError::Pair, .. }),
        ),
        (
            "nifti-2 through a text transfer",
            NiftiFile { magic: *b"n+2\0\n\x1a\n\0", ..sound2() }.bytes(),
            is!(Header { cause: HeaderError::LineEnds, .. }),
        ),
    ]
}

/// Headers whose fields contradict the standard, each other, or sense.
fn headers() -> Vec<(&'static str, NiftiFile, IsExpected)> {
    let dim = |dim| NiftiFile { dim, ..sound() };
    let dim2 = |dim| NiftiFile { dim, ..sound2() };
    let datatype = |datatype| NiftiFile { datatype, ..sound() };
    let flat = [[1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]];
    let qform = NiftiFile { sform_code: 0, qform_code: 1, ..sound() };
    vec![
        (
            "bitpix of int8",
            NiftiFile { bitpix: 8, ..sound() },
            is!(Header { cause: HeaderError::Bits { bitpix: 8, datatype: 4 }, .. }),
        ),
        (
            "negative bitpix",
            NiftiFile { bitpix: -16, ..sound2() },
            is!(Header { cause: HeaderError::Bits { bitpix: -16, .. }, .. }),
        ),
        ("no datatype", datatype(0), is!(Header { cause: HeaderError::Datatype(0), .. })),
        ("bits", datatype(1), is!(Header { cause: HeaderError::Datatype(1), .. })),
        ("complex64", datatype(32), is!(Header { cause: HeaderError::Datatype(32), .. })),
        ("complex128", datatype(1792), is!(Header { cause: HeaderError::Datatype(1792), .. })),
        ("rgb", datatype(128), is!(Header { cause: HeaderError::Datatype(128), .. })),
        ("rgba", datatype(2304), is!(Header { cause: HeaderError::Datatype(2304), .. })),
        ("float128", datatype(1536), is!(Header { cause: HeaderError::Datatype(1536), .. })),
        ("unknown datatype", datatype(-77), is!(Header { cause: HeaderError::Datatype(-77), .. })),
        ("rank 0", dim([0, 4, 3, 2, 1, 1, 1, 1]), is!(Header { cause: HeaderError::Dimensions(_), .. })),
        ("rank 2", dim([2, 4, 6, 1, 1, 1, 1, 1]), is!(Header { cause: HeaderError::Dimensions(_), .. })),
        ("rank 8", dim2([8, 4, 3, 2, 1, 1, 1, 1]), is!(Header { cause: HeaderError::Dimensions(_), .. })),
        (
            "negative rank",
            dim([-3, 4, 3, 2, 1, 1, 1, 1]),
            is!(Header { cause: HeaderError::Dimensions([-3, ..]), .. }),
        ),
        (
            "no voxel along y",
            dim([3, 4, 0, 2, 1, 1, 1, 1]),
            is!(Header { cause: HeaderError::Dimensions([3, 4, 0, ..]), .. }),
        ),
        (
            "negative axis",
            dim([3, 4, -3, 2, 1, 1, 1, 1]),
            is!(Header { cause: HeaderError::Dimensions([3, 4, -3, ..]), .. }),
        ),
        (
            "series",
            dim([4, 4, 3, 1, 2, 1, 1, 1]),
            is!(Header { cause: HeaderError::Series { volumes: 2 }, .. }),
        ),
        (
            "vector image",
            dim([5, 2, 2, 2, 1, 3, 1, 1]),
            is!(Header { cause: HeaderError::Series { volumes: 3 }, .. }),
        ),
        (
            "2^64 volumes",
            dim2([7, 1, 1, 1, i64::MAX, i64::MAX, 2, 2]),
            is!(Header { cause: HeaderError::Series { volumes: i64::MAX }, .. }),
        ),
        (
            "huge",
            dim([3, 32767, 32767, 32767, 1, 1, 1, 1]),
            is!(Header { cause: HeaderError::TooLarge([32767, 32767, 32767]), .. }),
        ),
        (
            "a product beyond 64 bits",
            dim2([3, i64::MAX, i64::MAX, i64::MAX, 1, 1, 1, 1]),
            is!(Header { cause: HeaderError::TooLarge(_), .. }),
        ),
        (
            "just above the cap",
            dim2([3, 512, 512, 513, 1, 1, 1, 1]),
            is!(Header { cause: HeaderError::TooLarge(_), .. }),
        ),
        (
            "spacing 0",
            NiftiFile { pixdim: [1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0], ..sound() },
            is!(Header { cause: HeaderError::Spacing([1.0, 0.0, 1.0]), .. }),
        ),
        (
            "spacing NaN",
            NiftiFile { pixdim: [f64::NAN; 8], ..sound2() },
            is!(Header { cause: HeaderError::Spacing(_), .. }),
        ),
        (
            "spacing of a light-year",
            NiftiFile { pixdim: [9.4e18; 8], ..sound() },
            is!(Header { cause: HeaderError::Spacing(_), .. }),
        ),
        (
            "voxels inside the header",
            NiftiFile { vox_offset: 0.0, ..sound() },
            is!(Header { cause: HeaderError::Offset(0.0), .. }),
        ),
        (
            "nifti-2 voxels inside the header",
            NiftiFile { vox_offset: 352.0, ..sound2() },
            is!(Header { cause: HeaderError::Offset(352.0), .. }),
        ),
        (
            "voxels between two bytes",
            NiftiFile { vox_offset: 352.5, ..sound() },
            is!(Header { cause: HeaderError::Offset(352.5), .. }),
        ),
        (
            "voxels beyond the disk",
            NiftiFile { vox_offset: 1e18, ..sound2() },
            is!(Header { cause: HeaderError::Offset(_), .. }),
        ),
        (
            "infinite slope",
            NiftiFile { slope: f64::INFINITY, ..sound() },
            is!(Header { cause: HeaderError::Scaling { slope: f64::INFINITY, .. }, .. }),
        ),
        (
            "infinite intercept",
            NiftiFile { intercept: f64::NEG_INFINITY, ..sound2() },
            is!(Header { cause: HeaderError::Scaling { intercept: f64::NEG_INFINITY, .. }, .. }),
        ),
        (
            "flat sform",
            NiftiFile { srow: flat, ..sound() },
            is!(Header { cause: HeaderError::Placement { form: "sform", .. }, .. }),
        ),
        (
            "sform of NaN",
            NiftiFile { srow: [[f64::NAN; 4]; 3], ..sound() },
            is!(Header { cause: HeaderError::Placement { form: "sform", .. }, .. }),
        ),
        (
            "quaternion longer than 1",
            NiftiFile { quaternion: [3.0, 0.0, 0.0], ..qform.clone() },
            is!(Header { cause: HeaderError::Placement { form: "qform", .. }, .. }),
        ),
        (
            "qform at infinity",
            NiftiFile { offset: [f64::INFINITY, 0.0, 0.0], ..qform },
            is!(Header { cause: HeaderError::Placement { form: "qform", .. }, .. }),
        ),
    ]
}

/// Sound headers whose voxels are missing, damaged, too many or no numbers.
fn bodies() -> Vec<(&'static str, Vec<u8>, IsExpected)> {
    let floats = |value: f32| NiftiFile {
        datatype: 16,
        bitpix: 32,
        voxels: [value; 24].iter().flat_map(|value| value.to_le_bytes()).collect(),
        ..sound()
    };
    let huge_claim = NiftiFile { dim: [3, 512, 512, 512, 1, 1, 1, 1], ..sound() };
    let bomb = NiftiFile { voxels: vec![0; 4 << 20], ..sound() };
    let compressed = sound().gzip();
    let length = compressed.len();
    let checksum = compressed[length - 8];
    vec![
        ("half a header", cut(sound().bytes(), 100), is!(Truncated { part: "header", .. })),
        ("half a nifti-2 header", cut(sound2().bytes(), 400), is!(Truncated { part: "header", .. })),
        ("no extension flags", cut(sound().bytes(), 350), is!(Truncated { part: "header extension", .. })),
        ("no voxels", cut(sound().bytes(), 352), is!(Truncated { part: "voxels", .. })),
        ("one byte short", cut(sound().bytes(), 399), is!(Truncated { part: "voxels", .. })),
        (
            "one byte short, compressed",
            gzip(&cut(sound().bytes(), 399)),
            is!(Truncated { part: "voxels", .. }),
        ),
        ("half a gzip file", cut(compressed.clone(), length / 2), is!(Truncated { .. })),
        (
            "gzip without checksum",
            cut(compressed.clone(), length - 8),
            is!(Truncated { part: "checksum", .. }),
        ),
        ("wrong checksum", patched(compressed.clone(), length - 8, &[!checksum]), is!(Gzip { .. })),
        ("noise after gzip", [compressed, vec![7; 40]].concat(), is!(Gzip { .. })),
        ("claims 256 MiB", huge_claim.bytes(), is!(Truncated { part: "voxels", .. })),
        ("claims 256 MiB, compressed", huge_claim.gzip(), is!(Truncated { part: "voxels", .. })),
        ("4 MiB too many", bomb.bytes(), is!(Trailing { .. })),
        ("decompression bomb", bomb.gzip(), is!(Trailing { .. })),
        (
            "voxels of NaN",
            floats(f32::NAN).bytes(),
            is!(Voxels { cause: InvalidVolume::NotFinite { count: 24 }, .. }),
        ),
        (
            "infinite voxels",
            floats(f32::INFINITY).gzip(),
            is!(Voxels { cause: InvalidVolume::NotFinite { count: 24 }, .. }),
        ),
        (
            "scaled beyond f32",
            NiftiFile { slope: 1e38, intercept: 1e38, ..floats(1e3) }.bytes(),
            is!(Voxels { cause: InvalidVolume::NotFinite { count: 24 }, .. }),
        ),
    ]
}

/// All broken files, with the exact error that reading them must give.
pub(crate) fn broken_files() -> Vec<(&'static str, Vec<u8>, IsExpected)> {
    let headers = headers().into_iter().map(|(name, file, is_expected)| (name, file.bytes(), is_expected));
    foreign().into_iter().chain(headers).chain(bodies()).collect()
}

#[test]
fn each_broken_file_gives_its_own_error_from_disk_and_from_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image.nii.gz");
    let files = broken_files();
    assert!(files.len() >= 60, "only {} kinds", files.len());
    for (name, bytes, is_expected) in files {
        fs::write(&path, &bytes).unwrap();
        for result in [Volume::read(&path), Volume::from_bytes(&bytes, &path)] {
            let error = result.expect_err(name);
            assert!(is_expected(&error), "{name}: {error:?}");
            let text = error.to_string();
            // Where, what, and how to mend it.
            assert!(text.starts_with(path.to_str().unwrap()), "{name}: {text}");
            let remedies = ["export", "convert", "copy", "mend", "split", "crop", "decompress", "set"];
            assert!(remedies.iter().any(|remedy| text.contains(remedy)), "{name}: {text}");
        }
    }
}

#[test]
fn headers_alone_reveal_bad_headers_and_impossible_lengths() {
    let name = Path::new("image");
    for (kind, file, is_expected) in headers() {
        let error = VolumeHeader::from_bytes(&file.bytes(), name).expect_err(kind);
        assert!(is_expected(&error), "{kind}: {error:?}");
    }
    let claim = NiftiFile { dim: [3, 512, 512, 512, 1, 1, 1, 1], ..sound() };
    for bytes in [claim.bytes(), claim.gzip()] {
        let error = VolumeHeader::from_bytes(&bytes, name).unwrap_err();
        assert!(matches!(error, Truncated { part: "voxels", .. }), "{error}");
    }
}

#[test]
fn folders_and_missing_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(Volume::read(folder.path()), Err(NotAFile { .. })));
    assert!(matches!(VolumeHeader::read(folder.path()), Err(NotAFile { .. })));
    assert!(matches!(Volume::read(&folder.path().join("none")), Err(ReadVolumeError::Io { .. })));
}
