//! One plane: bytes of one significance, stored in the shortest of three forms.
//!
//! ```text
//! byte 0   form
//!   0      the bytes as they are
//!   1      one byte: all are this one
//!   2      length n, u32 little-endian, smaller than the plane; n bytes of zstd
//! ```
//!
//! The reader knows how long a plane is. zstd decompresses in one go into exactly that much memory, which is also
//! all the window there is: what a frame claims of its window and content reserves nothing.

use crate::DecodeError;

const AS_THEY_ARE: u8 = 0;
const ALL_ALIKE: u8 = 1;
const COMPRESSED: u8 = 2;

/// Bytes of a plane's form.
const FORM_BYTES: usize = 1;
const LENGTH_BYTES: usize = size_of::<u32>();

/// zstd's fastest ordinary level. Planes hold next to no repetition, only uneven frequencies, and higher levels look
/// for repetition.
const LEVEL: i32 = 1;

/// The largest plane: 32 bits of length could say more, no block needs more.
pub const MAX_PLANE_BYTES: usize = 1 << 20;

/// Bytes that a plane of `bytes` bytes takes at most.
pub const fn most_bytes(bytes: usize) -> usize {
    FORM_BYTES + bytes
}

/// Writes planes. Holds zstd's tables and a buffer, to be used again: one for each thread.
pub struct Packer {
    zstd: zstd::bulk::Compressor<'static>,
    compressed: Vec<u8>,
    pub(crate) planes: Vec<u8>,
}

impl Default for Packer {
    fn default() -> Self {
        Self::new()
    }
}

impl Packer {
    /// Ready to write.
    pub fn new() -> Self {
        let zstd = zstd::bulk::Compressor::new(LEVEL).expect("zstd has its own level");
        Self { zstd, compressed: Vec::new(), planes: Vec::new() }
    }

    /// Appends `plane` to `out`.
    ///
    /// # Panics
    /// When the plane is longer than [`MAX_PLANE_BYTES`].
    pub fn plane(&mut self, plane: &[u8], out: &mut Vec<u8>) {
        assert!(plane.len() <= MAX_PLANE_BYTES, "a plane of {} bytes", plane.len());
        if let Some(first) = plane.first()
            && plane.iter().all(|byte| byte == first)
        {
            out.extend([ALL_ALIKE, *first]);
            return;
        }
        // Room for what is worth keeping and no more: zstd gives up early on a plane that does not shrink so far.
        self.compressed.resize(plane.len().saturating_sub(LENGTH_BYTES), 0);
        match self.zstd.compress_to_buffer(plane, &mut self.compressed[..]) {
            Ok(length) if length > 0 => {
                out.push(COMPRESSED);
                out.extend((length as u32).to_le_bytes());
                out.extend(&self.compressed[..length]);
            }
            _ => {
                out.push(AS_THEY_ARE);
                out.extend(plane);
            }
        }
    }
}

/// Reads planes. Holds zstd's tables and a buffer, to be used again: one for each thread.
pub struct Unpacker {
    zstd: zstd::bulk::Decompressor<'static>,
    pub(crate) planes: Vec<u8>,
}

impl Default for Unpacker {
    fn default() -> Self {
        Self::new()
    }
}

impl Unpacker {
    /// Ready to read.
    pub fn new() -> Self {
        let zstd = zstd::bulk::Decompressor::new().expect("a decompressor needs nothing but memory");
        Self { zstd, planes: Vec::new() }
    }

    /// Takes a plane of exactly `plane.len()` bytes off the front of `bytes`.
    ///
    /// # Errors
    /// When it is not one.
    pub fn plane(&mut self, bytes: &mut &[u8], plane: &mut [u8]) -> Result<(), DecodeError> {
        match take::<FORM_BYTES>(bytes)? {
            [AS_THEY_ARE] => plane.copy_from_slice(take_some(bytes, plane.len())?),
            [ALL_ALIKE] => {
                let [byte] = take(bytes)?;
                plane.fill(byte);
            }
            [COMPRESSED] => {
                let length = u32::from_le_bytes(take(bytes)?) as usize;
                if length >= plane.len() {
                    return Err(DecodeError::NotSmaller { plane: plane.len(), compressed: length });
                }
                let compressed = take_some(bytes, length)?;
                let opened = self.zstd.decompress_to_buffer(compressed, plane);
                if !matches!(opened, Ok(opened) if opened == plane.len()) {
                    return Err(DecodeError::Compressed(plane.len()));
                }
            }
            [form] => return Err(DecodeError::Form(form)),
        }
        Ok(())
    }
}

