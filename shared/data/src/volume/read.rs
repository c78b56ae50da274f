//! Reading `.nii` and `.nii.gz` files.
//!
//! Compression is recognised by content, because archives hold gzip files without the `.gz` name, and every
//! member of a multi-member file is read. Anything doubtful is an error: no voxel is ever made up.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;
use nifti::{InMemNiftiVolume, IntoNdArray};

use super::header::{CheckedHeader, HEADER_BYTES};
use super::{HeaderError, InvalidVolume, Volume};

/// Bytes that may follow the voxels. Padding of a block or two occurs; more is not this image.
const MAX_TRAILING_BYTES: u64 = 1024 * 1024;

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
        /// Header, extension or voxels.
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
}

impl Volume {
    /// Reads a NIfTI-1 file, plain or gzip-compressed.
    ///
    /// # Errors
    /// [`ReadVolumeError`] where the file is not a sound 3D image of finite real values.
    pub fn read(path: &Path) -> Result<Self, ReadVolumeError> {
        let io_error = |cause| ReadVolumeError::Io { path: path.to_owned(), cause };
        let mut file = BufReader::with_capacity(1 << 16, File::open(path).map_err(io_error)?);
        let compressed = file.fill_buf().map_err(io_error)?.starts_with(&[0x1f, 0x8b]);
        if compressed {
            Source { path, compressed, reader: MultiGzDecoder::new(file) }.volume()
        } else {
            Source { path, compressed, reader: file }.volume()
        }
    }
}

struct Source<'a, R> {
    path: &'a Path,
    compressed: bool,
    reader: R,
}

impl<R: Read> Source<'_, R> {
    fn volume(mut self) -> Result<Volume, ReadVolumeError> {
        let header = self.take(HEADER_BYTES, "header")?;
        let header: [u8; HEADER_BYTES] = header.try_into().expect("exactly that many bytes were taken");
        let header = CheckedHeader::parse(&header)
            .map_err(|cause| ReadVolumeError::Header { path: self.path.to_owned(), cause })?;
        self.take(header.data_offset - HEADER_BYTES, "header extension")?;
        let raw = self.take(header.data_bytes, "voxels")?;
        self.finish()?;

        let decode_error = |cause| ReadVolumeError::Decode { path: self.path.to_owned(), cause };
        let voxels = InMemNiftiVolume::from_raw_data(&header.nifti, raw)
            .and_then(InMemNiftiVolume::into_ndarray::<f32>)
            .map_err(decode_error)?;
        // x is fastest on disk and in this buffer: exactly our (z, y, x) order.
        let (values, _) = voxels.into_raw_vec_and_offset();
        let volume = Volume::new(header.shape, header.spacing, values)
            .map_err(|cause| ReadVolumeError::Voxels { path: self.path.to_owned(), cause })?;
        Ok(Volume { orientation: header.orientation, ..volume })
    }

    /// The next `length` bytes. Memory grows with what the file really holds, not with what it claims.
    fn take(&mut self, length: usize, part: &'static str) -> Result<Vec<u8>, ReadVolumeError> {
        let mut bytes = Vec::new();
        let result = self.reader.by_ref().take(length as u64).read_to_end(&mut bytes);
        match result {
            Ok(read) if read == length => Ok(bytes),
            Ok(_) => Err(ReadVolumeError::Truncated { path: self.path.to_owned(), part }),
            Err(cause) if cause.kind() == io::ErrorKind::UnexpectedEof => {
                Err(ReadVolumeError::Truncated { path: self.path.to_owned(), part })
            }
            Err(cause) => Err(self.read_error(cause)),
        }
    }

    /// Reads to the end, so that gzip verifies its checksum.
    fn finish(&mut self) -> Result<(), ReadVolumeError> {
        let trailing = io::copy(&mut self.reader.by_ref().take(MAX_TRAILING_BYTES + 1), &mut io::sink())
            .map_err(|cause| self.read_error(cause))?;
        if trailing > MAX_TRAILING_BYTES {
            return Err(ReadVolumeError::Trailing { path: self.path.to_owned() });
        }
        Ok(())
    }

    fn read_error(&self, cause: io::Error) -> ReadVolumeError {
        let path = self.path.to_owned();
        if self.compressed {
            ReadVolumeError::Gzip { path, cause }
        } else {
            ReadVolumeError::Io { path, cause }
        }
    }
}
