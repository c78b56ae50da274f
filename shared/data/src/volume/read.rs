//! Reading `.nii` and `.nii.gz` files.
//!
//! Anything doubtful is an error: no voxel is ever made up. Memory grows with the voxels that a file really
//! holds, decoded a piece at a time, so a lying header costs nothing.

use std::io;
use std::path::{Path, PathBuf};

use nifti::{InMemNiftiVolume, IntoNdArray};

use super::source::Source;
use super::{HeaderError, InvalidVolume, MAX_VOXELS, Volume, VolumeHeader};

/// Voxels decoded at once: every buffer of a piece stays within 64 KiB, which the processor's cache holds.
const PIECE_VOXELS: usize = 8192;

/// Most memory that reading one file can take, whatever its bytes: [`MAX_VOXELS`] as `f32`, the copy that
/// growing them makes (never more than as much again), and a mebibyte for pieces, inflater and buffers.
pub const MAX_READ_BYTES: usize = 2 * size_of::<f32>() * MAX_VOXELS + (1 << 20);

/// Why a volume could not be read. The texts name files, which name patients: they are for the site's own
/// eyes.
#[derive(Debug, thiserror::Error)]
pub enum ReadVolumeError {
    /// The file cannot be opened or read.
    #[error(
        "{}: cannot be read ({cause}): check that the file exists and that this account may read it",
        path.display()
    )]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// A folder, pipe or device.
    #[error("{}: this is a folder or device, not a file: name the image file itself", path.display())]
    NotAFile {
        /// What was named.
        path: PathBuf,
    },
    /// The compressed stream is damaged.
    #[error("{}: the gzip data are damaged ({cause}): copy or download the file again", path.display())]
    Gzip {
        /// The file.
        path: PathBuf,
        /// What the decoder said.
        cause: io::Error,
    },
    /// The file ends before its last voxel.
    #[error("{}: the file ends before its {part} does: copy or download the file again", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Header, extension, voxels or checksum.
        part: &'static str,
    },
    /// Far more follows than the header announced.
    #[error("{}: much more data follow than the header announces: export the image again", path.display())]
    Trailing {
        /// The file.
        path: PathBuf,
    },
    /// The header is not one of a readable image.
    #[error("{}: {cause}", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        cause: HeaderError,
    },
    /// The voxels are not an image.
    #[error("{}: {cause}", path.display())]
    Voxels {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        cause: InvalidVolume,
    },
    /// The decoder refused voxels that the header check let pass.
    #[error(
        "{}: the voxels cannot be decoded ({cause}): export the image as int16 or float32",
        path.display()
    )]
    Decode {
        /// The file.
        path: PathBuf,
        /// What the decoder said.
        cause: nifti::NiftiError,
    },
    /// The machine has too little memory left for the image.
    #[error(
        "{}: {voxels} voxels do not fit into this machine's free memory: close other programs or use a larger \
         machine",
        path.display()
    )]
    Memory {
        /// The file.
        path: PathBuf,
        /// How many voxels the image has.
        voxels: usize,
    },
}

impl Volume {
    /// Reads a NIfTI-1 or NIfTI-2 file, plain or gzip-compressed.
    ///
    /// # Errors
    /// [`ReadVolumeError`] where the file is not a sound 3D image of finite real values.
    pub fn read(path: &Path) -> Result<Self, ReadVolumeError> {
        Self::from_source(Source::open(path)?)
    }

    /// The same from a file in memory; `name` stands for it in error texts.
    ///
    /// # Errors
    /// As [`Volume::read`].
    pub fn from_bytes(bytes: &[u8], name: &Path) -> Result<Self, ReadVolumeError> {
        Self::from_source(Source::of_bytes(bytes, name))
    }

    fn from_source(mut source: Source<'_>) -> Result<Self, ReadVolumeError> {
        let header = VolumeHeader::take(&mut source)?;
        header.skip_extension(&mut source)?;
        source.check_length(header.data_bytes())?;
        let values = decode(&header, &mut source)?;
        source.finish()?;
        let volume = Self::new(header.shape(), header.spacing(), values)
            .map_err(|cause| ReadVolumeError::Voxels { path: source.name().to_owned(), cause })?;
        Ok(Self { affine: header.affine(), ..volume })
    }
}

/// The voxels as the header scales them, in the file's order, which is ours: x fastest.
///
/// Scaled in `f64`, as nibabel does: a large intercept would cancel the digits of an `f32`. The decoder's own
/// scaling is switched off by a slope of 0.
fn decode(header: &VolumeHeader, source: &mut Source<'_>) -> Result<Vec<f32>, ReadVolumeError> {
    let voxels = header.voxels();
    let (voxel_type, endianness) = (header.voxel_type(), header.endianness);
    let [slope, intercept] = header.scaling.unwrap_or([1.0, 0.0]);
    let mut values = Vec::new();
    while values.len() < voxels {
        let piece = PIECE_VOXELS.min(voxels - values.len());
        let mut raw = vec![0; piece * voxel_type.bytes()];
        source.exact(&mut raw, "voxels")?;
        grow(&mut values, piece, voxels)
            .map_err(|_| ReadVolumeError::Memory { path: source.name().to_owned(), voxels })?;
        let dim = [1, piece as u16, 0, 0, 0, 0, 0, 0];
        let (numbers, _) =
            InMemNiftiVolume::from_raw_fields(dim, voxel_type.nifti(), 0.0, 0.0, raw, endianness)
                .and_then(InMemNiftiVolume::into_ndarray::<f64>)
                .map_err(|cause| ReadVolumeError::Decode { path: source.name().to_owned(), cause })?
                .into_raw_vec_and_offset();
        values.extend(numbers.into_iter().map(|number| (number * slope + intercept) as f32));
    }
    Ok(values)
}

/// Room for `more` values: doubled, but never beyond `most`.
fn grow(values: &mut Vec<f32>, more: usize, most: usize) -> Result<(), std::collections::TryReserveError> {
    if values.capacity() - values.len() >= more {
        return Ok(());
    }
    let capacity = (values.capacity() * 2).max(values.len() + more).min(most);
    values.try_reserve_exact(capacity - values.len())
}
