//! The shape of blocked activations, and how it is cut into slabs for the threads.

use std::ops::Range;

use super::{Unwritten, voxels};
use crate::{CHANNELS, blocks};

/// Voxels of a slab: short enough that `f32` adds them up well, and that small volumes occupy all threads;
/// long enough (16 KiB of each array) that handing it to a thread costs little.
pub(crate) const SLAB_VOXELS: usize = 256;

/// The shape of blocked activations, `[batch][blocks][voxels][16]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BlockedShape {
    /// Volumes.
    pub batch: usize,
    /// Channels, without those that fill up the last block.
    pub channels: usize,
    /// Voxels of a volume.
    pub voxels: usize,
}

/// Consecutive voxels of one block of one volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Slab {
    /// The volume.
    pub(crate) row: usize,
    /// The block of channels.
    pub(crate) block: usize,
    /// The voxels, counted through the whole array.
    pub(crate) voxels: Range<usize>,
}

impl Slab {
    /// How many voxels.
    pub(crate) fn len(&self) -> usize {
        self.voxels.len()
    }
}

impl BlockedShape {
    /// Blocks of channels.
    pub const fn blocks(&self) -> usize {
        blocks(self.channels)
    }

    /// Voxels of all blocks of all volumes.
    pub const fn total_voxels(&self) -> usize {
        self.batch * self.blocks() * self.voxels
    }

    /// Floats, with those that fill up the last block.
    pub const fn floats(&self) -> usize {
        self.total_voxels() * CHANNELS
    }

    /// `batch` rows of `floats` each, whatever their channels are.
    pub(crate) fn of_rows(batch: usize, floats: usize) -> Self {
        assert!(
            floats.is_multiple_of(CHANNELS),
            "{floats} floats are not whole blocks of {CHANNELS} channels"
        );
        Self { batch, channels: CHANNELS, voxels: floats / CHANNELS }
    }

    /// The voxels of an array of this shape.
    ///
    /// # Panics
    /// When `floats`, the argument called `name`, has another length.
    pub(crate) fn voxels_of<'a>(&self, name: &str, floats: &'a [f32]) -> &'a [[f32; CHANNELS]] {
        assert_eq!(floats.len(), self.floats(), "{name} does not have the floats of {self:?}");
        voxels(floats)
    }

    /// Asserts that `values`, the argument called `name`, has one for each channel.
    pub(crate) fn assert_channels<T>(&self, name: &str, values: &[T]) {
        assert_eq!(values.len(), self.channels, "{name} does not have the channels of {self:?}");
    }

    /// All slabs, in the order of memory.
    pub(crate) fn slabs(&self) -> Vec<Slab> {
        let blocks = self.blocks();
        let mut slabs = Vec::with_capacity(self.batch * blocks * self.slabs_of_plane());
        for plane in 0..self.batch * blocks {
            let start = plane * self.voxels;
            slabs.extend((0..self.voxels).step_by(SLAB_VOXELS).map(|first| Slab {
                row: plane / blocks,
                block: plane % blocks,
                voxels: start + first..start + self.voxels.min(first + SLAB_VOXELS),
            }));
        }
        slabs
    }

    /// Slabs of one block of one volume.
    pub(crate) fn slabs_of_plane(&self) -> usize {
        self.voxels.div_ceil(SLAB_VOXELS)
    }

    /// All slabs with their parts of an output.
    pub(crate) fn cut<'vector, T: Copy>(
        &self,
        out: Unwritten<'vector, T>,
    ) -> Vec<(Slab, Unwritten<'vector, T>)> {
        let slabs = self.slabs();
        let parts = out.cut(slabs.iter().map(Slab::len));
        slabs.into_iter().zip(parts).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slabs_cover_the_array_in_order() {
        let shape = BlockedShape { batch: 2, channels: 20, voxels: SLAB_VOXELS + 3 };
        let slabs = shape.slabs();
        let mut next = 0;
        for slab in &slabs {
            assert_eq!(slab.voxels.start, next);
            assert_eq!((slab.row * 2 + slab.block) * shape.voxels / shape.voxels, next / shape.voxels);
            next = slab.voxels.end;
        }
        assert_eq!(next, shape.total_voxels());
        assert_eq!(slabs.len(), 4 * shape.slabs_of_plane());
    }

    #[test]
    fn volumes_without_voxels_have_no_slabs() {
        assert_eq!(BlockedShape { batch: 2, channels: 3, voxels: 0 }.slabs(), []);
    }
}
