//! Batch normalisation with what follows it in a residual network: adding the shortcut and ReLU.

use rayon::prelude::*;

use super::{Unwritten, Written, fresh, lanes, multiversion, of_block};
use crate::{Block, BlockedShape, CHANNELS, InstructionSet};

/// What a batch normalisation does to each channel: `(y - mean) / sqrt(variance + epsilon) * scale + shift`
/// (arXiv:1502.03167). Every slice has one value for each channel.
#[derive(Debug, Clone, Copy)]
pub struct Normalisation<'a> {
    /// Mean of the channel.
    pub mean: &'a [f32],
    /// Biased variance of the channel.
    pub variance: &'a [f32],
    /// What keeps the square root from zero.
    pub epsilon: f32,
    /// Factor after normalisation.
    pub scale: &'a [f32],
    /// Offset after normalisation; the gradient does not need it.
    pub shift: &'a [f32],
}

impl Normalisation<'_> {
    /// Asserts that all slices have the channels of `shape`.
    pub(crate) fn assert_fits(&self, shape: &BlockedShape) {
        shape.assert_channels("mean", self.mean);
        shape.assert_channels("variance", self.variance);
        shape.assert_channels("scale", self.scale);
        shape.assert_channels("shift", self.shift);
    }

    /// `1 / sqrt(variance + epsilon)` of each channel of a block, zero beyond the last.
    pub(crate) fn inverse_deviation(&self, block: usize) -> [f32; CHANNELS] {
        lanes(|lane| {
            let variance = self.variance.get(block * CHANNELS + lane);
            variance.map_or(0.0, |variance| {
                (1.0 / (f64::from(*variance) + f64::from(self.epsilon)).sqrt()) as f32
            })
        })
    }

    /// The normalisation of the channels of a block.
    fn of_block(&self, block: usize) -> Affine {
        let (scale, inverse) = (of_block(self.scale, block), self.inverse_deviation(block));
        Affine {
            mean: of_block(self.mean, block),
            factor: lanes(|lane| scale[lane] * inverse[lane]),
            shift: of_block(self.shift, block),
        }
    }
}

/// `(y - mean) * factor + shift`; zero stays zero in the channels beyond the last.
struct Affine {
    mean: [f32; CHANNELS],
    factor: [f32; CHANNELS],
    shift: [f32; CHANNELS],
}

impl Affine {
    #[inline(always)]
    fn apply(&self, y: &[f32; CHANNELS], lane: usize) -> f32 {
        (y[lane] - self.mean[lane]) * self.factor[lane] + self.shift[lane]
    }
}

/// Zero for what is below zero; NaN stays NaN.
#[inline(always)]
fn rectified(value: f32) -> f32 {
    if value < 0.0 { 0.0 } else { value }
}

/// Normalises `y`, adds `residual` if there is one, and cuts off what is below zero if `relu` is set.
///
/// # Shapes
/// `y`, `residual` and the result are blocked activations of `shape`.
///
/// # Panics
/// When a slice has another length than `shape` asks for.
pub fn normalise(
    instructions: InstructionSet,
    shape: BlockedShape,
    y: &[f32],
    normalisation: &Normalisation<'_>,
    residual: Option<&[f32]>,
    relu: bool,
) -> Vec<Block> {
    normalisation.assert_fits(&shape);
    let y = shape.voxels_of("y", y);
    let residual = residual.map(|residual| shape.voxels_of("residual", residual));
    fresh(shape.total_voxels(), |out| {
        let slabs = shape.cut(out).into_par_iter();
        slabs
            .map(|(slab, out)| {
                let residual = residual.map(|residual| &residual[slab.voxels.clone()]);
                let affine = normalisation.of_block(slab.block);
                normalise_slab(instructions, out, &y[slab.voxels], &affine, residual, relu)
            })
            .sum()
    })
}

