//! The cache's folder and files: for the owner's eyes only, and never seen half written.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

/// The ending of files that are being written.
pub(super) const DRAFT: &str = "draft";

/// A draft this old was left by a process that died: writing one takes milliseconds.
const STALE: Duration = Duration::from_secs(60 * 60);

/// Distinguishes the drafts of one process.
static DRAFTS: AtomicU64 = AtomicU64::new(0);

/// Makes the folder where it is absent (mode 0700), and takes others' rights away where it exists.
pub(super) fn make_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    fs::set_permissions(folder, Permissions::from_mode(0o700))
}

/// Puts a file (mode 0600) at `path` in one step: readers see the former content or all of the new one.
///
/// Not synced to the disk: what a crash of the machine damages, the checksum finds.
pub(super) fn put(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let (draft, mut file) = create_draft(path)?;
    let result = write(&mut file).and_then(|()| file.flush()).and_then(|()| fs::rename(&draft, path));
    if result.is_err() {
        // The first failure is the one to report; a draft left behind is swept up later.
        let _ = fs::remove_file(&draft);
    }
    result
}

/// Processes in containers may share a number, so a name that is taken is passed over.
fn create_draft(path: &Path) -> io::Result<(PathBuf, File)> {
    loop {
        let number = DRAFTS.fetch_add(1, Ordering::Relaxed);
        let draft = path.with_extension(format!("{}-{number}.{DRAFT}", std::process::id()));
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            result => return result.map(|file| (draft, file)),
        }
    }
}

/// Removes a file that may be gone already: several processes may use one folder.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Removes a draft whose writer is long gone.
pub(super) fn sweep(draft: &Path) -> io::Result<()> {
    let Ok(metadata) = fs::metadata(draft) else { return Ok(()) };
    match SystemTime::now().duration_since(metadata.modified()?) {
        Ok(age) if age > STALE => remove(draft),
        _ => Ok(()),
    }
}
