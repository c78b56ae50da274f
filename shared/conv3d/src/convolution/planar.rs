//! Convolution of a planar input `[batch][channel][depth][height][width]`: the first layer of a network, whose one
//! channel would leave a block of sixteen nearly empty.
//!
//! All taps are summed up in registers. There is no input gradient: nothing comes before the first layer. The factors
//! are rounded as the arithmetic says but always multiplied as floats: with one channel there are no pairs.

use super::moments::{self, Moments, Partial};
use super::pack_kernel::{PackedKernel, Strides};
use super::parts::{Output, Part};
use super::sweep::Sweep;
use super::weight_sums::{Share, WeightSums};
use super::{Arithmetic, Finish, Precision, blocked_len, expect_len, finish, round};
use crate::block::{Block, CHANNELS, blocks};
use crate::buffer::Scratch;
use crate::geometry::Problem;
use crate::instructions::InstructionSet;
use crate::simd::{Gather, Outer, RowPair, Segment, Tile, gather_kernel, outer_kernel};

use super::gather::Split;

/// The blocked output of a planar `input` and a `kernel` `[outputs][inputs][depth][height][width]`, finished.
///
/// # Panics
/// When a slice has not the length that the problem says, or the processor lacks the instructions.
pub fn forward(
    arithmetic: Arithmetic,
    problem: &Problem,
    input: &[f32],
    kernel: &[f32],
    finish: Finish<'_>,
) -> Vec<Block> {
    let extents = problem.output();
    finish.check(problem.outputs, blocked_len(problem.batch, problem.outputs, extents));
    let voxels = extents.iter().product();
    let after = |part: &Part<'_>, floats: &mut [f32], block: usize| {
        let offset = finish::float_at(problem.outputs, voxels, part.volume, block, part.first);
        finish.apply(arithmetic.instructions, floats, offset, block);
    };
    forward_then(arithmetic, problem, input, kernel, after).0
}

/// The output as [`forward`] gives it without a finish, and the mean and variance of its channels.
///
/// # Panics
/// As [`forward`].
pub fn forward_with_moments(
    arithmetic: Arithmetic,
    problem: &Problem,
    input: &[f32],
    kernel: &[f32],
) -> (Vec<Block>, Moments) {
    let after =
        |_: &Part<'_>, floats: &mut [f32], block: usize| Partial::of(arithmetic.instructions, floats, block);
    let (output, partials) = forward_then(arithmetic, problem, input, kernel, after);
    (output, moments::merge(&partials, problem.outputs))
}

/// The gradient of the kernel, `[outputs][inputs][depth][height][width]`, of a planar `input` and a blocked
/// `output_gradient`.
///
/// Where `rows` is false, the volume's output gradient is zero and not read.
///
/// # Panics
/// When a slice has not the length that the problem says, or the processor lacks the instructions.
pub fn weight_gradient(
    arithmetic: Arithmetic,
    problem: &Problem,
    input: &[f32],
    output_gradient: &[f32],
    rows: &[bool],
) -> Vec<f32> {
    let instructions = arithmetic.checked().instructions;
    assert_eq!(rows.len(), problem.batch, "a batch of {} volumes with {} rows", problem.batch, rows.len());
    let gradient_len = blocked_len(problem.batch, problem.outputs, problem.output());
    expect_len("the output gradient", output_gradient, gradient_len);
    let padded = Padded::new(arithmetic, problem, input);
    let rounded =
        (arithmetic.precision == Precision::Bf16).then(|| round::emulate(instructions, output_gradient));
    let gradient = rounded.as_ref().map_or(output_gradient, |rounded| rounded.floats());
    let volumes: Vec<usize> = (0..problem.batch).filter(|&n| rows[n]).collect();
    let sums = WeightSums {
        inputs: problem.inputs,
        outputs: problem.outputs,
        extents: problem.output(),
        batch: volumes.len(),
        taps: problem.geometry.taps(),
        unit: 1,
        tile: Tile::of(instructions),
        instructions,
    };
    let sweep = Sweep::forward(&padded.problem);
    sums.gradient(|share, sums| padded.add(&sweep, volumes[share.volume], share, gradient, sums))
}

