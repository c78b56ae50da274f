//! An output in parts, one for each task: a tile of channels by a region of a volume.

use rayon::prelude::*;

use super::sweep::{Region, regions, voxels};
use crate::block::{Block, CHANNELS, blocks};
use crate::buffer::{Fresh, Target};
use crate::simd::Tile;

/// Voxels of a part: its sums and the inputs of a chunk of channels should stay in a second-level cache.
const VOXELS: usize = 1024;
/// Smaller parts load each weight for too few voxels.
const FEWEST_VOXELS: usize = 128;
/// Parts that keep a many-core machine busy, where the volume is large enough.
const TASKS: usize = 16;

/// The output as a whole.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    pub(crate) batch: usize,
    pub(crate) channels: usize,
    pub(crate) extents: [usize; 3],
    pub(crate) tile: Tile,
}

/// A task's share of the output.
#[derive(Debug)]
pub(crate) struct Part<'a> {
    /// The volume of the batch.
    pub(crate) volume: usize,
    /// The tile of channels, its first block, and how many blocks it has.
    pub(crate) tile: usize,
    pub(crate) block: usize,
    pub(crate) blocks: usize,
    /// The voxels.
    pub(crate) region: &'a Region,
    /// The first of them in memory.
    pub(crate) first: usize,
    /// How many there are, one behind the other.
    pub(crate) voxels: usize,
    /// Floats from a block to the next.
    pub(crate) stride: usize,
    target: Target,
    offset: usize,
}

impl Output {
    /// Tiles of channels; the last may be narrower.
    pub(crate) fn tiles(&self) -> usize {
        blocks(self.channels).div_ceil(self.tile.blocks)
    }

    /// Blocks of tile number `tile`.
    pub(crate) fn tile_blocks(&self, tile: usize) -> usize {
        (blocks(self.channels) - tile * self.tile.blocks).min(self.tile.blocks)
    }

    fn regions(&self) -> Vec<Region> {
        let all: usize = self.extents.iter().product();
        let mut limit = VOXELS;
        while limit > FEWEST_VOXELS && self.batch * self.tiles() * all.div_ceil(limit) < TASKS {
            limit /= 2;
        }
        regions(self.extents, limit, self.tile.voxels)
    }

    /// Runs `fill` and then `after` on every part, and gives the output and what `after` gave: tile by tile, volume by
    /// volume, region by region.
    ///
    /// # Safety
    /// `fill` writes every float of its part and none of another.
    pub(crate) unsafe fn each_part<T: Send>(
        &self,
        fill: impl Fn(&Part<'_>) + Sync,
        after: impl Fn(&Part<'_>, &mut [f32], usize) -> T + Sync,
    ) -> (Vec<Block>, Vec<T>) {
        let regions = self.regions();
        let all: usize = self.extents.iter().product();
        let mut fresh = Fresh::<Block>::new(self.batch * blocks(self.channels) * all);
        let target = fresh.target();
        let tasks = self.tiles() * self.batch * regions.len();
        let task = |task: usize| {
            let region = &regions[task % regions.len()];
            let (volume, tile) = (task / regions.len() % self.batch, task / regions.len() / self.batch);
            let [d, h, w] = [0, 1, 2].map(|axis: usize| region[axis].start);
            let block = tile * self.tile.blocks;
            let part = Part {
                volume,
                tile,
                block,
                blocks: self.tile_blocks(tile),
                region,
                first: (d * self.extents[1] + h) * self.extents[2] + w,
                voxels: voxels(region),
                stride: all * CHANNELS,
                target,
                offset: (volume * blocks(self.channels) + block) * all * CHANNELS,
            };
            fill(&part);
            let results = (0..part.blocks).map(|block| {
                // SAFETY: `fill` has written the part, which no other task touches, and is done with it. A region
                // lies without gaps in memory.
                let floats = unsafe {
                    let first = part.sums(block).add(part.first * CHANNELS);
                    std::slice::from_raw_parts_mut(first, part.voxels * CHANNELS)
                };
                after(&part, floats, part.block + block)
            });
            results.collect::<Vec<T>>()
        };
        let results: Vec<Vec<T>> = (0..tasks).into_par_iter().map(task).collect();
        // SAFETY: the parts cover the output, and `fill` has written each.
        (unsafe { fresh.written() }, results.into_iter().flatten().collect())
    }
}

impl Part<'_> {
    /// Voxel 0 of the volume (not of the part) in block number `block` of the tile.
    pub(crate) fn sums(&self, block: usize) -> *mut f32 {
        // SAFETY: the part's blocks lie inside the output.
        unsafe { self.target.at(self.offset + block * self.stride) }
    }

    /// Sets the part to zero.
    pub(crate) fn zero(&self) {
        for block in 0..self.blocks {
            // SAFETY: the region lies without gaps in memory and belongs to this task alone.
            unsafe { self.sums(block).add(self.first * CHANNELS).write_bytes(0, self.voxels * CHANNELS) };
        }
    }
}
