//! One party's folder of keys and certificates, and how its pair is replaced without ever being half new.
//!
//! A key without its certificate is worth nothing, and two files cannot be replaced at once. So both are first
//! written to one file, `next.pem`; from that moment the replacement has happened, and whoever opens the folder after a
//! crash finishes it. Before that moment the old pair is untouched.

use std::io;
use std::path::{Path, PathBuf};

use crate::private_file::{Exposed, Readers, refuse_exposed, replace, sync_folder};

/// The root certificate: whom the holder trusts.
pub const CA_FILE: &str = "ca.pem";
/// The holder's certificate, then its issuer's.
pub const CERTIFICATE_FILE: &str = "cert.pem";
/// The holder's private key.
pub const KEY_FILE: &str = "key.pem";
/// In a site's folder: the key under which sites name duplicate patients.
pub const FINGERPRINT_KEY_FILE: &str = "fingerprint.key";
/// In the coordinator's folder: the certificate with which it issues others.
pub const ISSUING_FILE: &str = "issuing.pem";
/// In the coordinator's folder: the key of that certificate.
pub const ISSUING_KEY_FILE: &str = "issuing-key.pem";
/// In the folder of a site that has not joined yet: the key it asks a certificate for.
pub const JOINING_KEY_FILE: &str = "joining-key.pem";
/// A new pair on its way into [`KEY_FILE`] and [`CERTIFICATE_FILE`].
const NEXT_FILE: &str = "next.pem";

/// Files that only their owner may read.
const SECRETS: [&str; 5] = [KEY_FILE, FINGERPRINT_KEY_FILE, ISSUING_KEY_FILE, JOINING_KEY_FILE, NEXT_FILE];

/// Where the certificates begin in a file that has the key first.
const FIRST_CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----";

/// Why a folder cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The file system refuses.
    #[error("cannot write {path}: {source}; the certificate that was there before is still in use")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A half-finished replacement cannot be read.
    #[error("{0} is damaged: delete it, and the certificate beside it stays in use")]
    Damaged(PathBuf),
}

/// Asks that no secret of the folder can be read by others.
///
/// # Errors
/// Names the first that can.
pub fn refuse_exposed_secrets(dir: &Path) -> Result<(), Exposed> {
    SECRETS.iter().try_for_each(|name| refuse_exposed(&dir.join(name)))
}

/// Puts a new key and its certificates in the place of the present ones: both or neither, whenever the machine dies.
///
/// # Errors
/// Where the file system refuses.
pub fn replace_pair(dir: &Path, key_pem: &str, chain_pem: &str) -> Result<(), FolderError> {
    let pair = Pair { key_pem, chain_pem };
    pair.commit(dir)?;
    pair.place(dir)?;
    Pair::forget(dir)
}

/// Finishes a replacement that was interrupted; does nothing where none was.
///
/// # Errors
/// Where the file system refuses.
pub fn finish_replacement(dir: &Path) -> Result<(), FolderError> {
    let path = dir.join(NEXT_FILE);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(FolderError::Write { path, source }),
    };
    let at = text.find(FIRST_CERTIFICATE).ok_or(FolderError::Damaged(path))?;
    let (key_pem, chain_pem) = text.split_at(at);
    Pair { key_pem, chain_pem }.place(dir)?;
    Pair::forget(dir)
}

struct Pair<'a> {
    key_pem: &'a str,
    chain_pem: &'a str,
}

impl Pair<'_> {
    /// From here on the new pair is the one that counts.
    fn commit(&self, dir: &Path) -> Result<(), FolderError> {
        write(dir, NEXT_FILE, &format!("{}{}", self.key_pem, self.chain_pem), Readers::Owner)
    }

    fn place(&self, dir: &Path) -> Result<(), FolderError> {
        self.place_key(dir)?;
        write(dir, CERTIFICATE_FILE, self.chain_pem, Readers::All)
    }

    fn place_key(&self, dir: &Path) -> Result<(), FolderError> {
        write(dir, KEY_FILE, self.key_pem, Readers::Owner)
    }

    fn forget(dir: &Path) -> Result<(), FolderError> {
        let path = dir.join(NEXT_FILE);
        let removed = match std::fs::remove_file(&path) {
            // Another program that opened the folder was faster.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        };
        removed.and_then(|()| sync_folder(&path)).map_err(|source| FolderError::Write { path, source })
    }
}

fn write(dir: &Path, name: &str, content: &str, readers: Readers) -> Result<(), FolderError> {
    let path = dir.join(name);
    replace(&path, content, readers).map_err(|source| FolderError::Write { path, source })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const NEW: Pair<'_> = Pair { key_pem: "new key\n", chain_pem: "-----BEGIN CERTIFICATE-----\nnew\n" };

    fn old() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(KEY_FILE), "old key\n").unwrap();
        fs::write(dir.path().join(CERTIFICATE_FILE), "old\n").unwrap();
        dir
    }

    fn pair(dir: &Path) -> (String, String) {
        let read = |name| fs::read_to_string(dir.join(name)).unwrap();
        (read(KEY_FILE), read(CERTIFICATE_FILE))
    }

    /// The machine dies after each step; whoever opens the folder next finds a whole pair.
    #[test]
    fn a_crash_after_any_step_leaves_a_whole_pair() {
        type Step = fn(&Path) -> Result<(), FolderError>;
        let steps: [Step; 4] =
            [|dir| NEW.commit(dir), |dir| NEW.place_key(dir), |dir| NEW.place(dir), |dir| Pair::forget(dir)];
        for done in 0..=steps.len() {
            let dir = old();
            steps[..done].iter().for_each(|step| step(dir.path()).unwrap());
            finish_replacement(dir.path()).unwrap();
            let (key, chain) = pair(dir.path());
            let expected = if done == 0 { ("old key\n", "old\n") } else { (NEW.key_pem, NEW.chain_pem) };
            assert_eq!((key.as_str(), chain.as_str()), expected, "after {done} steps");
            assert!(!dir.path().join(NEXT_FILE).exists());
        }
    }

    /// Or before `next.pem` has its name: what is left of it is nobody's.
    #[test]
    fn a_crash_within_the_first_step_leaves_the_old_pair() {
        let dir = old();
        fs::write(dir.path().join(".new-Xy12"), "new key\n-----BEGIN CERT").unwrap();
        finish_replacement(dir.path()).unwrap();
        assert_eq!(pair(dir.path()).0, "old key\n");
    }

    #[test]
    fn a_damaged_replacement_is_named_and_changes_nothing() {
        let dir = old();
        fs::write(dir.path().join(NEXT_FILE), "noise").unwrap();
        assert!(matches!(finish_replacement(dir.path()), Err(FolderError::Damaged(_))));
        assert_eq!(pair(dir.path()).0, "old key\n");
    }

    #[cfg(unix)]
    #[test]
    fn every_secret_is_looked_at() {
        use std::os::unix::fs::PermissionsExt as _;
        for name in SECRETS {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join(name);
            fs::write(&path, "x").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
            assert_eq!(refuse_exposed_secrets(dir.path()).unwrap_err().path, path);
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            assert_eq!(refuse_exposed_secrets(dir.path()), Ok(()));
        }
    }
}
