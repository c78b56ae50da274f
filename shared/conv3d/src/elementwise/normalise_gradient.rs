//! The gradient of a batch normalisation by the batch's own statistics, through ReLU if one followed.
//!
//! Two sweeps, the sums and then the gradient, one block of channels after the other: of a small volume the
//! second finds its block still in the cache.

use rayon::prelude::*;

use super::sums::{Sums, unblocked};
use super::{
    Normalisation, Unwritten, Written, fresh_with, lanes, multiversion, of_block, relu_mask::Bits,
    shape::Slab,
};
use crate::{Block, BlockedShape, CHANNELS, InstructionSet};

/// Gradients of [`normalise`](super::normalise).
#[derive(Debug, Clone, PartialEq)]
pub struct NormaliseGradient {
    /// Of the input, blocked activations; through mean and variance too.
    pub dy: Vec<Block>,
    /// Of the scale of each channel.
    pub dscale: Vec<f32>,
    /// Of the shift of each channel.
    pub dshift: Vec<f32>,
    /// Of the residual, `dz` where the output is above zero, if it was asked for.
    pub dresidual: Option<Vec<Block>>,
}

/// Gradients of a normalisation by the mean and variance of `y` over volumes and voxels (arXiv:1502.03167).
///
/// `mask` is the [`relu_mask`](super::relu_mask) of what [`normalise`](super::normalise) gave if it applied ReLU,
/// `None` if it did not; the gradient of a residual is then `dz` itself, and only one through ReLU can be asked
/// for.
///
/// Over the `n` values of a channel, with `dz` masked:
/// ```text
/// x      = (y - mean) / sqrt(variance + epsilon)
/// dshift = sum(dz)
/// dscale = sum(dz * x)
/// dy     = scale / sqrt(variance + epsilon) * (dz - dshift / n - x * dscale / n)
/// ```
///
/// # Shapes
/// `y`, `dz`, `dy` and `dresidual` are blocked activations of `shape`, `mask` has one element for each voxel.
///
/// # Panics
/// When a slice has another length than `shape` asks for, or `want_residual` is set without `mask`.
pub fn normalise_gradient(
    instructions: InstructionSet,
    shape: BlockedShape,
    y: &[f32],
    mask: Option<&[u16]>,
    dz: &[f32],
    normalisation: &Normalisation<'_>,
    want_residual: bool,
) -> NormaliseGradient {
    assert!(mask.is_some() || !want_residual, "without ReLU the gradient of the residual is `dz` itself");
    normalisation.assert_fits(&shape);
    if let Some(mask) = mask {
        shape.assert_mask(mask);
    }
    let inputs = Inputs {
        instructions,
        shape,
        y: shape.voxels_of("y", y),
        mask,
        dz: shape.voxels_of("dz", dz),
        normalisation,
    };
    let residual_voxels = if want_residual { shape.total_voxels() } else { 0 };
    let (dresidual, (dy, sums)) = fresh_with(residual_voxels, |dresidual| {
        let (dy, (dresidual, sums)) = fresh_with(shape.total_voxels(), |dy| {
            let done = parts(&shape, dy, want_residual.then_some(dresidual)).into_par_iter();
            let done: Vec<_> = done.enumerate().map(|(block, parts)| inputs.block(block, parts)).collect();
            let (dy, rest): (Vec<_>, Vec<_>) = done.into_iter().unzip();
            let (dresidual, sums): (Vec<_>, Vec<_>) = rest.into_iter().unzip();
            (dy.into_iter().sum(), (dresidual.into_iter().sum(), sums))
        });
        (dresidual, (dy, sums))
    });
    let (dshift, dscale): (Vec<Sums>, Vec<Sums>) = sums.into_iter().unzip();
    NormaliseGradient {
        dy,
        dscale: unblocked(shape.channels, &dscale, 1.0),
        dshift: unblocked(shape.channels, &dshift, 1.0),
        dresidual: want_residual.then_some(dresidual),
    }
}

