//! What a NIfTI header must say before its voxels are read.
//!
//! The checks are here because the `nifti` crate trusts the fields: a `bitpix` that does not fit the
//! `datatype` makes it panic, and a NaN slope turns every voxel into NaN without a word.

use std::path::Path;

use nifti::Endianness;

use super::affine::EDGES_MM;
use super::fields::{Fields, NIFTI1_BYTES, NIFTI2_BYTES, version_of};
use super::source::Source;
use super::{Affine, HeaderError, InvalidAffine, MAX_VOXELS, Orientation, ReadVolumeError, VoxelType};

/// Voxels start after the header and four bytes of extension flags, or later.
const EXTENSION_FLAGS: usize = 4;

/// Farthest start of the voxels: room for any honest extension (DICOM headers are kilobytes).
const MAX_DATA_OFFSET: f64 = 16.0 * 1024.0 * 1024.0;

/// How far the squares of a unit quaternion's b, c and d may sum above 1 by rounding of the header's numbers.
const QUATERNION_TOLERANCE: f64 = 1e-3;

/// The version of the file format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NiftiVersion {
    /// NIfTI-1, 348 bytes of header.
    One,
    /// NIfTI-2, 540 bytes of header.
    Two,
}

/// What a file says of its image, before any voxel is read. Every field has been checked.
#[derive(Debug, Clone, PartialEq)]
pub struct VolumeHeader {
    version: NiftiVersion,
    shape: [usize; 3],
    spacing: [f32; 3],
    affine: Option<Affine>,
    voxel_type: VoxelType,
    pub(super) endianness: Endianness,
    /// Slope and intercept; none where voxels are stored as they are.
    pub(super) scaling: Option<[f64; 2]>,
    /// Where the voxels start in the (decompressed) file.
    data_offset: u64,
}

impl VolumeHeader {
    /// Reads the header of a NIfTI-1 or NIfTI-2 file, plain or gzip-compressed: its first kilobytes, whatever
    /// its length.
    ///
    /// # Errors
    /// [`ReadVolumeError`] where [`Volume::read`](super::Volume::read) would refuse the header too, or where
    /// the file is too short for the voxels that it announces.
    pub fn read(path: &Path) -> Result<Self, ReadVolumeError> {
        Self::from_source(&mut Source::open(path)?)
    }

    /// The same from a file in memory; `name` stands for it in error texts.
    ///
    /// # Errors
    /// As [`VolumeHeader::read`].
    pub fn from_bytes(bytes: &[u8], name: &Path) -> Result<Self, ReadVolumeError> {
        Self::from_source(&mut Source::of_bytes(bytes, name))
    }

    fn from_source(source: &mut Source<'_>) -> Result<Self, ReadVolumeError> {
        let header = Self::take(source)?;
        source.check_length(header.data_offset + header.data_bytes())?;
        Ok(header)
    }

    /// Takes the header from the start of `source`.
    pub(super) fn take(source: &mut Source<'_>) -> Result<Self, ReadVolumeError> {
        let mut bytes = [0; NIFTI2_BYTES];
        let start = source.fill(&mut bytes[..NIFTI1_BYTES])?;
        // Short and foreign is foreign; short and NIfTI, or empty, is cut off.
        if start == 0 {
            return Err(source.truncated("header"));
        }
        let (version, endianness) =
            version_of(&bytes[..start]).map_err(|cause| source.header_error(cause))?;
        if start < NIFTI1_BYTES {
            return Err(source.truncated("header"));
        }
        let fields = match version {
            NiftiVersion::One => {
                Fields::parse1(bytes.first_chunk().expect("the buffer is longer"), endianness)
            }
            NiftiVersion::Two => {
                source.exact(&mut bytes[NIFTI1_BYTES..], "header")?;
                Fields::parse2(&bytes, endianness)
            }
        };
        fields.and_then(|fields| Self::check(&fields)).map_err(|cause| source.header_error(cause))
    }

