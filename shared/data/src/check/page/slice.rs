//! Three sections of a case: axial, coronal and sagittal, through the middle of its mask.
//!
//! Drawn as radiologists look: the patient's left on the right, front and head up. An image that does not
//! name its axes is drawn as it is stored.

use crate::{Orientation, Volume};

/// Longest side of a picture in samples; larger images are thinned, so that a page of hundreds of cases still
/// opens.
pub(super) const MOST_SAMPLES: usize = 192;

/// A section's direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plane {
    Axial,
    Coronal,
    Sagittal,
}

impl Plane {
    pub(super) const ALL: [Self; 3] = [Self::Axial, Self::Coronal, Self::Sagittal];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Axial => "axial",
            Self::Coronal => "coronal",
            Self::Sagittal => "sagittal",
        }
    }

    /// The axes (z 0, y 1, x 2) across the section, down it and along it.
    const fn axes(self) -> [usize; 3] {
        match self {
            Self::Axial => [0, 1, 2],
            Self::Coronal => [1, 0, 2],
            Self::Sagittal => [2, 0, 1],
        }
    }
}

/// One section: grey values and which samples the mask marks, row by row from the top.
pub(super) struct Slice {
    pub(super) width: usize,
    pub(super) height: usize,
    /// Size in the patient, in millimetres.
    pub(super) size_mm: [f32; 2],
    pub(super) values: Vec<f32>,
    pub(super) marked: Vec<bool>,
}

/// Turns an image to LPS, where x grows to the patient's left, y to the back and z to the head.
pub(super) fn upright(volume: Volume) -> Volume {
    match volume.orientation() {
        Some(_) => volume.in_orientation(Orientation::LPS).expect("directions are known"),
        None => volume,
    }
}

/// The voxel (z, y, x) in the middle of what the mask marks; the middle of the image where it marks nothing.
pub(super) fn middle(mask: &Volume) -> [usize; 3] {
    let [depth, height, width] = mask.shape();
    let mut sums = [0u64; 3];
    let mut count = 0u64;
    for (index, _) in mask.values().iter().enumerate().filter(|(_, label)| **label > 0.0) {
        let voxel = [index / (height * width), index / width % height, index % width];
        for (sum, place) in sums.iter_mut().zip(voxel) {
            *sum += place as u64;
        }
        count += 1;
    }
    match count {
        0 => [depth / 2, height / 2, width / 2],
        count => sums.map(|sum| (sum / count) as usize),
    }
}

/// The section of `image` through `middle`, with what `mask` marks where it has the same shape.
pub(super) fn cut(image: &Volume, mask: Option<&Volume>, middle: [usize; 3], plane: Plane) -> Slice {
    let shape = image.shape();
    let mask = mask.filter(|mask| mask.shape() == shape);
    let [across, down, along] = plane.axes();
    let (rows, columns) = (samples(shape[down]), samples(shape[along]));
    let mut slice = Slice {
        width: columns.len(),
        height: rows.len(),
        size_mm: [along, down].map(|axis| image.spacing()[axis] * shape[axis] as f32),
        values: Vec::with_capacity(rows.len() * columns.len()),
        marked: Vec::with_capacity(rows.len() * columns.len()),
    };
    // z grows to the head, and the head is up.
    let rows: Vec<usize> = if down == 0 { rows.into_iter().rev().collect() } else { rows };
    let mut voxel = [0; 3];
    voxel[across] = middle[across].min(shape[across] - 1);
    for &row in &rows {
        voxel[down] = row;
        for &column in &columns {
            voxel[along] = column;
            let index = (voxel[0] * shape[1] + voxel[1]) * shape[2] + voxel[2];
            slice.values.push(image.values()[index]);
            slice.marked.push(mask.is_some_and(|mask| mask.values()[index] > 0.0));
        }
    }
    slice
}

/// The indices that are drawn: all, or evenly spread ones of a long axis.
fn samples(size: usize) -> Vec<usize> {
    let count = size.min(MOST_SAMPLES);
    (0..count).map(|sample| sample * size / count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(shape: [usize; 3]) -> Volume {
        let voxels = shape.iter().product::<usize>();
        Volume::new(shape, [3.0, 2.0, 1.0], (0..voxels).map(|i| i as f32).collect()).unwrap()
    }

    #[test]
    fn each_plane_shows_its_axes_with_the_head_up() {
        let image = numbered([2, 3, 4]);
        let axial = cut(&image, None, [1, 1, 1], Plane::Axial);
        assert_eq!((axial.width, axial.height, axial.size_mm), (4, 3, [4.0, 6.0]));
        assert_eq!(axial.values[..5], [12.0, 13.0, 14.0, 15.0, 16.0]);
        let coronal = cut(&image, None, [0, 1, 0], Plane::Coronal);
        assert_eq!(coronal.values, [16.0, 17.0, 18.0, 19.0, 4.0, 5.0, 6.0, 7.0]);
        let sagittal = cut(&image, None, [0, 0, 2], Plane::Sagittal);
        assert_eq!(sagittal.values, [14.0, 18.0, 22.0, 2.0, 6.0, 10.0]);
        assert_eq!(sagittal.size_mm, [6.0, 6.0]);
    }

    #[test]
    fn the_middle_is_the_masks_and_other_shapes_mark_nothing() {
        let mut values = vec![0.0; 27];
        values[26] = 1.0;
        values[8] = 2.0;
        let mask = Volume::new([3; 3], [1.0; 3], values).unwrap();
        assert_eq!(middle(&mask), [1, 2, 2]);
        assert_eq!(middle(&Volume::new([3; 3], [1.0; 3], vec![0.0; 27]).unwrap()), [1, 1, 1]);
        let slice = cut(&numbered([2, 3, 4]), Some(&mask), [9, 9, 9], Plane::Axial);
        assert!(slice.marked.iter().all(|marked| !marked));
    }

    #[test]
    fn long_axes_are_thinned() {
        let slice = cut(&numbered([1, 3, 500]), None, [0; 3], Plane::Axial);
        assert_eq!((slice.width, slice.height), (MOST_SAMPLES, 3));
        assert_eq!(slice.values[1], 2.0);
    }
}
