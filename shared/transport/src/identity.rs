//! One party's own certificate and key, and whom it trusts: a kit made by `consilium-certs`.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use consilium_domain::Role;
use consilium_signing::{CannotSign, Sign};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, SignatureScheme};

use crate::peer::{CertificateNameError, Peer};
use crate::tls;

const CA_FILE: &str = "ca.pem";
const CERTIFICATE_FILE: &str = "cert.pem";
const KEY_FILE: &str = "key.pem";

/// A kit, read and checked. `Debug` shows neither key nor certificate.
#[derive(Clone)]
pub struct Identity {
    role: Role,
    pub(crate) roots: Arc<RootCertStore>,
    pub(crate) certified: Arc<CertifiedKey>,
}

/// Why a kit cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file is absent or unreadable.
    #[error("cannot read {path}: {source}; a kit has {CA_FILE}, {CERTIFICATE_FILE} and {KEY_FILE}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is not what its name says.
    #[error("{path} is damaged: {problem}; copy the kit again or issue a new one")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// Other users of the machine can read the private key.
    #[error(
        "{path} can be read by others (mode {mode:o}): run `chmod 600 {path}`, and issue a new kit if it was seen"
    )]
    KeyExposed {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The certificate does not say whose it is.
    #[error("{path}: {source}")]
    Name {
        /// The certificate file.
        path: PathBuf,
        /// What is wrong with its names.
        source: CertificateNameError,
    },
}

impl Identity {
    /// Reads `ca.pem`, `cert.pem` and `key.pem` from `dir`.
    ///
    /// # Errors
    /// Names the file and the problem: absent, damaged, key of another certificate, key readable by others (unix).
    pub fn load(dir: &Path) -> Result<Self, IdentityError> {
        let path = dir.join(KEY_FILE);
        refuse_exposed_key(&path)?;
        let key =
            PrivateKeyDer::from_pem_slice(&read(&path)?).map_err(|error| damaged(&path, &explain(&error)))?;
        let path = dir.join(CA_FILE);
        let mut roots = RootCertStore::empty();
        for root in certificates(&path)? {
            roots.add(root).map_err(|error| damaged(&path, &error))?;
        }
        let path = dir.join(CERTIFICATE_FILE);
        let chain = certificates(&path)?;
        let own = Peer::from_certificate(&chain[0])
            .map_err(|source| IdentityError::Name { path: path.clone(), source })?;
        let certified = CertifiedKey::from_der(chain, key, &tls::provider())
            .map_err(|error| damaged(&path, &format!("it does not fit {KEY_FILE} beside it ({error})")))?;
        Ok(Self { role: own.role, roots: Arc::new(roots), certified: Arc::new(certified) })
    }

    /// Whom the certificate speaks for.
    pub const fn role(&self) -> &Role {
        &self.role
    }
}

/// Signs with the key that also proves who one is on a connection.
impl Sign for Identity {
    fn role(&self) -> &Role {
        &self.role
    }

    fn certificates(&self) -> Vec<Vec<u8>> {
        self.certified.cert.iter().map(|der| der.to_vec()).collect()
    }

    fn sign(&self, text: &[u8]) -> Result<Vec<u8>, CannotSign> {
        let key = self.certified.key.choose_scheme(&[SignatureScheme::ECDSA_NISTP256_SHA256]);
        let key = key.ok_or_else(|| CannotSign(format!("it is {:?}", self.certified.key.algorithm())))?;
        key.sign(text).map_err(|error| CannotSign(error.to_string()))
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("role", &self.role).finish_non_exhaustive()
    }
}

fn read(path: &Path) -> Result<Vec<u8>, IdentityError> {
    std::fs::read(path).map_err(|source| IdentityError::Read { path: path.to_owned(), source })
}

/// At least one certificate.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let bytes = read(path)?;
    let certificates = CertificateDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|error| damaged(path, &explain(&error)))?;
    if certificates.is_empty() {
        Err(damaged(path, &explain(&pem::Error::NoItemsFound)))
    } else {
        Ok(certificates)
    }
}

fn explain(error: &pem::Error) -> String {
    match error {
        pem::Error::NoItemsFound => "it holds no PEM block of the expected kind".to_owned(),
        other => other.to_string(),
    }
}

fn damaged(path: &Path, problem: &impl ToString) -> IdentityError {
    IdentityError::Damaged { path: path.to_owned(), problem: problem.to_string() }
}

#[cfg(unix)]
fn refuse_exposed_key(path: &Path) -> Result<(), IdentityError> {
    use std::os::unix::fs::PermissionsExt as _;
    let metadata =
        std::fs::metadata(path).map_err(|source| IdentityError::Read { path: path.to_owned(), source })?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(IdentityError::KeyExposed { path: path.to_owned(), mode }) }
}

/// Other systems guard files by access lists that the installer sets.
#[cfg(not(unix))]
fn refuse_exposed_key(_: &Path) -> Result<(), IdentityError> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use consilium_certs::Authority;
    use consilium_signing::{Authorities, Holder};

    use super::*;

    fn kit() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::create("North").unwrap();
        authority.issue_site(&"a".parse().unwrap()).unwrap().write(dir.path()).unwrap();
        dir
    }

    #[test]
    fn a_kit_loads_and_hides_its_key() {
        let identity = Identity::load(kit().path()).unwrap();
        assert_eq!(identity.role().to_string(), "consilium:site:a");
        assert_eq!(format!("{identity:?}"), r#"Identity { role: Site(SiteId("a")), .. }"#);
    }

    #[test]
    fn what_an_identity_signs_is_its_own() {
        let kit = kit();
        let identity = Identity::load(kit.path()).unwrap();
        let authorities = Authorities::read(&kit.path().join(CA_FILE)).unwrap();
        let holder = Holder::trusted(&identity.certificates(), &authorities).unwrap();
        assert_eq!(holder.role, *identity.role());
        let signature = identity.sign(b"text").unwrap();
        assert_eq!(holder.verify(b"text", &signature), Ok(()));
        assert!(holder.verify(b"test", &signature).is_err());
    }

    #[test]
    fn each_missing_or_damaged_file_is_named() {
        for name in [CA_FILE, CERTIFICATE_FILE, KEY_FILE] {
            let dir = kit();
            let path = dir.path().join(name);
            std::fs::write(&path, "-----BEGIN NONSENSE-----\n").unwrap();
            let error = Identity::load(dir.path()).unwrap_err();
            assert!(
                matches!(&error, IdentityError::Damaged { .. }) && error.to_string().contains(name),
                "{error}"
            );
            std::fs::remove_file(&path).unwrap();
            let error = Identity::load(dir.path()).unwrap_err();
            assert!(
                matches!(&error, IdentityError::Read { .. }) && error.to_string().contains(name),
                "{error}"
            );
        }
    }

    #[test]
    fn a_key_of_another_kit_is_refused() {
        let (ours, theirs) = (kit(), kit());
        std::fs::copy(theirs.path().join(KEY_FILE), ours.path().join(KEY_FILE)).unwrap();
        let error = Identity::load(ours.path()).unwrap_err().to_string();
        assert!(error.contains("does not fit key.pem"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn an_exposed_key_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = kit();
        let path = dir.path().join(KEY_FILE);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let error = Identity::load(dir.path()).unwrap_err();
        assert!(matches!(error, IdentityError::KeyExposed { mode: 0o640, .. }), "{error}");
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }
}
