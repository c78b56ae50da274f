//! Bringing an image and its mask together: one direction of the axes, one grid.

use crate::{GridMismatch, Interpolation, Orientation, Volume};

/// The direction in which every profile counts voxels: that of UPENN-GBM, BraTS and the SRI24 atlas.
const CANONICAL: Orientation = Orientation::LPS;

/// `image` and `mask` with axes towards left, posterior and superior, and voxel by voxel in the same place.
///
/// Axes are turned without interpolation. An image on another grid than its mask is resampled (trilinear) onto the
/// mask's, through the places that both files name. A file that does not say where its axes point is taken to be like
/// the other one; if neither does, both are taken as they are.
///
/// # Errors
/// How the grids differ, where a file does not say in which place its voxels are.
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
    let turn = |volume: Volume| volume.in_orientation(CANONICAL).expect("both say where their axes point");
    let (image, mask) = (turn(image), turn(mask));
    let Err(mismatch) = image.check_same_grid(&mask) else { return Ok((image, mask)) };
    let resampled = mask.grid().and_then(|grid| image.resample_onto(&grid, Interpolation::Trilinear));
    resampled.map(|image| (image, mask)).map_err(|_| mismatch)
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
        let (image, mask) = aligned(volume([2, 3, 4], 1.0, "RAS"), volume([2, 3, 4], 1.0, "LPS")).unwrap();
        assert_eq!([image.orientation(), mask.orientation()], [Some(Orientation::LPS); 2]);
        // Both in-plane axes are mirrored: within a slice the order is reversed.
        let mut reversed: Vec<f32> = (0..12).map(|i| i as f32).collect();
        reversed.reverse();
        assert_eq!(image.values()[..12], reversed);
        assert_eq!(mask.values()[..12], (0..12).map(|i| i as f32).collect::<Vec<_>>());
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
