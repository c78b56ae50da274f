//! Files of the site's own that survive a power cut whole or not at all, for the owner's eyes only.
//!
//! A file is written beside its place, synced, and renamed; then its folder is synced. A *sealed* file ends with the
//! digest of what is before: disks rot, and some of these files cannot tell by themselves. Knows nothing of what is in
//! them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Seek as _, SeekFrom, Take, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use consilium_domain::Digest;
use consilium_privacy::PrivateSink;

/// What a file in the making is called.
const DRAFT: &str = "draft";
/// Bytes of the digest that ends a sealed file.
const DIGEST_BYTES: u64 = 32;
/// Bytes read at once to verify a file.
const BUFFER_BYTES: usize = 1024 * 1024;

/// A file in the making. Dropped before it is kept, it is deleted.
pub(crate) struct Draft {
    path: PathBuf,
    unfinished: PathBuf,
    file: BufWriter<File>,
    hasher: blake3::Hasher,
    kept: bool,
}

/// Files of this site stay at this site.
impl PrivateSink for Draft {}

/// What a sealed file holds, verified.
pub(crate) type Sealed = Take<BufReader<File>>;

/// Why a sealed file is not to be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SealedError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("it is damaged")]
    Damaged,
}

impl Draft {
    /// Begins what shall be at `path`. Its folder is made where absent.
    pub(crate) fn begin(path: &Path) -> io::Result<Self> {
        let folder = path.parent().expect("a file of the state folder has a folder");
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let unfinished = path.with_extension(DRAFT);
        let file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
        let (file, hasher) = (BufWriter::new(file), blake3::Hasher::new());
        Ok(Self { path: path.to_owned(), unfinished, file, hasher, kept: false })
    }

    /// Ends it with its digest, and gives it its name. When this returns, it survives a power cut.
    pub(crate) fn seal(mut self) -> io::Result<()> {
        let digest = self.hasher.finalize();
        self.file.write_all(digest.as_bytes())?;
        self.keep()
    }

    /// Gives it its name. When this returns, it survives a power cut.
    pub(crate) fn keep(mut self) -> io::Result<()> {
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        fs::rename(&self.unfinished, &self.path)?;
        self.kept = true;
        sync_folder(&self.path)
    }
}

impl Write for Draft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.kept {
            // It has no name yet, and the next draft replaces it.
            let _ = fs::remove_file(&self.unfinished);
        }
    }
}

/// Opens the sealed file at `path`, if there is one, and verifies all of it.
pub(crate) fn open_sealed(path: &Path) -> Result<Option<Sealed>, SealedError> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let content = file.metadata()?.len().checked_sub(DIGEST_BYTES).ok_or(SealedError::Damaged)?;
    let mut hasher = blake3::Hasher::new();
    let mut reader = (&mut file).take(content);
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match reader.read(&mut buffer)? {
            0 => break,
            read => hasher.update(&buffer[..read]),
        };
    }
    let mut digest = [0; DIGEST_BYTES as usize];
    file.read_exact(&mut digest)?;
    if Digest::from_bytes(*hasher.finalize().as_bytes()) != Digest::from_bytes(digest) {
        return Err(SealedError::Damaged);
    }
    file.seek(SeekFrom::Start(0))?;
    Ok(Some(BufReader::new(file).take(content)))
}

/// Deletes the file at `path`. Absent is fine.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Deletes the folder at `path` with everything in it. Absent is fine.
pub(crate) fn remove_folder(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// The names of the whole files in `folder`; none where it is absent.
pub(crate) fn names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        if path.extension().is_none_or(|extension| extension != DRAFT) {
            names.extend(name.map(str::to_owned));
        }
    }
    Ok(names)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path.parent().expect("a file of the state folder has a folder"))?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_was_sealed_comes_back_and_damage_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("folder/file");
        assert!(open_sealed(&path).unwrap().is_none());
        let mut draft = Draft::begin(&path).unwrap();
        draft.write_all(b"secret").unwrap();
        assert!(!path.exists(), "not before it is whole");
        draft.seal().unwrap();
        let mut content = String::new();
        open_sealed(&path).unwrap().unwrap().read_to_string(&mut content).unwrap();
        assert_eq!(content, "secret");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        let sound = fs::read(&path).unwrap();
        for cut in 0..sound.len() {
            fs::write(&path, &sound[..cut]).unwrap();
            assert!(open_sealed(&path).is_err(), "cut at {cut}");
        }
        for position in 0..sound.len() {
            let mut altered = sound.clone();
            altered[position] ^= 1;
            fs::write(&path, altered).unwrap();
            assert!(matches!(open_sealed(&path), Err(SealedError::Damaged)), "altered at {position}");
        }
    }

    #[test]
    fn a_draft_is_no_file_and_leaves_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let draft = Draft::begin(&path).unwrap();
        assert_eq!(names(dir.path()).unwrap(), [""; 0]);
        drop(draft);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        Draft::begin(&path).unwrap().keep().unwrap();
        assert_eq!(names(dir.path()).unwrap(), ["file"]);
        assert_eq!(names(&dir.path().join("absent")).unwrap(), [""; 0]);
    }
}
