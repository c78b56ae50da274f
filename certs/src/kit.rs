//! A kit: the files with which one party joins the consortium.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use consilium_pki::{
    CA_FILE, CERTIFICATE_FILE, FINGERPRINT_KEY_FILE, ISSUING_FILE, ISSUING_KEY_FILE, KEY_FILE, Readers,
    create,
};

/// The texts one party needs. `Debug` does not show the keys.
#[derive(Clone)]
pub struct Kit {
    /// The consortium's root certificate: whom the holder trusts.
    pub ca_pem: String,
    /// The holder's own certificate, then the one that issued it.
    pub certificate_pem: String,
    /// The holder's private key (PKCS #8). Whoever has it *is* the holder.
    pub key_pem: String,
    /// In the kit of a site, the key under which all sites of the consortium name duplicate patients: 64 hexadecimal
    /// digits. The coordinator must never have it.
    pub fingerprint_key: Option<String>,
    /// In the kit of a coordinator that lets sites join and renews certificates: the issuing certificate and its key.
    pub issuing: Option<IssuingPair>,
}

/// The issuing certificate with its key.
#[derive(Clone)]
pub struct IssuingPair {
    /// The certificate, as PEM.
    pub certificate_pem: String,
    /// Its key, as PEM. Whoever has it can make certificates of the consortium.
    pub key_pem: String,
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
    /// Writes `ca.pem`, `cert.pem`, `key.pem`, a site's `fingerprint.key` and a coordinator's `issuing.pem` and
    /// `issuing-key.pem` (keys with mode 0600) into `dir`, which is created where absent.
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
        if let Some(issuing) = &self.issuing {
            files.push((ISSUING_KEY_FILE, &issuing.key_pem, Readers::Owner));
            files.push((ISSUING_FILE, &issuing.certificate_pem, Readers::All));
        }
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
