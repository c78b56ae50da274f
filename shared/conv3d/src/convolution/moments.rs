//! Mean and variance of every channel of an output, region by region while it is in the cache.

use crate::block::{CHANNELS, blocks};
use crate::simd::vectorised;

/// Of every channel, over the batch and all voxels.
#[derive(Debug, Clone, PartialEq)]
pub struct Moments {
    /// `[channels]`.
    pub mean: Vec<f32>,
    /// Divided by the number of voxels, not by one less, `[channels]`.
    pub variance: Vec<f32>,
}

/// Of the channels of one block over one region.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Partial {
    pub(crate) block: usize,
    voxels: usize,
    mean: [f32; CHANNELS],
    /// Squared distances from the mean, summed.
    distance: [f32; CHANNELS],
}

impl Partial {
    pub(crate) fn of(instructions: crate::InstructionSet, floats: &[f32], block: usize) -> Self {
        let (mean, distance) = two_passes(instructions, floats);
        Self { block, voxels: floats.len() / CHANNELS, mean, distance }
    }
}

vectorised! {
    /// Mean and summed squared distances in two passes, corrected for the mean's rounding.
    fn two_passes(floats: &[f32]) -> ([f32; CHANNELS], [f32; CHANNELS]) {
        let voxels = floats.as_chunks::<CHANNELS>().0;
        let count = voxels.len() as f32;
        let mut mean = sums(voxels, |x, _| x, &[0.0; CHANNELS]).map(|sum| sum / count);
        let off = sums(voxels, |x, mean| x - mean, &mean);
        let mut distance = sums(voxels, |x, mean| (x - mean) * (x - mean), &mean);
        for channel in 0..CHANNELS {
            mean[channel] += off[channel] / count;
            distance[channel] = (distance[channel] - off[channel] * off[channel] / count).max(0.0);
        }
        (mean, distance)
    }
}

/// Sums of `term` over voxels, four chains at a time: one alone would wait for every addition.
#[inline(always)]
fn sums(
    voxels: &[[f32; CHANNELS]],
    term: impl Fn(f32, f32) -> f32,
    mean: &[f32; CHANNELS],
) -> [f32; CHANNELS] {
    let mut chains = [[0.0; CHANNELS]; 4];
    let (quads, rest) = voxels.as_chunks::<4>();
    for quad in quads {
        for (chain, voxel) in chains.iter_mut().zip(quad) {
            for channel in 0..CHANNELS {
                chain[channel] += term(voxel[channel], mean[channel]);
            }
        }
    }
    for (chain, voxel) in chains.iter_mut().zip(rest) {
        for channel in 0..CHANNELS {
            chain[channel] += term(voxel[channel], mean[channel]);
        }
    }
    std::array::from_fn(|channel| {
        (chains[0][channel] + chains[1][channel]) + (chains[2][channel] + chains[3][channel])
    })
}

/// Merges the regions' moments in their order, by Chan's formula (doi:10.1080/00031305.1983.10483115).
pub(crate) fn merge(partials: &[Partial], channels: usize) -> Moments {
    #[derive(Clone, Copy)]
    struct Whole {
        count: f64,
        mean: f64,
        distance: f64,
    }
    let mut all = vec![Whole { count: 0.0, mean: 0.0, distance: 0.0 }; blocks(channels) * CHANNELS];
    for partial in partials {
        let count = partial.voxels as f64;
        for channel in 0..CHANNELS {
            let whole = &mut all[partial.block * CHANNELS + channel];
            let (before, off) = (whole.count, f64::from(partial.mean[channel]) - whole.mean);
            whole.count += count;
            whole.mean += off * count / whole.count;
            whole.distance += f64::from(partial.distance[channel]) + off * off * before * count / whole.count;
        }
    }
    let all = &all[..channels];
    Moments {
        mean: all.iter().map(|whole| whole.mean as f32).collect(),
        variance: all.iter().map(|whole| (whole.distance / whole.count) as f32).collect(),
    }
}
