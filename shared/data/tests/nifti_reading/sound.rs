//! What must be readable, in every form the standard allows.

use std::fs;
use std::path::Path;

use consilium_data::{NiftiVersion, Orientation, Volume, VolumeHeader};

use crate::files::{DATATYPES, NiftiFile, gzip, sound_values};

fn read(bytes: &[u8]) -> Volume {
    Volume::from_bytes(bytes, Path::new("image")).unwrap()
}

#[test]
fn every_scalar_type_of_both_versions_and_byte_orders_gives_the_same_image() {
    let expected = read(&NiftiFile::sound().bytes());
    assert_eq!(expected.values(), sound_values());
    assert_eq!((expected.shape(), expected.spacing()), ([2, 3, 4], [3.0, 2.0, 1.5]));
    for base in [NiftiFile::sound(), NiftiFile::sound2()] {
        for big_endian in [false, true] {
            for datatype in DATATYPES {
                let file = NiftiFile { big_endian, ..base.clone() }.with_datatype(datatype);
                for bytes in [file.bytes(), file.gzip()] {
                    assert_eq!(read(&bytes), expected, "version2 {}, {datatype:?}", base.version2);
                    let header = VolumeHeader::from_bytes(&bytes, Path::new("image")).unwrap();
                    let version = if base.version2 { NiftiVersion::Two } else { NiftiVersion::One };
                    assert_eq!((header.version(), header.shape()), (version, expected.shape()));
                    assert_eq!((header.affine(), header.spacing()), (expected.affine(), expected.spacing()));
                    assert_eq!(header.voxel_type().bytes() * 8, datatype.1 as usize);
                }
            }
        }
    }
}

#[test]
fn names_do_not_matter_and_every_gzip_member_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let (plain, expected) = (NiftiFile::sound().bytes(), read(&NiftiFile::sound().bytes()));
    let members: Vec<u8> = plain.chunks(7).flat_map(gzip).collect();
    let files = [
        ("plain.nii", plain.clone()),
        ("plain.nii.gz", plain.clone()),
        ("gzip.nii", gzip(&plain)),
        ("gzip.nii.gz", gzip(&plain)),
        ("members.nii.gz", members),
    ];
    for (name, bytes) in files {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        assert_eq!(Volume::read(&path).unwrap(), expected, "{name}");
        assert_eq!(VolumeHeader::read(&path).unwrap().affine(), expected.affine(), "{name}");
    }
}

#[test]
fn extensions_padding_and_single_further_dimensions_do_not_matter() {
    let expected = read(&NiftiFile::sound().bytes());
    for dim in [[4, 4, 3, 2, 1, 1, 1, 1], [7, 4, 3, 2, 1, 1, 1, 1], [3, 4, 3, 2, 0, -5, 9, 9]] {
        assert_eq!(read(&NiftiFile { dim, ..NiftiFile::sound() }.bytes()), expected, "{dim:?}");
    }
    assert_eq!(read(&NiftiFile { vox_offset: 1024.0, ..NiftiFile::sound() }.bytes()), expected);
    assert_eq!(read(&NiftiFile { vox_offset: 1024.0, ..NiftiFile::sound2() }.bytes()), expected);
    let padded = [NiftiFile::sound().bytes(), vec![0; 512]].concat();
    assert_eq!(read(&padded), expected);
}

#[test]
fn scaling_keeps_the_digits_that_single_precision_would_cancel() {
    let offset = 123_456_789.0;
    let voxels = (0..24).flat_map(|i| (123_456_789i32 + i).to_le_bytes()).collect();
    let file = NiftiFile { datatype: 8, bitpix: 32, voxels, ..NiftiFile::sound2() };
    let scaled = NiftiFile { slope: 0.5, intercept: -offset * 0.5, ..file };
    let expected: Vec<f32> = sound_values().iter().map(|value| value * 0.5).collect();
    assert_eq!(read(&scaled.bytes()).values(), expected);
    for (slope, intercept, value) in
        [(f64::NAN, 7.0, 5.0), (0.0, f64::INFINITY, 5.0), (2.0, f64::NAN, 10.0), (-1.0, 3.0, -2.0)]
    {
        let file = NiftiFile { slope, intercept, ..NiftiFile::sound() };
        assert_eq!(read(&file.bytes()).values()[5], value, "{slope} {intercept}");
    }
}

#[test]
fn the_sform_goes_before_the_qform_and_neither_is_unknown() {
    // A half turn about the superior axis; nibabel gives the same rows.
    let qform = NiftiFile {
        sform_code: 0,
        qform_code: 1,
        quaternion: [0.0, 0.0, 1.0],
        offset: [90.0, 126.0, -72.0],
        ..NiftiFile::sound()
    };
    let expected = [[-1.5, 0.0, 0.0, 90.0], [0.0, -2.0, 0.0, 126.0], [0.0, 0.0, 3.0, -72.0]];
    assert_eq!(read(&qform.bytes()).affine().unwrap().rows(), expected);
    let mirrored = NiftiFile { pixdim: [-1.0, 1.5, 2.0, 3.0, 0.0, 0.0, 0.0, 0.0], ..qform.clone() };
    assert_eq!(read(&mirrored.bytes()).orientation().unwrap().to_string(), "LPI");
    let both = NiftiFile { sform_code: 2, quaternion: [0.0; 3], ..qform.clone() };
    assert_eq!(read(&both.bytes()).orientation(), Some(Orientation::LPS));
    let neither = NiftiFile { qform_code: 0, ..qform };
    assert_eq!(read(&neither.bytes()).affine(), None);
}

#[test]
fn lengths_in_metres_and_micrometres_become_millimetres() {
    for (units, scale) in [(1u8, 1e-3), (3, 1e3)] {
        let sound = NiftiFile::sound2();
        let file = NiftiFile {
            units,
            pixdim: sound.pixdim.map(|size| size * scale),
            srow: sound.srow.map(|row| row.map(|entry| entry * scale)),
            ..sound
        };
        let volume = read(&file.bytes());
        assert_eq!(volume.spacing(), [3.0, 2.0, 1.5]);
        let place = volume.affine().unwrap().apply([1.0, 1.0, 1.0]);
        assert!(place.iter().zip([88.5, 124.0, -69.0]).all(|(a, b)| (a - b).abs() < 1e-9), "{place:?}");
    }
}

#[test]
fn nifti2_takes_an_axis_longer_than_16_bits() {
    let length = 70_000;
    let file = NiftiFile {
        dim: [3, length, 1, 1, 1, 1, 1, 1],
        datatype: 2,
        bitpix: 8,
        voxels: (0..length).map(|i| i as u8).collect(),
        ..NiftiFile::sound2()
    };
    let volume = read(&file.gzip());
    assert_eq!(volume.shape(), [1, 1, length as usize]);
    assert!(volume.values().iter().enumerate().all(|(i, &value)| value == f32::from(i as u8)));
}
