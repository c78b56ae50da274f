//! The output of a convolution.

use super::gather::Gathering;
use super::moments::{self, Moments, Partial};
use super::pack_kernel::{PackedKernel, Strides};
use super::parts::{Output, Part};
use super::sweep::Sweep;
use super::{Arithmetic, Finish, Precision, blocked_len, expect_len, finish, flattened, round};
use crate::block::{Block, blocks};
use crate::geometry::Problem;
use crate::simd::Tile;

/// The output `[batch][outputs/16][depth][height][width][16]` of an `input` blocked alike and a `kernel`
/// `[outputs][inputs][depth][height][width]`, finished.
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

fn forward_then<T: Send>(
    arithmetic: Arithmetic,
    problem: &Problem,
    input: &[f32],
    kernel: &[f32],
    after: impl Fn(&Part<'_>, &mut [f32], usize) -> T + Sync,
) -> (Vec<Block>, Vec<T>) {
    let instructions = arithmetic.checked().instructions;
    expect_len("the input", input, blocked_len(problem.batch, problem.inputs, problem.extents));
    expect_len("the kernel", kernel, problem.kernel_len());
    let problem = &flattened(problem);
    let tile = Tile::of(instructions);
    let output = Output { batch: problem.batch, channels: problem.outputs, extents: problem.output(), tile };
    let taps = problem.geometry.taps();
    let strides = Strides { target: problem.inputs * taps, source: taps };
    let weights = PackedKernel::new(arithmetic, &output, problem.inputs, taps, kernel, strides);
    let rounded = (arithmetic.precision == Precision::Bf16).then(|| round_source(arithmetic, input));
    let gathering = Gathering {
        kernels: (instructions, arithmetic.native()),
        tile,
        sweep: &Sweep::forward(problem),
        source: rounded.as_ref().map_or(input, |rounded| rounded.floats()),
        source_blocks: blocks(problem.inputs),
        weights: &weights,
    };
    // SAFETY: `fill` writes its part and nothing else.
    unsafe { output.each_part(|part| gathering.fill(part), after) }
}

/// A blocked source rounded to bf16, as the kernels want it.
pub(super) fn round_source(arithmetic: Arithmetic, source: &[f32]) -> crate::buffer::Scratch {
    if arithmetic.emulated() {
        round::emulate(arithmetic.instructions, source)
    } else {
        round::pair_channels(arithmetic.instructions, source)
    }
}
