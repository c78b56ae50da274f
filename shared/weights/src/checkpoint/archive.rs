//! The files of a zip archive, each read at most to its declared size.
//!
//! `rawzip` finds the entries and hides nothing; what an archive may be is decided here. The central directory is
//! what counts. Nothing is ever unpacked to disk.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Read;

use flate2::read::DeflateDecoder;
use rawzip::{CompressionMethod, ZipArchive, ZipFileHeaderRecord, ZipSliceArchive, crc32};

use super::CheckpointError;
use super::callable::shown;
use super::limits::{MAX_ARCHIVE_FILES, MAX_NAME_BYTES};

/// The files of an archive by name.
pub(super) struct Archive<'f> {
    files: BTreeMap<String, Packed<'f>>,
}

/// A file as it lies in the archive.
#[derive(Clone, Copy)]
struct Packed<'f> {
    bytes: &'f [u8],
    deflated: bool,
    unpacked_bytes: u64,
    checksum: u32,
    /// Where its local header begins and its bytes end.
    range: (u64, u64),
}

impl<'f> Archive<'f> {
    /// Lists the files of the archive `file` (folders aside) and checks that they are plain, distinct and apart.
    pub(super) fn open(file: &'f [u8]) -> Result<Self, CheckpointError> {
        let archive = ZipArchive::from_slice(file).map_err(|error| unreadable(&error))?;
        let mut files = BTreeMap::new();
        for (count, entry) in archive.entries().enumerate() {
            let entry = entry.map_err(|error| unreadable(&error))?;
            if count >= MAX_ARCHIVE_FILES {
                let what = "files in the zip archive";
                return Err(CheckpointError::Limit { what, limit: MAX_ARCHIVE_FILES, at: 0 });
            }
            let name = entry.file_path().as_bytes();
            if let Some(folder) = name.strip_suffix(b"/") {
                plain_name(folder)?;
                continue;
            }
            let name = plain_name(name)?;
            let packed = packed(file, &archive, &entry, &name)?;
            if files.contains_key(&name) {
                return Err(CheckpointError::EntryTwice(shown(&name)));
            }
            files.insert(name, packed);
        }
        let archive = Self { files };
        archive.check_apart()?;
        Ok(archive)
    }

    /// The names of its files.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// The size of `name` once unpacked. `None` where there is no such file.
    pub(super) fn unpacked_bytes(&self, name: &str) -> Option<u64> {
        self.files.get(name).map(|packed| packed.unpacked_bytes)
    }

    /// The bytes of `name`, if it exists, and an error if they are more than `limit` or not those that were packed.
    pub(super) fn read(&self, name: &str, limit: u64) -> Result<Option<Cow<'f, [u8]>>, CheckpointError> {
        let Some(packed) = self.files.get(name) else { return Ok(None) };
        if packed.unpacked_bytes > limit {
            let bytes = packed.unpacked_bytes;
            return Err(CheckpointError::EntryTooLarge { name: shown(name), bytes, limit });
        }
        let bytes =
            if packed.deflated { Cow::Owned(inflate(packed, name)?) } else { Cow::Borrowed(packed.bytes) };
        if crc32(&bytes) != packed.checksum {
            return Err(CheckpointError::EntryDamaged { name: shown(name), what: "its checksum is wrong" });
        }
        Ok(Some(bytes))
    }

    fn check_apart(&self) -> Result<(), CheckpointError> {
        let mut by_place: Vec<_> = self.files.iter().map(|(name, packed)| (packed.range, name)).collect();
        by_place.sort_unstable();
        for pair in by_place.windows(2) {
            let [((_, end), first), ((start, _), second)] = [pair[0], pair[1]];
            if start < end {
                return Err(CheckpointError::EntriesOverlap(shown(first), shown(second)));
            }
        }
        Ok(())
    }
}

fn unreadable(error: &rawzip::Error) -> CheckpointError {
    CheckpointError::Archive(error.to_string())
}

/// A relative path of visible ASCII without `..`, which is all that PyTorch writes.
fn plain_name(bytes: &[u8]) -> Result<String, CheckpointError> {
    let name = String::from_utf8_lossy(bytes);
    let is_plain = bytes.len() <= MAX_NAME_BYTES
        && bytes.iter().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'\\' | b':'))
        && name.split('/').all(|part| !matches!(part, "" | "." | ".."));
    if is_plain {
        Ok(name.into_owned())
    } else {
        Err(CheckpointError::EntryName(
            name.chars().take(MAX_NAME_BYTES).flat_map(char::escape_debug).collect(),
        ))
    }
}

fn packed<'f>(
    file: &'f [u8],
    archive: &ZipSliceArchive<&'f [u8]>,
    entry: &ZipFileHeaderRecord<'_>,
    name: &str,
) -> Result<Packed<'f>, CheckpointError> {
    let refused = |method: String| CheckpointError::EntryMethod { name: shown(name), method };
    if entry.flags().is_encrypted() {
        return Err(refused("encrypted".into()));
    }
    let deflated = match entry.compression_method() {
        CompressionMethod::STORE => false,
        CompressionMethod::DEFLATE => true,
        other => return Err(refused(format!("packed with method {other}"))),
    };
    let place = archive.get_entry(entry.wayfinder()).map_err(|error| unreadable(&error))?;
    let (start, end) = place.compressed_data_range();
    let outside = || CheckpointError::Archive(format!("`{}` lies outside the file", shown(name)));
    let at = |offset: u64| usize::try_from(offset).ok();
    let bytes = at(start).zip(at(end)).and_then(|(start, end)| file.get(start..end)).ok_or_else(outside)?;
    let unpacked_bytes = entry.uncompressed_size_hint();
    if !deflated && unpacked_bytes != bytes.len() as u64 {
        return Err(CheckpointError::EntrySize {
            name: shown(name),
            expected: unpacked_bytes,
            found: bytes.len() as u64,
        });
    }
    let range = (entry.local_header_offset(), end);
    Ok(Packed { bytes, deflated, unpacked_bytes, checksum: entry.crc32(), range })
}

/// Memory grows with the bytes that really come out, not with those that are declared, and stops one above.
fn inflate(packed: &Packed<'_>, name: &str) -> Result<Vec<u8>, CheckpointError> {
    let mut bytes = Vec::new();
    let mut inflater = DeflateDecoder::new(packed.bytes).take(packed.unpacked_bytes.saturating_add(1));
    if inflater.read_to_end(&mut bytes).is_err() {
        return Err(CheckpointError::EntryDamaged { name: shown(name), what: "it cannot be inflated" });
    }
    if bytes.len() as u64 != packed.unpacked_bytes {
        return Err(CheckpointError::EntrySize {
            name: shown(name),
            expected: packed.unpacked_bytes,
            found: bytes.len() as u64,
        });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for name in
            ["/etc/passwd", "../a", "a/../../b", "a//b", "a/", "", "C:\\a", "a\\b", "a:b", "a\u{1b}b", "é"]
        {
            let refused = plain_name(name.as_bytes());
            assert!(matches!(refused, Err(CheckpointError::EntryName(_))), "{name}");
        }
        assert!(plain_name("archive/data/0".as_bytes()).is_ok());
        assert!(plain_name("archive/.data/serialization_id".as_bytes()).is_ok());
        assert!(plain_name(&[b'a'; MAX_NAME_BYTES + 1]).is_err());
    }
}
