//! What a NIfTI-1 header must say before its voxels are read.
//!
//! The `nifti` crate parses the fields; the checks are here because it trusts them: a `bitpix` that does not
//! fit the `datatype` makes it panic, and a NaN slope turns every voxel into NaN without a word.

use nifti::{NiftiHeader, NiftiType};

use super::{MAX_VOXELS, Orientation};

/// Bytes of a NIfTI-1 header.
pub(super) const HEADER_BYTES: usize = 348;

/// Voxels of a single-file NIfTI-1 start here or later: the header and four bytes of extension flags.
pub(super) const FIRST_DATA_BYTE: usize = 352;

/// Farthest start of the voxels: room for any honest extension (DICOM headers are kilobytes).
const MAX_DATA_OFFSET: f32 = 16.0 * 1024.0 * 1024.0;

/// What is wrong with a header. Each text says how to mend the file.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum HeaderError {
    /// Not NIfTI at all.
    #[error("this is not a NIfTI-1 image: export it as .nii or .nii.gz")]
    NotNifti,
    /// NIfTI-2.
    #[error("this is NIfTI-2: convert it to NIfTI-1 (for instance `fslchfiletype NIFTI_GZ`)")]
    Nifti2,
    /// A header without its image.
    #[error("this is the header of a .hdr/.img pair: convert the pair to one .nii.gz file")]
    Pair,
    /// A kind of voxel that has no single real value, or is unknown.
    #[error(
        "datatype {0} is not supported: convert the image to an integer or floating-point scalar, \
         such as int16"
    )]
    Datatype(i16),
    /// `bitpix` contradicts `datatype`.
    #[error(
        "{bitpix} bits a voxel contradict datatype {datatype}: the header is damaged, export the image again"
    )]
    Bits {
        /// The header's `bitpix`.
        bitpix: i16,
        /// The header's `datatype`.
        datatype: i16,
    },
    /// Not three-dimensional.
    #[error("the dimensions {0:?} are not one 3D image: split series into one file an image")]
    Dimensions(Vec<u16>),
    /// Too many voxels.
    #[error("the dimensions {0:?} (x, y, z) exceed {MAX_VOXELS} voxels: crop or resample the image")]
    TooLarge([u16; 3]),
    /// A voxel size that is not positive.
    #[error("the voxel spacing {0:?} mm (x, y, z) is not positive: mend pixdim in the header")]
    Spacing([f32; 3]),
    /// The voxels start at an impossible place.
    #[error("the voxels cannot start at byte {0}: the header is damaged, export the image again")]
    Offset(f32),
    /// An infinite slope or intercept.
    #[error("the intensity scaling {slope} * v + {intercept} is not finite: mend scl_slope and scl_inter")]
    Scaling {
        /// The header's `scl_slope`.
        slope: f32,
        /// The header's `scl_inter`.
        intercept: f32,
    },
}

/// A header whose voxels can be read safely.
#[derive(Debug)]
pub(super) struct CheckedHeader {
    /// The parsed fields, with "no scaling" spelled as a slope of 0.
    pub(super) nifti: NiftiHeader,
    /// Voxels along z, y and x.
    pub(super) shape: [usize; 3],
    /// Voxel size along z, y and x in millimetres.
    pub(super) spacing: [f32; 3],
    /// Where the axes point, if the header says.
    pub(super) orientation: Option<Orientation>,
    /// Where the voxels start.
    pub(super) data_offset: usize,
    /// How many bytes the voxels take.
    pub(super) data_bytes: usize,
}

impl CheckedHeader {
    /// Parses and checks the first 348 bytes of a file.
    pub(super) fn parse(bytes: &[u8; HEADER_BYTES]) -> Result<Self, HeaderError> {
        let size = [bytes[0], bytes[1], bytes[2], bytes[3]];
        if [i32::from_le_bytes(size), i32::from_be_bytes(size)].contains(&540) {
            return Err(HeaderError::Nifti2);
        }
        let mut nifti = NiftiHeader::from_reader(&bytes[..]).map_err(|_| HeaderError::NotNifti)?;
        if nifti.sizeof_hdr != HEADER_BYTES as i32 {
            return Err(HeaderError::NotNifti);
        }
        if nifti.magic != *b"n+1\0" {
            return Err(HeaderError::Pair);
        }
        let bytes_a_voxel = check_datatype(&nifti)?;
        let shape = check_dimensions(&nifti)?;
        let spacing = check_spacing(&nifti)?;
        let data_offset = check_offset(nifti.vox_offset)?;
        check_scaling(&mut nifti)?;
        // What follows the third dimension is all ones; the reader need not know.
        nifti.dim[0] = 3;
        Ok(Self {
            orientation: Orientation::of_header(&nifti),
            data_bytes: shape.iter().product::<usize>() * bytes_a_voxel,
            nifti,
            shape,
            spacing,
            data_offset,
        })
    }
}

