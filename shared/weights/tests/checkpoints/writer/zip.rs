//! Writes zip archives entry by entry, sound ones and others.

use std::io::Write;

use flate2::Compression;
use flate2::write::DeflateEncoder;

/// An entry, with what its headers say.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) name: Vec<u8>,
    pub(crate) packed: Vec<u8>,
    pub(crate) method: u16,
    pub(crate) flags: u16,
    pub(crate) unpacked_bytes: u32,
    pub(crate) checksum: u32,
    /// Where the central directory says that it is, instead of where it is.
    pub(crate) place: Option<u32>,
}

impl Entry {
    pub(crate) fn new(name: &str, bytes: Vec<u8>, deflated: bool) -> Self {
        let mut crc = flate2::Crc::new();
        crc.update(&bytes);
        let unpacked_bytes = u32::try_from(bytes.len()).unwrap();
        let packed = if deflated {
            let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(&bytes).unwrap();
            encoder.finish().unwrap()
        } else {
            bytes
        };
        let method = if deflated { 8 } else { 0 };
        let name = name.as_bytes().to_vec();
        Self { name, packed, method, flags: 0, unpacked_bytes, checksum: crc.sum(), place: None }
    }

    /// What the local and the central header share.
    fn header(&self) -> Vec<u8> {
        let mut header = Vec::new();
        for half in [20, self.flags, self.method, 0, 33] {
            header.extend(half.to_le_bytes());
        }
        for word in [self.checksum, u32::try_from(self.packed.len()).unwrap(), self.unpacked_bytes] {
            header.extend(word.to_le_bytes());
        }
        header.extend(u16::try_from(self.name.len()).unwrap().to_le_bytes());
        header
    }
}

/// The archive of `entries`.
pub(crate) fn zip(entries: &[Entry]) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for entry in entries {
        let place = entry.place.unwrap_or(u32::try_from(file.len()).unwrap());
        file.extend(b"PK\x03\x04");
        file.extend(entry.header());
        file.extend([0; 2]);
        file.extend(&entry.name);
        file.extend(&entry.packed);
        directory.extend(b"PK\x01\x02\x14\0");
        directory.extend(entry.header());
        directory.extend([0; 12]);
        directory.extend(place.to_le_bytes());
        directory.extend(&entry.name);
    }
    let (start, length) = (u32::try_from(file.len()).unwrap(), u32::try_from(directory.len()).unwrap());
    let count = u16::try_from(entries.len()).unwrap().to_le_bytes();
    file.extend(directory);
    file.extend(b"PK\x05\x06\0\0\0\0");
    file.extend(count);
    file.extend(count);
    file.extend(length.to_le_bytes());
    file.extend(start.to_le_bytes());
    file.extend([0; 2]);
    file
}
