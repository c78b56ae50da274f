//! Bringing an image and its mask together: one direction of the axes, one grid.

use crate::{GridMismatch, Interpolation, Orientation, Volume};

/// The direction in which every profile counts voxels: that of UPENN-GBM, BraTS and the SRI24 atlas.
const CANONICAL: Orientation = Orientation::LPS;

/// Sides of two images farther apart than this, in voxels' edges, are in different places: half a voxel is rounding of
/// centres and corners, which much software mixes up.
pub(crate) const PLACE_TOLERANCE_VOXELS: f64 = 0.51;

/// `image` and `mask` with axes towards left, posterior and superior, and voxel by voxel in the same place.
///
/// Axes are turned without interpolation. An image on another grid than its mask is resampled (trilinear) onto the
/// mask's, through the places that both files name. A file that does not say where its axes point is taken to be like
/// the other one; if neither does, both are taken as they are.
///
/// # Errors
/// How the grids differ, where a file does not say in which place its voxels are, or where the axes point in different
/// directions and the turned images would not cover each other: one of the headers must then be wrong.
pub(crate) fn aligned(image: Volume, mask: Volume) -> Result<(Volume, Volume), GridMismatch> {
    let (image, mask) = match (image.affine(), mask.affine()) {
        (Some(_), Some(_)) => (image, mask),
        (None, None) => return image.check_same_grid(&mask).map(|()| (image, mask)),
        (known, other) => {
            image.check_same_grid(&mask)?;
            let Some(affine) = known.or(other) else { return Ok((image, mask)) };
            (image.with_affine(affine), mask.with_affine(affine))
        }
    };
    let [ours, theirs] = [&image, &mask].map(|volume| volume.orientation().expect("both say where they lie"));
    let elsewhere = ours != theirs && is_same_size(&image, &mask) && !is_same_place(&image, &mask);
    if elsewhere {
        return Err(GridMismatch::Orientation(ours, theirs));
    }
    let turn = |volume: Volume| volume.in_orientation(CANONICAL).expect("both say where their axes point");
    let (image, mask) = (turn(image), turn(mask));
    let Err(mismatch) = image.check_same_grid(&mask) else { return Ok((image, mask)) };
    let resampled = mask.grid().and_then(|grid| image.resample_onto(&grid, Interpolation::Trilinear));
    resampled.map(|image| (image, mask)).map_err(|_| mismatch)
}

/// Whether both have as many voxels, whatever the order of their axes.
fn is_same_size(a: &Volume, b: &Volume) -> bool {
    a.shape().iter().product::<usize>() == b.shape().iter().product::<usize>()
}

/// Whether the headers place both in the same box, to half a voxel.
fn is_same_place(a: &Volume, b: &Volume) -> bool {
    let bounds = |volume: &Volume| volume.affine().map(|affine| affine.bounds(volume.shape()));
    let edge = a.spacing().into_iter().fold(f32::INFINITY, f32::min);
    bounds(a).zip(bounds(b)).is_some_and(|(a, b)| are_close(a, b, PLACE_TOLERANCE_VOXELS * f64::from(edge)))
}

/// Whether no side of two boxes is farther apart than `tolerance`, in millimetres.
pub(crate) fn are_close(a: [[f64; 2]; 3], b: [[f64; 2]; 3], tolerance: f64) -> bool {
    a.iter().flatten().zip(b.iter().flatten()).all(|(a, b)| (a - b).abs() <= tolerance)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Affine;

    fn volume(shape: [usize; 3], mm: f32, orientation: &str) -> Volume {
        let count: usize = shape.iter().product();
        let volume = Volume::new(shape, [mm; 3], (0..count).map(|i| i as f32).collect()).unwrap();
        if orientation.is_empty() { volume } else { volume.with_orientation(orientation.parse().unwrap()) }
    }

    #[test]
    fn axes_are_turned_to_one_direction() {
        let stored = volume([2, 3, 4], 1.0, "LPS").in_orientation(Orientation::RAS).unwrap();
        let values = stored.values().to_vec();
        let (image, mask) = aligned(stored, volume([2, 3, 4], 1.0, "LPS")).unwrap();
        assert_ne!(image.values(), values);
        assert_eq!([image.orientation(), mask.orientation()], [Some(Orientation::LPS); 2]);
        assert_eq!(image.values(), mask.values());
    }

    /// Its voxels would come out mirrored: either the directions or the places are wrong.
    #[test]
    fn axes_that_were_mirrored_in_the_header_only_are_refused() {
        let [image, mask] = ["RAS", "LPS"].map(|orientation| volume([2, 3, 4], 1.0, orientation));
        let error = aligned(image, mask).unwrap_err();
        assert_eq!(error.to_string(), "axes towards RAS and LPS");
    }

    #[test]
    fn a_file_without_directions_is_taken_to_be_like_the_other() {
        let (known, unknown) = (volume([2, 3, 4], 1.0, "RAS"), volume([2, 3, 4], 1.0, ""));
        let (image, mask) = aligned(known.clone(), unknown.clone()).unwrap();
        assert_eq!(image.values(), mask.values());
        assert_eq!(mask.orientation(), Some(Orientation::LPS));
        let (image, mask) = aligned(unknown.clone(), unknown.clone()).unwrap();
        assert_eq!((image.values(), mask.orientation()), (unknown.values(), None));
        let other = volume([2, 3, 5], 1.0, "");
        assert!(matches!(aligned(known, other.clone()), Err(GridMismatch::Shape(..))));
        assert!(matches!(aligned(unknown, other), Err(GridMismatch::Shape(..))));
    }

    #[test]
    fn an_image_on_another_grid_is_resampled_onto_the_masks() {
        // The image has voxels of 2 mm that start where the mask's of 1 mm do, and its value is its x in mm.
        let affine = |mm: f32| Affine::aligned(Orientation::LPS, [mm; 3]).unwrap();
        let values = (0..4 * 4 * 4).map(|i| 2.0 * (i % 4) as f32).collect();
        let image = Volume::new([4; 3], [2.0; 3], values).unwrap().with_affine(affine(2.0));
        let mask = Volume::new([7; 3], [1.0; 3], vec![1.0; 343]).unwrap().with_affine(affine(1.0));
        let (image, mask) = aligned(image, mask).unwrap();
        assert_eq!(image.check_same_grid(&mask), Ok(()));
        let (first, rest) = (image.affine().unwrap().apply([0.0; 3]), &image.values()[..7]);
        assert_eq!(first, mask.affine().unwrap().apply([0.0; 3]));
        assert!(rest.iter().zip(0..).all(|(value, x)| (value - x as f32).abs() < 1e-4), "{rest:?}");
    }
}
