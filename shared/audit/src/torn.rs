//! A line that a crash cut off: moved aside, told in the log, never dropped in silence.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use consilium_domain::Digest;
use sha2::{Digest as _, Sha256};

use crate::line::MAX_LINE_BYTES;
use crate::record::Record;

/// Copies what follows `offset` in `log` to a file of its own in `folder`; the record to write in its place.
///
/// The copy is durable before the caller overwrites the original: a crash in between only makes the same copy again.
pub(crate) fn move_aside(log: &mut File, offset: u64, folder: &Path) -> io::Result<Record> {
    log.seek(SeekFrom::Start(offset))?;
    let mut torn = Vec::new();
    log.take(MAX_LINE_BYTES as u64 + 1).read_to_end(&mut torn)?;
    let sha256 = Digest::from_bytes(Sha256::digest(&torn).into());
    let mut copy = File::create(folder.join(format!("torn-at-{offset}-{}.bin", sha256.short())))?;
    copy.write_all(&torn)?;
    copy.sync_all()?;
    Ok(Record::LineTorn { bytes: torn.len() as u64, sha256 })
}
