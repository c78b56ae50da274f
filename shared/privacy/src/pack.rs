//! A protected update as the study's wire tells it.
//!
//! ```text
//! offset  0  "CONSUPD2"
//! offset  8  number of coordinates n, u64 little-endian
//! offset 16  codec: 1 without loss, 2 bf16, 3 int8
//! offset 17  three zero bytes
//! offset 20  relative error of what is told (below), f32 little-endian
//! offset 24  ceil(n / 32768) blocks: length u32 little-endian, then a block of consilium-codec
//! ```
//!
//! Every codec's numbers are integers in units of the grid, so the receiver sums what the sender rounded, exactly.

use std::ops::AddAssign;

use consilium_codec::{BLOCK_VALUES, UnitCodec};
use consilium_domain::Wire;

use crate::payload::HEADER_BYTES;
use crate::{ProtectedUpdate, Residual, ResidualError, UpdateEnvelope};

pub(crate) const MAGIC: &[u8; 8] = b"CONSUPD2";
/// Codec, reserved bytes and error, after what plain updates have too.
pub(crate) const EXTRA_BYTES: usize = 8;
/// Bytes of a block's length.
pub(crate) const LENGTH_BYTES: usize = size_of::<u32>();

/// A packed update, and what must be known and kept at the site.
#[derive(Debug)]
pub struct Packed {
    /// What leaves.
    pub envelope: UpdateEnvelope,
    /// What stays, for the next update of the lane; only with [`Wire::Int8`].
    pub residual: Option<Residual>,
    /// Euclidean norm of what was rounded away, relative to that of the update (with what was kept of the update
    /// before). 0 where nothing is lost.
    pub relative_error: f64,
}

impl ProtectedUpdate {
    /// Rounds to what `wire` can tell and writes it, on all processors. `before` is what the lane's update before
    /// could not tell; it is added first, and saturates at the clip.
    ///
    /// # Errors
    /// When `before` is of another network.
    pub fn pack(self, wire: Wire, before: Option<&Residual>) -> Result<Packed, ResidualError> {
        let codec = codec(wire);
        let limit = self.grid().max_units();
        let (mut wanted, summary) = self.into_parts();
        if let Some(before) = before {
            before.add_to(&mut wanted, limit)?;
        }
        let (told, blocks, relative_error) = match codec {
            UnitCodec::Lossless => (None, codec.encode_all(&mut wanted, limit), 0.0),
            UnitCodec::Bf16 | UnitCodec::Int8 => {
                let mut told = wanted.clone();
                let blocks = codec.encode_all(&mut told, limit);
                let error = Loss::between(&wanted, &told).relative_error();
                (Some(told), blocks, error)
            }
        };
        let envelope = UpdateEnvelope::new(write(codec, wanted.len(), relative_error, &blocks), summary);
        let residual = match (codec, told) {
            (UnitCodec::Int8, Some(told)) => Some(Residual::between(wanted, &told)),
            _ => None,
        };
        Ok(Packed { envelope, residual, relative_error })
    }
}

/// Bytes of an update at most: what a receiver may let a site send.
pub fn most_update_bytes(wire: Wire, coordinates: usize) -> u64 {
    let codec = codec(wire);
    let (whole, rest) = (coordinates / BLOCK_VALUES, coordinates % BLOCK_VALUES);
    let block = |values| (LENGTH_BYTES + codec.most_bytes(values)) as u64;
    let blocks = whole as u64 * block(BLOCK_VALUES) + if rest > 0 { block(rest) } else { 0 };
    // Plain updates are shorter than the longest packed ones without loss.
    (HEADER_BYTES + EXTRA_BYTES) as u64 + blocks
}

pub(crate) const fn codec(wire: Wire) -> UnitCodec {
    match wire {
        Wire::F32 => UnitCodec::Lossless,
        Wire::Bf16 => UnitCodec::Bf16,
        Wire::Int8 => UnitCodec::Int8,
    }
}

pub(crate) const fn code(codec: UnitCodec) -> u8 {
    match codec {
        UnitCodec::Lossless => 1,
        UnitCodec::Bf16 => 2,
        UnitCodec::Int8 => 3,
    }
}

