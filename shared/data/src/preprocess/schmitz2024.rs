//! The input of Schmitz, Guo and Wang (arXiv:2310.12373): 155x240x240 voxels in, 70x86x86 out.
//!
//! Outside the tumour mask the image is 0; a fixed window of 140x172x164 voxels is halved to 70x86x82; the
//! range is mapped to [0, 1]; two columns of zeros on either side of x make 86. Halving by linear
//! interpolation at half-pixel centres (`skimage.transform.rescale(0.5, anti_aliasing=False)`) puts every
//! sample at the corner shared by eight voxels, so it is exactly the mean of 2x2x2 voxels.

use super::{PreprocessError, Window};
use crate::Volume;

/// The SRI24 atlas at 1 mm, (z, y, x).
const ATLAS: [usize; 3] = [155, 240, 240];

/// The part of the atlas that holds the brain, (z, y, x).
const WINDOW: Window = [0..140, 39..211, 44..208];

/// The halved window, and what it is padded to.
const HALVED: [usize; 3] = [70, 86, 82];
const WIDTH: usize = 86;

pub(super) fn apply(image: &Volume, mask: &Volume) -> Result<Vec<f32>, PreprocessError> {
    if image.shape() != ATLAS {
        return Err(PreprocessError::NotAtlasGrid(image.shape()));
    }
    let tumour: Vec<f32> = image
        .values()
        .iter()
        .zip(mask.values())
        .map(|(&value, &label)| if label > 0.0 { value } else { 0.0 })
        .collect();
    if !marks_window(mask) {
        return Err(PreprocessError::NoTumour("inside the profile's window"));
    }
    let halved = halve(&tumour);
    let (low, high) = halved
        .iter()
        .fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &value| (low.min(value), high.max(value)));
    if low == high {
        return Err(PreprocessError::Constant("inside the tumour"));
    }
    Ok(pad_width(&halved, |value| (value - low) / (high - low)))
}

fn marks_window(mask: &Volume) -> bool {
    let [zs, ys, xs] = WINDOW;
    zs.into_iter().any(|z| {
        ys.clone().any(|y| mask.values()[index(z, y, xs.start)..index(z, y, xs.end)].iter().any(|&v| v > 0.0))
    })
}

const fn index(z: usize, y: usize, x: usize) -> usize {
    (z * ATLAS[1] + y) * ATLAS[2] + x
}

/// The window at half its resolution.
fn halve(values: &[f32]) -> Vec<f32> {
    let [depth, height, width] = HALVED;
    let mut halved = Vec::with_capacity(depth * height * width);
    for z in (WINDOW[0].start..WINDOW[0].end).step_by(2) {
        for y in (WINDOW[1].start..WINDOW[1].end).step_by(2) {
            for x in (WINDOW[2].start..WINDOW[2].end).step_by(2) {
                let pair = |z, y| values[index(z, y, x)] + values[index(z, y, x + 1)];
                let sum = pair(z, y) + pair(z, y + 1) + pair(z + 1, y) + pair(z + 1, y + 1);
                halved.push(sum / 8.0);
            }
        }
    }
    halved
}

/// Maps each value and centres each row of x between zeros.
fn pad_width(halved: &[f32], map: impl Fn(f32) -> f32) -> Vec<f32> {
    let [depth, height, width] = HALVED;
    let before = (WIDTH - width) / 2;
    let mut padded = vec![0.0; depth * height * WIDTH];
    for (row, values) in padded.chunks_exact_mut(WIDTH).zip(halved.chunks_exact(width)) {
        for (cell, &value) in row[before..before + width].iter_mut().zip(values) {
            *cell = map(value);
        }
    }
    padded
}

#[cfg(test)]
mod tests {
    use consilium_domain::Preprocessing;

    use super::*;
    use crate::preprocess;

    fn volume(fill: impl Fn(usize, usize, usize) -> f32) -> Volume {
        let mut values = Vec::with_capacity(ATLAS.iter().product());
        for z in 0..ATLAS[0] {
            for y in 0..ATLAS[1] {
                values.extend((0..ATLAS[2]).map(|x| fill(z, y, x)));
            }
        }
        Volume::new(ATLAS, [1.0; 3], values).unwrap()
    }

    #[test]
    fn voxels_land_where_the_window_puts_them() {
        let mask =
            volume(|z, y, x| f32::from(u8::from((40..60).contains(&z) && (100..140).contains(&y) && x > 90)));
        // A bright block of 2x2x2 voxels, aligned with the halving, and a half-bright one off by one in z.
        let image = volume(|z, y, x| match (z, y, x) {
            (50..=51, 121..=122, 100..=101) => 800.0,
            (53..=54, 121..=122, 120..=121) => 400.0,
            (50..=51, 20..=21, 100..=101) => 9e9, // outside the mask
            _ => 0.0,
        });
        let input = preprocess(&image, &mask, Preprocessing::Schmitz2024).unwrap();
        assert_eq!(input.len(), 70 * 86 * 86);
        let at = |z: usize, y: usize, x: usize| input[(z * 86 + y) * 86 + x];
        assert_eq!(at(25, 41, 30), 1.0);
        assert_eq!([at(26, 41, 40), at(27, 41, 40)], [0.25, 0.25]);
        assert_eq!(input.iter().filter(|&&value| value != 0.0).count(), 3);
    }

    #[test]
    fn values_below_zero_lift_the_background_but_not_the_padding() {
        let mask = volume(|z, y, x| f32::from(u8::from(z == 50 && y == 121 && (100..104).contains(&x))));
        let image = volume(|_, _, x| if x < 102 { -100.0 } else { 300.0 });
        let input = preprocess(&image, &mask, Preprocessing::Schmitz2024).unwrap();
        let row = &input[(25 * 86 + 41) * 86..][..86];
        assert_eq!([row[1], row[2], row[30], row[31], row[83], row[84]], [0.0, 0.25, 0.0, 1.0, 0.25, 0.0]);
    }

    #[test]
    fn other_grids_and_empty_images_are_refused() {
        let small = Volume::new([2, 2, 2], [1.0; 3], vec![1.0; 8]).unwrap();
        let refuse =
            |image: &Volume, mask: &Volume| preprocess(image, mask, Preprocessing::Schmitz2024).unwrap_err();
        assert_eq!(refuse(&small, &small), PreprocessError::NotAtlasGrid([2, 2, 2]));
        let corner = volume(|z, y, x| f32::from(u8::from(z + y + x == 0)));
        let somewhere = volume(|z, _, _| f32::from(u8::from(z < 20)));
        let nothing = volume(|_, _, _| 0.0);
        assert!(matches!(refuse(&somewhere, &corner), PreprocessError::NoTumour(_)));
        assert!(matches!(refuse(&nothing, &somewhere), PreprocessError::Constant(_)));
    }
}
