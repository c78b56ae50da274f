//! The box around the tumour, resized to a cube, z-scored over its non-zero voxels.
//!
//! The box is the mask's bounding box with a margin of a tenth of its extent on each side, at least one
//! voxel, clipped to the image. Unlike `schmitz2024` it keeps what lies in the box outside the mask: the
//! border of the oedema and the tissue around it are context. Voxels that are exactly 0 after resizing are
//! background (scans are skull-stripped; small negative interpolation values are brain) and stay 0.

use super::resize::resize;
use super::{PreprocessError, Window};
use crate::Volume;

/// The margin on each side is the box's extent divided by this.
const MARGIN_DIVISOR: usize = 10;

/// Spread below which an image counts as constant, relative to its mean: the rounding noise of resizing.
const CONSTANT_RELATIVE: f64 = 1e-6;

pub(super) fn apply(image: &Volume, mask: &Volume, side: usize) -> Result<Vec<f32>, PreprocessError> {
    let window = with_margin(bounding_box(mask).ok_or(PreprocessError::NoTumour("at all"))?, mask.shape());
    let mut cube = resize(image.values(), image.shape(), &window, side);
    standardise(&mut cube)?;
    Ok(cube)
}

/// The smallest box that holds every voxel above 0.
fn bounding_box(mask: &Volume) -> Option<Window> {
    let [_, height, width] = mask.shape();
    let mut bounds: Option<Window> = None;
    for (row_index, row) in mask.values().chunks_exact(width).enumerate() {
        let Some(first) = row.iter().position(|&value| value > 0.0) else { continue };
        let last = row.iter().rposition(|&value| value > 0.0).unwrap_or(first);
        let (z, y) = (row_index / height, row_index % height);
        let row_box = [z..z + 1, y..y + 1, first..last + 1];
        bounds = Some(match bounds {
            None => row_box,
            Some(bounds) => std::array::from_fn(|axis| {
                bounds[axis].start.min(row_box[axis].start)..bounds[axis].end.max(row_box[axis].end)
            }),
        });
    }
    bounds
}

fn with_margin(tight: Window, shape: [usize; 3]) -> Window {
    std::array::from_fn(|axis| {
        let margin = (tight[axis].len() / MARGIN_DIVISOR).max(1);
        tight[axis].start.saturating_sub(margin)..(tight[axis].end + margin).min(shape[axis])
    })
}

/// Zero mean and unit variance over the voxels that are not 0.
fn standardise(cube: &mut [f32]) -> Result<(), PreprocessError> {
    let brain = || cube.iter().filter(|&&value| value != 0.0).map(|&value| f64::from(value));
    let count = brain().count() as f64;
    if count == 0.0 {
        return Err(PreprocessError::Constant("around the tumour"));
    }
    let mean = brain().sum::<f64>() / count;
    let deviation = (brain().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt();
    if deviation <= mean.abs() * CONSTANT_RELATIVE {
        return Err(PreprocessError::Constant("around the tumour"));
    }
    for value in cube.iter_mut().filter(|value| **value != 0.0) {
        *value = ((f64::from(*value) - mean) / deviation) as f32;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use consilium_domain::{Preprocessing, Seed};

    use super::*;
    use crate::preprocess;

    fn volume(shape: [usize; 3], fill: impl Fn([usize; 3]) -> f32) -> Volume {
        let [depth, height, width] = shape;
        let at = |i: usize| [i / (height * width), i / width % height, i % width];
        let values = (0..depth * height * width).map(|i| fill(at(i))).collect();
        Volume::new(shape, [1.0; 3], values).unwrap()
    }

    fn inside(window: &Window, at: [usize; 3]) -> bool {
        (0..3).all(|axis| window[axis].contains(&at[axis]))
    }

    #[test]
    fn the_box_has_a_margin_and_stays_in_the_image() {
        let marked = [0..30, 12..13, 15..20];
        let mask = volume([33, 20, 20], |at| f32::from(u8::from(inside(&marked, at))));
        let tight = bounding_box(&mask).unwrap();
        assert_eq!(tight, marked);
        assert_eq!(with_margin(tight, mask.shape()), [0..33, 11..14, 14..20]);
    }

    #[test]
    fn brain_is_standardised_background_stays_zero_and_context_is_kept() {
        let mut noise = Seed::from_number(1).stream();
        let noise: Vec<f32> = (0..20 * 20 * 20).map(|_| noise.between(-3.0, 9.0) as f32).collect();
        let image = volume([20; 3], |[z, y, x]| if x < 10 { noise[(z * 20 + y) * 20 + x] } else { 0.0 });
        let mask = volume([20; 3], |at| f32::from(u8::from(inside(&[5..15, 5..15, 5..15], at))));
        // The box is 12 voxels long with its margin: a side of 12 copies voxels.
        let cube = preprocess(&image, &mask, Preprocessing::TumourCrop { side: 12 }).unwrap();
        let brain: Vec<f64> = cube.iter().filter(|&&v| v != 0.0).map(|&v| f64::from(v)).collect();
        assert_eq!(brain.len(), 12 * 12 * 6);
        let mean = brain.iter().sum::<f64>() / brain.len() as f64;
        let variance = brain.iter().map(|v| v * v).sum::<f64>() / brain.len() as f64;
        assert!(mean.abs() < 1e-5 && (variance - 1.0).abs() < 1e-4, "{mean} {variance}");
        assert!(cube[0] != 0.0, "the corner lies outside the mask but in the box");
    }

    #[test]
    fn an_affine_change_of_intensities_changes_nothing() {
        let image = volume([16; 3], |[z, y, x]| 1.0 + ((z * 7 + y * 3 + x * 5) % 11) as f32);
        let louder = volume([16; 3], |[z, y, x]| 3.0 + 40.0 * ((z * 7 + y * 3 + x * 5) % 11) as f32);
        let mask = volume([16; 3], |at| f32::from(u8::from(inside(&[3..12, 4..11, 5..9], at))));
        let profile = Preprocessing::TumourCrop { side: 10 };
        let (a, b) =
            (preprocess(&image, &mask, profile).unwrap(), preprocess(&louder, &mask, profile).unwrap());
        assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-4));
    }

    #[test]
    fn nothing_to_look_at_is_an_error() {
        let (zeros, ones) = (volume([8; 3], |_| 0.0), volume([8; 3], |_| 1.0));
        let profile = Preprocessing::TumourCrop { side: 8 };
        assert_eq!(preprocess(&ones, &zeros, profile), Err(PreprocessError::NoTumour("at all")));
        assert!(matches!(preprocess(&ones, &ones, profile), Err(PreprocessError::Constant(_))));
        assert!(matches!(preprocess(&zeros, &ones, profile), Err(PreprocessError::Constant(_))));
        let other = volume([8, 8, 9], |_| 1.0);
        assert!(matches!(preprocess(&ones, &other, profile), Err(PreprocessError::Grid(_))));
    }
}
