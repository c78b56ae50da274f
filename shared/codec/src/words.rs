//! Floating-point numbers without loss: any bytes, seen as 32-bit words.
//!
//! Every word is rotated by one to the left, which brings an `f32`'s exponent into one byte of its own; then four
//! planes, the most significant first. Up to three bytes that make no word follow as they are. Weights shrink to
//! about 0.84: the exponents do, the fractions are noise.

use crate::plane::{MAX_PLANE_BYTES, end, take_some};
use crate::shuffle::{join, split};
use crate::{DecodeError, Packer, Unpacker};

const BYTES: usize = size_of::<f32>();

/// Appends `bytes`, packed, to `out`: little-endian `f32`s, or anything else, at most four times
/// [`MAX_PLANE_BYTES`].
pub fn pack_words(bytes: &[u8], packer: &mut Packer, out: &mut Vec<u8>) {
    let (words, tail) = bytes.as_chunks::<BYTES>();
    let mut planes = std::mem::take(&mut packer.planes);
    split(words.iter().map(|word| u32::from_le_bytes(*word).rotate_left(1).to_be_bytes()), &mut planes);
    for plane in planes.chunks_exact(words.len().max(1)) {
        packer.plane(plane, out);
    }
    packer.planes = planes;
    out.extend(tail);
}

/// Reads what [`pack_words`] has written of `bytes.len()` bytes.
///
/// # Errors
/// When it is not that; `bytes` then hold nothing of use.
pub fn unpack_words(mut packed: &[u8], unpacker: &mut Unpacker, bytes: &mut [u8]) -> Result<(), DecodeError> {
    let (words, tail) = bytes.as_chunks_mut::<BYTES>();
    debug_assert!(words.len() <= MAX_PLANE_BYTES);
    let mut planes = std::mem::take(&mut unpacker.planes);
    planes.resize(BYTES * words.len(), 0);
    for plane in planes.chunks_exact_mut(words.len().max(1)) {
        unpacker.plane(&mut packed, plane)?;
    }
    for (word, folded) in words.iter_mut().zip(join::<BYTES>(&planes)) {
        *word = u32::from_be_bytes(folded).rotate_right(1).to_le_bytes();
    }
    unpacker.planes = planes;
    tail.copy_from_slice(take_some(&mut packed, tail.len())?);
    end(packed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_does_not_change() {
        let bytes = [1.0f32.to_le_bytes(), (-0.5f32).to_le_bytes()].concat();
        let mut out = Vec::new();
        pack_words(&[&bytes[..], &[9, 8]].concat(), &mut Packer::new(), &mut out);
        // 0x3f800000 and 0xbf000000, rotated: 0x7f000000 and 0x7e000001.
        assert_eq!(out, [0, 0x7f, 0x7e, 1, 0, 1, 0, 0, 0, 1, 9, 8]);
        let mut read = [0; 10];
        unpack_words(&out, &mut Unpacker::new(), &mut read).unwrap();
        assert_eq!(read, [&bytes[..], &[9, 8]].concat()[..]);
    }
}
