//! What can be wrong with a header, and how to mend it.

use super::voxel_type::refused_name;
use super::{InvalidAffine, MAX_VOXELS};

/// What is wrong with a header. Each text says how to mend the file.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum HeaderError {
    /// Not NIfTI at all.
    #[error("this is not a NIfTI image: export it as .nii or .nii.gz")]
    NotNifti,
    /// A DICOM slice.
    #[error("this is a DICOM file: convert its series to NIfTI (for instance `dcm2niix`)")]
    Dicom,
    /// The older format that NIfTI grew from, which cannot tell left from right.
    #[error(
        "this is an ANALYZE 7.5 header without the NIfTI mark: export the image as .nii.gz from its source, \
         because ANALYZE does not tell left from right"
    )]
    Analyze,
    /// A header without its image.
    #[error(
        "this is the header of a .hdr/.img pair: convert the pair to one .nii.gz file (for instance \
         `fslchfiletype NIFTI_GZ`)"
    )]
    Pair,
    /// Compressed once too often.
    #[error("this was compressed twice: decompress it once with `gunzip`")]
    GzipTwice,
    /// A transfer in text mode rewrote bytes.
    #[error("a transfer in text mode changed its bytes: copy or download it again in binary mode")]
    LineEnds,
    /// A kind of voxel that has no single real value, or is unknown.
    #[error(
        "datatype {0} ({kind}) is not supported: convert the image to an integer or floating-point scalar, \
         such as int16",
        kind = refused_name(*.0)
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
    /// Not three-dimensional, or an axis without voxels.
    #[error(
        "the dimensions {0:?} (their number, then x, y, z, ...) are not those of a 3D image: mend dim in the \
         header or export the image again"
    )]
    Dimensions([i64; 8]),
    /// A time series, a vector image or the like.
    #[error("there are {volumes} volumes in one file, not one: split them (for instance `fslsplit`)")]
    Series {
        /// The product of the sizes beyond the third.
        volumes: i64,
    },
    /// Too many voxels.
    #[error("the dimensions {0:?} (x, y, z) exceed {MAX_VOXELS} voxels: crop or resample the image")]
    TooLarge([i64; 3]),
    /// A voxel size that is not positive, or beyond anything physical.
    #[error(
        "the voxel spacing {0:?} (x, y, z) is not a positive, possible length: mend pixdim and xyzt_units in \
         the header"
    )]
    Spacing([f32; 3]),
    /// The voxels start at an impossible place.
    #[error("the voxels cannot start at byte {0}: the header is damaged, export the image again")]
    Offset(f64),
    /// An infinite slope or intercept.
    #[error("the intensity scaling {slope} * v + {intercept} is not finite: mend scl_slope and scl_inter")]
    Scaling {
        /// The header's `scl_slope`.
        slope: f64,
        /// The header's `scl_inter`.
        intercept: f64,
    },
    /// The header says where the voxels lie, but cannot mean it.
    #[error(
        "the {form} does not tell where the voxels lie ({cause}): set a correct {form}, or {form}_code to 0 if \
         the orientation is unknown"
    )]
    Placement {
        /// `sform` or `qform`.
        form: &'static str,
        /// What the matrix is.
        cause: InvalidAffine,
    },
}
