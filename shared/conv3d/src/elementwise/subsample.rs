//! The shortcut without parameters: some of the voxels, with channels of zeros appended (arXiv:1512.03385,
//! option A).

use rayon::prelude::*;

use super::{fresh, lanes};
use crate::{Block, BlockedShape, CHANNELS, blocks};

/// A voxel of zeros.
const ZEROS: Block = Block([0.0; CHANNELS]);

/// Every `stride`-th voxel of `x` along depth, height and width, with channels of zeros up to `out_channels`.
///
/// # Shapes
/// `x` are blocked activations of `shape` with volumes of `extents`; those of the result are divided by
/// `stride`, rounded up.
///
/// # Panics
/// When the shapes do not fit, when `stride` is zero, or when there are fewer `out_channels` than channels.
pub fn subsample(
    x: &[f32],
    shape: BlockedShape,
    extents: [usize; 3],
    stride: usize,
    out_channels: usize,
) -> Vec<Block> {
    let small = subsampled(&shape, extents, stride, out_channels);
    let (x, [_, rows, columns]) = (shape.voxels_of("x", x), small);
    let slices = Slices { batch: shape.batch, blocks: blocks(out_channels), extents: small };
    fresh(slices.voxels(), |out| {
        let parts = out.cut(slices.iter().map(|_| rows * columns)).into_par_iter();
        parts
            .zip(slices.iter().collect::<Vec<_>>())
            .map(|(out, (row, block, depth))| {
                if block >= shape.blocks() {
                    return out.write((0..rows * columns).map(|_| ZEROS));
                }
                let start = (row * shape.blocks() + block) * shape.voxels;
                let slice = &x[start + depth * stride * extents[1] * extents[2]..][..extents[1] * extents[2]];
                let picked =
                    slice.chunks(extents[2]).step_by(stride).flat_map(|row| row.iter().step_by(stride));
                out.write(picked.map(|voxel| Block(*voxel)))
            })
            .sum()
    })
}

/// The gradient of [`subsample`]'s input given that of its result: zero where no voxel was taken.
///
/// # Shapes
/// `dz` as the result of [`subsample`], the result as its input.
///
/// # Panics
/// As [`subsample`].
pub fn subsample_gradient(
    dz: &[f32],
    shape: BlockedShape,
    extents: [usize; 3],
    stride: usize,
    out_channels: usize,
) -> Vec<Block> {
    let small = subsampled(&shape, extents, stride, out_channels);
    let out_blocks = blocks(out_channels);
    let small_shape =
        BlockedShape { batch: shape.batch, channels: out_channels, voxels: small.iter().product() };
    let dz = small_shape.voxels_of("dz", dz);
    let slices = Slices { batch: shape.batch, blocks: shape.blocks(), extents };
    let [_, rows, columns] = extents;
    fresh(slices.voxels(), |out| {
        let parts = out.cut(slices.iter().map(|_| rows * columns)).into_par_iter();
        parts
            .zip(slices.iter().collect::<Vec<_>>())
            .map(|(out, (row, block, depth))| {
                if depth % stride != 0 {
                    return out.write((0..rows * columns).map(|_| ZEROS));
                }
                let channels = shape.channels - block * CHANNELS;
                let start = (row * out_blocks + block) * small_shape.voxels;
                let slice = &dz[start + depth / stride * small[1] * small[2]..][..small[1] * small[2]];
                let voxels = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
                out.write(voxels.map(|(row, column)| {
                    if row % stride != 0 || column % stride != 0 {
                        return ZEROS;
                    }
                    let voxel = &slice[row / stride * small[2] + column / stride];
                    Block(lanes(|lane| if lane < channels { voxel[lane] } else { 0.0 }))
                }))
            })
            .sum()
    })
}

/// Extents after subsampling, with all that both directions ask of the shapes.
fn subsampled(shape: &BlockedShape, extents: [usize; 3], stride: usize, out_channels: usize) -> [usize; 3] {
    assert_eq!(
        extents.iter().product::<usize>(),
        shape.voxels,
        "{extents:?} are not the voxels of {shape:?}"
    );
    assert!(stride > 0, "a stride of 0 takes no voxel");
    assert!(out_channels >= shape.channels, "{out_channels} channels cannot hold those of {shape:?}");
    extents.map(|extent| extent.div_ceil(stride))
}

/// The slices of constant depth of blocked activations.
struct Slices {
    batch: usize,
    blocks: usize,
    extents: [usize; 3],
}

impl Slices {
    fn voxels(&self) -> usize {
        self.batch * self.blocks * self.extents.iter().product::<usize>()
    }

    /// Volume, block and depth of each, in the order of memory.
    fn iter(&self) -> impl Iterator<Item = (usize, usize, usize)> {
        let (blocks, depth) = (self.blocks, self.extents[0]);
        (0..self.batch * blocks * depth)
            .map(move |slice| (slice / depth / blocks, slice / depth % blocks, slice % depth))
    }
}

#[cfg(test)]
mod tests {
    use super::super::trial;
    use super::*;

    const EXTENTS: [usize; 3] = [5, 4, 7];

    fn shapes(stride: usize) -> (BlockedShape, BlockedShape) {
        let voxels = EXTENTS.iter().map(|extent| extent.div_ceil(stride)).product();
        let shape = BlockedShape { batch: 2, channels: 20, voxels: 5 * 4 * 7 };
        (shape, BlockedShape { batch: 2, channels: 43, voxels })
    }

    #[test]
    fn takes_every_stride_th_voxel() {
        for stride in [1, 2, 3] {
            let (shape, small) = shapes(stride);
            let x = trial::activations(shape, 1);
            let z = subsample(&x, shape, EXTENTS, stride, 43);
            let z = trial::floats(&z);
            for (row, channel) in (0..2).flat_map(|row| (0..43).map(move |channel| (row, channel))) {
                let found = trial::channel(small, z, row, channel);
                if channel >= 20 {
                    assert!(found.iter().all(|value| *value == 0.0));
                    continue;
                }
                let all = trial::channel(shape, &x, row, channel);
                let mut expected = Vec::new();
                for d in (0..5).step_by(stride) {
                    for h in (0..4).step_by(stride) {
                        expected.extend((0..7).step_by(stride).map(|w| all[(d * 4 + h) * 7 + w]));
                    }
                }
                assert_eq!(found, expected);
            }
        }
    }

    /// A linear map and its gradient are transposes of each other.
    #[test]
    fn gradient_is_the_transpose() {
        for stride in [1, 2, 3] {
            let (shape, small) = shapes(stride);
            let (x, dz) = (trial::activations(shape, 1), trial::activations(small, 2));
            let z = subsample(&x, shape, EXTENTS, stride, 43);
            let dx = subsample_gradient(&dz, shape, EXTENTS, stride, 43);
            let dx = trial::floats(&dx);
            trial::assert_padding_is_zero(shape, dx);
            trial::assert_close(trial::dot(trial::floats(&z), &dz), trial::dot(&x, dx), 1e-9, "transpose");
        }
    }
}
