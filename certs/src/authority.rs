//! The authority's folder: an offline root, the issuing certificate below it, and what the two are used for.
//!
//! ```text
//! DIR/root/ca.pem  ca-key.pem              the root; its key belongs offline, on two media
//! DIR/issuing/issuing.pem  issuing-key.pem signs everybody's certificates; the coordinator's kit has a copy
//! DIR/fingerprint.key                      the sites' secret, which the coordinator must never have
//! ```
//!
//! Kits are made with the issuing key alone: once the root's key is locked away, everything but `issue-issuing` still
//! works.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use consilium_domain::{Role, SiteId};
use consilium_pki::{
    CA_FILE, CertificateFacts, FINGERPRINT_KEY_FILE, ISSUING_FILE, ISSUING_KEY_FILE, Issuer, IssuerError,
    KeyError, Lifetime, OwnKey, PublicKey, Readers, RequestError, Root, RootError, UnreadableCertificate,
    certificates_of, pem_of, replace,
};

use crate::kit::{IssuingPair, Kit, KitError, write_all};

const ROOT_FOLDER: &str = "root";
const ISSUING_FOLDER: &str = "issuing";
const CA_KEY_FILE: &str = "ca-key.pem";

/// A stolen issuing key is worth a year at most; the root's owner is needed once a year.
const ISSUING_DAYS: u32 = 365;

/// A lost or stolen site key is worth at most a month; sites renew at two thirds.
const SITE_DAYS: u32 = 30;

/// The coordinator is under the consortium's own eyes, and its expiry stops everybody.
const COORDINATOR_DAYS: u32 = 90;

/// Admins and observers are people at keyboards, and renew by hand.
const PERSON_DAYS: u32 = 90;

/// How many days the certificates of each role are valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// Days for a site's certificate.
    pub site_days: u32,
    /// Days for the coordinator's certificate.
    pub coordinator_days: u32,
    /// Days for an admin's or observer's certificate.
    pub person_days: u32,
}

impl Default for Validity {
    /// 30 days for a site, 90 for everybody else.
    fn default() -> Self {
        Self { site_days: SITE_DAYS, coordinator_days: COORDINATOR_DAYS, person_days: PERSON_DAYS }
    }
}

/// The consortium's certificate authority.
pub struct Authority {
    root_pem: String,
    /// Absent where the root's key lies offline, as it should.
    root: Option<Root>,
    issuer: Issuer,
    fingerprint_key: String,
    validity: Validity,
}

