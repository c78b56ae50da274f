//! What happens to an output before it leaves the cache: bias, residual, ReLU.

use crate::block::{CHANNELS, blocks};
use crate::simd::vectorised;

/// What happens to an output before it is written back; nothing by default.
#[derive(Debug, Clone, Copy, Default)]
pub struct Finish<'a> {
    /// Added to every voxel of a channel, `[outputs]`.
    pub bias: Option<&'a [f32]>,
    /// Added voxel by voxel, blocked like the output.
    pub residual: Option<&'a [f32]>,
    /// Whether negative numbers become zero at last.
    pub relu: bool,
}

impl Finish<'_> {
    /// # Panics
    /// When a slice has not the length of the output's channels or of the output.
    pub(crate) fn check(&self, channels: usize, output: usize) {
        if let Some(bias) = self.bias {
            super::expect_len("the bias", bias, channels);
        }
        if let Some(residual) = self.residual {
            super::expect_len("the residual", residual, output);
        }
    }

    /// Finishes `floats`, which begin at float number `offset` of the output and belong to block number `block`.
    pub(crate) fn apply(
        &self,
        instructions: crate::InstructionSet,
        floats: &mut [f32],
        offset: usize,
        block: usize,
    ) {
        if self.bias.is_none() && self.residual.is_none() && !self.relu {
            return;
        }
        let mut bias = [0.0; CHANNELS];
        if let Some(all) = self.bias {
            let of_block = &all[block * CHANNELS..all.len().min((block + 1) * CHANNELS)];
            bias[..of_block.len()].copy_from_slice(of_block);
        }
        let least = if self.relu { 0.0 } else { f32::NEG_INFINITY };
        match self.residual {
            Some(residual) => {
                add_both(instructions, floats, &bias, &residual[offset..offset + floats.len()], least);
            }
            None => add_bias(instructions, floats, &bias, least),
        }
    }
}

vectorised! {
    fn add_bias(floats: &mut [f32], bias: &[f32; CHANNELS], least: f32) {
        for voxel in floats.as_chunks_mut::<CHANNELS>().0 {
            for channel in 0..CHANNELS {
                voxel[channel] = at_least(voxel[channel] + bias[channel], least);
            }
        }
    }
}

vectorised! {
    fn add_both(floats: &mut [f32], bias: &[f32; CHANNELS], residual: &[f32], least: f32) {
        let voxels = floats.as_chunks_mut::<CHANNELS>().0;
        for (voxel, residual) in voxels.iter_mut().zip(residual.as_chunks::<CHANNELS>().0) {
            for channel in 0..CHANNELS {
                voxel[channel] = at_least(voxel[channel] + bias[channel] + residual[channel], least);
            }
        }
    }
}

/// The larger of both; NaN stays NaN, for it must not hide in a ReLU.
#[inline(always)]
fn at_least(value: f32, least: f32) -> f32 {
    if value < least { least } else { value }
}

/// Float number of voxel `voxel` of block `block` in a blocked activation.
pub(crate) fn float_at(channels: usize, voxels: usize, volume: usize, block: usize, voxel: usize) -> usize {
    ((volume * blocks(channels) + block) * voxels + voxel) * CHANNELS
}