fn forward_then<T: Send>(
    arithmetic: Arithmetic,
    problem: &Problem,
    input: &[f32],
    kernel: &[f32],
    after: impl Fn(&Part<'_>, &mut [f32], usize) -> T + Sync,
) -> (Vec<Block>, Vec<T>) {
    let tile = Tile::of(arithmetic.checked().instructions);
    expect_len("the kernel", kernel, problem.kernel_len());
    let output = Output { batch: problem.batch, channels: problem.outputs, extents: problem.output(), tile };
    // All taps of all channels as taps of one channel: the order in which a tile reads them.
    let taps = problem.inputs * problem.geometry.taps();
    let packed =
        PackedKernel::planar(arithmetic, &output, taps, kernel, Strides { target: taps, source: taps });
    let padded = Padded::new(arithmetic, problem, input);
    // SAFETY: `fill` writes every row of its part and nothing else.
    unsafe { output.each_part(|part| padded.fill(part, packed.floats(part.tile, 0)), after) }
}

/// The input with zeros at both ends of every row, so that rows need no special case there.
struct Padded {
    /// The problem with the rows' padding moved into the input.
    problem: Problem,
    floats: Scratch,
    instructions: InstructionSet,
    tile: Tile,
}

impl Padded {
    fn new(arithmetic: Arithmetic, original: &Problem, input: &[f32]) -> Self {
        let mut problem = *original;
        let (width, padding) = (original.extents[2], original.geometry.padding[2]);
        expect_len(
            "the input",
            input,
            original.batch * original.inputs * original.extents.iter().product::<usize>(),
        );
        problem.extents[2] += 2 * padding;
        problem.geometry.padding[2] = 0;
        let rows = input.len() / width.max(1);
        let mut floats = Scratch::zeroed(rows * problem.extents[2]);
        for (to, from) in
            floats.floats_mut().chunks_exact_mut(problem.extents[2]).zip(input.chunks_exact(width))
        {
            let to = &mut to[padding..padding + width];
            to.copy_from_slice(from);
            if arithmetic.precision == Precision::Bf16 {
                to.iter_mut().for_each(|value| *value = round::rounded(*value));
            }
        }
        let instructions = arithmetic.instructions;
        Self { problem, floats, instructions, tile: Tile::of(instructions) }
    }

    fn volume(&self, volume: usize) -> &[f32] {
        let len = self.problem.inputs * self.problem.extents.iter().product::<usize>();
        &self.floats.floats()[volume * len..(volume + 1) * len]
    }

    /// Writes a part of the output.
    fn fill(&self, part: &Part<'_>, weights: &[f32]) {
        let outputs = self.problem.output();
        let [depth, height, width] = part.region;
        let source = self.volume(part.volume);
        let mut segments = Vec::new();
        let length = self.segment_length();
        let step = self.problem.geometry.stride[2];
        let split = Split::new(width.len(), self.tile.voxels);
        let kernel =
            |voxels| gather_kernel((self.instructions, Precision::F32), part.blocks, 1, voxels, step, length);
        let kernels = [kernel(split.size(0)), kernel(split.size(1))];
        for d in depth.clone() {
            for h in height.clone() {
                self.list_segments(d, h, part.blocks * CHANNELS, &mut segments);
                let target = (d * outputs[1] + h) * outputs[2] + width.start;
                for (w, size) in split.iter() {
                    // SAFETY: the segments are those of taps inside the input's depth and height, and its rows are
                    // padded, so that all columns are inside; the row belongs to the part. `Arithmetic::checked` has
                    // found the instructions available.
                    unsafe {
                        kernels[size](&Gather {
                            source: source.as_ptr().add((width.start + w) * step),
                            source_step: step,
                            source_row: 0,
                            segments: &segments,
                            length,
                            weights: weights.as_ptr(),
                            sum: part.sums(0).add((target + w) * CHANNELS),
                            sum_step: CHANNELS,
                            sum_row: 0,
                            sum_vector: self.tile.vector_stride(part.stride),
                            fresh: true,
                        });
                    }
                }
            }
        }
    }

    /// Neighbouring elements of a row that are taps: all along the width, unless it is dilated.
    fn segment_length(&self) -> usize {
        if self.problem.geometry.dilation[2] == 1 { self.problem.geometry.kernel[2] } else { 1 }
    }

    /// The taps of output row `h` in plane `d` that are inside the input, relative to the row's first column.
    fn list_segments(&self, d: usize, h: usize, tile_width: usize, segments: &mut Vec<Segment>) {
        let (g, extents) = (&self.problem.geometry, self.problem.extents);
        let inside = |axis: usize, output: usize, tap: usize| {
            let padded = output * g.stride[axis] + tap * g.dilation[axis];
            padded.checked_sub(g.padding[axis]).filter(|&input| input < extents[axis])
        };
        segments.clear();
        let length = self.segment_length();
        for row_of_taps in 0..self.problem.inputs * g.kernel[0] * g.kernel[1] {
            let (kh, rest) = (row_of_taps % g.kernel[1], row_of_taps / g.kernel[1]);
            let (kd, channel) = (rest % g.kernel[0], rest / g.kernel[0]);
            let (Some(d), Some(h)) = (inside(0, d, kd), inside(1, h, kh)) else { continue };
            let row = ((channel * extents[0] + d) * extents[1] + h) * extents[2];
            for kw in (0..g.kernel[2]).step_by(length) {
                segments.push(Segment {
                    source: row + kw * g.dilation[2],
                    weights: (row_of_taps * g.kernel[2] + kw) * tile_width,
                });
            }
        }
    }

    /// Adds one share of a weight gradient.
    fn add(&self, sweep: &Sweep, volume: usize, share: &Share<'_>, gradient: &[f32], sums: &mut [f32]) {
        let g = &self.problem.geometry;
        let (from, to, width) = (sweep.source, sweep.target, share.blocks * CHANNELS);
        let gradient_block = to.iter().product::<usize>() * CHANNELS;
        let gradient = &gradient[(volume * blocks(self.problem.outputs) + share.block) * gradient_block..];
        let split = Split::new(g.kernel[2], self.tile.rows);
        let mut rows = Vec::new();
        // A row of taps at once: the first of each, for the columns are all inside.
        for tap in sweep.taps.iter().filter(|tap| tap.index % g.kernel[2] == 0) {
            let Some([depth, height, columns]) = sweep.within(tap, share.region) else { continue };
            rows.clear();
            for d in 0..depth.count {
                for h in 0..height.count {
                    let input = (depth.source + d * g.stride[0]) * from[1] + height.source + h * g.stride[1];
                    let gradient = (depth.target + d) * to[1] + height.target + h;
                    rows.push(RowPair {
                        input: input * from[2] + columns.source,
                        gradient: (gradient * to[2] + columns.target) * CHANNELS,
                    });
                }
            }
            for channel in share.inputs.clone() {
                let input = &self.volume(volume)[channel * from.iter().product::<usize>()..];
                let sums = &mut sums[((channel - share.inputs.start) * g.taps() + tap.index) * width..];
                for (first, size) in split.iter() {
                    let kernels = (self.instructions, Precision::F32);
                    let kernel =
                        outer_kernel(kernels, share.blocks, split.size(size), g.stride[2], g.dilation[2]);
                    // SAFETY: the sweep's runs stay inside the padded input and the output, for all taps of a row;
                    // `sums` holds all taps of the share's channels and belongs to this task. `Arithmetic::checked`
                    // has found the instructions available.
                    unsafe {
                        kernel(&Outer {
                            input: input[first * g.dilation[2]..].as_ptr(),
                            input_step: g.stride[2],
                            input_across: g.dilation[2],
                            gradient: gradient.as_ptr(),
                            gradient_step: CHANNELS,
                            gradient_vector: self.tile.vector_stride(gradient_block),
                            rows: &rows,
                            voxels: columns.count,
                            sum: sums[first * width..].as_mut_ptr(),
                            sum_row: width,
                        });
                    }
                }
            }
        }
    }
}
