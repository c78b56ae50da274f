//! Writing files that must not be lost, overwritten or read by the neighbours.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::Path;

/// Who may read a new file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readers {
    /// The owner only (mode 0600): private keys.
    Owner,
    /// Everybody (mode 0644): certificates.
    All,
}

/// Writes a file that must not exist yet and makes it durable. It is never readable more widely than asked, not
/// even for a moment, because the mode is set as the file is created.
pub(crate) fn create(path: &Path, content: &str, readers: Readers) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(if readers == Readers::Owner { 0o600 } else { 0o644 });
    }
    #[cfg(not(unix))]
    let _ = readers;
    let mut file = options.open(path)?;
    file.write_all(content.as_bytes())?;
    file.sync_all()
}
