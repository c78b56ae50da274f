//! A kernel in the order in which tiles read it: `[tile][chunk][tap][source channel][target channel of the tile]`.
//!
//! A chunk of source channels of one tap fits into a first-level cache.

use std::ops::Range;

use rayon::prelude::*;

use super::parts::Output;
use super::round::{pair, rounded};
use super::{Arithmetic, Precision};
use crate::block::CHANNELS;
use crate::buffer::Scratch;
use crate::instructions::InstructionSet;
use crate::simd::{Transpose, transpose_rows, vectorised};

/// Blocks of source channels of a chunk: with 32 target channels, 128 of them are 16 KiB.
const CHUNK: usize = 8;

/// Floats from a channel of the kernel to the next.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Strides {
    pub(crate) target: usize,
    pub(crate) source: usize,
}

/// A packed kernel.
#[derive(Debug)]
pub(crate) struct PackedKernel {
    floats: Scratch,
    /// Where each tile's chunks begin, and the end.
    begins: Vec<usize>,
    source_blocks: usize,
}

/// What becomes of weights.
#[derive(Debug, Clone, Copy)]
enum Pack {
    Floats,
    /// Floats rounded to bf16.
    Rounded,
    /// Neighbouring source channels as two bf16 in one element.
    Pairs,
}

impl Pack {
    fn floats(arithmetic: Arithmetic) -> Self {
        if arithmetic.precision == Precision::Bf16 { Self::Rounded } else { Self::Floats }
    }

    /// Source channels of an element.
    fn channels(self) -> usize {
        if matches!(self, Self::Pairs) { 2 } else { 1 }
    }
}

/// One chunk of one tile.
struct Place {
    /// First target channel, and how many the tile has room for.
    target: usize,
    width: usize,
    /// The source channels the chunk has room for.
    source: Range<usize>,
}

impl PackedKernel {
    pub(crate) fn new(
        arithmetic: Arithmetic,
        output: &Output,
        sources: usize,
        taps: usize,
        kernel: &[f32],
        strides: Strides,
    ) -> Self {
        let pack =
            if arithmetic.native() == Precision::Bf16 { Pack::Pairs } else { Pack::floats(arithmetic) };
        Self::packed(
            arithmetic.instructions,
            pack,
            CHANNELS,
            output,
            Reader { kernel, strides, targets: output.channels, sources, taps },
        )
    }

    /// A kernel whose source channels count as taps, as if there were one channel: `[tile][tap][target channel]`.
    pub(crate) fn planar(
        arithmetic: Arithmetic,
        output: &Output,
        taps: usize,
        kernel: &[f32],
        strides: Strides,
    ) -> Self {
        let reader = Reader { kernel, strides, targets: output.channels, sources: 1, taps };
        Self::packed(arithmetic.instructions, Pack::floats(arithmetic), 1, output, reader)
    }

    /// Packs blocks of `block` source channels.
    fn packed(
        instructions: InstructionSet,
        pack: Pack,
        block: usize,
        output: &Output,
        reader: Reader<'_>,
    ) -> Self {
        let (source_blocks, taps) = (reader.sources.div_ceil(block), reader.taps);
        let mut packed = Self { floats: Scratch::new(0), begins: vec![0], source_blocks };
        let mut places = Vec::new();
        let mut end = 0;
        for tile in 0..output.tiles() {
            let (target, width) = (tile * output.tile.blocks * CHANNELS, output.tile_blocks(tile) * CHANNELS);
            for chunk in 0..packed.chunks() {
                let blocks = packed.chunk_blocks(chunk);
                end += blocks.len() * block / pack.channels() * taps * width;
                packed.begins.push(end);
                places.push(Place { target, width, source: blocks.start * block..blocks.end * block });
            }
        }
        packed.floats = Scratch::new(end);
        let mut rest = packed.floats.floats_mut();
        let mut tasks = Vec::with_capacity(places.len());
        for (place, ends) in places.into_iter().zip(packed.begins.windows(2)) {
            let (head, tail) = rest.split_at_mut(ends[1] - ends[0]);
            tasks.push((place, head));
            rest = tail;
        }
        tasks.into_par_iter().for_each(|(place, to)| reader.pack(instructions, pack, &place, to));
        packed
    }

    /// Chunks of source channels.
    pub(crate) fn chunks(&self) -> usize {
        self.source_blocks.div_ceil(CHUNK)
    }

