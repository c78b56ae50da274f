//! A blocked output as sums of a blocked source times weights, swept over a kernel's taps: the forward pass and the
//! input gradient alike.

use super::Precision;
use super::pack_kernel::PackedKernel;
use super::parts::Part;
use super::sweep::{Run, Sweep};
use crate::block::CHANNELS;
use crate::instructions::InstructionSet;
use crate::simd::{Gather, GatherKernel, Segment, Tile, gather_kernel};

/// Rows of a tile at most: the kernels have no instances for more.
const MOST_ROWS: usize = 3;

/// What the parts of an output are computed from.
pub(crate) struct Gathering<'a> {
    pub(crate) kernels: (InstructionSet, Precision),
    pub(crate) tile: Tile,
    pub(crate) sweep: &'a Sweep,
    /// `[batch][block][voxels][elements of a block]`.
    pub(crate) source: &'a [f32],
    pub(crate) source_blocks: usize,
    pub(crate) weights: &'a PackedKernel,
}

impl Gathering<'_> {
    /// Elements of a block of channels: 16 floats or eight pairs.
    fn elements(&self) -> usize {
        match self.kernels.1 {
            Precision::F32 => CHANNELS,
            Precision::Bf16 => CHANNELS / 2,
        }
    }

    /// Writes a part.
    pub(crate) fn fill(&self, part: &Part<'_>) {
        let sweep = self.sweep;
        if !sweep.covered {
            part.zero();
        }
        let source_block = sweep.source.iter().product::<usize>() * self.elements();
        for chunk in 0..self.weights.chunks() {
            let blocks = self.weights.chunk_blocks(chunk);
            let width = part.blocks * CHANNELS;
            let segments: Vec<Segment> = (0..blocks.len())
                .map(|b| Segment { source: b * source_block, weights: b * self.elements() * width })
                .collect();
            let weights = self.weights.floats(part.tile, chunk);
            let source = &self.source[(part.volume * self.source_blocks + blocks.start) * source_block..];
            for (place, tap) in sweep.taps.iter().enumerate() {
                let Some(runs) = sweep.within(tap, part.region) else { continue };
                let weights = &weights[tap.index * blocks.len() * self.elements() * width..];
                let fresh = sweep.covered && chunk == 0 && place == 0;
                self.rows(part, &segments, source, weights, runs, fresh);
            }
        }
    }

    /// One tap and chunk of channels: all rows of the part.
    fn rows(
        &self,
        part: &Part<'_>,
        segments: &[Segment],
        source: &[f32],
        weights: &[f32],
        runs: [Run; 3],
        fresh: bool,
    ) {
        let [depth, height, width] = runs;
        let (from, to, elements) = (self.sweep.source, self.sweep.target, self.elements());
        let (source_step, target_step) = (self.sweep.source_step, self.sweep.target_step);
        let groups = Split::new(height.count, (self.tile.voxels / width.count).clamp(1, MOST_ROWS));
        let pieces = Split::new(width.count, self.tile.voxels);
        let kernel = |rows: usize, voxels: usize| -> GatherKernel {
            gather_kernel(self.kernels, part.blocks, rows, voxels, source_step[2] * elements, elements)
        };
        let kernels = [0, 1].map(|r| [0, 1].map(|v| kernel(groups.size(r), pieces.size(v))));
        for d in 0..depth.count {
            let source_plane = (depth.source + d * source_step[0]) * from[1];
            let target_plane = (depth.target + d * target_step[0]) * to[1];
            for (h, r) in groups.iter() {
                let source_row = (source_plane + height.source + h * source_step[1]) * from[2] + width.source;
                let target_row = (target_plane + height.target + h * target_step[1]) * to[2] + width.target;
                for (w, v) in pieces.iter() {
                    let source = &source[(source_row + w * source_step[2]) * elements..];
                    // SAFETY: the sweep's runs stay inside the source's and the target's extents, and inside the
                    // part's region, which this task alone writes; the segments stay inside the chunk of channels,
                    // whose blocks lie in `source`; `weights` begins at the tap's, for each of its elements a tile.
                    // `Arithmetic::checked` has found the instructions available.
                    unsafe {
                        kernels[r][v](&Gather {
                            source: source.as_ptr(),
                            source_step: source_step[2] * elements,
                            source_row: source_step[1] * from[2] * elements,
                            segments,
                            length: elements,
                            weights: weights.as_ptr(),
                            sum: part.sums(0).add((target_row + w * target_step[2]) * CHANNELS),
                            sum_step: target_step[2] * CHANNELS,
                            sum_row: target_step[1] * to[2] * CHANNELS,
                            sum_vector: self.tile.vector_stride(part.stride),
                            fresh,
                        });
                    }
                }
            }
        }
    }
}

/// A length in pieces of two sizes that differ by one, so that two kernels do for all.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Split {
    len: usize,
    pieces: usize,
}

impl Split {
    /// As few pieces as can be, none longer than `most`.
    pub(crate) fn new(len: usize, most: usize) -> Self {
        Self { len, pieces: len.div_ceil(most) }
    }

    /// The size of the larger (0) or smaller (1) pieces.
    pub(crate) fn size(&self, kind: usize) -> usize {
        if kind == 0 { self.len.div_ceil(self.pieces) } else { self.len / self.pieces }
    }

    /// Where the pieces begin, and which of the two sizes they have.
    pub(crate) fn iter(self) -> impl Iterator<Item = (usize, usize)> {
        let (small, larger) = (self.len / self.pieces, self.len % self.pieces);
        (0..self.pieces).map(move |i| (i * small + i.min(larger), usize::from(i >= larger)))
    }
}
