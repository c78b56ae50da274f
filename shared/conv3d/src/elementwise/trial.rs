//! What the tests of these operations share: seeded activations, plain views of them, every way to run.

use std::fmt::Debug;

use crate::{Block, BlockedShape, CHANNELS, InstructionSet};

/// Activations between -1 and 1, some of them zero, with zeros in the channels beyond the last.
pub(crate) fn activations(shape: BlockedShape, seed: u64) -> Vec<f32> {
    let values = numbers(shape.floats(), seed);
    let beyond = |index: usize| {
        let block = index / CHANNELS / shape.voxels % shape.blocks();
        block * CHANNELS + index % CHANNELS >= shape.channels
    };
    values.enumerate().map(|(index, value)| if beyond(index) { 0.0 } else { value }).collect()
}

/// `count` numbers between -1 and 1, one in eight of them zero (xorshift, 10.18637/jss.v008.i14).
pub(crate) fn numbers(count: usize, seed: u64) -> impl Iterator<Item = f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..count).map(move |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let value = (state >> 40) as f32 / (1 << 23) as f32 - 1.0;
        if state & 7 == 0 { 0.0 } else { value }
    })
}

/// The floats of blocks.
pub(crate) fn floats(blocks: &[Block]) -> &[f32] {
    bytemuck::cast_slice(blocks)
}

/// The voxels of one channel of one volume.
pub(crate) fn channel(shape: BlockedShape, x: &[f32], row: usize, channel: usize) -> Vec<f64> {
    let plane = row * shape.blocks() + channel / CHANNELS;
    let voxels = plane * shape.voxels..(plane + 1) * shape.voxels;
    voxels.map(|voxel| f64::from(x[voxel * CHANNELS + channel % CHANNELS])).collect()
}

/// The voxels of one channel of all volumes.
pub(crate) fn all_rows(shape: BlockedShape, x: &[f32], of: usize) -> Vec<f64> {
    (0..shape.batch).flat_map(|row| channel(shape, x, row, of)).collect()
}

/// Asserts that the channels beyond the last are zero.
pub(crate) fn assert_padding_is_zero(shape: BlockedShape, x: &[f32]) {
    for row in 0..shape.batch {
        for beyond in shape.channels..shape.blocks() * CHANNELS {
            assert!(channel(shape, x, row, beyond).iter().all(|value| *value == 0.0), "channel {beyond}");
        }
    }
}

/// Asserts that two numbers differ by less than `tolerance`, relative if they are above 1.
pub(crate) fn assert_close(found: f64, expected: f64, tolerance: f64, what: &str) {
    let room = tolerance * expected.abs().max(1.0);
    assert!((found - expected).abs() <= room, "{what}: found {found}, expected {expected}");
}

/// The inner product.
pub(crate) fn dot(one: &[f32], two: &[f32]) -> f64 {
    one.iter().zip(two).map(|(one, two)| f64::from(*one) * f64::from(*two)).sum()
}

/// Runs `operation` with all instructions and one to three threads, asserts that every result is the same,
/// and hands it to `check`.
pub(crate) fn each_way<T: PartialEq + Debug + Send>(
    operation: impl Fn(InstructionSet) -> T + Sync,
    check: impl FnOnce(T),
) {
    let expected = operation(InstructionSet::Portable);
    for instructions in InstructionSet::available() {
        for threads in 1..=3 {
            let pool =
                rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads can be started");
            let found = pool.install(|| operation(instructions));
            assert!(found == expected, "{instructions:?} with {threads} threads gives another result");
        }
    }
    check(expected);
}