multiversion! {
    fn normalise_slab<'out>(
        out: Unwritten<'out, Block>,
        y: &[[f32; CHANNELS]],
        affine: &Affine,
        residual: Option<&[[f32; CHANNELS]]>,
        relu: bool,
    ) -> Written<'out> {
        match (residual, relu) {
            (None, false) => out.write(y.iter().map(|y| Block(lanes(|lane| affine.apply(y, lane))))),
            (None, true) => out.write(y.iter().map(|y| {
                Block(lanes(|lane| rectified(affine.apply(y, lane))))
            })),
            (Some(residual), false) => out.write(y.iter().zip(residual).map(|(y, residual)| {
                Block(lanes(|lane| affine.apply(y, lane) + residual[lane]))
            })),
            (Some(residual), true) => out.write(y.iter().zip(residual).map(|(y, residual)| {
                Block(lanes(|lane| rectified(affine.apply(y, lane) + residual[lane])))
            })),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::trial;
    use super::*;

    const SHAPE: BlockedShape = BlockedShape { batch: 2, channels: 21, voxels: 523 };

    #[test]
    fn values_are_those_of_the_formula() {
        let (y, residual) = (trial::activations(SHAPE, 1), trial::activations(SHAPE, 2));
        let [mean, variance, scale, shift] =
            [3, 4, 5, 6].map(|seed| trial::numbers(21, seed).collect::<Vec<_>>());
        let variance: Vec<f32> = variance.iter().map(|value| value * value).collect();
        let normalisation =
            Normalisation { mean: &mean, variance: &variance, epsilon: 1e-3, scale: &scale, shift: &shift };
        for (residual, relu) in
            [(None, false), (None, true), (Some(&residual[..]), false), (Some(&residual[..]), true)]
        {
            trial::each_way(
                |instructions| normalise(instructions, SHAPE, &y, &normalisation, residual, relu),
                |z| {
                    let z = trial::floats(&z);
                    trial::assert_padding_is_zero(SHAPE, z);
                    for of in 0..21 {
                        let deviation = (f64::from(variance[of]) + f64::from(1e-3f32)).sqrt();
                        let added = residual.map(|residual| trial::all_rows(SHAPE, residual, of));
                        let found =
                            trial::all_rows(SHAPE, z, of).into_iter().zip(trial::all_rows(SHAPE, &y, of));
                        for (index, (found, y)) in found.enumerate() {
                            let mut expected = (y - f64::from(mean[of])) / deviation * f64::from(scale[of]);
                            expected +=
                                f64::from(shift[of]) + added.as_ref().map_or(0.0, |added| added[index]);
                            let expected = if relu { expected.max(0.0) } else { expected };
                            trial::assert_close(found, expected, 1e-6, "normalised");
                        }
                    }
                },
            );
        }
    }

    #[test]
    fn inputs_need_not_be_aligned_and_nan_is_not_hidden() {
        let shape = BlockedShape { batch: 1, channels: 1, voxels: 3 };
        let mut y = [0.0; 49];
        (y[1], y[17], y[33]) = (-1.0, f32::NAN, 2.0);
        let normalisation =
            Normalisation { mean: &[0.0], variance: &[1.0], epsilon: 0.0, scale: &[1.0], shift: &[0.0] };
        for instructions in InstructionSet::available() {
            let z = normalise(instructions, shape, &y[1..], &normalisation, None, true);
            assert!(z[0].0[0] == 0.0 && z[1].0[0].is_nan() && z[2].0[0] == 2.0);
        }
    }

    #[test]
    #[should_panic(expected = "residual does not have the floats")]
    fn a_residual_of_another_shape_is_refused() {
        let normalisation =
            Normalisation { mean: &[0.0], variance: &[1.0], epsilon: 0.0, scale: &[1.0], shift: &[0.0] };
        let shape = BlockedShape { batch: 1, channels: 1, voxels: 1 };
        normalise(InstructionSet::best(), shape, &[0.0; 16], &normalisation, Some(&[0.0; 32]), true);
    }
}
