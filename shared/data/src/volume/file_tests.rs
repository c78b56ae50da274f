//! Files good and bad: what is written is read back, and damage is an error, never a panic or a wrong voxel.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use nifti::{IntoNdArray, NiftiObject, ReaderOptions};
use proptest::prelude::*;

use super::{HeaderError, InvalidVolume, Orientation, ReadVolumeError, Volume};

/// A file that is removed when dropped.
struct Scratch(tempfile::TempDir);

impl Scratch {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        // No extension: content decides.
        self.0.path().join("image")
    }

    fn read(&self, bytes: &[u8]) -> Result<Volume, ReadVolumeError> {
        fs::write(self.path(), bytes).unwrap();
        Volume::read(&self.path())
    }
}

fn sample() -> Volume {
    let values = (0..24).map(|i| if i == 5 { -7.0 } else { i as f32 * 100.0 }).collect();
    Volume::new([2, 3, 4], [3.0, 2.0, 1.5], values).unwrap().with_orientation(Orientation::RAS)
}

/// The sample as an uncompressed file.
fn plain() -> Vec<u8> {
    let scratch = Scratch::new();
    sample().write_int16(&scratch.path()).unwrap();
    let mut bytes = Vec::new();
    let file = fs::File::open(scratch.path()).unwrap();
    std::io::copy(&mut flate2::read::GzDecoder::new(file), &mut bytes).unwrap();
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn patched(at: usize, patch: &[u8]) -> Vec<u8> {
    let mut bytes = plain();
    bytes[at..at + patch.len()].copy_from_slice(patch);
    bytes
}

fn header_error(bytes: &[u8]) -> HeaderError {
    match Scratch::new().read(bytes) {
        Err(ReadVolumeError::Header { cause, .. }) => cause,
        other => panic!("expected a header error, not {other:?}"),
    }
}

#[test]
fn what_is_written_is_read_back_compressed_or_not() {
    let scratch = Scratch::new();
    assert_eq!(scratch.read(&plain()).unwrap(), sample());
    assert_eq!(scratch.read(&gzip(&plain())).unwrap(), sample());
    let whole = plain();
    let (start, end) = whole.split_at(360);
    let members = [gzip(start), gzip(end)].concat();
    assert_eq!(scratch.read(&members).unwrap(), sample(), "all members of a gzip file are read");
}

#[test]
fn another_reader_sees_the_same_voxels() {
    let scratch = Scratch::new();
    let path = scratch.path().with_extension("nii.gz");
    sample().write_int16(&path).unwrap();
    let object = ReaderOptions::new().read_file(&path).unwrap();
    assert_eq!(object.header().pixdim[1..4], [1.5, 2.0, 3.0]);
    let voxels = object.into_volume().into_ndarray::<f32>().unwrap();
    for (i, value) in sample().values().iter().enumerate() {
        assert_eq!(voxels[[i % 4, i / 4 % 3, i / 12]], *value);
    }
}

#[test]
fn big_endian_files_and_other_datatypes_read_as_the_same_values() {
    // Little-endian int16 to float64, field by field; then the same volume with every field swapped.
    let mut float = patched(70, &64i16.to_le_bytes())[..352].to_vec();
    float[72..74].copy_from_slice(&64i16.to_le_bytes());
    float.extend(sample().values().iter().flat_map(|&v| f64::from(v).to_le_bytes()));
    assert_eq!(Scratch::new().read(&float).unwrap(), sample());

    let mut swapped = plain();
    let fields =
        [(0, 4, 1), (40, 2, 8), (68, 2, 4), (76, 4, 8), (108, 4, 3), (252, 2, 2), (256, 4, 18), (352, 2, 24)];
    for (start, size, count) in fields {
        swapped[start..start + size * count].chunks_exact_mut(size).for_each(<[u8]>::reverse);
    }
    assert_eq!(Scratch::new().read(&swapped).unwrap(), sample());
}

#[test]
fn scaling_is_applied_and_nan_means_none() {
    let scaled = [2f32.to_le_bytes(), 10f32.to_le_bytes()].concat();
    let volume = Scratch::new().read(&patched(112, &scaled)).unwrap();
    assert_eq!(volume.values()[5], 2.0 * -7.0 + 10.0);
    for slope in [f32::NAN, 0.0] {
        let unscaled = [slope.to_le_bytes(), f32::NAN.to_le_bytes()].concat();
        assert_eq!(Scratch::new().read(&patched(112, &unscaled)).unwrap(), sample());
    }
    let infinite = patched(112, &f32::INFINITY.to_le_bytes());
    assert!(matches!(header_error(&infinite), HeaderError::Scaling { .. }));
}

#[test]
fn each_bad_header_is_named() {
    assert_eq!(header_error(&patched(344, b"ni1\0")), HeaderError::Pair);
    assert_eq!(header_error(&patched(344, b"DICM")), HeaderError::NotNifti);
    assert_eq!(header_error(&patched(344, b"\0\0\0\0")), HeaderError::Analyze);
    assert_eq!(header_error(&patched(0, &349i32.to_le_bytes())), HeaderError::NotNifti);
    assert_eq!(header_error(&patched(72, &8i16.to_le_bytes())), HeaderError::Bits { bitpix: 8, datatype: 4 });
    for datatype in [0i16, 1, 32, 128, 1536, 9999] {
        assert_eq!(header_error(&patched(70, &datatype.to_le_bytes())), HeaderError::Datatype(datatype));
    }
    for dim in [[2i16, 4, 3, 2, 1], [3, 0, 3, 2, 1], [3, -4, 3, 2, 1], [0, 4, 3, 2, 1]] {
        let bytes: Vec<u8> = dim.iter().flat_map(|n| n.to_le_bytes()).collect();
        assert!(matches!(header_error(&patched(40, &bytes)), HeaderError::Dimensions(_)), "{dim:?}");
    }
    let series: Vec<u8> = [4i16, 4, 3, 2, 5].iter().flat_map(|n| n.to_le_bytes()).collect();
    assert_eq!(header_error(&patched(40, &series)), HeaderError::Series { volumes: 5 });
    let huge: Vec<u8> = [3i16, 32767, 32767, 32767].iter().flat_map(|n| n.to_le_bytes()).collect();
    assert!(matches!(header_error(&patched(40, &huge)), HeaderError::TooLarge(_)));
    for spacing in [0.0, f32::NAN, f32::INFINITY] {
        assert!(matches!(header_error(&patched(80, &spacing.to_le_bytes())), HeaderError::Spacing(_)));
    }
    for offset in [0.0, 351.0, 352.5, -1.0, 1e12, f32::NAN] {
        assert!(matches!(header_error(&patched(108, &offset.to_le_bytes())), HeaderError::Offset(_)));
    }
}

#[test]
fn truncated_damaged_and_non_finite_files_are_errors() {
    let scratch = Scratch::new();
    for (length, part) in [(0, "header"), (100, "header"), (350, "header extension"), (370, "voxels")] {
        let plain = &plain()[..length];
        for bytes in [plain.to_vec(), gzip(plain)] {
            let error = scratch.read(&bytes).unwrap_err();
            assert!(matches!(error, ReadVolumeError::Truncated { part: p, .. } if p == part), "{error}");
        }
    }
    let mut damaged = gzip(&plain());
    let checksum = damaged.len() - 8;
    damaged[checksum] ^= 1;
    assert!(matches!(scratch.read(&damaged), Err(ReadVolumeError::Gzip { .. })));

    let mut float = patched(70, &16i16.to_le_bytes())[..352].to_vec();
    float[72..74].copy_from_slice(&32i16.to_le_bytes());
    float.extend([f32::NAN; 24].iter().flat_map(|v| v.to_le_bytes()));
    let error = scratch.read(&float).unwrap_err();
    assert!(matches!(error, ReadVolumeError::Voxels { cause: InvalidVolume::NotFinite { count: 24 }, .. }));
    assert!(error.to_string().contains("image") && error.to_string().contains("24 voxels are NaN"));
    assert!(matches!(Volume::read(Path::new("no such file")), Err(ReadVolumeError::Io { .. })));
}

#[test]
fn values_beyond_16_bits_are_not_written() {
    let scratch = Scratch::new();
    let volume = Volume::new([1, 1, 2], [1.0; 3], vec![0.0, 40_000.0]).unwrap();
    assert!(volume.write_int16(&scratch.path()).unwrap_err().to_string().contains("40000"));
    assert!(!scratch.path().exists());
}

/// Three real scans, where the shared data are at hand: float32, 1 mm, 240x240x155.
#[test]
fn real_scans_are_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/brats2013_cc_by_nc_sa");
    if !folder.is_dir() {
        println!("skipped: ../shared is absent");
        return;
    }
    let folder = folder.join("brats_2013_pat0001_1");
    let image = Volume::read(&folder.join("T1c_subtrMeanDivStd.nii.gz")).unwrap();
    let mask = Volume::read(&folder.join("OTMultiClass.nii.gz")).unwrap();
    assert_eq!((image.shape(), image.spacing()), ([155, 240, 240], [1.0; 3]));
    image.check_same_grid(&mask).unwrap();
    assert!(mask.values().iter().all(|label| [0.0, 1.0, 2.0, 3.0, 4.0].contains(label)));
    use consilium_domain::Preprocessing::{Schmitz2024, TumourCrop};
    for profile in [Schmitz2024, TumourCrop { side: 32 }] {
        let input = crate::preprocess(&image, &mask, profile).unwrap();
        assert_eq!(input.len(), profile.input_shape().iter().product::<usize>());
    }
}

proptest! {
    #[test]
    fn no_header_makes_the_reader_panic(
        patches in prop::collection::vec((0usize..400, any::<u8>()), 1..8),
        length in 0usize..=400,
        compress: bool,
    ) {
        let mut bytes = plain();
        for (at, byte) in patches {
            bytes[at] = byte;
        }
        bytes.truncate(length.max(300));
        let bytes = if compress { gzip(&bytes) } else { bytes };
        if let Ok(volume) = Scratch::new().read(&bytes) {
            prop_assert_eq!(volume.values().len(), volume.shape().iter().product::<usize>());
            prop_assert!(volume.values().iter().all(|value| value.is_finite()));
        }
    }
}
