//! Where the socket is, however long the state folder's path.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

/// The socket's name in the state folder.
const NAME: &str = "control.sock";
/// A socket's path has 108 bytes with its end; some systems have fewer.
const MAX_PATH_BYTES: usize = 100;

/// A path of the socket in `state` that the system takes.
pub(super) struct Address {
    pub(super) path: PathBuf,
    /// Where the path goes through it.
    _folder: Option<File>,
}

impl Address {
    pub(super) fn in_folder(state: &Path) -> io::Result<Self> {
        let path = state.join(NAME);
        if path.as_os_str().len() <= MAX_PATH_BYTES {
            return Ok(Self { path, _folder: None });
        }
        let folder = File::open(state)?;
        let path = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(NAME);
        Ok(Self { path, _folder: Some(folder) })
    }
}