/// Why the authority could not be made, read or used.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A file of the authority could not be read.
    #[error("cannot read {path}: {source}; `consilium-certs init` makes an authority")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file of the authority was read but is not what its name says.
    #[error("{path} is damaged: {problem}; restore it from the backup of the authority's folder")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The root's key is not at hand.
    #[error(
        "{0} is absent: an issuing certificate is made with the root's key; bring the folder back from where it is kept"
    )]
    RootOffline(PathBuf),
    /// The authority or a kit could not be saved.
    #[error(transparent)]
    Save(#[from] KitError),
    /// The root refuses.
    #[error(transparent)]
    Root(#[from] RootError),
    /// The issuing certificate refuses.
    #[error(transparent)]
    Issuer(#[from] IssuerError),
    /// No key could be made.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A fresh request was refused.
    #[error(transparent)]
    Request(#[from] RequestError),
}

impl Authority {
    /// Makes a new authority: a root for ten years and an issuing certificate for one, each with a fresh key.
    ///
    /// # Errors
    /// Where `consortium` cannot name one.
    pub fn create(consortium: &str) -> Result<Self, AuthorityError> {
        let now = SystemTime::now();
        let root = Root::create(consortium, now)?;
        let issuer = root.issuing(Lifetime::days(ISSUING_DAYS), now)?;
        Ok(Self {
            root_pem: root.certificate_pem(),
            fingerprint_key: fingerprint_key(&root),
            root: Some(root),
            issuer,
            validity: Validity::default(),
        })
    }

    /// The same authority, issuing certificates of another length.
    #[must_use]
    pub fn with_validity(self, validity: Validity) -> Self {
        Self { validity, ..self }
    }

    /// The consortium's name.
    pub fn name(&self) -> &str {
        self.issuer.consortium()
    }

    /// Until when certificates can be issued.
    pub fn issues_until(&self) -> SystemTime {
        self.issuer.until()
    }

    /// Writes the folders `root` and `issuing` and the file `fingerprint.key` into `dir`, secrets with mode 0600.
    ///
    /// # Errors
    /// Where one of the files is there already, nothing more is written.
    pub fn save(&self, dir: &Path) -> Result<(), AuthorityError> {
        let (root_folder, issuing_folder) = (dir.join(ROOT_FOLDER), dir.join(ISSUING_FOLDER));
        let mut root_files = vec![(CA_FILE, self.root_pem.as_str(), Readers::All)];
        let root_key = self.root.as_ref().map(Root::key_pem);
        root_files.extend(root_key.as_deref().map(|key| (CA_KEY_FILE, key, Readers::Owner)));
        write_all(dir, &[(FINGERPRINT_KEY_FILE, &self.fingerprint_key, Readers::Owner)])?;
        write_all(&root_folder, &root_files)?;
        let issuing = self.issuing_pair();
        write_all(
            &issuing_folder,
            &[
                (ISSUING_KEY_FILE, &issuing.key_pem, Readers::Owner),
                (ISSUING_FILE, &issuing.certificate_pem, Readers::All),
            ],
        )?;
        Ok(())
    }

    /// Reads what [`Authority::save`] wrote. The root's key may be absent.
    ///
    /// # Errors
    /// Names the file that is absent or damaged, also where a key is not its certificate's.
    pub fn load(dir: &Path) -> Result<Self, AuthorityError> {
        let (root_folder, issuing_folder) = (dir.join(ROOT_FOLDER), dir.join(ISSUING_FOLDER));
        let root_pem = read(&root_folder.join(CA_FILE))?;
        let root = load_root(&root_folder, &root_pem)?;
        let issuing = read(&issuing_folder.join(ISSUING_FILE))?;
        let key_path = issuing_folder.join(ISSUING_KEY_FILE);
        let issuer =
            Issuer::from_pem(&issuing, &read(&key_path)?).map_err(|error| damaged(&key_path, &error))?;
        let fingerprint_key = read(&dir.join(FINGERPRINT_KEY_FILE))?.trim().to_owned();
        Ok(Self { root_pem, root, issuer, fingerprint_key, validity: Validity::default() })
    }

    /// Makes a new issuing certificate from the root and puts it into `dir/issuing`. Kits made before stay valid.
    ///
    /// # Errors
    /// Where the root or its key is absent or damaged.
    pub fn replace_issuing(dir: &Path, days: u32) -> Result<SystemTime, AuthorityError> {
        let root_folder = dir.join(ROOT_FOLDER);
        let root_pem = read(&root_folder.join(CA_FILE))?;
        let root = load_root(&root_folder, &root_pem)?
            .ok_or_else(|| AuthorityError::RootOffline(root_folder.join(CA_KEY_FILE)))?;
        let issuer = root.issuing(Lifetime::days(days), SystemTime::now())?;
        let folder = dir.join(ISSUING_FOLDER);
        let write = |name: &str, text: &str, readers| {
            let path = folder.join(name);
            replace(&path, text, readers)
                .map_err(|source| AuthorityError::Save(KitError::Write { path, source }))
        };
        write(ISSUING_KEY_FILE, &issuer.key_pem(), Readers::Owner)?;
        write(ISSUING_FILE, &pem_of(std::slice::from_ref(issuer.certificate())), Readers::All)?;
        Ok(issuer.until())
    }

    /// A kit for one hospital, with a fresh key, valid for [`Validity::site_days`].
    ///
    /// # Errors
    /// Where the issuing certificate has expired.
    pub fn issue_site(&self, site: &SiteId) -> Result<Kit, AuthorityError> {
        let kit = self.kit(&Role::Site(site.clone()), &[], self.validity.site_days)?;
        Ok(Kit { fingerprint_key: Some(self.fingerprint_key.clone()), ..kit })
    }

    /// A kit for a person who runs the consortium, valid for [`Validity::person_days`].
    ///
    /// # Errors
    /// As [`Authority::issue_site`].
    pub fn issue_admin(&self, name: &SiteId) -> Result<Kit, AuthorityError> {
        self.kit(&Role::Admin(name.clone()), &[], self.validity.person_days)
    }

    /// A kit for a person who may look and change nothing, valid for [`Validity::person_days`].
    ///
    /// # Errors
    /// As [`Authority::issue_site`].
    pub fn issue_observer(&self, name: &SiteId) -> Result<Kit, AuthorityError> {
        self.kit(&Role::Observer(name.clone()), &[], self.validity.person_days)
    }

    /// A kit for the coordinator, with a fresh key, valid for [`Validity::coordinator_days`], and with the issuing
    /// certificate. `names` are further DNS names or IP addresses it shall be known by; [`Role::COORDINATOR_HOST`] is
    /// always among them.
    ///
    /// # Errors
    /// Names the one that is neither.
    pub fn issue_coordinator<S: AsRef<str>>(&self, names: &[S]) -> Result<Kit, AuthorityError> {
        let mut hosts = vec![Role::COORDINATOR_HOST.to_owned()];
        hosts.extend(names.iter().map(|name| name.as_ref().to_owned()));
        let kit = self.kit(&Role::Coordinator, &hosts, self.validity.coordinator_days)?;
        Ok(Kit { issuing: Some(self.issuing_pair()), ..kit })
    }

    fn issuing_pair(&self) -> IssuingPair {
        IssuingPair {
            certificate_pem: pem_of(std::slice::from_ref(self.issuer.certificate())),
            key_pem: self.issuer.key_pem(),
        }
    }

    fn kit(&self, role: &Role, hosts: &[String], days: u32) -> Result<Kit, AuthorityError> {
        let key = OwnKey::generate()?;
        let public_key = PublicKey::from_request(&key.request()?)?;
        let issued = self.issuer.issue(role, hosts, &public_key, Lifetime::days(days), SystemTime::now())?;
        Ok(Kit {
            ca_pem: self.root_pem.clone(),
            certificate_pem: pem_of(&issued.chain),
            key_pem: key.to_pem(),
            fingerprint_key: None,
            issuing: None,
        })
    }
}

/// One secret for all sites, derived from the root's own: nothing that the coordinator, which never sees the root's
/// key, could derive, and the same again after a new `init` from a backup of the root.
fn fingerprint_key(root: &Root) -> String {
    blake3::Hash::from(blake3::derive_key("Consilium 2026 fingerprint key of a consortium", &root.secret()))
        .to_hex()
        .to_string()
}

fn load_root(folder: &Path, root_pem: &str) -> Result<Option<Root>, AuthorityError> {
    let (ca_path, key_path) = (folder.join(CA_FILE), folder.join(CA_KEY_FILE));
    if !key_path.exists() {
        check_certificate(root_pem).map_err(|error| damaged(&ca_path, &error))?;
        return Ok(None);
    }
    Root::from_pem(root_pem, &read(&key_path)?).map(Some).map_err(|error| damaged(&ca_path, &error))
}

fn check_certificate(pem: &str) -> Result<(), UnreadableCertificate> {
    CertificateFacts::of(&certificates_of(pem)?[0]).map(drop)
}

fn read(path: &Path) -> Result<String, AuthorityError> {
    fs::read_to_string(path).map_err(|source| AuthorityError::Read { path: path.to_owned(), source })
}

fn damaged(path: &Path, problem: &impl ToString) -> AuthorityError {
    AuthorityError::Damaged { path: path.to_owned(), problem: problem.to_string() }
}

#[cfg(test)]
mod tests;
