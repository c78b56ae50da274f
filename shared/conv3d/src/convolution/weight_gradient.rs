//! The gradient of a convolution's kernel.

use super::sweep::{Run, Sweep};
use super::weight_sums::{Share, WeightSums};
use super::{Arithmetic, Precision, blocked_len, expect_len, flattened, round};
use crate::block::{CHANNELS, blocks};
use crate::buffer::Scratch;
use crate::geometry::Problem;
use crate::simd::{Outer, RowPair, Tile, outer_kernel};

/// The gradient of the kernel, `[outputs][inputs][depth][height][width]`, of an `input` and an `output_gradient`, both
/// blocked.
///
/// Where `rows` is false, the volume's output gradient is zero: neither it nor its input is read.
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
    expect_len("the input", input, blocked_len(problem.batch, problem.inputs, problem.extents));
    let gradient_len = blocked_len(problem.batch, problem.outputs, problem.output());
    expect_len("the output gradient", output_gradient, gradient_len);
    let problem = &flattened(problem);
    let rounded = (arithmetic.precision == Precision::Bf16)
        .then(|| (round_factor(arithmetic, input, rows), round_factor(arithmetic, output_gradient, rows)));
    let (input, gradient) = match &rounded {
        Some((input, gradient)) => (input.floats(), gradient.floats()),
        None => (input, output_gradient),
    };
    let mut volumes: Vec<usize> = (0..problem.batch).filter(|&n| rows[n]).collect();
    if arithmetic.native() == Precision::Bf16 {
        volumes = (0..volumes.len().div_ceil(2)).collect();
    }
    let adding = Adding {
        kernels: (instructions, arithmetic.native()),
        tile: Tile::of(instructions),
        problem,
        sweep: Sweep::forward(problem),
        volumes,
        input,
        gradient,
    };
    let sums = WeightSums {
        inputs: problem.inputs,
        outputs: problem.outputs,
        extents: problem.output(),
        batch: adding.volumes.len(),
        taps: problem.geometry.taps(),
        unit: CHANNELS,
        tile: adding.tile,
        instructions,
    };
    sums.gradient(|share, sums| adding.add(share, sums))
}

fn round_factor(arithmetic: Arithmetic, factor: &[f32], rows: &[bool]) -> Scratch {
    if arithmetic.emulated() {
        round::emulate(arithmetic.instructions, factor)
    } else {
        round::pair_volumes(arithmetic.instructions, factor, rows)
    }
}

/// What the sums are computed from.
struct Adding<'a> {
    kernels: (crate::InstructionSet, Precision),
    tile: Tile,
    problem: &'a Problem,
    sweep: Sweep,
    /// The volumes that count, or pairs of them.
    volumes: Vec<usize>,
    input: &'a [f32],
    gradient: &'a [f32],
}

impl Adding<'_> {
    fn add(&self, share: &Share<'_>, sums: &mut [f32]) {
        let mut rows = Vec::new();
        for tap in &self.sweep.taps {
            if let Some(runs) = self.sweep.within(tap, share.region) {
                self.list_rows(runs, &mut rows);
                self.add_tap(share, tap.index, runs[2].count, &rows, sums);
            }
        }
    }

    fn list_rows(&self, [depth, height, width]: [Run; 3], rows: &mut Vec<RowPair>) {
        let (from, to, step) = (self.sweep.source, self.sweep.target, self.sweep.source_step);
        rows.clear();
        for d in 0..depth.count {
            for h in 0..height.count {
                let input = (depth.source + d * step[0]) * from[1] + height.source + h * step[1];
                let gradient = (depth.target + d) * to[1] + height.target + h;
                rows.push(RowPair {
                    input: (input * from[2] + width.source) * CHANNELS,
                    gradient: (gradient * to[2] + width.target) * CHANNELS,
                });
            }
        }
    }

    /// Adds what `tap` contributes over `rows` of `voxels` voxels each.
    fn add_tap(&self, share: &Share<'_>, tap: usize, voxels: usize, rows: &[RowPair], sums: &mut [f32]) {
        let (taps, width) = (self.problem.geometry.taps(), share.blocks * CHANNELS);
        let volume = self.volumes[share.volume];
        let input_block = self.sweep.source.iter().product::<usize>() * CHANNELS;
        let gradient_block = self.sweep.target.iter().product::<usize>() * CHANNELS;
        let step = self.sweep.source_step[2] * CHANNELS;
        let kernel = outer_kernel(self.kernels, share.blocks, self.tile.rows, step, 1);
        let gradient =
            &self.gradient[(volume * blocks(self.problem.outputs) + share.block) * gradient_block..];
        for first in share.inputs.clone().step_by(self.tile.rows) {
            let block = volume * blocks(self.problem.inputs) + first / CHANNELS;
            let input = &self.input[block * input_block + first % CHANNELS..];
            let sums = &mut sums[((first - share.inputs.start) * taps + tap) * width..];
            // SAFETY: the sweep's runs stay inside the input's and the output's extents; the tile's rows divide a
            // block of channels, so they stay inside the input's block; `sums` has room for whole blocks of inputs
            // and belongs to this task. `Arithmetic::checked` has found the instructions available.
            unsafe {
                kernel(&Outer {
                    input: input.as_ptr(),
                    input_step: step,
                    input_across: 1,
                    gradient: gradient.as_ptr(),
                    gradient_step: CHANNELS,
                    gradient_vector: self.tile.vector_stride(gradient_block),
                    rows,
                    voxels,
                    sum: sums.as_mut_ptr(),
                    sum_row: taps * width,
                });
            }
        }
    }
}