/// A slab and its parts of both outputs.
struct Part<'dy, 'dresidual> {
    slab: Slab,
    dy: Unwritten<'dy, Block>,
    dresidual: Option<Unwritten<'dresidual, Block>>,
}

/// The parts of each block.
fn parts<'dy, 'dresidual>(
    shape: &BlockedShape,
    dy: Unwritten<'dy, Block>,
    dresidual: Option<Unwritten<'dresidual, Block>>,
) -> Vec<Vec<Part<'dy, 'dresidual>>> {
    let mut dresidual = dresidual.map(|dresidual| shape.cut(dresidual).into_iter());
    let mut parts: Vec<Vec<_>> = (0..shape.blocks()).map(|_| Vec::new()).collect();
    for (slab, dy) in shape.cut(dy) {
        let dresidual = dresidual.as_mut().and_then(Iterator::next).map(|(_, dresidual)| dresidual);
        parts[slab.block].push(Part { slab, dy, dresidual });
    }
    parts
}

/// All that both sweeps read.
struct Inputs<'a> {
    instructions: InstructionSet,
    shape: BlockedShape,
    y: &'a [[f32; CHANNELS]],
    mask: Option<&'a [u16]>,
    dz: &'a [[f32; CHANNELS]],
    normalisation: &'a Normalisation<'a>,
}

/// The inputs of one slab.
#[derive(Clone, Copy)]
struct SlabInputs<'a> {
    y: &'a [[f32; CHANNELS]],
    mask: Option<&'a [u16]>,
    dz: &'a [[f32; CHANNELS]],
}

impl Inputs<'_> {
    fn of(&self, slab: &Slab) -> SlabInputs<'_> {
        SlabInputs {
            y: &self.y[slab.voxels.clone()],
            mask: self.mask.map(|mask| &mask[slab.voxels.clone()]),
            dz: &self.dz[slab.voxels.clone()],
        }
    }

    /// Both sweeps over one block: what was written, and the gradients of shift and scale.
    fn block<'dy, 'dresidual>(
        &self,
        block: usize,
        parts: Vec<Part<'dy, 'dresidual>>,
    ) -> (Written<'dy>, (Written<'dresidual>, (Sums, Sums))) {
        let mean = of_block(self.normalisation.mean, block);
        let partials = parts.into_par_iter().map(|Part { slab, dy, dresidual }| {
            let (dresidual, sums) = sum_slab(self.instructions, self.of(&slab), dresidual, &mean);
            ((slab, dy), (dresidual, sums))
        });
        let (parts, partials): (Vec<_>, Vec<_>) = partials.unzip();
        let (mut dshift, mut dscale, mut dresidual) = (Sums::default(), Sums::default(), Vec::new());
        for (written, (shift, scale)) in partials {
            dresidual.extend(written);
            dshift.add(&shift);
            dscale.add(&scale);
        }
        let inverse = self.normalisation.inverse_deviation(block);
        let dscale = dscale.times(&inverse);
        let back = Backward::new(self, block, &dshift, &dscale, &inverse);
        let parts = parts.into_par_iter();
        let dy = parts.map(|(slab, dy)| dy_slab(self.instructions, dy, self.of(&slab), &back)).sum();
        (dy, (dresidual.into_iter().sum(), (dshift, dscale)))
    }
}

/// `factor * (dz - offset - (y - mean) * slope)`; zero stays zero in the channels beyond the last.
struct Backward {
    factor: [f32; CHANNELS],
    offset: [f32; CHANNELS],
    slope: [f32; CHANNELS],
    mean: [f32; CHANNELS],
}

impl Backward {
    fn new(inputs: &Inputs, block: usize, dshift: &Sums, dscale: &Sums, inverse: &[f32; CHANNELS]) -> Self {
        let scale = of_block(inputs.normalisation.scale, block);
        let share = 1.0 / (inputs.shape.batch * inputs.shape.voxels) as f64;
        Self {
            factor: lanes(|lane| scale[lane] * inverse[lane]),
            offset: dshift.scaled(share),
            slope: dscale.times(inverse).scaled(share),
            mean: of_block(inputs.normalisation.mean, block),
        }
    }

