//! The bookkeeping of a weight gradient: who sums what, in which order partial sums are added, and how they get into
//! the kernel's natural order.

use std::ops::Range;

use rayon::prelude::*;

use super::parts::Output;
use super::sweep::{Region, cut, regions};
use crate::block::CHANNELS;
use crate::buffer::{Fresh, Scratch, Target};
use crate::instructions::InstructionSet;
use crate::simd::{Tile, Transpose, transpose_rows};

/// Bytes of one task's sums: with the voxels of a region they should stay in a second-level cache.
const SUMS: usize = 64 << 10;
/// Voxels of a region: their output gradients stay in a first-level cache while all taps pass over them.
const VOXELS: usize = 128;
/// Tasks that keep a many-core machine busy.
const TASKS: usize = 16;

/// A weight gradient.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WeightSums {
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    /// Of the output.
    pub(crate) extents: [usize; 3],
    /// Volumes of the batch.
    pub(crate) batch: usize,
    pub(crate) taps: usize,
    /// Input channels that a task cannot divide.
    pub(crate) unit: usize,
    pub(crate) tile: Tile,
    pub(crate) instructions: InstructionSet,
}

/// What is added to a task's sums in one go: one region of one volume.
#[derive(Debug)]
pub(crate) struct Share<'a> {
    pub(crate) volume: usize,
    pub(crate) region: &'a Region,
    /// The first block of output channels, and how many.
    pub(crate) block: usize,
    pub(crate) blocks: usize,
    /// The input channels.
    pub(crate) inputs: Range<usize>,
}

impl WeightSums {
    /// The gradient `[outputs][inputs][taps]`. `add` adds a share to sums `[input][tap][output of the tile]`.
    pub(crate) fn gradient(&self, add: impl Fn(&Share<'_>, &mut [f32]) + Sync) -> Vec<f32> {
        let output =
            Output { batch: self.batch, channels: self.outputs, extents: self.extents, tile: self.tile };
        let regions = regions(self.extents, VOXELS, 1);
        let width = self.tile.blocks * CHANNELS;
        let most = (SUMS / (self.unit * self.taps * width * size_of::<f32>())).max(1);
        let groups: Vec<Range<usize>> = cut(self.inputs.div_ceil(self.unit), most)
            .map(|units| units.start * self.unit..(units.end * self.unit).min(self.inputs))
            .collect();
        let tasks = output.tiles() * groups.len();
        let splits = (TASKS.div_ceil(tasks)).min(self.batch * regions.len());
        let len = self.outputs * self.inputs * self.taps;
        if self.batch == 0 {
            return vec![0.0; len];
        }
        let mut gradient = Fresh::<f32>::new(len);
        let target = gradient.target();
        (0..tasks).into_par_iter().for_each(|task| {
            let (tile, inputs) = (task / groups.len(), &groups[task % groups.len()]);
            let blocks = output.tile_blocks(tile);
            let block = tile * self.tile.blocks;
            let partial = |split: usize| {
                // Whole blocks of inputs: the kernels add to the sums of channels that fill up the last one.
                let channels = inputs.len().next_multiple_of(self.unit);
                let mut sums = Scratch::zeroed(channels * self.taps * blocks * CHANNELS);
                let shares = self.batch * regions.len();
                for share in split * shares / splits..(split + 1) * shares / splits {
                    let (volume, region) = (share / regions.len(), &regions[share % regions.len()]);
                    add(&Share { volume, region, block, blocks, inputs: inputs.clone() }, sums.floats_mut());
                }
                sums
            };
            let mut partials: Vec<Scratch> = (0..splits).into_par_iter().map(partial).collect();
            let (first, others) = partials.split_first_mut().expect("there is at least one part");
            for other in others {
                for (sum, &more) in first.floats_mut().iter_mut().zip(other.floats()) {
                    *sum += more;
                }
            }
            self.write(first.floats(), block * CHANNELS, blocks * CHANNELS, inputs, target);
        });
        // SAFETY: each weight belongs to one tile of outputs and one group of inputs, and `write` has written them all.
        unsafe { gradient.written() }
    }

    /// Writes the sums of `width` outputs from `output` on into the gradient.
    fn write(&self, sums: &[f32], output: usize, width: usize, inputs: &Range<usize>, target: Target) {
        let (rows, row) = (inputs.len() * self.taps, self.inputs * self.taps);
        let first = (output * self.inputs + inputs.start) * self.taps;
        let whole = if output + width <= self.outputs { rows - rows % CHANNELS } else { 0 };
        for from in (0..whole).step_by(CHANNELS) {
            // SAFETY: the weights of one output for a range of inputs lie one behind the other, inside the gradient;
            // no other task has the same outputs and inputs. `sums` has `rows` rows of `width` floats.
            unsafe {
                let sums = sums[from * width..][..CHANNELS * width].as_ptr();
                let to = target.at(first + from);
                let job = Transpose {
                    from: sums,
                    from_row: width,
                    columns: width,
                    to,
                    period: 1,
                    inner: 0,
                    outer: row,
                };
                transpose_rows(self.instructions, &job);
            }
        }
        for lane in 0..width.min(self.outputs - output) {
            for (place, from) in sums.chunks_exact(width).take(rows).enumerate().skip(whole) {
                // SAFETY: as above.
                unsafe { target.at(first + lane * row + place).write(from[lane]) };
            }
        }
    }
}
