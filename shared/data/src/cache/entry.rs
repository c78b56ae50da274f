//! One input on disk.
//!
//! ```text
//! 0   8  magic            32  32  key
//! 8   4  format version   64  32  BLAKE3 of all the rest, without this field
//! 12  4  bytes a value    96   …  sketch
//! 16 12  shape (z, y, x)   …   …  values, x fastest
//! 28  4  sketch's bytes
//! ```
//!
//! Numbers are in the machine's own byte order: read on a machine of the other order, the version is not known,
//! and the entry counts as damaged. Not an exchange format.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use consilium_domain::Digest;
use half::f16;
use half::slice::HalfFloatSliceExt;

use super::{CachePrecision, MAX_SKETCH_BYTES};

const MAGIC: [u8; 8] = *b"CSLINPUT";
/// Raised with every change of the layout above. The key has it too, so that old entries are not even looked at.
pub(super) const VERSION: u32 = 1;
const HEADER_BYTES: usize = 64;
const CHECKSUM_BYTES: usize = 32;

/// Values read at a time: their bytes stay in the fastest cache between disk, checksum and conversion.
const CHUNK_VALUES: usize = 16 * 1024;

/// An input as it is kept: `values` are exactly what later readings give.
pub(super) struct Entry {
    pub(super) values: Vec<f32>,
    /// The same values in 16 bits, where that is how they are kept.
    halves: Option<Vec<f16>>,
    pub(super) sketch: Vec<u8>,
}

/// What lies at an entry's place.
#[derive(Debug, PartialEq)]
pub(super) enum Reading {
    /// A sound entry of so many bytes; its values are in the buffer.
    Sound { sketch: Vec<u8>, bytes: u64 },
    /// Not what was written, or not of this key and shape. The buffer holds anything.
    Damaged,
    /// Nothing.
    Absent,
}

impl Entry {
    /// Rounds `values` as asked, except where one of them exceeds the range of 16 bits: then all stay in 32.
    pub(super) fn new(mut values: Vec<f32>, sketch: Vec<u8>, precision: CachePrecision) -> Self {
        let halves = (precision == CachePrecision::F16).then(|| {
            let mut halves = vec![f16::ZERO; values.len()];
            halves.convert_from_f32_slice(&values);
            halves
        });
        let halves = halves.filter(|halves| halves.iter().all(|half| half.is_finite()));
        if let Some(halves) = &halves {
            halves.convert_to_f32_slice(&mut values);
        }
        Self { values, halves, sketch }
    }

    /// Whether the values are kept in 32 bits.
    pub(super) const fn is_wide(&self) -> bool {
        self.halves.is_none()
    }

    fn payload(&self) -> &[u8] {
        self.halves.as_deref().map_or(bytemuck::cast_slice(&self.values), bytemuck::cast_slice)
    }

    /// The size of the file.
    pub(super) fn bytes(&self) -> u64 {
        (HEADER_BYTES + CHECKSUM_BYTES + self.sketch.len() + self.payload().len()) as u64
    }

    /// Writes the entry of `key`.
    pub(super) fn write(&self, key: Digest, shape: [usize; 3], file: &mut File) -> io::Result<()> {
        let width = if self.is_wide() { size_of::<f32>() } else { size_of::<f16>() };
        let header = Header { width, shape, sketch_bytes: self.sketch.len(), key }.encode();
        let mut hasher = blake3::Hasher::new();
        hasher.update(&header).update(&self.sketch).update(self.payload());
        file.write_all(&header)?;
        file.write_all(hasher.finalize().as_bytes())?;
        file.write_all(&self.sketch)?;
        file.write_all(self.payload())
    }
}

/// Reads the entry of `key` at `path` into `out`, which has one value a voxel of `shape`.
pub(super) fn read(path: &Path, key: Digest, shape: [usize; 3], out: &mut [f32]) -> io::Result<Reading> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Reading::Absent),
        result => result?,
    };
    match read_open(file, key, shape, out) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Reading::Damaged),
        result => result,
    }
}

fn read_open(mut file: File, key: Digest, shape: [usize; 3], out: &mut [f32]) -> io::Result<Reading> {
    let bytes = file.metadata()?.len();
    let mut front = [0; HEADER_BYTES + CHECKSUM_BYTES];
    file.read_exact(&mut front)?;
    let (header, checksum) = front.split_at(HEADER_BYTES);
    let Some(Header { width, sketch_bytes, .. }) =
        Header::decode(header).filter(|header| header.key == key && header.shape == shape)
    else {
        return Ok(Reading::Damaged);
    };
    if bytes != (front.len() + sketch_bytes + width * out.len()) as u64 {
        return Ok(Reading::Damaged);
    }
    let mut hasher = blake3::Hasher::new();
    let mut sketch = vec![0; sketch_bytes];
    file.read_exact(&mut sketch)?;
    hasher.update(header).update(&sketch);
    if width == size_of::<f16>() {
        read_halves(&mut file, &mut hasher, out)?;
    } else {
        for chunk in out.chunks_mut(CHUNK_VALUES) {
            file.read_exact(bytemuck::cast_slice_mut(chunk))?;
            hasher.update(bytemuck::cast_slice(chunk));
        }
    }
    let sound = hasher.finalize().as_bytes().as_slice() == checksum;
    Ok(if sound { Reading::Sound { sketch, bytes } } else { Reading::Damaged })
}

