//! The three ways to tell an update's integers.

use rayon::prelude::*;

use crate::int8::SCALE_VALUES;
use crate::plane::most_bytes;
use crate::{DecodeError, Packer, Unpacker, bf16, int8, lossless};

/// Numbers in every block but the last: with its sums and the model's part a block's work stays in a core's cache of
/// 1 MiB, and the tables that zstd writes for a plane of 32 KiB are less than one per cent of it.
pub const BLOCK_VALUES: usize = 1 << 15;

/// How exactly an update's integers are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UnitCodec {
    /// As they are.
    Lossless,
    /// Eight significant bits each.
    Bf16,
    /// Eight bits each, with a scale for every 256.
    Int8,
}

impl UnitCodec {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Lossless, Self::Bf16, Self::Int8];

    /// Bytes of a block of `values` numbers at most: a receiver reads no more.
    pub const fn most_bytes(self, values: usize) -> usize {
        match self {
            Self::Lossless => 4 * most_bytes(values),
            Self::Bf16 => 2 * most_bytes(values),
            Self::Int8 => 4 * most_bytes(values.div_ceil(SCALE_VALUES)) + most_bytes(values),
        }
    }

    /// Appends a block to `out` and replaces `units` by what the receiver will read. No unit may be larger than
    /// `limit`, a power of two up to 2^30, in absolute value, and then none will be read that is.
    pub fn encode(self, units: &mut [i32], limit: i32, packer: &mut Packer, out: &mut Vec<u8>) {
        match self {
            Self::Lossless => lossless::encode(units, packer, out),
            Self::Bf16 => bf16::encode(units, limit, packer, out),
            Self::Int8 => int8::encode(units, limit, packer, out),
        }
    }

    /// Reads a block of exactly `units.len()` numbers, none larger than `limit` in absolute value.
    ///
    /// # Errors
    /// When it is not one; `units` then hold nothing of use.
    pub fn decode(
        self,
        bytes: &[u8],
        limit: i32,
        unpacker: &mut Unpacker,
        units: &mut [i32],
    ) -> Result<(), DecodeError> {
        match self {
            Self::Lossless => lossless::decode(bytes, limit, unpacker, units),
            Self::Bf16 => bf16::decode(bytes, limit, unpacker, units),
            Self::Int8 => int8::decode(bytes, limit, unpacker, units),
        }
    }

    /// All of `units` as blocks of [`BLOCK_VALUES`], on all processors; `units` become what the receiver will read.
    /// The same bytes whatever the number of threads.
    pub fn encode_all(self, units: &mut [i32], limit: i32) -> Vec<Vec<u8>> {
        let block = |packer: &mut Packer, units: &mut [i32]| {
            let mut out = Vec::new();
            self.encode(units, limit, packer, &mut out);
            out
        };
        units.par_chunks_mut(BLOCK_VALUES).map_init(Packer::new, block).collect()
    }
}
