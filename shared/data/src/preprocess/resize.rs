//! Trilinear resizing of a box of voxels to a cube.
//!
//! Samples lie at half-pixel centres and each axis is interpolated on its own. Where an axis shrinks, the
//! triangle is widened by the factor (area filtering, as in Pillow and `torch ... antialias=True`), so that
//! fine grain is averaged and not sampled at random. At the box's borders the weights are renormalised.

use super::Window;

/// The source voxels of one sample and their weights, which sum to 1.
struct Taps {
    first: usize,
    weights: Vec<f32>,
}

/// Resizes `window` of an array of `shape` (z, y, x; x fastest) to `side` cubed.
pub(super) fn resize(values: &[f32], shape: [usize; 3], window: &Window, side: usize) -> Vec<f32> {
    let [zs, ys, xs] = window;
    let [_, height, width] = shape;
    // x first: each pass reads what the one before made smaller or larger along one axis.
    let taps = taps(xs.len(), side);
    let mut along_x = Vec::with_capacity(zs.len() * ys.len() * side);
    for z in zs.clone() {
        for y in ys.clone() {
            let row = &values[(z * height + y) * width..][xs.clone()];
            along_x.extend(taps.iter().map(|tap| tap.weigh(row)));
        }
    }
    let along_y = resize_outer(&along_x, zs.len(), ys.len(), side, side);
    resize_outer(&along_y, 1, zs.len(), side * side, side)
}

/// Resizes the middle axis of an array of `blocks` x `length` x `inner` to `side`.
fn resize_outer(values: &[f32], blocks: usize, length: usize, inner: usize, side: usize) -> Vec<f32> {
    let taps = taps(length, side);
    let mut resized = vec![0.0; blocks * side * inner];
    for (block, target) in values.chunks_exact(length * inner).zip(resized.chunks_exact_mut(side * inner)) {
        for (tap, row) in taps.iter().zip(target.chunks_exact_mut(inner)) {
            for (weight, source) in tap.weights.iter().zip(block[tap.first * inner..].chunks_exact(inner)) {
                row.iter_mut().zip(source).for_each(|(sum, value)| *sum += weight * value);
            }
        }
    }
    resized
}

fn taps(length: usize, side: usize) -> Vec<Taps> {
    let step = length as f64 / side as f64;
    let reach = step.max(1.0);
    (0..side)
        .map(|sample| {
            let centre = (sample as f64 + 0.5) * step - 0.5;
            let first = (centre - reach).ceil().max(0.0) as usize;
            let last = ((centre + reach).floor().max(0.0) as usize).min(length - 1);
            let weights: Vec<f64> =
                (first..=last).map(|voxel| (1.0 - (voxel as f64 - centre).abs() / reach).max(0.0)).collect();
            let sum: f64 = weights.iter().sum();
            Taps { first, weights: weights.iter().map(|weight| (weight / sum) as f32).collect() }
        })
        .collect()
}

impl Taps {
    fn weigh(&self, row: &[f32]) -> f32 {
        self.weights.iter().zip(&row[self.first..]).map(|(weight, value)| weight * value).sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(length: usize, side: usize, values: &[f32]) -> Vec<f32> {
        resize_outer(values, 1, length, 1, side)
    }

    #[test]
    fn enlarging_interpolates_at_half_pixel_centres() {
        assert_eq!(line(2, 4, &[0.0, 4.0]), [0.0, 1.0, 3.0, 4.0]);
    }

    #[test]
    fn shrinking_averages_with_a_widened_triangle() {
        let shrunk = line(8, 4, &[0.0, 0.0, 7.0, 8.0, 0.0, 0.0, 0.0, 0.0]);
        // Weights of the border sample: .75 .75 .25, of an inner one: .25 .75 .75 .25, each over their sum.
        assert_eq!(shrunk, [1.0, 5.625, 1.0, 0.0]);
    }

    proptest! {
        #[test]
        fn weights_sum_to_one_and_stay_inside(length in 1usize..70, side in 1usize..70) {
            for tap in taps(length, side) {
                prop_assert!(!tap.weights.is_empty() && tap.first + tap.weights.len() <= length);
                prop_assert!((tap.weights.iter().sum::<f32>() - 1.0).abs() < 1e-5);
            }
        }

        #[test]
        fn the_same_size_copies_the_box(z in 0usize..3, y in 0usize..3, x in 0usize..3) {
            let shape = [6, 6, 6];
            let values: Vec<f32> = (0..216u8).map(f32::from).collect();
            let cube = resize(&values, shape, &[z..z + 3, y..y + 3, x..x + 3], 3);
            let expected: Vec<f32> = (0..27)
                .map(|i| values[((z + i / 9) * 6 + y + i / 3 % 3) * 6 + x + i % 3])
                .collect();
            prop_assert_eq!(cube, expected);
        }

        #[test]
        fn ramps_stay_ramps_away_from_the_borders(length in 4usize..40, side in 4usize..40) {
            let ramp: Vec<f32> = (0..length).map(|i| i as f32).collect();
            let step = length as f64 / side as f64;
            for (sample, value) in line(length, side, &ramp).into_iter().enumerate() {
                let centre = (sample as f64 + 0.5) * step - 0.5;
                let reach = step.max(1.0);
                if centre - reach >= 0.0 && centre + reach <= (length - 1) as f64 {
                    // A widened triangle is sampled at whole voxels, so it is symmetric only to within a
                    // little.
                    let error = (f64::from(value) - centre).abs();
                    prop_assert!(error < 0.25 * step.max(0.01), "{value} {centre}");
                }
            }
        }
    }
}
