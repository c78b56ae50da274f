//! Rounding to bf16: the upper half of a float, to nearest and to even between two.

use rayon::prelude::*;

use crate::block::CHANNELS;
use crate::buffer::Scratch;
use crate::instructions::InstructionSet;
use crate::simd::vectorised;

/// Floats a task rounds: a fraction of a first-level cache.
const TASK: usize = 1 << 14;

/// The bits of `value` as bf16.
#[inline(always)]
pub(crate) fn bf16(value: f32) -> u32 {
    let bits = value.to_bits();
    if value.is_nan() { bits >> 16 | 0x40 } else { (bits + 0x7fff + (bits >> 16 & 1)) >> 16 }
}

/// `value` rounded to bf16.
#[inline(always)]
pub(crate) fn rounded(value: f32) -> f32 {
    f32::from_bits(bf16(value) << 16)
}

/// Two bf16 in an element of 32 bits.
#[inline(always)]
pub(crate) fn pair(first: f32, second: f32) -> f32 {
    f32::from_bits(bf16(first) | bf16(second) << 16)
}

vectorised! {
    fn round_all(from: &[f32], to: &mut [f32]) {
        for (to, &from) in to.iter_mut().zip(from) {
            *to = rounded(from);
        }
    }
}

vectorised! {
    fn pair_neighbours(from: &[f32], to: &mut [f32]) {
        for (to, from) in to.iter_mut().zip(from.as_chunks::<2>().0) {
            *to = pair(from[0], from[1]);
        }
    }
}

vectorised! {
    fn pair_up(first: &[f32], second: &[f32], to: &mut [f32]) {
        for (to, (&first, &second)) in to.iter_mut().zip(first.iter().zip(second)) {
            *to = pair(first, second);
        }
    }
}

/// The same floats, rounded.
pub(crate) fn emulate(instructions: InstructionSet, from: &[f32]) -> Scratch {
    let mut to = Scratch::new(from.len());
    let tasks = to.floats_mut().par_chunks_mut(TASK).zip(from.par_chunks(TASK));
    tasks.for_each(|(to, from)| round_all(instructions, from, to));
    to
}

/// Blocks of eight pairs of neighbouring channels.
pub(crate) fn pair_channels(instructions: InstructionSet, from: &[f32]) -> Scratch {
    let mut to = Scratch::new(from.len() / 2);
    let tasks = to.floats_mut().par_chunks_mut(TASK / 2).zip(from.par_chunks(TASK));
    tasks.for_each(|(to, from)| pair_neighbours(instructions, from, to));
    to
}

/// The volumes of a batch for which `rows` holds, two by two: blocks of 16 pairs, the first of a pair from one volume,
/// the second from the other, or zero when there is no other.
pub(crate) fn pair_volumes(instructions: InstructionSet, from: &[f32], rows: &[bool]) -> Scratch {
    let volume = from.len() / rows.len().max(1);
    let chosen: Vec<&[f32]> =
        (0..rows.len()).filter(|&n| rows[n]).map(|n| &from[n * volume..(n + 1) * volume]).collect();
    let mut to = Scratch::new(chosen.len().div_ceil(2) * volume);
    let zeros = [0.0; TASK];
    let pairs = to.floats_mut().par_chunks_mut(volume.max(CHANNELS)).zip(chosen.par_chunks(2));
    pairs.for_each(|(to, pair)| {
        to.par_chunks_mut(TASK).enumerate().for_each(|(task, to)| {
            let range = task * TASK..task * TASK + to.len();
            let second = pair.get(1).map_or(&zeros[..to.len()], |volume| &volume[range.clone()]);
            pair_up(instructions, &pair[0][range], second, to);
        });
    });
    to
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_to_nearest_and_to_even() {
        assert_eq!(rounded(1.0), 1.0);
        assert_eq!(rounded(1.0 + 1.0 / 256.0), 1.0, "half way, down to even");
        assert_eq!(rounded(1.0 + 3.0 / 256.0), 1.0 + 4.0 / 256.0, "half way, up to even");
        assert_eq!(rounded(-1.0 - 1.1 / 256.0), -1.0 - 2.0 / 256.0);
        assert_eq!(rounded(f32::MAX), f32::INFINITY);
        assert!(rounded(f32::NAN).is_nan());
    }
}
