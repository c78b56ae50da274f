//! Global average pooling.

use rayon::prelude::*;

use super::sums::{Sums, unblocked};
use super::{fresh, lanes, relu::sum_slab};
use crate::{Block, BlockedShape, CHANNELS, InstructionSet};

/// The mean of each channel of each volume over its voxels.
///
/// # Shapes
/// `x` are blocked activations of `shape`, the result is `[batch][channels]` without filled up channels.
///
/// # Panics
/// When `x` has another length than `shape` asks for.
pub fn average(instructions: InstructionSet, shape: BlockedShape, x: &[f32]) -> Vec<f32> {
    let x = shape.voxels_of("x", x);
    let slabs = shape.slabs().into_par_iter();
    let sums = slabs.map(|slab| {
        let sums = sum_slab(instructions, &x[slab.voxels.clone()]);
        (slab, sums)
    });
    let planes = shape.batch * shape.blocks();
    let sums =
        Sums::grouped(planes, &sums.collect::<Vec<_>>(), |slab| slab.row * shape.blocks() + slab.block);
    let rows = sums.chunks(shape.blocks().max(1));
    rows.flat_map(|row| unblocked(shape.channels, row, 1.0 / shape.voxels as f64)).collect()
}

/// The gradient of [`average`]'s input given that of its result.
///
/// # Shapes
/// `gradient` is `[batch][channels]`, the result blocked activations of `shape`.
///
/// # Panics
/// When `gradient` has another length than `shape` asks for.
pub fn average_gradient(shape: BlockedShape, gradient: &[f32]) -> Vec<Block> {
    assert_eq!(gradient.len(), shape.batch * shape.channels, "the gradient is not one of {shape:?}");
    fresh(shape.total_voxels(), |out| {
        let slabs = shape.cut(out).into_par_iter();
        slabs
            .map(|(slab, out)| {
                let row = &gradient[slab.row * shape.channels..][..shape.channels];
                let share = lanes(|lane| match row.get(slab.block * CHANNELS + lane) {
                    Some(gradient) => gradient / shape.voxels as f32,
                    None => 0.0,
                });
                out.write(slab.voxels.map(|_| Block(share)))
            })
            .sum()
    })
}

#[cfg(test)]
mod tests {
    use super::super::trial;
    use super::*;

    #[test]
    fn means_are_those_of_a_plain_sum() {
        let shape = BlockedShape { batch: 3, channels: 21, voxels: 777 };
        let x = trial::activations(shape, 1);
        trial::each_way(
            |instructions| average(instructions, shape, &x),
            |means| {
                assert_eq!(means.len(), 3 * 21);
                for (row, channel) in (0..3).flat_map(|row| (0..21).map(move |channel| (row, channel))) {
                    let values = trial::channel(shape, &x, row, channel);
                    let expected = values.iter().sum::<f64>() / 777.0;
                    trial::assert_close(f64::from(means[row * 21 + channel]), expected, 1e-6, "mean");
                }
            },
        );
    }

    #[test]
    fn each_voxel_gets_its_share() {
        let shape = BlockedShape { batch: 2, channels: 3, voxels: 300 };
        let dx = average_gradient(shape, &[3.0, 6.0, 9.0, -3.0, -6.0, -9.0]);
        assert_eq!(dx.len(), 600);
        assert_eq!(
            dx[..300],
            [Block(lanes(|lane| [0.01, 0.02, 0.03].get(lane).copied().unwrap_or(0.0))); 300]
        );
        assert_eq!(dx[599].0[..4], [-0.01, -0.02, -0.03, 0.0]);
    }
}