    /// Passes over what lies between the header and the voxels.
    pub(super) fn skip_extension(&self, source: &mut Source<'_>) -> Result<(), ReadVolumeError> {
        source.skip(self.data_offset - self.version.bytes() as u64, "header extension")
    }

    fn check(fields: &Fields) -> Result<Self, HeaderError> {
        let voxel_type = check_datatype(fields)?;
        let shape = check_dimensions(fields)?;
        let spacing = check_spacing(fields)?;
        Ok(Self {
            version: fields.version,
            endianness: fields.endianness,
            voxel_type,
            shape,
            spacing,
            affine: check_placement(fields)?,
            scaling: check_scaling(fields.slope, fields.intercept)?,
            data_offset: check_offset(fields)?,
        })
    }

    /// The version of the file format.
    pub const fn version(&self) -> NiftiVersion {
        self.version
    }

    /// Voxels along z, y and x.
    pub const fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// Voxel size along z, y and x in millimetres, by the header's `pixdim`.
    ///
    /// Software that edits one and not the other leaves it unequal to the affine's [`Affine::spacing`].
    pub const fn spacing(&self) -> [f32; 3] {
        self.spacing
    }

    /// Where the voxels lie, by the sform, else the qform; none where the file has neither.
    pub const fn affine(&self) -> Option<Affine> {
        self.affine
    }

    /// Where the axes point, if the file says so.
    pub fn orientation(&self) -> Option<Orientation> {
        self.affine.map(|affine| affine.orientation())
    }

    /// The kind of number that the file stores.
    pub const fn voxel_type(&self) -> VoxelType {
        self.voxel_type
    }

    /// How many voxels: at most [`MAX_VOXELS`].
    pub fn voxels(&self) -> usize {
        self.shape.iter().product()
    }

    /// How many bytes the voxels take in the file.
    pub(super) fn data_bytes(&self) -> u64 {
        self.voxels() as u64 * self.voxel_type.bytes() as u64
    }
}

impl NiftiVersion {
    const fn bytes(self) -> usize {
        match self {
            Self::One => NIFTI1_BYTES,
            Self::Two => NIFTI2_BYTES,
        }
    }
}

fn check_datatype(fields: &Fields) -> Result<VoxelType, HeaderError> {
    let (datatype, bitpix) = (fields.datatype, fields.bitpix);
    let voxel_type = VoxelType::of_code(datatype).ok_or(HeaderError::Datatype(datatype))?;
    if usize::try_from(bitpix) == Ok(voxel_type.bytes() * 8) {
        Ok(voxel_type)
    } else {
        Err(HeaderError::Bits { bitpix, datatype })
    }
}

/// One 3D image: `dim[0]` of 3 to 7, sizes of 1 beyond the third.
fn check_dimensions(fields: &Fields) -> Result<[usize; 3], HeaderError> {
    let dim = fields.dim;
    let rank = usize::try_from(dim[0]).ok().filter(|rank| (3..=7).contains(rank));
    let sizes = rank.map(|rank| &dim[1..=rank]).ok_or(HeaderError::Dimensions(dim))?;
    if sizes.iter().any(|&size| size < 1) {
        return Err(HeaderError::Dimensions(dim));
    }
    let volumes = sizes[3..].iter().fold(1i64, |product, &size| product.saturating_mul(size));
    if volumes != 1 {
        return Err(HeaderError::Series { volumes });
    }
    let [x, y, z] = [dim[1], dim[2], dim[3]];
    let voxels = x.checked_mul(y).and_then(|slice| slice.checked_mul(z));
    if voxels.is_none_or(|voxels| voxels > MAX_VOXELS as i64) {
        return Err(HeaderError::TooLarge([x, y, z]));
    }
    Ok([z, y, x].map(|size| size as usize))
}

