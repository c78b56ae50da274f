//! The gradient of ReLU, with the sums over it that are a bias's gradient.

use rayon::prelude::*;

use super::{Unwritten, Written, fresh_with, lanes, multiversion, relu_mask::Bits, sums::Sums};
use crate::{Block, BlockedShape, CHANNELS, InstructionSet};

/// `dz` where the output of a ReLU is above zero, and its sum over volumes and voxels for each channel.
///
/// # Shapes
/// `dz` and the first result are blocked activations of `shape`, `mask` is the [`relu_mask`](super::relu_mask) of
/// such activations.
///
/// # Panics
/// When a slice has another length than `shape` asks for.
pub fn relu_gradient(
    instructions: InstructionSet,
    shape: BlockedShape,
    mask: &[u16],
    dz: &[f32],
) -> (Vec<Block>, Vec<f32>) {
    shape.assert_mask(mask);
    let dz = shape.voxels_of("dz", dz);
    fresh_with(shape.total_voxels(), |out| {
        let slabs = shape.cut(out).into_par_iter();
        let done = slabs.map(|(slab, out)| {
            let (mask, dz) = (&mask[slab.voxels.clone()], &dz[slab.voxels.clone()]);
            let (written, sums) = relu_slab(instructions, out, mask, dz);
            (written, (slab, sums))
        });
        let (written, sums): (Vec<_>, Vec<_>) = done.unzip();
        (written.into_iter().sum(), Sums::of_channels(&shape, &sums))
    })
}

/// The sum of `dz` over volumes and voxels for each channel.
///
/// # Shapes
/// `dz` are blocked activations of `shape`.
///
/// # Panics
/// When `dz` has another length than `shape` asks for.
pub fn channel_sums(instructions: InstructionSet, shape: BlockedShape, dz: &[f32]) -> Vec<f32> {
    let dz = shape.voxels_of("dz", dz);
    let slabs = shape.slabs().into_par_iter();
    let sums = slabs.map(|slab| {
        let sums = sum_slab(instructions, &dz[slab.voxels.clone()]);
        (slab, sums)
    });
    Sums::of_channels(&shape, &sums.collect::<Vec<_>>())
}

multiversion! {
    fn relu_slab<'out>(
        out: Unwritten<'out, Block>,
        mask: &[u16],
        dz: &[[f32; CHANNELS]],
    ) -> (Written<'out>, [f32; CHANNELS]) {
        let (bits, mut sums) = (Bits::new(), [0.0; CHANNELS]);
        let written = out.write(mask.iter().zip(dz).map(|(mask, dz)| {
            let dz = bits.masked(*mask, dz);
            sums = lanes(|lane| sums[lane] + dz[lane]);
            Block(dz)
        }));
        (written, sums)
    }
}

multiversion! {
    /// The sum of each channel.
    pub(crate) fn sum_slab(values: &[[f32; CHANNELS]]) -> [f32; CHANNELS] {
        values.iter().fold([0.0; CHANNELS], |sums, value| lanes(|lane| sums[lane] + value[lane]))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{relu_mask, trial};
    use super::*;

    const SHAPE: BlockedShape = BlockedShape { batch: 3, channels: 37, voxels: 611 };

    #[test]
    fn gradient_passes_where_the_output_is_above_zero() {
        let (z, dz) = (trial::activations(SHAPE, 1), trial::activations(SHAPE, 2));
        let expected: Vec<f32> = z.iter().zip(&dz).map(|(z, dz)| if *z > 0.0 { *dz } else { 0.0 }).collect();
        trial::each_way(
            |instructions| relu_gradient(instructions, SHAPE, &relu_mask(instructions, &z), &dz),
            |(found, sums)| {
                assert_eq!(trial::floats(&found), expected);
                check_sums(&sums, &expected);
            },
        );
        trial::each_way(|instructions| channel_sums(instructions, SHAPE, &dz), |sums| check_sums(&sums, &dz));
    }

    #[test]
    #[should_panic(expected = "the mask does not have the voxels")]
    fn a_mask_of_another_shape_is_refused() {
        let shape = BlockedShape { batch: 1, channels: 1, voxels: 2 };
        relu_gradient(InstructionSet::best(), shape, &[0], &[0.0; 32]);
    }

    fn check_sums(sums: &[f32], values: &[f32]) {
        assert_eq!(sums.len(), SHAPE.channels);
        for (of, sum) in sums.iter().enumerate() {
            let expected = trial::all_rows(SHAPE, values, of).iter().sum();
            trial::assert_close(f64::from(*sum), expected, 1e-5, "sum");
        }
    }
}