fn write(codec: UnitCodec, coordinates: usize, relative_error: f64, blocks: &[Vec<u8>]) -> Vec<u8> {
    let length: usize = blocks.iter().map(|block| LENGTH_BYTES + block.len()).sum();
    let mut bytes = header(codec, coordinates, relative_error);
    bytes.reserve_exact(length);
    for block in blocks {
        bytes.extend((block.len() as u32).to_le_bytes());
        bytes.extend(block);
    }
    bytes
}

/// What stands before the blocks.
pub(crate) fn header(codec: UnitCodec, coordinates: usize, relative_error: f64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES + EXTRA_BYTES);
    bytes.extend(MAGIC);
    bytes.extend((coordinates as u64).to_le_bytes());
    bytes.extend([code(codec), 0, 0, 0]);
    bytes.extend((relative_error as f32).to_le_bytes());
    bytes
}

/// What rounding took of some coordinates: sums of squares, which are integers, so that their order does not matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Loss {
    lost: u128,
    all: u128,
}

impl Loss {
    pub(crate) fn between(wanted: &[i32], told: &[i32]) -> Self {
        let square = |value: i64| u128::from((value * value) as u64);
        Self {
            lost: wanted.iter().zip(told).map(|(&w, &t)| square(i64::from(w) - i64::from(t))).sum(),
            all: wanted.iter().map(|&w| square(i64::from(w))).sum(),
        }
    }

    /// The Euclidean norm of what was lost over that of all.
    pub fn relative_error(self) -> f64 {
        if self.lost == 0 { 0.0 } else { (self.lost as f64 / self.all as f64).sqrt() }
    }
}

impl AddAssign for Loss {
    fn add_assign(&mut self, other: Self) {
        self.lost += other.lost;
        self.all += other.all;
    }
}

#[cfg(test)]
mod tests {
    use consilium_domain::FixedPoint;

    use super::*;
    use crate::{Grid, LocalUpdate};

    fn protected(change: &[f32]) -> ProtectedUpdate {
        let grid = Grid::new(FixedPoint { clip: 1, fraction_bits: 12 }).unwrap();
        LocalUpdate::between(&vec![0.0; change.len()], change.to_vec(), 9).unwrap().clip(grid).quantise()
    }

    #[test]
    fn the_bytes_are_these() {
        let change = [1.0 / 4096.0, -1.0, 300.0 / 4096.0];
        let Packed { envelope, residual, relative_error } =
            protected(&change).pack(Wire::Bf16, None).unwrap();
        let expected = b"CONSUPD2\x03\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x08\0\0\0\0\x7f\x8b\x87\0\0\x01\x2c";
        assert_eq!(envelope.payload(), expected);
        assert_eq!((residual.is_none(), relative_error), (true, 0.0));
        assert_eq!(envelope.summary().cases, 9);
    }

    #[test]
    fn the_error_is_what_was_rounded_away() {
        let change = [257.0 / 4096.0, 0.0];
        assert_eq!(protected(&change).pack(Wire::F32, None).unwrap().relative_error, 0.0);
        assert_eq!(protected(&change).pack(Wire::Bf16, None).unwrap().relative_error, 1.0 / 257.0);
        assert_eq!(protected(&[0.0; 3]).pack(Wire::Int8, None).unwrap().relative_error, 0.0);
    }

    #[test]
    fn no_update_is_longer_than_the_most() {
        let noise: Vec<f32> =
            (0..70_000u32).map(|i| (i.wrapping_mul(i + 7) % 8_191) as f32 / 8_192.0 - 0.5).collect();
        for wire in [Wire::F32, Wire::Bf16, Wire::Int8] {
            for length in [0, 1, 2, 300, 70_000] {
                let packed = protected(&noise[..length]).pack(wire, None).unwrap();
                assert!(packed.envelope.payload().len() as u64 <= most_update_bytes(wire, length));
            }
        }
        for length in [0, 1, 65_536, 65_537] {
            assert!(crate::UpdatePayload::bytes(length) as u64 <= most_update_bytes(Wire::F32, length));
        }
    }
}
