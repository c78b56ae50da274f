//! One party's own certificate and key, and whom it trusts: a kit made by `consilium-certs`.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use consilium_domain::Role;
use consilium_pki::{
    CA_FILE, CERTIFICATE_FILE, CertificateFacts, Exposed, FolderError, KEY_FILE, finish_replacement,
    public_key_sha256, refuse_exposed_secrets,
};
use consilium_signing::{CannotSign, Sign};
use rustls::RootCertStore;
use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::join::JOIN_ALPN;
use crate::peer::{CertificateNameError, Peer};
use crate::tls;

/// A kit, read and checked. Clones share it: what [`Identity::reload`] reads is shown in every handshake from then on,
/// also by listeners that are open already. `Debug` shows neither key nor certificate.
#[derive(Clone)]
pub struct Identity {
    role: Role,
    dir: Arc<Path>,
    authorities: Arc<[CertificateDer<'static>]>,
    pub(crate) roots: Arc<RootCertStore>,
    shown: Arc<RwLock<Shown>>,
}

/// What is shown in a handshake.
#[derive(Clone)]
struct Shown {
    certified: Arc<CertifiedKey>,
    /// The same with the root behind it, for who has a join token and no root yet.
    with_root: Arc<CertifiedKey>,
    facts: CertificateFacts,
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
    /// Other users of the machine can read a secret of the folder.
    #[error(transparent)]
    Exposed(#[from] Exposed),
    /// A renewal that was interrupted cannot be finished.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The certificate on the disk speaks for another role than the one that is in use.
    #[error("the folder's certificate is now for `{0}`: restart the program to use it")]
    OtherRole(Role),
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
    /// Reads `ca.pem`, `cert.pem` and `key.pem` from `dir`, and finishes a renewal that was interrupted.
    ///
    /// # Errors
    /// Names the file and the problem: absent, damaged, key of another certificate, a secret readable by others
    /// (unix).
    pub fn load(dir: &Path) -> Result<Self, IdentityError> {
        let (role, authorities, shown) = read_folder(dir)?;
        let path = dir.join(CA_FILE);
        let mut roots = RootCertStore::empty();
        for root in &authorities {
            roots.add(root.clone()).map_err(|error| damaged(&path, &error))?;
        }
        Ok(Self {
            role,
            dir: dir.into(),
            authorities: authorities.into(),
            roots: Arc::new(roots),
            shown: Arc::new(RwLock::new(shown)),
        })
    }

    /// Reads key and certificate again, after a renewal. Connections that stand are not touched.
    ///
    /// # Errors
    /// As [`Identity::load`]; then the present pair stays in use.
    pub fn reload(&self) -> Result<(), IdentityError> {
        let (role, _, shown) = read_folder(&self.dir)?;
        if role != self.role {
            return Err(IdentityError::OtherRole(role));
        }
        *self.shown.write().unwrap_or_else(PoisonError::into_inner) = shown;
        Ok(())
    }

    /// Whom the certificate speaks for.
    pub const fn role(&self) -> &Role {
        &self.role
    }

    /// The folder it was read from.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What the certificate says that is shown at present.
    pub fn certificate(&self) -> CertificateFacts {
        self.shown().facts
    }

    /// The consortium's root, the first of `ca.pem`.
    pub fn root(&self) -> &CertificateDer<'static> {
        &self.authorities[0]
    }

    /// SHA-256 of the root's public key: what a join token pins.
    pub fn root_key_sha256(&self) -> [u8; 32] {
        public_key_sha256(self.root()).expect("the root was read as a certificate before")
    }

    /// The certificates that this side shows, its own first.
    pub(crate) fn own_chain(&self) -> Vec<CertificateDer<'static>> {
        self.shown().certified.cert.clone()
    }

    fn shown(&self) -> Shown {
        self.shown.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ResolvesServerCert for Identity {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let joins = hello.alpn().is_some_and(|mut names| names.any(|name| name == JOIN_ALPN));
        let shown = self.shown();
        Some(if joins { shown.with_root } else { shown.certified })
    }
}

impl ResolvesClientCert for Identity {
    fn resolve(&self, _: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let certified = self.shown().certified;
        certified.key.choose_scheme(schemes).is_some().then_some(certified)
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Role, authorities, and what is shown.
fn read_folder(dir: &Path) -> Result<(Role, Vec<CertificateDer<'static>>, Shown), IdentityError> {
    finish_replacement(dir)?;
    refuse_exposed_secrets(dir)?;
    let path = dir.join(KEY_FILE);
    let key =
        PrivateKeyDer::from_pem_slice(&read(&path)?).map_err(|error| damaged(&path, &explain(&error)))?;
    let path = dir.join(CA_FILE);
    let authorities = certificates(&path)?;
    CertificateFacts::of(&authorities[0]).map_err(|error| damaged(&path, &error))?;
    let path = dir.join(CERTIFICATE_FILE);
    let chain = certificates(&path)?;
    let own = Peer::from_certificate(&chain[0])
        .map_err(|source| IdentityError::Name { path: path.clone(), source })?;
    let facts = CertificateFacts::of(&chain[0]).map_err(|error| damaged(&path, &error))?;
    let certify = |chain: Vec<CertificateDer<'static>>| {
        CertifiedKey::from_der(chain, key.clone_key(), &tls::provider())
            .map(Arc::new)
            .map_err(|error| damaged(&path, &format!("it does not fit {KEY_FILE} beside it ({error})")))
    };
    let with_root = chain.iter().chain(&authorities).cloned().collect();
    let shown = Shown { certified: certify(chain)?, with_root: certify(with_root)?, facts };
    Ok((own.role, authorities, shown))
}

/// Signs with the key that also proves who one is on a connection.
impl Sign for Identity {
    fn role(&self) -> &Role {
        &self.role
    }

    fn certificates(&self) -> Vec<Vec<u8>> {
        self.shown().certified.cert.iter().map(|der| der.to_vec()).collect()
    }

    fn sign(&self, text: &[u8]) -> Result<Vec<u8>, CannotSign> {
        let certified = self.shown().certified;
        let key = certified.key.choose_scheme(&[SignatureScheme::ECDSA_NISTP256_SHA256]);
        let key = key.ok_or_else(|| CannotSign(format!("it is {:?}", certified.key.algorithm())))?;
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

    /// Both halves of a renewal that the machine's death cut in two are used, and none of the old.
    #[test]
    fn an_interrupted_renewal_is_finished_by_the_next_load() {
        let (dir, newer) = (kit(), kit());
        let identity = Identity::load(dir.path()).unwrap();
        let before = identity.certificate().serial;
        let read = |name| std::fs::read_to_string(newer.path().join(name)).unwrap();
        let next = dir.path().join("next.pem");
        std::fs::write(&next, read(KEY_FILE) + &read(CERTIFICATE_FILE)).unwrap();
        std::fs::set_permissions(&next, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        std::fs::write(dir.path().join(KEY_FILE), read(KEY_FILE)).unwrap();
        identity.reload().unwrap();
        assert_eq!(identity.certificate().serial, Identity::load(newer.path()).unwrap().certificate().serial);
        assert_ne!(identity.certificate().serial, before);
        assert!(!next.exists());
    }

    #[cfg(unix)]
    #[test]
    fn an_exposed_key_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = kit();
        let path = dir.path().join(KEY_FILE);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let error = Identity::load(dir.path()).unwrap_err();
        assert!(matches!(error, IdentityError::Exposed(Exposed { mode: 0o640, .. })), "{error}");
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }
}
