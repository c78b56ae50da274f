//! The bytes of an image file, decompressed on the way.
//!
//! Compression is recognised by content, because archives hold gzip files without the `.gz` name and plain
//! files with it; every member of a multi-member file is read. Nothing here allocates by what a header claims.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use super::{HeaderError, ReadVolumeError};

/// Bytes that may follow the voxels. Padding of a block or two occurs; more is not this image.
const MAX_TRAILING_BYTES: u64 = 1024 * 1024;

/// Most bytes that one byte of a deflate stream can become: 258 bytes for two bits, and header bits besides
/// (zlib's own technical notes give 1032).
const MAX_INFLATION: u64 = 1032;

/// Read from a disk at once. Small, because the data check reads thousands of headers and no voxels.
const BUFFER_BYTES: usize = 1 << 14;

/// A file's content from the start, and its name for error texts.
pub(super) struct Source<'a> {
    name: &'a Path,
    reader: Box<dyn Read + 'a>,
    compressed: bool,
    /// No more content than this can come.
    most_bytes: u64,
}

impl<'a> Source<'a> {
    pub(super) fn open(path: &'a Path) -> Result<Self, ReadVolumeError> {
        let io_error = |cause| ReadVolumeError::Io { path: path.to_owned(), cause };
        // Before opening: a named pipe would wait for a writer forever.
        let metadata = fs::metadata(path).map_err(io_error)?;
        if !metadata.is_file() {
            return Err(ReadVolumeError::NotAFile { path: path.to_owned() });
        }
        let file = File::open(path).map_err(io_error)?;
        Self::new(BufReader::with_capacity(BUFFER_BYTES, file), metadata.len(), path).map_err(io_error)
    }

    pub(super) fn of_bytes(bytes: &'a [u8], name: &'a Path) -> Self {
        Self::new(bytes, bytes.len() as u64, name).expect("reading from memory cannot fail")
    }

    fn new(mut file: impl BufRead + 'a, length: u64, name: &'a Path) -> io::Result<Self> {
        let compressed = file.fill_buf()?.starts_with(&[0x1f, 0x8b]);
        Ok(if compressed {
            let reader = Box::new(MultiGzDecoder::new(file));
            Self { name, reader, compressed, most_bytes: length.saturating_mul(MAX_INFLATION) }
        } else {
            Self { name, reader: Box::new(file), compressed, most_bytes: length }
        })
    }

    /// Fills `buffer` as far as the content goes. Returns how far.
    pub(super) fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, ReadVolumeError> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.reader.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) if cause.kind() == io::ErrorKind::UnexpectedEof => break,
                Err(cause) => return Err(self.read_error(cause)),
            }
        }
        Ok(filled)
    }

    /// Fills all of `buffer`.
    pub(super) fn exact(&mut self, buffer: &mut [u8], part: &'static str) -> Result<(), ReadVolumeError> {
        if self.fill(buffer)? == buffer.len() { Ok(()) } else { Err(self.truncated(part)) }
    }

    /// Passes over `length` bytes.
    pub(super) fn skip(&mut self, length: u64, part: &'static str) -> Result<(), ReadVolumeError> {
        if self.discard(length, part)? == length { Ok(()) } else { Err(self.truncated(part)) }
    }

    /// Whether the file can hold `length` bytes of content at all, at the best compression there is.
    pub(super) fn check_length(&self, length: u64) -> Result<(), ReadVolumeError> {
        if length <= self.most_bytes { Ok(()) } else { Err(self.truncated("voxels")) }
    }

    /// Reads to the end, so that gzip verifies its checksum.
    pub(super) fn finish(&mut self) -> Result<(), ReadVolumeError> {
        if self.discard(MAX_TRAILING_BYTES + 1, "checksum")? > MAX_TRAILING_BYTES {
            return Err(ReadVolumeError::Trailing { path: self.name.to_owned() });
        }
        Ok(())
    }

    fn discard(&mut self, length: u64, part: &'static str) -> Result<u64, ReadVolumeError> {
        io::copy(&mut self.reader.by_ref().take(length), &mut io::sink()).map_err(|cause| {
            if cause.kind() == io::ErrorKind::UnexpectedEof {
                self.truncated(part)
            } else {
                self.read_error(cause)
            }
        })
    }

    pub(super) fn name(&self) -> &Path {
        self.name
    }

    pub(super) fn truncated(&self, part: &'static str) -> ReadVolumeError {
        ReadVolumeError::Truncated { path: self.name.to_owned(), part }
    }

    pub(super) fn header_error(&self, cause: HeaderError) -> ReadVolumeError {
        ReadVolumeError::Header { path: self.name.to_owned(), cause }
    }

    fn read_error(&self, cause: io::Error) -> ReadVolumeError {
        let path = self.name.to_owned();
        if self.compressed {
            ReadVolumeError::Gzip { path, cause }
        } else {
            ReadVolumeError::Io { path, cause }
        }
    }
}
