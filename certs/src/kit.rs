//! A kit: the files with which one party joins the consortium.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::private_file::{Readers, create};

/// The authority's certificate, in every kit and in the authority's own folder.
pub(crate) const CA_FILE: &str = "ca.pem";
const CERTIFICATE_FILE: &str = "cert.pem";
const KEY_FILE: &str = "key.pem";
const FINGERPRINT_KEY_FILE: &str = "fingerprint.key";

/// The texts one party needs. `Debug` does not show the keys.
#[derive(Clone)]
pub struct Kit {
    /// The consortium authority's certificate: whom the holder trusts.
    pub ca_pem: String,
    /// The holder's own certificate.
    pub certificate_pem: String,
    /// The holder's private key (PKCS #8). Whoever has it *is* the holder.
    pub key_pem: String,
    /// In the kit of a site, the key under which all sites of the consortium name duplicate patients: 64 hexadecimal
    /// digits. The coordinator must never have it.
    pub fingerprint_key: Option<String>,
}

/// Why a kit could not be written.
#[derive(Debug, thiserror::Error)]
pub enum KitError {
    /// A file of that name is already there.
    #[error(
        "{0} already exists: choose an empty folder; a kit is never overwritten, its key could not be restored"
    )]
    Exists(PathBuf),
    /// The file system said no.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Kit {
    /// Writes `ca.pem`, `cert.pem`, `key.pem` and a site's `fingerprint.key` (keys with mode 0600) into `dir`, which is
    /// created where absent.
    ///
    /// # Errors
    /// Where one of them is already there, nothing is written.
    pub fn write(&self, dir: &Path) -> Result<(), KitError> {
        let mut files = vec![
            (KEY_FILE, self.key_pem.as_str(), Readers::Owner),
            (CERTIFICATE_FILE, &self.certificate_pem, Readers::All),
            (CA_FILE, &self.ca_pem, Readers::All),
        ];
        files.extend(self.fingerprint_key.as_deref().map(|key| (FINGERPRINT_KEY_FILE, key, Readers::Owner)));
        write_all(dir, &files)
    }
}

impl fmt::Debug for Kit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kit").field("certificate_pem", &self.certificate_pem).finish_non_exhaustive()
    }
}

/// Writes several new files into `dir`, or none if one of them exists.
pub(crate) fn write_all(dir: &Path, files: &[(&str, &str, Readers)]) -> Result<(), KitError> {
    if let Some(path) = files.iter().map(|(name, ..)| dir.join(name)).find(|path| path.exists()) {
        return Err(KitError::Exists(path));
    }
    fs::create_dir_all(dir).map_err(|source| KitError::Write { path: dir.to_owned(), source })?;
    for (name, content, readers) in files {
        let path = dir.join(name);
        create(&path, content, *readers).map_err(|source| KitError::Write { path, source })?;
    }
    Ok(())
}