fn read_halves(file: &mut File, hasher: &mut blake3::Hasher, out: &mut [f32]) -> io::Result<()> {
    let mut buffer = vec![f16::ZERO; CHUNK_VALUES.min(out.len())];
    for chunk in out.chunks_mut(CHUNK_VALUES) {
        let halves = &mut buffer[..chunk.len()];
        file.read_exact(bytemuck::cast_slice_mut(halves))?;
        hasher.update(bytemuck::cast_slice(halves));
        halves.convert_to_f32_slice(chunk);
    }
    Ok(())
}

struct Header {
    /// Bytes a value, 2 or 4.
    width: usize,
    shape: [usize; 3],
    sketch_bytes: usize,
    key: Digest,
}

impl Header {
    fn encode(&self) -> [u8; HEADER_BYTES] {
        let [depth, height, rows] = self.shape;
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_ne_bytes());
        let numbers = [self.width, depth, height, rows, self.sketch_bytes];
        for (field, number) in bytes[12..32].chunks_exact_mut(4).zip(numbers) {
            let number =
                u32::try_from(number).expect("axes of inputs and sketches are bounded far below 2^32");
            field.copy_from_slice(&number.to_ne_bytes());
        }
        bytes[32..].copy_from_slice(self.key.as_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (magic, rest) = bytes.split_first_chunk::<8>()?;
        let (numbers, key) = rest.split_at_checked(24)?;
        let mut numbers = numbers.as_chunks::<4>().0.iter().map(|field| u32::from_ne_bytes(*field));
        let version = numbers.next()?;
        let mut next = || numbers.next().map(|number| number as usize);
        let (width, shape, sketch_bytes) = (next()?, [next()?, next()?, next()?], next()?);
        let known = *magic == MAGIC && version == VERSION && [2, 4].contains(&width);
        (known && sketch_bytes <= MAX_SKETCH_BYTES).then_some(Self {
            width,
            shape,
            sketch_bytes,
            key: Digest::from_bytes(key.try_into().ok()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SHAPE: [usize; 3] = [2, 3, 4];

    fn written(entry: &Entry, key: Digest) -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("entry");
        entry.write(key, SHAPE, &mut File::create(&path).unwrap()).unwrap();
        (dir, path)
    }

    #[test]
    fn every_damaged_byte_and_every_cut_is_noticed() {
        let values: Vec<f32> = (0..24).map(|i| i as f32 / 7.0).collect();
        let (key, other) = (Digest::of(b"key"), Digest::of(b"other"));
        for precision in [CachePrecision::F16, CachePrecision::F32] {
            let entry = Entry::new(values.clone(), vec![7; 5], precision);
            let (_dir, path) = written(&entry, key);
            let bytes = std::fs::read(&path).unwrap();
            assert_eq!(bytes.len() as u64, entry.bytes());
            let reading = || {
                let mut out = vec![0.0; 24];
                (read(&path, key, SHAPE, &mut out).unwrap(), out)
            };
            let sound = Reading::Sound { sketch: vec![7; 5], bytes: entry.bytes() };
            assert_eq!(reading(), (sound, entry.values.clone()));
            for at in 0..bytes.len() {
                let mut damaged = bytes.clone();
                damaged[at] ^= 0x10;
                std::fs::write(&path, damaged).unwrap();
                assert_eq!(reading().0, Reading::Damaged, "byte {at}");
                std::fs::write(&path, &bytes[..at]).unwrap();
                assert_eq!(reading().0, Reading::Damaged, "cut at {at}");
            }
            std::fs::write(&path, [&bytes[..], &[0]].concat()).unwrap();
            assert_eq!(reading().0, Reading::Damaged, "a byte too many");
            std::fs::write(&path, &bytes).unwrap();
            assert_eq!(read(&path, other, SHAPE, &mut [0.0; 24]).unwrap(), Reading::Damaged);
            assert_eq!(read(&path, key, [4, 3, 2], &mut [0.0; 24]).unwrap(), Reading::Damaged);
        }
    }

    #[test]
    fn values_beyond_sixteen_bits_stay_as_they_are() {
        // 65,504 is the largest number; from 65,520 on rounding would give infinity.
        let just = vec![65_519.0, 0.1];
        let entry = Entry::new(just, Vec::new(), CachePrecision::F16);
        assert!(!entry.is_wide() && entry.values == [65_504.0, f16::from_f32(0.1).to_f32()]);
        let beyond = vec![65_520.0, 0.1];
        let entry = Entry::new(beyond.clone(), Vec::new(), CachePrecision::F16);
        assert!(entry.is_wide() && entry.values == beyond);
    }

    proptest! {
        /// Half an ulp of binary16: 2^-11 of the value, or half the smallest subnormal number, 2^-25.
        #[test]
        fn sixteen_bits_cost_at_most_half_an_ulp(value in -65_000.0f32..65_000.0, scale in 0i32..40) {
            let value = value * 2f32.powi(-scale);
            let rounded = Entry::new(vec![value], Vec::new(), CachePrecision::F16).values[0];
            let bound = (value.abs() * 2f32.powi(-11)).max(2f32.powi(-25));
            prop_assert!((rounded - value).abs() <= bound, "{} became {}", value, rounded);
            prop_assert_eq!(Entry::new(vec![value], Vec::new(), CachePrecision::F32).values[0], value);
        }
    }
}
