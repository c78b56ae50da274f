//! The fields of a NIfTI header as they stand in the file, of either version and byte order.
//!
//! Nothing is judged here beyond "is this NIfTI at all"; `header.rs` judges the values. The `nifti` crate
//! parses version 1. It knows no version 2, so its 540 bytes are parsed here; offsets are those of `nifti2.h`.

use nifti::{Endianness, NiftiHeader};

use super::{HeaderError, NiftiVersion};

/// Bytes of a NIfTI-1 header.
pub(super) const NIFTI1_BYTES: usize = 348;

/// Bytes of a NIfTI-2 header.
pub(super) const NIFTI2_BYTES: usize = 540;

/// Bytes that tell the version, the byte order, and that it is NIfTI at all.
const SIZE_BYTES: usize = 4;

/// The header's fields that matter for voxels, widened to hold both versions without loss.
#[derive(Debug, Clone)]
pub(super) struct Fields {
    pub(super) version: NiftiVersion,
    pub(super) endianness: Endianness,
    pub(super) datatype: i16,
    pub(super) bitpix: i16,
    pub(super) dim: [i64; 8],
    pub(super) pixdim: [f64; 8],
    pub(super) vox_offset: f64,
    pub(super) slope: f64,
    pub(super) intercept: f64,
    pub(super) units: i32,
    pub(super) qform_code: i32,
    pub(super) sform_code: i32,
    pub(super) quaternion: [f64; 3],
    pub(super) offset: [f64; 3],
    pub(super) srow: [[f64; 4]; 3],
}

/// Which header starts with these bytes.
///
/// # Errors
/// A [`HeaderError`] that names what it is instead.
pub(super) fn version_of(start: &[u8]) -> Result<(NiftiVersion, Endianness), HeaderError> {
    if start.starts_with(&[0x1f, 0x8b]) {
        return Err(HeaderError::GzipTwice);
    }
    if start.get(128..132) == Some(b"DICM") {
        return Err(HeaderError::Dicom);
    }
    let size: [u8; SIZE_BYTES] =
        start.get(..SIZE_BYTES).and_then(|size| size.try_into().ok()).ok_or(HeaderError::NotNifti)?;
    for (endianness, size) in
        [(Endianness::Little, i32::from_le_bytes(size)), (Endianness::Big, i32::from_be_bytes(size))]
    {
        if size == NIFTI1_BYTES as i32 {
            return Ok((NiftiVersion::One, endianness));
        }
        if size == NIFTI2_BYTES as i32 {
            return Ok((NiftiVersion::Two, endianness));
        }
    }
    Err(HeaderError::NotNifti)
}

impl Fields {
    /// Parses a version 1 header.
    pub(super) fn parse1(bytes: &[u8; NIFTI1_BYTES], endianness: Endianness) -> Result<Self, HeaderError> {
        match &bytes[344..] {
            b"n+1\0" => {}
            b"ni1\0" => return Err(HeaderError::Pair),
            [0, 0, 0, 0] => return Err(HeaderError::Analyze),
            _ => return Err(HeaderError::NotNifti),
        }
        // The crate tells the byte order by `dim[0]` alone, so a damaged one would scramble every field.
        let dim = Numbers { bytes, endianness }.each(40, Numbers::i16);
        let dim = dim.map(i64::from);
        if !(1..=7).contains(&dim[0]) {
            return Err(HeaderError::Dimensions(dim));
        }
        let header = NiftiHeader::from_reader(&bytes[..]).map_err(|_| HeaderError::NotNifti)?;
        Ok(Self {
            version: NiftiVersion::One,
            endianness,
            datatype: header.datatype,
            bitpix: header.bitpix,
            dim,
            pixdim: header.pixdim.map(f64::from),
            vox_offset: header.vox_offset.into(),
            slope: header.scl_slope.into(),
            intercept: header.scl_inter.into(),
            units: header.xyzt_units.into(),
            qform_code: header.qform_code.into(),
            sform_code: header.sform_code.into(),
            quaternion: [header.quatern_b, header.quatern_c, header.quatern_d].map(f64::from),
            offset: [header.quatern_x, header.quatern_y, header.quatern_z].map(f64::from),
            srow: [header.srow_x, header.srow_y, header.srow_z].map(|row| row.map(f64::from)),
        })
    }

    /// Parses a version 2 header.
    pub(super) fn parse2(bytes: &[u8; NIFTI2_BYTES], endianness: Endianness) -> Result<Self, HeaderError> {
        match &bytes[4..12] {
            b"n+2\0\r\n\x1a\n" => {}
            [b'n', b'i', b'2', 0, ..] => return Err(HeaderError::Pair),
            // The last bytes are there to reveal transfers that rewrote line ends.
            [b'n', b'+', b'2', 0, ..] => return Err(HeaderError::LineEnds),
            _ => return Err(HeaderError::NotNifti),
        }
        let numbers = Numbers { bytes, endianness };
        Ok(Self {
            version: NiftiVersion::Two,
            endianness,
            datatype: numbers.i16(12),
            bitpix: numbers.i16(14),
            dim: numbers.each(16, Numbers::i64),
            pixdim: numbers.each(104, Numbers::f64),
            // Beyond 2^53 the rounding does not matter: such an offset is refused anyway.
            vox_offset: numbers.i64(168) as f64,
            slope: numbers.f64(176),
            intercept: numbers.f64(184),
            units: numbers.i32(500),
            qform_code: numbers.i32(344),
            sform_code: numbers.i32(348),
            quaternion: numbers.each(352, Numbers::f64),
            offset: numbers.each(376, Numbers::f64),
            srow: [400, 432, 464].map(|at| numbers.each(at, Numbers::f64)),
        })
    }
}

/// Numbers at fixed places of a header.
struct Numbers<'a> {
    bytes: &'a [u8],
    endianness: Endianness,
}

impl Numbers<'_> {
    fn fixed<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut bytes = [0; N];
        bytes.copy_from_slice(&self.bytes[at..at + N]);
        if self.endianness == Endianness::Big {
            bytes.reverse();
        }
        bytes
    }

    fn i16(&self, at: usize) -> i16 {
        i16::from_le_bytes(self.fixed(at))
    }

    fn i32(&self, at: usize) -> i32 {
        i32::from_le_bytes(self.fixed(at))
    }

    fn i64(&self, at: usize) -> i64 {
        i64::from_le_bytes(self.fixed(at))
    }

    fn f64(&self, at: usize) -> f64 {
        f64::from_le_bytes(self.fixed(at))
    }

    /// `N` numbers in a row.
    fn each<T, const N: usize>(&self, at: usize, read: fn(&Self, usize) -> T) -> [T; N] {
        std::array::from_fn(|i| read(self, at + i * size_of::<T>()))
    }
}
