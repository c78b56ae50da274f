//! Sums over voxels: `f32` within a slab, `f64` between slabs, always in the same order.

use super::{lanes, shape::Slab};
use crate::{BlockedShape, CHANNELS};

/// The sums of sixteen channels over some slabs.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sums([f64; CHANNELS]);

impl Sums {
    /// Adds the sums over one slab.
    pub(crate) fn add(&mut self, slab: &[f32; CHANNELS]) {
        self.0 = lanes(|lane| self.0[lane] + f64::from(slab[lane]));
    }

    /// The sums, each times its channel's factor.
    pub(crate) fn times(&self, factors: &[f32; CHANNELS]) -> Self {
        Self(lanes(|lane| self.0[lane] * f64::from(factors[lane])))
    }

    /// The sums of the channels, scaled.
    pub(crate) fn scaled(&self, factor: f64) -> [f32; CHANNELS] {
        lanes(|lane| (self.0[lane] * factor) as f32)
    }

    /// The sum over the channels.
    pub(crate) fn total(&self) -> f64 {
        self.0.iter().sum()
    }

    /// Sums of `partials` that belong to `groups` groups; `group` tells a slab's.
    pub(crate) fn grouped(
        groups: usize,
        partials: &[(Slab, [f32; CHANNELS])],
        group: impl Fn(&Slab) -> usize,
    ) -> Vec<Self> {
        let mut sums = vec![Self::default(); groups];
        for (slab, partial) in partials {
            sums[group(slab)].add(partial);
        }
        sums
    }

    /// The sums of each channel over the volumes and voxels of `shape`.
    pub(crate) fn of_channels(shape: &BlockedShape, partials: &[(Slab, [f32; CHANNELS])]) -> Vec<f32> {
        unblocked(shape.channels, &Self::grouped(shape.blocks(), partials, |slab| slab.block), 1.0)
    }
}

/// The scaled sums of `channels` channels, without those that fill up the last block.
pub(crate) fn unblocked(channels: usize, blocks: &[Sums], factor: f64) -> Vec<f32> {
    let mut values: Vec<f32> = blocks.iter().flat_map(|sums| sums.scaled(factor)).collect();
    values.truncate(channels);
    values
}
