//! A sound NIfTI-1 file laid out byte by byte, for the damage to change.
//!
//! Written here and not with the crate's writer: a shared mistake would hide from both.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

/// Voxels along z, y and x of a sound file.
pub(crate) const SHAPE: [usize; 3] = [10, 12, 14];

/// One file: header fields that damage is done to, and the voxels.
#[derive(Clone)]
pub(crate) struct Nifti {
    pub(crate) dim: [i16; 8],
    pub(crate) datatype: i16,
    pub(crate) bitpix: i16,
    pub(crate) pixdim: [f32; 8],
    pub(crate) vox_offset: f32,
    pub(crate) slope: f32,
    pub(crate) intercept: f32,
    pub(crate) sform_code: i16,
    pub(crate) srow: [[f32; 4]; 3],
    pub(crate) magic: [u8; 4],
    pub(crate) voxels: Vec<f32>,
}

impl Nifti {
    /// A sound file of 1 mm voxels towards left, posterior and superior.
    pub(crate) fn sound(voxels: Vec<f32>) -> Self {
        assert_eq!(voxels.len(), SHAPE.iter().product::<usize>());
        let [z, y, x] = SHAPE.map(|size| size as i16);
        Self {
            dim: [3, x, y, z, 1, 1, 1, 1],
            datatype: 16,
            bitpix: 32,
            pixdim: [1.0; 8],
            vox_offset: 352.0,
            slope: 1.0,
            intercept: 0.0,
            sform_code: 1,
            srow: [[-1.0, 0.0, 0.0, 0.0], [0.0, -1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]],
            magic: *b"n+1\0",
            voxels,
        }
    }

    /// The file's bytes, not compressed.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; 352];
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        put(0, &348i32.to_le_bytes());
        put(40, &self.dim.map(i16::to_le_bytes).concat());
        put(70, &self.datatype.to_le_bytes());
        put(72, &self.bitpix.to_le_bytes());
        put(76, &self.pixdim.map(f32::to_le_bytes).concat());
        put(108, &self.vox_offset.to_le_bytes());
        put(112, &self.slope.to_le_bytes());
        put(116, &self.intercept.to_le_bytes());
        put(123, &[2]);
        put(254, &self.sform_code.to_le_bytes());
        for (row, at) in self.srow.iter().zip([280, 296, 312]) {
            put(at, &row.map(f32::to_le_bytes).concat());
        }
        put(344, &self.magic);
        bytes.extend(self.voxels.iter().flat_map(|value| value.to_le_bytes()));
        bytes
    }

    /// Compressed.
    pub(crate) fn gzip(&self) -> Vec<u8> {
        gzip(&self.bytes())
    }
}

/// The bytes compressed once.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Voxels by place: x fastest.
pub(crate) fn voxels(fill: impl Fn([usize; 3], usize) -> f32) -> Vec<f32> {
    let [depth, height, width] = SHAPE;
    let at = |i: usize| [i / (height * width), i / width % height, i % width];
    (0..depth * height * width).map(|i| fill(at(i), i)).collect()
}

/// Inside the head: two voxels from every side.
pub(crate) fn in_head([z, y, x]: [usize; 3]) -> bool {
    let inside = |place: usize, size: usize| (2..size - 2).contains(&place);
    inside(z, SHAPE[0]) && inside(y, SHAPE[1]) && inside(x, SHAPE[2])
}

/// Inside the tumour: 64 voxels in the head.
pub(crate) fn in_tumour([z, y, x]: [usize; 3]) -> bool {
    (3..7).contains(&z) && (4..8).contains(&y) && (5..9).contains(&x)
}

/// A head unlike that of any other number.
pub(crate) fn head(number: usize) -> Vec<f32> {
    voxels(|at, i| {
        if in_head(at) { 10.0 + ((i * 31 + number * 977) % 1009) as f32 + number as f32 / 8.0 } else { 0.0 }
    })
}

/// A tumour with labels unlike those of any other number.
pub(crate) fn tumour(number: usize) -> Vec<f32> {
    voxels(|at, i| {
        let bit = number >> (i % 11) & 1;
        if in_tumour(at) { [1.0, 2.0][bit] } else { 0.0 }
    })
}
