//! Writing files that must not be lost, overwritten or read by the neighbours.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Who may read a new file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readers {
    /// The owner only (mode 0600): private keys.
    Owner,
    /// Everybody (mode 0644): certificates.
    All,
}

/// Other users of the machine can read a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{path} can be read by others (mode {mode:o}): run `chmod 600 {path}`, and replace the secret if it was seen"
)]
pub struct Exposed {
    /// The file.
    pub path: PathBuf,
    /// Its permission bits.
    pub mode: u32,
}

/// Writes a file that must not exist yet and makes it durable. It is never readable more widely than asked, not
/// even for a moment, because the mode is set as the file is created.
///
/// # Errors
/// Where the file exists, or the file system refuses.
pub fn create(path: &Path, content: &str, readers: Readers) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(mode(readers));
    }
    #[cfg(not(unix))]
    let _ = readers;
    let mut file = options.open(path)?;
    file.write_all(content.as_bytes())?;
    file.sync_all()?;
    sync_folder(path)
}

/// Puts a file with this content in the place of whatever was there, durably: a crash leaves the old or the new one.
///
/// # Errors
/// Where the file system refuses; then the old file is there still.
pub fn replace(path: &Path, content: &str, readers: Readers) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    // Made with mode 0600, under a name of its own.
    let mut fresh = tempfile::Builder::new().prefix(".new-").tempfile_in(folder)?;
    fresh.write_all(content.as_bytes())?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fresh.as_file().set_permissions(std::fs::Permissions::from_mode(mode(readers)))?;
    }
    #[cfg(not(unix))]
    let _ = readers;
    fresh.as_file().sync_all()?;
    fresh.persist(path).map_err(|error| error.error)?;
    sync_folder(path)
}

/// Asks that only the owner may read the file. One that is absent exposes nothing.
///
/// # Errors
/// With the file's mode. Systems without such modes guard files by access lists that the installer sets.
pub fn refuse_exposed(path: &Path) -> Result<(), Exposed> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        if let Ok(metadata) = std::fs::metadata(path) {
            let mode = metadata.permissions().mode() & 0o777;
            if mode & 0o077 != 0 {
                return Err(Exposed { path: path.to_owned(), mode });
            }
        }
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

/// A new name in a folder is durable only once the folder is.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

#[cfg(unix)]
const fn mode(readers: Readers) -> u32 {
    match readers {
        Readers::Owner => 0o600,
        Readers::All => 0o644,
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn mode_of(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn secrets_are_the_owners_from_the_first_moment() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.pem");
        create(&path, "one", Readers::Owner).unwrap();
        assert_eq!(mode_of(&path), 0o600);
        assert_eq!(create(&path, "two", Readers::Owner).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        replace(&path, "two", Readers::Owner).unwrap();
        assert_eq!((mode_of(&path), fs::read_to_string(&path).unwrap().as_str()), (0o600, "two"));
        replace(&path, "three", Readers::All).unwrap();
        assert_eq!(mode_of(&path), 0o644);
        assert_eq!(refuse_exposed(&path).unwrap_err().mode, 0o644);
        assert_eq!(refuse_exposed(&dir.path().join("absent")), Ok(()));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left over");
    }
}
