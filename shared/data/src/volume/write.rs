//! Writing `.nii.gz` files of 16-bit integers, the form of the public data sets.
//!
//! The 348 bytes are laid out here rather than by the `nifti` crate, so that equal volumes give equal files.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::fields::NIFTI1_BYTES;
use super::{Affine, Orientation, Volume};

/// The header and four bytes that say "no extension".
const FIRST_DATA_BYTE: usize = NIFTI1_BYTES + 4;

/// Why a volume could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteVolumeError {
    /// The file cannot be created or written.
    #[error(
        "{}: cannot be written ({cause}): check the folder, its permissions and the free space",
        path.display()
    )]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// A value that 16 bits cannot hold.
    #[error("{}: the value {value} does not fit 16 bits: scale the image to -32768..=32767", path.display())]
    Range {
        /// The file.
        path: PathBuf,
        /// The first such value.
        value: f32,
    },
    /// An axis that the header cannot hold.
    #[error(
        "{}: a grid of {shape:?} (z, y, x) does not fit NIfTI-1: no axis may exceed 32767",
        path.display()
    )]
    Shape {
        /// The file.
        path: PathBuf,
        /// Voxels along z, y and x.
        shape: [usize; 3],
    },
}

impl Volume {
    /// Writes the values, rounded to the nearest integer, as gzip-compressed int16 NIfTI-1.
    ///
    /// The file's sform is the volume's affine; LPS axes from the origin where that is unknown.
    ///
    /// # Errors
    /// [`WriteVolumeError`] where a value or the shape does not fit the format, or the file cannot be written.
    pub fn write_int16(&self, path: &Path) -> Result<(), WriteVolumeError> {
        let io_error = |cause| WriteVolumeError::Io { path: path.to_owned(), cause };
        let mut bytes = Vec::with_capacity(FIRST_DATA_BYTE + 2 * self.values.len());
        bytes.extend_from_slice(&self.header(path)?);
        for &value in &self.values {
            let rounded = value.round();
            if !(f32::from(i16::MIN)..=f32::from(i16::MAX)).contains(&rounded) {
                return Err(WriteVolumeError::Range { path: path.to_owned(), value });
            }
            bytes.extend_from_slice(&(rounded as i16).to_le_bytes());
        }
        let file = BufWriter::new(File::create(path).map_err(io_error)?);
        let mut gzip = GzEncoder::new(file, Compression::fast());
        gzip.write_all(&bytes).map_err(io_error)?;
        gzip.finish().and_then(|mut file| file.flush()).map_err(io_error)
    }

    /// The header's bytes: field positions are those of `nifti1.h`.
    fn header(&self, path: &Path) -> Result<[u8; FIRST_DATA_BYTE], WriteVolumeError> {
        const INT16: i16 = 4;
        const MILLIMETRES: u8 = 2;
        const SAME_AS_TEMPLATE: i16 = 4;
        let [depth, height, width] = self.shape;
        let mut header = [0u8; FIRST_DATA_BYTE];
        let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &(NIFTI1_BYTES as i32).to_le_bytes());
        for (axis, size) in [3, width, height, depth, 1, 1, 1, 1].into_iter().enumerate() {
            let size = i16::try_from(size)
                .map_err(|_| WriteVolumeError::Shape { path: path.to_owned(), shape: self.shape })?;
            put(40 + 2 * axis, &size.to_le_bytes());
        }
        put(70, &INT16.to_le_bytes());
        put(72, &16i16.to_le_bytes());
        let [dz, dy, dx] = self.spacing;
        for (axis, size) in [1.0, dx, dy, dz].into_iter().enumerate() {
            put(76 + 4 * axis, &size.to_le_bytes());
        }
        put(108, &(FIRST_DATA_BYTE as f32).to_le_bytes());
        put(112, &1f32.to_le_bytes());
        put(123, &[MILLIMETRES]);
        put(254, &SAME_AS_TEMPLATE.to_le_bytes());
        let affine = self.affine.unwrap_or_else(|| Affine::of_volume(Orientation::LPS, self.spacing));
        for (i, entry) in affine.rows().as_flattened().iter().enumerate() {
            put(280 + 4 * i, &(*entry as f32).to_le_bytes());
        }
        put(344, b"n+1\0");
        Ok(header)
    }
}