    /// The blocks of source channels of a chunk.
    pub(crate) fn chunk_blocks(&self, chunk: usize) -> Range<usize> {
        chunk * CHUNK..self.source_blocks.min((chunk + 1) * CHUNK)
    }

    /// A tile's weights of a chunk, `[tap][source channel][target channel]`.
    pub(crate) fn floats(&self, tile: usize, chunk: usize) -> &[f32] {
        let place = tile * self.chunks() + chunk;
        &self.floats.floats()[self.begins[place]..self.begins[place + 1]]
    }
}

/// Reads a kernel as it comes.
struct Reader<'a> {
    kernel: &'a [f32],
    strides: Strides,
    targets: usize,
    sources: usize,
    taps: usize,
}

impl Reader<'_> {
    /// Fills `to` with `[tap][source channel][target channel]`.
    fn pack(&self, instructions: InstructionSet, pack: Pack, place: &Place, to: &mut [f32]) {
        match pack {
            Pack::Floats => self.pack_floats(instructions, place, to),
            Pack::Rounded => {
                self.pack_floats(instructions, place, to);
                to.iter_mut().for_each(|weight| *weight = rounded(*weight));
            }
            Pack::Pairs => {
                let mut floats = Scratch::new(2 * to.len());
                self.pack_floats(instructions, place, floats.floats_mut());
                pair_rows(instructions, floats.floats(), place.width, to);
            }
        }
    }

    fn pack_floats(&self, instructions: InstructionSet, place: &Place, to: &mut [f32]) {
        let sources = place.source.start..place.source.end.min(self.sources);
        if sources.len() < place.source.len() || place.target + place.width > self.targets {
            to.fill(0.0);
        }
        for lane in (0..place.width).step_by(CHANNELS) {
            let targets = self.targets.saturating_sub(place.target + lane).min(CHANNELS);
            if targets < CHANNELS {
                self.pack_some(place, sources.clone(), lane..lane + targets, to);
            } else {
                self.pack_block(instructions, place, sources.clone(), lane, to);
            }
        }
    }

    /// A few target channels, one by one.
    fn pack_some(&self, place: &Place, sources: Range<usize>, lanes: Range<usize>, to: &mut [f32]) {
        for lane in lanes {
            for (row, source) in sources.clone().enumerate() {
                let first = (place.target + lane) * self.strides.target + source * self.strides.source;
                for (tap, &weight) in self.kernel[first..first + self.taps].iter().enumerate() {
                    to[(tap * place.source.len() + row) * place.width + lane] = weight;
                }
            }
        }
    }

    /// A block of target channels from `lane` on.
    fn pack_block(
        &self,
        instructions: InstructionSet,
        place: &Place,
        sources: Range<usize>,
        lane: usize,
        to: &mut [f32],
    ) {
        let first =
            |source: usize| (place.target + lane) * self.strides.target + source * self.strides.source;
        let (inner, outer) = (place.source.len() * place.width, place.width);
        if self.strides.target == 1 {
            for (row, source) in sources.enumerate() {
                let from = &self.kernel[first(source)..first(source) + CHANNELS];
                to[row * outer + lane..][..CHANNELS].copy_from_slice(from);
            }
            return;
        }
        // All sources at once where the taps of one follow those of the other.
        let together = if self.strides.source == self.taps { sources.len() } else { 1 };
        for (row, source) in sources.enumerate().step_by(together.max(1)) {
            let columns = together * self.taps;
            let from = &self.kernel[first(source)..][..(CHANNELS - 1) * self.strides.target + columns];
            let to = &mut to[row * outer + lane..];
            assert!((self.taps - 1) * inner + (together - 1) * outer + CHANNELS <= to.len());
            let job = Transpose {
                from: from.as_ptr(),
                from_row: self.strides.target,
                columns,
                to: to.as_mut_ptr(),
                period: self.taps,
                inner,
                outer,
            };
            // SAFETY: `from` holds sixteen rows, and the last column of the last tap ends inside `to`, as asserted.
            // `Arithmetic::checked` has found the instructions available.
            unsafe { transpose_rows(instructions, &job) };
        }
    }
}

vectorised! {
    /// Rows of `width` weights, two by two into one.
    fn pair_rows(from: &[f32], width: usize, to: &mut [f32]) {
        for (to, from) in to.chunks_exact_mut(width).zip(from.chunks_exact(2 * width)) {
            let (first, second) = from.split_at(width);
            for ((to, &first), &second) in to.iter_mut().zip(first).zip(second) {
                *to = pair(first, second);
            }
        }
    }
}