/// The next `N` bytes.
fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], DecodeError> {
    let missing = N.saturating_sub(bytes.len());
    let (head, rest) = bytes.split_first_chunk().ok_or(DecodeError::Truncated { missing })?;
    *bytes = rest;
    Ok(*head)
}

/// The next `length` bytes.
pub(crate) fn take_some<'b>(bytes: &mut &'b [u8], length: usize) -> Result<&'b [u8], DecodeError> {
    let missing = length.saturating_sub(bytes.len());
    let (head, rest) = bytes.split_at_checked(length).ok_or(DecodeError::Truncated { missing })?;
    *bytes = rest;
    Ok(head)
}

/// Nothing may follow.
pub(crate) fn end(bytes: &[u8]) -> Result<(), DecodeError> {
    if bytes.is_empty() { Ok(()) } else { Err(DecodeError::Trailing(bytes.len())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(plane: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        Packer::new().plane(plane, &mut out);
        out
    }

    fn unpacked(mut bytes: &[u8], length: usize) -> Result<Vec<u8>, DecodeError> {
        let mut plane = vec![0; length];
        Unpacker::new().plane(&mut bytes, &mut plane)?;
        end(bytes)?;
        Ok(plane)
    }

    fn noise(length: usize) -> Vec<u8> {
        let mut state = 1u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        (0..length).map(|_| next()).collect()
    }

    #[test]
    fn each_plane_takes_its_shortest_form() {
        assert_eq!(packed(&[7; 100]), [ALL_ALIKE, 7]);
        let noise = noise(5_000);
        assert_eq!(packed(&noise), [&[AS_THEY_ARE], &noise[..]].concat());
        let uneven: Vec<u8> = noise.iter().map(|byte| byte & 3).collect();
        let short = packed(&uneven);
        assert_eq!(short[0], COMPRESSED);
        assert!(short.len() < 1_700, "{} bytes", short.len());
        for plane in [vec![], vec![1], vec![1, 2], vec![7; 100], noise, uneven] {
            assert!(packed(&plane).len() <= most_bytes(plane.len()));
            assert_eq!(unpacked(&packed(&plane), plane.len()).unwrap(), plane);
        }
    }

    #[test]
    fn a_frame_that_claims_gigabytes_reserves_nothing() {
        // One raw block of 3 bytes, in a frame whose header claims a window and a content of 2 GiB.
        let frame = [0x28, 0xB5, 0x2F, 0xFD, 0xA0, 0, 0, 0, 0x80, 0x19, 0, 0, 1, 2, 3];
        let bytes = [&[COMPRESSED, frame.len() as u8, 0, 0, 0], &frame[..]].concat();
        assert_eq!(unpacked(&bytes, 100), Err(DecodeError::Compressed(100)));
    }

    #[test]
    fn each_fault_has_its_own_refusal() {
        let uneven: Vec<u8> = (0..5_000u32).map(|i| (i * i % 7) as u8).collect();
        let good = packed(&uneven);
        assert_eq!(unpacked(&[], 9), Err(DecodeError::Truncated { missing: 1 }));
        assert_eq!(unpacked(&[9], 9), Err(DecodeError::Form(9)));
        assert_eq!(unpacked(&[AS_THEY_ARE, 1, 2], 9), Err(DecodeError::Truncated { missing: 7 }));
        assert_eq!(unpacked(&[ALL_ALIKE], 9), Err(DecodeError::Truncated { missing: 1 }));
        assert_eq!(unpacked(&good[..good.len() - 2], 5_000), Err(DecodeError::Truncated { missing: 2 }));
        assert_eq!(unpacked(&[&good[..], &[0]].concat(), 5_000), Err(DecodeError::Trailing(1)));
        assert_eq!(unpacked(&good, 4_999), Err(DecodeError::Compressed(4_999)), "too long");
        assert_eq!(unpacked(&good, 5_001), Err(DecodeError::Compressed(5_001)), "too short");
        let larger = [COMPRESSED, 9, 0, 0, 0];
        assert_eq!(unpacked(&larger, 9), Err(DecodeError::NotSmaller { plane: 9, compressed: 9 }));
    }
}
