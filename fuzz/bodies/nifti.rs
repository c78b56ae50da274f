//! What must hold for every byte string that claims to be an image: shared by the fuzz target `nifti` and by
//! the plain test over its corpus.
//!
//! Includes no assertion on memory: the plain test counts that, libFuzzer has its own limit.

use std::path::Path;

use consilium_data::{Interpolation, Orientation, Volume, VolumeHeader};

/// Images above this many voxels are not turned and resampled, to keep runs fast.
const SMALL_VOXELS: usize = 1 << 16;

/// Reads `bytes` in every way there is. Panics where the reader breaks a promise.
pub(crate) fn check(bytes: &[u8]) {
    let name = Path::new("image");
    let header = VolumeHeader::from_bytes(bytes, name);
    match Volume::from_bytes(bytes, name) {
        Ok(volume) => {
            let header = header.expect("what can be read has a sound header");
            assert_eq!((volume.shape(), volume.spacing()), (header.shape(), header.spacing()));
            assert_eq!(volume.affine(), header.affine());
            assert_eq!(volume.values().len(), header.voxels());
            assert!(volume.values().iter().all(|value| value.is_finite()));
            if header.voxels() <= SMALL_VOXELS {
                turn_and_resample(volume);
            }
        }
        Err(error) => assert!(error.to_string().starts_with("image: "), "{error}"),
    }
}

fn turn_and_resample(volume: Volume) {
    let Ok(grid) = volume.grid() else {
        assert!(volume.in_orientation(Orientation::RAS).is_err());
        return;
    };
    for interpolation in [Interpolation::Trilinear, Interpolation::Nearest] {
        let same = volume.resample_onto(&grid, interpolation).expect("the place is known");
        assert_eq!(same.values(), volume.values(), "its own grid changes nothing");
    }
    let orientation = volume.orientation().expect("the place is known");
    let turned = volume.clone().in_orientation(Orientation::RAS).expect("the place is known");
    assert_eq!(turned.orientation(), Some(Orientation::RAS));
    let back = turned.in_orientation(orientation).expect("the place is known");
    assert_eq!((back.shape(), back.values()), (volume.shape(), volume.values()));
}