    #[inline(always)]
    fn apply(&self, y: f32, dz: f32, lane: usize) -> f32 {
        self.factor[lane] * (dz - self.offset[lane] - (y - self.mean[lane]) * self.slope[lane])
    }
}

/// Sums over a slab. Not a closure: that would be called for each voxel, with the sums in memory.
#[derive(Default)]
struct SlabSums {
    shift: [f32; CHANNELS],
    scale: [f32; CHANNELS],
}

impl SlabSums {
    #[inline(always)]
    fn add(&mut self, y: &[f32; CHANNELS], mean: &[f32; CHANNELS], dz: &[f32; CHANNELS]) {
        self.shift = lanes(|lane| self.shift[lane] + dz[lane]);
        self.scale = lanes(|lane| self.scale[lane] + dz[lane] * (y[lane] - mean[lane]));
    }
}

multiversion! {
    /// Sums of `dz` and of `dz * (y - mean)` after the mask, and the masked `dz` itself where it is wanted.
    fn sum_slab<'out>(
        inputs: SlabInputs<'_>,
        dresidual: Option<Unwritten<'out, Block>>,
        mean: &[f32; CHANNELS],
    ) -> (Option<Written<'out>>, ([f32; CHANNELS], [f32; CHANNELS])) {
        let (bits, mut sums) = (Bits::new(), SlabSums::default());
        let both = inputs.y.iter().zip(inputs.dz);
        let written = match (inputs.mask, dresidual) {
            (None, _) => {
                for (y, dz) in both {
                    sums.add(y, mean, dz);
                }
                None
            }
            (Some(mask), None) => {
                for ((y, dz), mask) in both.zip(mask) {
                    sums.add(y, mean, &bits.masked(*mask, dz));
                }
                None
            }
            (Some(mask), Some(out)) => Some(out.write(both.zip(mask).map(|((y, dz), mask)| {
                let dz = bits.masked(*mask, dz);
                sums.add(y, mean, &dz);
                Block(dz)
            }))),
        };
        (written, (sums.shift, sums.scale))
    }
}

