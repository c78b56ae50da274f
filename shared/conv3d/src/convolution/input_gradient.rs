//! The gradient of a convolution's input.

use super::gather::Gathering;
use super::pack_kernel::{PackedKernel, Strides};
use super::parts::Output;
use super::sweep::Sweep;
use super::{Arithmetic, Precision, blocked_len, expect_len, flattened};
use crate::block::{Block, blocks};
use crate::geometry::Problem;
use crate::simd::Tile;

/// The gradient of the input, blocked, of an `output_gradient` blocked alike and a `kernel`
/// `[outputs][inputs][depth][height][width]`.
///
/// Where `rows` is false, the volume's output gradient is zero and not read; its input gradient is zero.
///
/// # Panics
/// When a slice has not the length that the problem says, or the processor lacks the instructions.
pub fn input_gradient(
    arithmetic: Arithmetic,
    problem: &Problem,
    output_gradient: &[f32],
    kernel: &[f32],
    rows: &[bool],
) -> Vec<Block> {
    let instructions = arithmetic.checked().instructions;
    assert_eq!(rows.len(), problem.batch, "a batch of {} volumes with {} rows", problem.batch, rows.len());
    let gradient_len = blocked_len(problem.batch, problem.outputs, problem.output());
    expect_len("the output gradient", output_gradient, gradient_len);
    expect_len("the kernel", kernel, problem.kernel_len());
    let problem = &flattened(problem);
    let tile = Tile::of(instructions);
    let output = Output { batch: problem.batch, channels: problem.inputs, extents: problem.extents, tile };
    let taps = problem.geometry.taps();
    let strides = Strides { target: taps, source: problem.inputs * taps };
    let weights = PackedKernel::new(arithmetic, &output, problem.outputs, taps, kernel, strides);
    let round = || super::forward::round_source(arithmetic, output_gradient);
    let rounded = (arithmetic.precision == Precision::Bf16).then(round);
    let gathering = Gathering {
        kernels: (instructions, arithmetic.native()),
        tile,
        sweep: &Sweep::backward(problem),
        source: rounded.as_ref().map_or(output_gradient, |rounded| rounded.floats()),
        source_blocks: blocks(problem.outputs),
        weights: &weights,
    };
    let fill = |part: &super::parts::Part<'_>| {
        if rows[part.volume] { gathering.fill(part) } else { part.zero() }
    };
    // SAFETY: both ways write the part and nothing else.
    unsafe { output.each_part(fill, |_, _, _| ()) }.0
}
