//! Integers to eight bits: 256 of them share a scale.
//!
//! For every 256 coordinates (the last may be fewer) the scale is `s = ceil(max |u| / 127)`, 0 where all are zero, and
//! a coordinate is written as the integer `q` nearest to `u / s`. It is read as `q * s`: an integer again, off by at
//! most `s / 2`. The error is large against small coordinates, so a site keeps what it did not tell and adds it to
//! its next update ([arXiv:1901.09847](https://arxiv.org/abs/1901.09847)).
//!
//! Five planes: the scales' four, the most significant first, then all `q` as bytes.

use crate::plane::end;
use crate::shuffle::{join, split};
use crate::{DecodeError, Packer, Unpacker};

/// Coordinates that share a scale: few, so that one large coordinate spoils few others; the scales take 1/64 of
/// what the coordinates would.
pub const SCALE_VALUES: usize = 256;

/// The largest `q`. -128 is not used: the numbers are symmetric.
const MOST: i32 = 127;
const SCALE_BYTES: usize = size_of::<u32>();

/// Replaces `units` by what the receiver will read.
pub(crate) fn encode(units: &mut [i32], limit: i32, packer: &mut Packer, out: &mut Vec<u8>) {
    let mut planes = std::mem::take(&mut packer.planes);
    let scales: Vec<i32> = units.chunks(SCALE_VALUES).map(scale).collect();
    split(scales.iter().map(|scale| scale.to_be_bytes()), &mut planes);
    for plane in planes.chunks_exact(scales.len().max(1)) {
        packer.plane(plane, out);
    }
    planes.clear();
    for (units, &scale) in units.chunks_mut(SCALE_VALUES).zip(&scales) {
        // A scale is rounded up, so that 127 of it may lie beyond the limit.
        let most = MOST.min(limit.checked_div(scale).unwrap_or(0));
        for unit in units {
            let told = nearest(*unit, scale).clamp(-most, most);
            planes.push(told as i8 as u8);
            *unit = told * scale;
        }
    }
    packer.plane(&planes, out);
    packer.planes = planes;
}

pub(crate) fn decode(
    mut bytes: &[u8],
    limit: i32,
    unpacker: &mut Unpacker,
    units: &mut [i32],
) -> Result<(), DecodeError> {
    let groups = units.len().div_ceil(SCALE_VALUES);
    let mut planes = std::mem::take(&mut unpacker.planes);
    planes.resize(SCALE_BYTES * groups + units.len(), 0);
    let (scales, told) = planes.split_at_mut(SCALE_BYTES * groups);
    for plane in scales.chunks_exact_mut(groups.max(1)) {
        unpacker.plane(&mut bytes, plane)?;
    }
    unpacker.plane(&mut bytes, told)?;
    end(bytes)?;
    for (group, scale) in join::<SCALE_BYTES>(scales).enumerate() {
        let first = group * SCALE_VALUES;
        let last = units.len().min(first + SCALE_VALUES);
        let scale = i64::from(u32::from_be_bytes(scale));
        for (place, (unit, &told)) in units[first..last].iter_mut().zip(&told[first..last]).enumerate() {
            let told = i64::from(told as i8);
            let value = told * scale;
            // A scale of 0 says that all are zero; one of many is never needed for none.
            if value.abs() > i64::from(limit) || told < -i64::from(MOST) || (scale == 0 && told != 0) {
                return Err(DecodeError::Value { index: first + place });
            }
            *unit = value as i32;
        }
    }
    unpacker.planes = planes;
    Ok(())
}

fn scale(units: &[i32]) -> i32 {
    let largest = units.iter().map(|unit| unit.unsigned_abs()).max().unwrap_or(0);
    largest.div_ceil(MOST as u32) as i32
}

/// The integer nearest to `unit / scale`, halves away from zero; 0 for a scale of 0.
fn nearest(unit: i32, scale: i32) -> i32 {
    if scale == 0 {
        return 0;
    }
    // Both are integers of 31 bits and the quotient one of 8: an f64 tells it from the half below and above.
    (f64::from(unit) / f64::from(scale)).round() as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(units: &[i32], limit: i32) -> Vec<i32> {
        let mut told = units.to_vec();
        let mut bytes = Vec::new();
        encode(&mut told, limit, &mut Packer::new(), &mut bytes);
        let mut read = vec![0; units.len()];
        decode(&bytes, limit, &mut Unpacker::new(), &mut read).unwrap();
        assert_eq!(read, told);
        told
    }

    #[test]
    fn a_group_that_fits_eight_bits_loses_nothing() {
        let units: Vec<i32> = (-127..=127).collect();
        assert_eq!(told(&units, 1 << 30), units);
        assert_eq!(told(&[0; 300], 1 << 30), [0; 300]);
        assert_eq!(told(&[], 1 << 30), []);
    }

    #[test]
    fn a_large_coordinate_spoils_only_its_group() {
        let mut units = vec![5; 600];
        units[300] = 127_000;
        let told = told(&units, 1 << 30);
        assert_eq!((told[255], told[256], told[300], told[511], told[512]), (5, 0, 127_000, 0, 5));
    }

    #[test]
    fn the_limit_is_kept_where_the_scale_was_rounded_up() {
        let limit = 1 << 30;
        let told = told(&[limit, -limit, 0], limit);
        assert!(told.iter().all(|unit| unit.unsigned_abs() <= limit.unsigned_abs()), "{told:?}");
        assert!((told[0] - limit).abs() < limit / 100, "{told:?}");
    }

    #[test]
    fn numbers_that_nobody_writes_are_refused() {
        let block = |scale: u32, told: [i8; 2]| {
            let mut bytes = Vec::new();
            let scale = scale.to_be_bytes();
            scale.iter().for_each(|byte| bytes.extend([1, *byte]));
            bytes.push(0);
            bytes.extend(told.map(|told| told as u8));
            bytes
        };
        let read = |bytes: &[u8]| {
            let mut units = [0; 2];
            decode(bytes, 1_000, &mut Unpacker::new(), &mut units).map(|()| units)
        };
        assert_eq!(read(&block(10, [100, -100])), Ok([1_000, -1_000]));
        for (scale, told) in [(10, [1, 101]), (u32::MAX, [0, 1]), (1, [0, -128]), (0, [0, 1])] {
            assert_eq!(read(&block(scale, told)), Err(DecodeError::Value { index: 1 }), "{scale} {told:?}");
        }
    }

    #[test]
    fn the_format_does_not_change() {
        let mut out = Vec::new();
        encode(&mut [1, -254, 100], 1 << 30, &mut Packer::new(), &mut out);
        // A scale of 2; 0.5 and 50 and -127.
        assert_eq!(out, [1, 0, 1, 0, 1, 0, 1, 2, 0, 1, 0x81, 50]);
    }
}