multiversion! {
    fn dy_slab<'out>(out: Unwritten<'out, Block>, inputs: SlabInputs<'_>, back: &Backward) -> Written<'out> {
        let (bits, both) = (Bits::new(), inputs.y.iter().zip(inputs.dz));
        match inputs.mask {
            None => out.write(both.map(|(y, dz)| Block(lanes(|lane| back.apply(y[lane], dz[lane], lane))))),
            Some(mask) => out.write(both.zip(mask).map(|((y, dz), mask)| {
                let dz = bits.masked(*mask, dz);
                Block(lanes(|lane| back.apply(y[lane], dz[lane], lane)))
            })),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{normalise, relu_mask, trial};
    use super::*;

    const SHAPE: BlockedShape = BlockedShape { batch: 2, channels: 19, voxels: 300 };
    const EPSILON: f32 = 1e-3;

    /// Mean and biased variance of each channel.
    fn moments(y: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let of_channel = |of| {
            let values = trial::all_rows(SHAPE, y, of);
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let variance =
                values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64;
            (mean as f32, variance as f32)
        };
        (0..SHAPE.channels).map(of_channel).unzip()
    }

    /// `sum(dz * relu(x * scale + shift + residual))` of one channel in `f64`, mean and variance from `y`
    /// itself.
    fn loss(y: &[f64], residual: &[f64], dz: &[f64], scale: f64, shift: f64, relu: bool) -> f64 {
        let mean = y.iter().sum::<f64>() / y.len() as f64;
        let variance = y.iter().map(|y| (y - mean).powi(2)).sum::<f64>() / y.len() as f64;
        let deviation = (variance + f64::from(EPSILON)).sqrt();
        let value = |index: usize| {
            let z = (y[index] - mean) / deviation * scale + shift + residual[index];
            dz[index] * if relu { z.max(0.0) } else { z }
        };
        (0..y.len()).map(value).sum()
    }

    #[test]
    fn gradients_are_finite_differences_of_the_whole_operation() {
        let [y, residual, dz] = [1, 2, 3].map(|seed| trial::activations(SHAPE, seed));
        let [scale, shift] = [4, 5].map(|seed| trial::numbers(SHAPE.channels, seed).collect::<Vec<_>>());
        let (mean, variance) = moments(&y);
        let normalisation = Normalisation {
            mean: &mean,
            variance: &variance,
            epsilon: EPSILON,
            scale: &scale,
            shift: &shift,
        };
        for relu in [false, true] {
            let z = normalise(InstructionSet::best(), SHAPE, &y, &normalisation, Some(&residual), relu);
            let mask = relu.then(|| relu_mask(InstructionSet::best(), trial::floats(&z)));
            let mask = mask.as_deref();
            trial::each_way(
                |instructions| normalise_gradient(instructions, SHAPE, &y, mask, &dz, &normalisation, relu),
                |found| {
                    trial::assert_padding_is_zero(SHAPE, trial::floats(&found.dy));
                    assert_eq!(found.dresidual.is_some(), relu);
                    for of in 0..SHAPE.channels {
                        let [y, residual, dz] =
                            [&y, &residual, &dz].map(|values| trial::all_rows(SHAPE, values, of));
                        let (scale, shift) = (f64::from(scale[of]), f64::from(shift[of]));
                        let slope = |loss: &dyn Fn(f64) -> f64| (loss(1e-6) - loss(-1e-6)) / 2e-6;
                        let dscale = slope(&|step| loss(&y, &residual, &dz, scale + step, shift, relu));
                        trial::assert_close(f64::from(found.dscale[of]), dscale, 1e-5, "scale");
                        let dshift = slope(&|step| loss(&y, &residual, &dz, scale, shift + step, relu));
                        trial::assert_close(f64::from(found.dshift[of]), dshift, 1e-5, "shift");
                        let moved = |values: &[f64], index: usize, step: f64| {
                            let mut values = values.to_vec();
                            values[index] += step;
                            values
                        };
                        let dy = trial::all_rows(SHAPE, trial::floats(&found.dy), of);
                        let dresidual = found.dresidual.as_ref();
                        let dresidual = dresidual.map(|all| trial::all_rows(SHAPE, trial::floats(all), of));
                        for index in (0..dy.len()).step_by(37) {
                            let step =
                                |step| loss(&moved(&y, index, step), &residual, &dz, scale, shift, relu);
                            trial::assert_close(dy[index], slope(&step), 1e-5, "input");
                            if let Some(dresidual) = &dresidual {
                                let step =
                                    |step| loss(&y, &moved(&residual, index, step), &dz, scale, shift, relu);
                                trial::assert_close(dresidual[index], slope(&step), 1e-5, "residual");
                            }
                        }
                    }
                },
            );
        }
    }

    #[test]
    fn the_residual_is_written_only_when_asked_for_and_changes_nothing_else() {
        let [y, z, dz] = [1, 2, 3].map(|seed| trial::activations(SHAPE, seed));
        let (mean, variance) = moments(&y);
        let normalisation =
            Normalisation { mean: &mean, variance: &variance, epsilon: EPSILON, scale: &mean, shift: &mean };
        let best = InstructionSet::best();
        let mask = relu_mask(best, &z);
        let with = normalise_gradient(best, SHAPE, &y, Some(&mask), &dz, &normalisation, true);
        let without = normalise_gradient(best, SHAPE, &y, Some(&mask), &dz, &normalisation, false);
        assert_eq!(without.dresidual, None);
        assert_eq!(NormaliseGradient { dresidual: None, ..with }, without);
    }

    #[test]
    #[should_panic(expected = "without ReLU")]
    fn a_residual_without_relu_is_refused() {
        let normalisation = Normalisation { mean: &[], variance: &[], epsilon: 0.0, scale: &[], shift: &[] };
        let shape = BlockedShape { batch: 1, channels: 0, voxels: 1 };
        normalise_gradient(InstructionSet::best(), shape, &[], None, &[], &normalisation, true);
    }
}
