//! Integers to eight significant bits: the numbers of bfloat16.
//!
//! A unit of the grid is a power of two, so rounding a coordinate to bfloat16 and rounding its number of units to
//! bfloat16 are the same. Up to 256 units nothing is lost; above, the error is at most 2^-8 of the number. Every
//! bfloat16 that rounds an integer is an integer, so the receiver adds what the sender rounded, exactly.
//!
//! The 16 bits are rotated by one to the left, which brings the exponent into one byte and the sign to the fraction,
//! then two planes: exponents (short), fractions and signs (noise).

use crate::plane::end;
use crate::shuffle::{join, split};
use crate::{DecodeError, Packer, Unpacker};

const BYTES: usize = size_of::<u16>();
/// Bits of an `f32` that a bfloat16 lacks.
const LOST_BITS: u32 = 16;

/// Replaces `units` by what the receiver will read.
pub(crate) fn encode(units: &mut [i32], limit: i32, packer: &mut Packer, out: &mut Vec<u8>) {
    let mut planes = std::mem::take(&mut packer.planes);
    let rounded = units.iter().map(|&unit| round(unit).rotate_left(1).to_be_bytes());
    split(rounded, &mut planes);
    for plane in planes.chunks_exact(units.len().max(1)) {
        packer.plane(plane, out);
    }
    packer.planes = planes;
    for unit in units.iter_mut() {
        *unit = widen(round(*unit)) as i32;
        debug_assert!(unit.unsigned_abs() <= limit.unsigned_abs(), "the limit is a power of two");
    }
}

pub(crate) fn decode(
    mut bytes: &[u8],
    limit: i32,
    unpacker: &mut Unpacker,
    units: &mut [i32],
) -> Result<(), DecodeError> {
    let mut planes = std::mem::take(&mut unpacker.planes);
    planes.resize(BYTES * units.len(), 0);
    for plane in planes.chunks_exact_mut(units.len().max(1)) {
        unpacker.plane(&mut bytes, plane)?;
    }
    end(bytes)?;
    let mut sound = true;
    for (unit, word) in units.iter_mut().zip(join::<BYTES>(&planes)) {
        let written = word_of(word);
        // NaN becomes 0 and what is too large becomes the largest: neither has the bits that were written.
        *unit = (widen(written) as i32).clamp(-limit, limit);
        sound &= (*unit as f32).to_bits() == u32::from(written) << LOST_BITS;
    }
    let fault = || join::<BYTES>(&planes).zip(&*units).position(|(word, unit)| !is_written(word, *unit));
    let outcome = match (sound, fault) {
        (true, _) => Ok(()),
        (false, fault) => Err(DecodeError::Value { index: fault().unwrap_or_default() }),
    };
    unpacker.planes = planes;
    outcome
}

fn is_written(word: [u8; BYTES], unit: i32) -> bool {
    (unit as f32).to_bits() == u32::from(word_of(word)) << LOST_BITS
}

fn word_of(word: [u8; BYTES]) -> u16 {
    u16::from_be_bytes(word).rotate_right(1)
}

/// The bfloat16 nearest to `unit`, of two the even one.
fn round(unit: i32) -> u16 {
    const KEPT: u32 = 0xFF;
    // An f32 has 24 significant bits. Of larger numbers the last eight bits become one that says whether there was
    // any: the second rounding then errs no more than a single one would.
    let size = unit.unsigned_abs();
    let any = ((size & KEPT) + KEPT) & (KEPT + 1);
    let size = if size >> 24 == 0 { size } else { (size & !KEPT) | any };
    let bits = (size as f32).to_bits();
    let even = (bits >> LOST_BITS) & 1;
    let magnitude = (bits + (1 << (LOST_BITS - 1)) - 1 + even) >> LOST_BITS;
    let sign = (unit as u32) >> 31;
    (magnitude | sign << (LOST_BITS - 1)) as u16
}

fn widen(word: u16) -> f32 {
    f32::from_bits(u32::from(word) << LOST_BITS)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// By 64-bit numbers, which hold every integer of 32 bits, in one rounding.
    fn rounded_once(unit: i32) -> i64 {
        let size = i64::from(unit).abs();
        let step = 1i64 << (64 - size.leading_zeros()).saturating_sub(8);
        let below = size / step * step;
        let up = match (2 * (size - below)).cmp(&step) {
            std::cmp::Ordering::Less => false,
            std::cmp::Ordering::Equal => step > 1 && (below / step) % 2 == 1,
            std::cmp::Ordering::Greater => true,
        };
        (below + if up { step } else { 0 }) * i64::from(unit.signum())
    }

    #[test]
    fn halves_go_to_the_even_neighbour_and_small_numbers_stay() {
        for unit in -256..=256 {
            assert_eq!(widen(round(unit)), unit as f32);
        }
        assert_eq!(
            [257, 259, 258, -257, -259].map(|u| widen(round(u))),
            [256.0, 260.0, 258.0, -256.0, -260.0]
        );
        // Just above a half, by less than an f32 can tell.
        assert_eq!(widen(round((0b1000_0000 << 22) + (1 << 21) + 1)), (0b1000_0001 << 22) as f32);
    }

    #[test]
    fn what_is_no_integer_within_the_limit_is_refused() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0, 0.5, -1.5, 1e-30, 512.0, -258.0] {
            let words = [1.0, bad, bad].map(|value| ((value.to_bits() >> 16) as u16).rotate_left(1));
            let mut planes = Vec::new();
            split(words.map(u16::to_be_bytes).into_iter(), &mut planes);
            let mut bytes = Vec::new();
            planes.chunks_exact(3).for_each(|plane| Packer::new().plane(plane, &mut bytes));
            let refused = decode(&bytes, 256, &mut Unpacker::new(), &mut [0; 3]);
            assert_eq!(refused, Err(DecodeError::Value { index: 1 }), "{bad}");
        }
    }

    #[test]
    fn the_format_does_not_change() {
        let mut out = Vec::new();
        encode(&mut [1, -1, 300], 1 << 30, &mut Packer::new(), &mut out);
        // 1 is 0x3f80 in bfloat16, -1 is 0xbf80, 300 is 0x4396.
        assert_eq!(out, [0, 0x7f, 0x7f, 0x87, 0, 0x00, 0x01, 0x2c]);
    }

    proptest! {
        #[test]
        fn it_is_one_rounding_to_nearest_even(unit: i32) {
            let unit = unit.clamp(-(1 << 30), 1 << 30);
            prop_assert_eq!(widen(round(unit)) as i64, rounded_once(unit));
            let short = unit >> 20;
            prop_assert_eq!(widen(round(short)) as i64, rounded_once(short));
        }
    }
}
