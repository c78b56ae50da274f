//! NIfTI files for tests, built field by field: sound by default, and as wrong as a test makes them.
//!
//! Written against the standard's header files (`nifti1.h`, `nifti2.h`), not against the reader.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

/// Every field that matters, wide enough for both versions.
#[derive(Debug, Clone)]
pub(crate) struct NiftiFile {
    pub(crate) version2: bool,
    pub(crate) big_endian: bool,
    pub(crate) header_size: i32,
    pub(crate) magic: [u8; 8],
    pub(crate) dim: [i64; 8],
    pub(crate) datatype: i16,
    pub(crate) bitpix: i16,
    pub(crate) pixdim: [f64; 8],
    pub(crate) vox_offset: f64,
    pub(crate) slope: f64,
    pub(crate) intercept: f64,
    pub(crate) units: u8,
    pub(crate) qform_code: i16,
    pub(crate) sform_code: i16,
    pub(crate) quaternion: [f64; 3],
    pub(crate) offset: [f64; 3],
    pub(crate) srow: [[f64; 4]; 3],
    /// Already in the file's byte order.
    pub(crate) voxels: Vec<u8>,
}

/// The datatype codes that are read, with their bits and a writer of one number.
pub(crate) type Datatype = (i16, i16, fn(f64, bool) -> Vec<u8>);

macro_rules! datatype {
    ($code:literal, $number:ty) => {
        ($code, (8 * size_of::<$number>()) as i16, |value, big_endian| {
            let number = value as $number;
            if big_endian { number.to_be_bytes().to_vec() } else { number.to_le_bytes().to_vec() }
        })
    };
}

pub(crate) const DATATYPES: [Datatype; 10] = [
    datatype!(2, u8),
    datatype!(256, i8),
    datatype!(512, u16),
    datatype!(4, i16),
    datatype!(768, u32),
    datatype!(8, i32),
    datatype!(1280, u64),
    datatype!(1024, i64),
    datatype!(16, f32),
    datatype!(64, f64),
];

/// The values of [`NiftiFile::sound`] in the file's order: 0 to 23, so that any integer type holds them.
pub(crate) fn sound_values() -> Vec<f32> {
    (0..24u8).map(f32::from).collect()
}

impl NiftiFile {
    /// 4x3x2 (x, y, z) voxels of int16, 1.5x2x3 mm, LPS by the sform, little-endian NIfTI-1.
    pub(crate) fn sound() -> Self {
        let file = Self {
            version2: false,
            big_endian: false,
            header_size: 348,
            magic: *b"n+1\0\0\0\0\0",
            dim: [3, 4, 3, 2, 1, 1, 1, 1],
            datatype: 4,
            bitpix: 16,
            pixdim: [1.0, 1.5, 2.0, 3.0, 0.0, 0.0, 0.0, 0.0],
            vox_offset: 352.0,
            slope: 1.0,
            intercept: 0.0,
            units: 2,
            qform_code: 0,
            sform_code: 1,
            quaternion: [0.0; 3],
            offset: [0.0; 3],
            srow: [[-1.5, 0.0, 0.0, 90.0], [0.0, -2.0, 0.0, 126.0], [0.0, 0.0, 3.0, -72.0]],
            voxels: Vec::new(),
        };
        file.with_datatype(DATATYPES[3])
    }

    /// The same image as NIfTI-2.
    pub(crate) fn sound2() -> Self {
        Self {
            version2: true,
            header_size: 540,
            magic: *b"n+2\0\r\n\x1a\n",
            vox_offset: 544.0,
            ..Self::sound()
        }
    }

    /// The same values in another kind of number.
    pub(crate) fn with_datatype(self, (datatype, bitpix, write): Datatype) -> Self {
        let voxels = sound_values().iter().flat_map(|&value| write(value.into(), self.big_endian)).collect();
        Self { datatype, bitpix, voxels, ..self }
    }

    /// The whole file.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = if self.version2 { self.header2() } else { self.header1() };
        bytes.extend([0; 4]);
        let start = if self.vox_offset.is_finite() { self.vox_offset.clamp(0.0, 4096.0) as usize } else { 0 };
        bytes.resize(bytes.len().max(start), 0);
        bytes.extend(&self.voxels);
        bytes
    }

    /// The whole file, compressed.
    pub(crate) fn gzip(&self) -> Vec<u8> {
        gzip(&self.bytes())
    }

    fn header1(&self) -> Vec<u8> {
        let mut header = Layout { bytes: vec![0; 348], big_endian: self.big_endian };
        header.put(0, self.header_size.to_le_bytes());
        header.each(40, self.dim.map(|size| (size as i16).to_le_bytes()));
        header.put(70, self.datatype.to_le_bytes());
        header.put(72, self.bitpix.to_le_bytes());
        header.each(76, self.pixdim.map(single));
        header.each(108, [self.vox_offset, self.slope, self.intercept].map(single));
        header.bytes[123] = self.units;
        header.each(252, [self.qform_code, self.sform_code].map(i16::to_le_bytes));
        header.each(256, self.quaternion.map(single));
        header.each(268, self.offset.map(single));
        for (row, at) in self.srow.iter().zip([280, 296, 312]) {
            header.each(at, row.map(single));
        }
        header.bytes[344..348].copy_from_slice(&self.magic[..4]);
        header.bytes
    }

    fn header2(&self) -> Vec<u8> {
        let mut header = Layout { bytes: vec![0; 540], big_endian: self.big_endian };
        header.put(0, self.header_size.to_le_bytes());
        header.bytes[4..12].copy_from_slice(&self.magic);
        header.put(12, self.datatype.to_le_bytes());
        header.put(14, self.bitpix.to_le_bytes());
        header.each(16, self.dim.map(i64::to_le_bytes));
        header.each(104, self.pixdim.map(f64::to_le_bytes));
        header.put(168, (self.vox_offset as i64).to_le_bytes());
        header.each(176, [self.slope, self.intercept].map(f64::to_le_bytes));
        header.each(344, [self.qform_code, self.sform_code].map(|code| i32::from(code).to_le_bytes()));
        header.each(352, self.quaternion.map(f64::to_le_bytes));
        header.each(376, self.offset.map(f64::to_le_bytes));
        for (row, at) in self.srow.iter().zip([400, 432, 464]) {
            header.each(at, row.map(f64::to_le_bytes));
        }
        header.put(500, i32::from(self.units).to_le_bytes());
        header.bytes
    }
}

fn single(value: f64) -> [u8; 4] {
    (value as f32).to_le_bytes()
}

/// Numbers placed into a header in its byte order.
struct Layout {
    bytes: Vec<u8>,
    big_endian: bool,
}

impl Layout {
    fn put<const N: usize>(&mut self, at: usize, mut number: [u8; N]) {
        if self.big_endian {
            number.reverse();
        }
        self.bytes[at..at + N].copy_from_slice(&number);
    }

    fn each<const N: usize, const COUNT: usize>(&mut self, at: usize, numbers: [[u8; N]; COUNT]) {
        for (i, number) in numbers.into_iter().enumerate() {
            self.put(at + i * N, number);
        }
    }
}

/// One gzip member.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).expect("memory takes every byte");
    encoder.finish().expect("memory takes every byte")
}