/// Spacing (z, y, x) in millimetres. A negative `pixdim` is an old way to note a mirrored axis.
fn check_spacing(fields: &Fields) -> Result<[f32; 3], HeaderError> {
    let [_, x, y, z, ..] = fields.pixdim.map(f64::abs);
    let spacing = [z, y, x].map(|size| (size * millimetres(fields.units)) as f32);
    if spacing.iter().all(|&size| EDGES_MM.contains(&size.into())) {
        Ok(spacing)
    } else {
        Err(HeaderError::Spacing([x, y, z].map(|size| size as f32)))
    }
}

/// How many millimetres the header's unit of length is.
fn millimetres(units: i32) -> f64 {
    // The low three bits: 1 metre, 2 millimetre, 3 micrometre; 0 is unknown and means millimetre in practice.
    match units & 7 {
        1 => 1000.0,
        3 => 0.001,
        _ => 1.0,
    }
}

/// The sform, else the qform, else nothing, in millimetres.
fn check_placement(fields: &Fields) -> Result<Option<Affine>, HeaderError> {
    let scale = millimetres(fields.units);
    let (form, rows) = if fields.sform_code > 0 {
        ("sform", fields.srow)
    } else if fields.qform_code > 0 {
        ("qform", quaternion_rows(fields))
    } else {
        return Ok(None);
    };
    Affine::new(rows.map(|row| row.map(|entry| entry * scale))).map(Some).map_err(
        |InvalidAffine { .. }| HeaderError::Placement { form, cause: InvalidAffine { rows: Box::new(rows) } },
    )
}

/// The NIfTI-1 standard's method 2: a rotation, voxel sizes, a shift, and the sign of z (`qfac`) from
/// `pixdim[0]`. Rows of NaN where the numbers are no rotation.
fn quaternion_rows(fields: &Fields) -> [[f64; 4]; 3] {
    let [b, c, d] = fields.quaternion;
    let squares = b * b + c * c + d * d;
    let rotation = if squares <= 1.0 + QUATERNION_TOLERANCE { squares } else { f64::NAN };
    // Above 1 by rounding: the nearest rotation is a half turn about the same axis.
    let norm = rotation.max(1.0).sqrt();
    let [b, c, d] = [b, c, d].map(|part| part / norm);
    let a = if rotation.is_nan() { rotation } else { (1.0 - rotation).max(0.0).sqrt() };
    let qfac = if fields.pixdim[0] < 0.0 { -1.0 } else { 1.0 };
    let [_, x, y, z, ..] = fields.pixdim.map(f64::abs);
    let edges = [x, y, z * qfac];
    let columns = [
        [a * a + b * b - c * c - d * d, 2.0 * (b * c - a * d), 2.0 * (b * d + a * c)],
        [2.0 * (b * c + a * d), a * a + c * c - b * b - d * d, 2.0 * (c * d - a * b)],
        [2.0 * (b * d - a * c), 2.0 * (c * d + a * b), a * a + d * d - b * b - c * c],
    ];
    std::array::from_fn(|row| {
        let turned = columns[row];
        [turned[0] * edges[0], turned[1] * edges[1], turned[2] * edges[2], fields.offset[row]]
    })
}

fn check_offset(fields: &Fields) -> Result<u64, HeaderError> {
    let first = (fields.version.bytes() + EXTENSION_FLAGS) as f64;
    let offset = fields.vox_offset;
    if (first..=MAX_DATA_OFFSET).contains(&offset) && offset.fract() == 0.0 {
        Ok(offset as u64)
    } else {
        Err(HeaderError::Offset(offset))
    }
}

/// A slope of 0 or NaN means "no scaling", and then the intercept means nothing either. A NaN intercept of a
/// sound slope means 0.
fn check_scaling(slope: f64, intercept: f64) -> Result<Option<[f64; 2]>, HeaderError> {
    if slope == 0.0 || slope.is_nan() {
        return Ok(None);
    }
    if slope.is_infinite() || intercept.is_infinite() {
        return Err(HeaderError::Scaling { slope, intercept });
    }
    let intercept = if intercept.is_nan() { 0.0 } else { intercept };
    Ok((slope != 1.0 || intercept != 0.0).then_some([slope, intercept]))
}
