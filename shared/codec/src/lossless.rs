//! Integers without loss: small ones are short.
//!
//! An integer `u` is written as `2u`, a negative one as `-2u - 1`, so that small numbers of either sign have zeros in
//! front; then four planes, the most significant first. A trained update of a usual learning rate leaves the upper
//! planes all zero.

use crate::plane::end;
use crate::shuffle::{join, split};
use crate::{DecodeError, Packer, Unpacker};

const BYTES: usize = size_of::<i32>();

pub(crate) fn encode(units: &[i32], packer: &mut Packer, out: &mut Vec<u8>) {
    let mut planes = std::mem::take(&mut packer.planes);
    split(units.iter().map(|&unit| fold(unit).to_be_bytes()), &mut planes);
    for plane in planes.chunks_exact(units.len().max(1)) {
        packer.plane(plane, out);
    }
    packer.planes = planes;
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
    let mut largest = 0;
    for (unit, word) in units.iter_mut().zip(join::<BYTES>(&planes)) {
        *unit = unfold(u32::from_be_bytes(word));
        largest = largest.max(unit.unsigned_abs());
    }
    unpacker.planes = planes;
    within(largest, limit, units)
}

/// Refuses, and names the first, when the largest absolute value is beyond the limit.
fn within(largest: u32, limit: i32, units: &[i32]) -> Result<(), DecodeError> {
    let limit = limit.unsigned_abs();
    match units.iter().position(|unit| largest > limit && unit.unsigned_abs() > limit) {
        Some(index) => Err(DecodeError::Value { index }),
        None => Ok(()),
    }
}

const fn fold(unit: i32) -> u32 {
    ((unit << 1) ^ (unit >> 31)) as u32
}

const fn unfold(word: u32) -> i32 {
    (word >> 1) as i32 ^ -((word & 1) as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_numbers_of_either_sign_have_zeros_in_front() {
        assert_eq!([0, -1, 1, -2, i32::MAX, i32::MIN].map(fold), [0, 1, 2, 3, u32::MAX - 1, u32::MAX]);
        for unit in [0, 1, -1, 1 << 30, -(1 << 30), i32::MAX, i32::MIN] {
            assert_eq!(unfold(fold(unit)), unit);
        }
    }

    #[test]
    fn the_format_does_not_change() {
        let mut out = Vec::new();
        encode(&[1, -1, 300], &mut Packer::new(), &mut out);
        assert_eq!(out, [1, 0, 1, 0, 0, 0, 0, 2, 0, 2, 1, 88]);
    }
}
