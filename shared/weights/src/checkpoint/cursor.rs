//! Reading bytes one after the other, never beyond the end.

use super::CheckpointError;
use super::limits::MAX_LINE_BYTES;

/// A place in a byte string.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Cursor<'b> {
    pub(super) const fn new(bytes: &'b [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bytes before this place.
    pub(super) const fn at(&self) -> usize {
        self.at
    }

    /// Bytes from this place on.
    pub(super) const fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// The next `count` bytes.
    pub(super) fn take(&mut self, count: usize, what: &'static str) -> Result<&'b [u8], CheckpointError> {
        let taken = self.bytes[self.at..].get(..count);
        let taken = taken.ok_or(CheckpointError::Truncated { what, at: self.at })?;
        self.at += count;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], CheckpointError> {
        Ok(self.take(N, what)?.try_into().expect("as many bytes were taken"))
    }

    pub(super) fn byte(&mut self, what: &'static str) -> Result<u8, CheckpointError> {
        self.array::<1>(what).map(|[byte]| byte)
    }

    /// The text up to the next line feed, which is skipped.
    pub(super) fn line(&mut self, what: &'static str) -> Result<&'b str, CheckpointError> {
        let (at, rest) = (self.at, &self.bytes[self.at..]);
        let near = &rest[..rest.len().min(MAX_LINE_BYTES + 1)];
        let Some(length) = near.iter().position(|byte| *byte == b'\n') else {
            return Err(if near.len() <= MAX_LINE_BYTES {
                CheckpointError::Truncated { what, at }
            } else {
                CheckpointError::Limit { what: "bytes in a line", limit: MAX_LINE_BYTES, at }
            });
        };
        self.at += length + 1;
        std::str::from_utf8(&rest[..length])
            .map_err(|_| CheckpointError::Malformed { what: "a name is not UTF-8", at })
    }
}