fn check_datatype(header: &NiftiHeader) -> Result<usize, HeaderError> {
    use NiftiType::{Float32, Float64, Int8, Int16, Int32, Int64, Uint8, Uint16, Uint32, Uint64};
    let datatype = header.data_type().map_err(|_| HeaderError::Datatype(header.datatype))?;
    match datatype {
        Uint8 | Int8 | Uint16 | Int16 | Uint32 | Int32 | Uint64 | Int64 | Float32 | Float64 => {}
        _ => return Err(HeaderError::Datatype(header.datatype)),
    }
    if usize::try_from(header.bitpix) != Ok(datatype.size_of() * 8) {
        return Err(HeaderError::Bits { bitpix: header.bitpix, datatype: header.datatype });
    }
    Ok(datatype.size_of())
}

/// One 3D image: `dim[0]` of 3 to 7, sizes of 1 beyond the third.
fn check_dimensions(header: &NiftiHeader) -> Result<[usize; 3], HeaderError> {
    let dim = header.dim().map_err(|_| HeaderError::Dimensions(header.dim.to_vec()))?;
    if dim.len() < 3 || dim[3..].iter().any(|&n| n != 1) || dim.iter().any(|&n| n > i16::MAX as u16) {
        return Err(HeaderError::Dimensions(dim.to_vec()));
    }
    let shape = [usize::from(dim[2]), usize::from(dim[1]), usize::from(dim[0])];
    let voxels = shape.iter().try_fold(1usize, |product, &n| product.checked_mul(n));
    match voxels {
        Some(voxels) if voxels <= MAX_VOXELS => Ok(shape),
        _ => Err(HeaderError::TooLarge([dim[0], dim[1], dim[2]])),
    }
}

/// Spacing (z, y, x) in millimetres. A negative `pixdim` is an old way to note a mirrored axis.
fn check_spacing(header: &NiftiHeader) -> Result<[f32; 3], HeaderError> {
    let [_, x, y, z, ..] = header.pixdim.map(f32::abs);
    if ![x, y, z].iter().all(|size| size.is_finite() && *size > 0.0) {
        return Err(HeaderError::Spacing([x, y, z]));
    }
    // The low three bits: 1 metre, 2 millimetre, 3 micrometre; 0 is unknown and means millimetre in practice.
    let millimetres = match header.xyzt_units & 7 {
        1 => 1000.0,
        3 => 0.001,
        _ => 1.0,
    };
    let spacing = [z, y, x].map(|size| size * millimetres);
    if spacing.iter().all(|size| size.is_finite() && *size > 0.0) {
        Ok(spacing)
    } else {
        Err(HeaderError::Spacing([x, y, z]))
    }
}

fn check_offset(offset: f32) -> Result<usize, HeaderError> {
    let allowed = FIRST_DATA_BYTE as f32..=MAX_DATA_OFFSET;
    if allowed.contains(&offset) { Ok(offset as usize) } else { Err(HeaderError::Offset(offset)) }
}

/// A slope of 0 or NaN means "no scaling", and then the intercept means nothing either.
fn check_scaling(header: &mut NiftiHeader) -> Result<(), HeaderError> {
    let (slope, intercept) = (header.scl_slope, header.scl_inter);
    if slope == 0.0 || slope.is_nan() {
        (header.scl_slope, header.scl_inter) = (0.0, 0.0);
        return Ok(());
    }
    if !slope.is_finite() || intercept.is_infinite() {
        return Err(HeaderError::Scaling { slope, intercept });
    }
    if intercept.is_nan() {
        header.scl_inter = 0.0;
    }
    Ok(())
}
