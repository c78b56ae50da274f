//! The root of trust: one self-signed certificate and its key, which signs every other certificate.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use consilium_domain::{Role, SiteId};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PublicKeyData as _, SanType,
};
use time::{Duration, OffsetDateTime};

use crate::kit::{CA_FILE, Kit, KitError, write_all};
use crate::private_file::Readers;

const CA_KEY_FILE: &str = "ca-key.pem";

/// The root lives longer than any study: replacing it means visiting every hospital.
const CA_DAYS: u32 = 3650;

/// A lost or stolen site key is worth at most a month; sites renew at two thirds.
const SITE_DAYS: u32 = 30;

/// The coordinator is under the consortium's own eyes, and its expiry stops everybody.
const COORDINATOR_DAYS: u32 = 90;

/// People have nothing that renews for them; a quarter passes between two visits to the authority's safe.
const PERSON_DAYS: u32 = 90;

/// Certificates begin this long before they are made: hospital clocks are often minutes off.
const BACKDATED: Duration = Duration::hours(1);

/// How many days the certificates of each role are valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// Days for a site's certificate.
    pub site_days: u32,
    /// Days for the coordinator's certificate.
    pub coordinator_days: u32,
    /// Days for the certificate of an admin or an observer.
    pub person_days: u32,
}

impl Default for Validity {
    /// 30 days for a site, 90 for the coordinator and for people.
    fn default() -> Self {
        Self { site_days: SITE_DAYS, coordinator_days: COORDINATOR_DAYS, person_days: PERSON_DAYS }
    }
}

/// The consortium's certificate authority.
pub struct Authority {
    name: String,
    certificate_pem: String,
    issuer: Issuer<'static, KeyPair>,
    validity: Validity,
}

/// Why the authority could not be made, read or used.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The consortium's name is empty or too long.
    #[error("`{0}` cannot name a consortium: use 1 to 64 printable characters")]
    Name(String),
    /// A name for the coordinator is neither an IP address nor a DNS name.
    #[error("`{0}` is neither an IP address nor a DNS name: use for instance 10.0.0.5 or fl.example.org")]
    CoordinatorName(String),
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
    /// The authority could not be saved.
    #[error(transparent)]
    Save(#[from] KitError),
    /// The cryptographic library refused.
    #[error("cannot make the certificate: {0}")]
    Certificate(#[from] rcgen::Error),
}

impl Authority {
    /// Makes a new authority with a fresh key, valid for ten years.
    ///
    /// # Errors
    /// [`AuthorityError::Name`] where `consortium` is empty, longer than 64 characters (the limit X.520 sets for a
    /// common name) or has control characters.
    pub fn create(consortium: &str) -> Result<Self, AuthorityError> {
        let fits =
            (1..=64).contains(&consortium.chars().count()) && !consortium.chars().any(char::is_control);
        if !fits {
            return Err(AuthorityError::Name(consortium.chars().take(80).collect()));
        }
        let key = KeyPair::generate()?;
        let mut params = blank(consortium, consortium, CA_DAYS);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key)?;
        Ok(Self {
            name: consortium.to_owned(),
            certificate_pem: certificate.pem(),
            issuer: Issuer::new(params, key),
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
        &self.name
    }

    /// Writes `ca.pem` and `ca-key.pem` (mode 0600) into `dir`.
    ///
    /// # Errors
    /// Where one of them is there already, nothing is written.
    pub fn save(&self, dir: &Path) -> Result<(), AuthorityError> {
        let key = self.issuer.key().serialize_pem();
        write_all(
            dir,
            &[(CA_KEY_FILE, &key, Readers::Owner), (CA_FILE, &self.certificate_pem, Readers::All)],
        )?;
        Ok(())
    }

    /// Reads what [`Authority::save`] wrote.
    ///
    /// # Errors
    /// Names the file that is absent or damaged, also where the key is not the certificate's.
    pub fn load(dir: &Path) -> Result<Self, AuthorityError> {
        let (ca_path, key_path) = (dir.join(CA_FILE), dir.join(CA_KEY_FILE));
        let certificate_pem = read(&ca_path)?;
        let key = KeyPair::from_pem(&read(&key_path)?).map_err(|error| damaged(&key_path, &error))?;
        let name =
            name_if_signed_by(&certificate_pem, &key).map_err(|problem| damaged(&ca_path, &problem))?;
        let issuer =
            Issuer::from_ca_cert_pem(&certificate_pem, key).map_err(|error| damaged(&ca_path, &error))?;
        Ok(Self { name, certificate_pem, issuer, validity: Validity::default() })
    }

    /// A kit for one hospital, with a fresh key, valid for [`Validity::site_days`].
    ///
    /// # Errors
    /// Only where the cryptographic library fails.
    pub fn issue_site(&self, site: &SiteId) -> Result<Kit, AuthorityError> {
        let mut params = blank(site.as_str(), &self.name, self.validity.site_days);
        params.subject_alt_names = vec![SanType::URI(Role::Site(site.clone()).to_string().try_into()?)];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        Ok(Kit { fingerprint_key: Some(self.fingerprint_key()), ..self.sign(params)? })
    }

    /// A kit for somebody who runs the consortium, with a fresh key, valid for [`Validity::person_days`].
    ///
    /// # Errors
    /// Only where the cryptographic library fails.
    pub fn issue_admin(&self, name: &SiteId) -> Result<Kit, AuthorityError> {
        self.issue_person(name, Role::Admin(name.clone()))
    }

    /// A kit for somebody who may look and change nothing, with a fresh key, valid for [`Validity::person_days`].
    ///
    /// # Errors
    /// Only where the cryptographic library fails.
    pub fn issue_observer(&self, name: &SiteId) -> Result<Kit, AuthorityError> {
        self.issue_person(name, Role::Observer(name.clone()))
    }

    fn issue_person(&self, name: &SiteId, role: Role) -> Result<Kit, AuthorityError> {
        let mut params = blank(name.as_str(), &self.name, self.validity.person_days);
        params.subject_alt_names = vec![SanType::URI(role.to_string().try_into()?)];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params)
    }

    /// One secret for all sites, derived from the authority's own: nothing more to keep, and nothing that the
    /// coordinator, which never sees the authority's key, could derive.
    fn fingerprint_key(&self) -> String {
        let secret = self.issuer.key().serialize_der();
        blake3::Hash::from(blake3::derive_key("Consilium 2026 fingerprint key of a consortium", &secret))
            .to_hex()
            .to_string()
    }

    /// A kit for the coordinator, with a fresh key, valid for [`Validity::coordinator_days`]. `names` are further
    /// DNS names or IP addresses it shall be known by; [`Role::COORDINATOR_HOST`] is always among them.
    ///
    /// # Errors
    /// [`AuthorityError::CoordinatorName`] names the one that is neither.
    pub fn issue_coordinator<S: AsRef<str>>(&self, names: &[S]) -> Result<Kit, AuthorityError> {
        let mut params = blank("coordinator", &self.name, self.validity.coordinator_days);
        params.subject_alt_names = vec![
            SanType::URI(Role::Coordinator.to_string().try_into()?),
            SanType::DnsName(Role::COORDINATOR_HOST.try_into()?),
        ];
        for name in names {
            params.subject_alt_names.push(subject_name(name.as_ref())?);
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(params)
    }

    fn sign(&self, mut params: CertificateParams) -> Result<Kit, AuthorityError> {
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Kit {
            ca_pem: self.certificate_pem.clone(),
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            fingerprint_key: None,
        })
    }
}

/// Parameters with a subject and a validity, and nothing allowed yet.
fn blank(common_name: &str, organisation: &str, days: u32) -> CertificateParams {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::OrganizationName, organisation);
    subject.push(DnType::CommonName, common_name);
    let mut params = CertificateParams::default();
    params.distinguished_name = subject;
    let now = OffsetDateTime::from(SystemTime::now());
    params.not_before = now - BACKDATED;
    params.not_after = now.saturating_add(Duration::days(i64::from(days)));
    params
}

fn subject_name(name: &str) -> Result<SanType, AuthorityError> {
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    // A DNS name is a dotted row of labels, and a site id is exactly one such label.
    let is_dns = name.len() <= 253 && name.split('.').all(|label| label.parse::<SiteId>().is_ok());
    if is_dns {
        Ok(SanType::DnsName(name.try_into()?))
    } else {
        Err(AuthorityError::CoordinatorName(name.chars().take(80).collect()))
    }
}

/// The common name of the certificate, provided that `key` is the one it certifies.
fn name_if_signed_by(certificate_pem: &str, key: &KeyPair) -> Result<String, String> {
    let (_, pem) = x509_parser::pem::parse_x509_pem(certificate_pem.as_bytes()).map_err(|e| e.to_string())?;
    let certificate = pem.parse_x509().map_err(|e| e.to_string())?;
    if certificate.public_key().raw != key.subject_public_key_info() {
        return Err(format!("the key in {CA_KEY_FILE} beside it belongs to another certificate"));
    }
    let name = certificate.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
    name.map(str::to_owned).ok_or_else(|| "the certificate names no consortium".to_owned())
}

fn read(path: &Path) -> Result<String, AuthorityError> {
    fs::read_to_string(path).map_err(|source| AuthorityError::Read { path: path.to_owned(), source })
}

fn damaged(path: &Path, problem: &impl ToString) -> AuthorityError {
    AuthorityError::Damaged { path: path.to_owned(), problem: problem.to_string() }
}

#[cfg(test)]
mod tests {
    use x509_parser::extensions::GeneralName;

    use super::*;

    fn alternative_names(kit: &Kit) -> Vec<String> {
        let (_, pem) = x509_parser::pem::parse_x509_pem(kit.certificate_pem.as_bytes()).unwrap();
        let certificate = pem.parse_x509().unwrap();
        let names = certificate.subject_alternative_name().unwrap().unwrap();
        let text = |name: &GeneralName<'_>| match name {
            GeneralName::URI(text) | GeneralName::DNSName(text) => (*text).to_owned(),
            GeneralName::IPAddress(octets) => format!("{octets:?}"),
            other => panic!("unexpected {other:?}"),
        };
        names.value.general_names.iter().map(text).collect()
    }

    #[test]
    fn certificates_carry_their_role_and_lifetime() {
        let authority = Authority::create("North").unwrap();
        let site = authority.issue_site(&"st-elsewhere".parse().unwrap()).unwrap();
        assert_eq!(alternative_names(&site), ["consilium:site:st-elsewhere"]);
        let admin = authority.issue_admin(&"alice".parse().unwrap()).unwrap();
        assert_eq!(alternative_names(&admin), ["consilium:admin:alice"]);
        let observer = authority.issue_observer(&"bob".parse().unwrap()).unwrap();
        assert_eq!(alternative_names(&observer), ["consilium:observer:bob"]);
        assert!(admin.fingerprint_key.is_none() && observer.fingerprint_key.is_none());
        let coordinator = authority.issue_coordinator(&["fl.example.org", "10.0.0.5"]).unwrap();
        assert_eq!(
            alternative_names(&coordinator),
            ["consilium:coordinator", "coordinator.consilium.internal", "fl.example.org", "[10, 0, 0, 5]"]
        );
        let (_, pem) = x509_parser::pem::parse_x509_pem(site.certificate_pem.as_bytes()).unwrap();
        let validity = pem.parse_x509().unwrap().validity().clone();
        let seconds = validity.not_after.timestamp() - validity.not_before.timestamp();
        assert_eq!(seconds, 30 * 86_400 + 3_600);
    }

    #[test]
    fn a_saved_authority_signs_for_the_same_root() {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::create("North").unwrap();
        authority.save(dir.path()).unwrap();
        let loaded = Authority::load(dir.path()).unwrap();
        assert_eq!(loaded.name(), "North");
        let kit = loaded.issue_site(&"a".parse().unwrap()).unwrap();
        let (_, ca) = x509_parser::pem::parse_x509_pem(authority.certificate_pem.as_bytes()).unwrap();
        let (_, leaf) = x509_parser::pem::parse_x509_pem(kit.certificate_pem.as_bytes()).unwrap();
        let ca = ca.parse_x509().unwrap();
        leaf.parse_x509().unwrap().verify_signature(Some(ca.public_key())).unwrap();
    }

    #[test]
    fn sites_of_one_consortium_share_a_fingerprint_key_that_the_coordinator_lacks() {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::create("North").unwrap();
        authority.save(dir.path()).unwrap();
        let loaded = Authority::load(dir.path()).unwrap();
        let key_of = |authority: &Authority, site: &str| {
            authority.issue_site(&site.parse().unwrap()).unwrap().fingerprint_key.unwrap()
        };
        let key = key_of(&authority, "a");
        assert_eq!(key.len(), 64);
        assert_eq!(key, key_of(&loaded, "b"));
        assert_ne!(key, key_of(&Authority::create("North").unwrap(), "a"));
        assert!(authority.issue_coordinator::<&str>(&[]).unwrap().fingerprint_key.is_none());
    }

    #[test]
    fn nothing_is_overwritten_and_keys_are_private() {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::create("North").unwrap();
        let kit = authority.issue_site(&"a".parse().unwrap()).unwrap();
        kit.write(dir.path()).unwrap();
        assert!(matches!(kit.write(dir.path()), Err(KitError::Exists(path)) if path.ends_with("key.pem")));
        assert!(matches!(authority.save(dir.path()), Err(AuthorityError::Save(KitError::Exists(_)))));
        assert!(!dir.path().join(CA_KEY_FILE).exists(), "all or nothing");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(dir.path().join("key.pem")).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        assert!(!format!("{kit:?}").contains("PRIVATE"));
    }

    #[test]
    fn a_key_of_another_authority_is_noticed() {
        let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        Authority::create("North").unwrap().save(ours.path()).unwrap();
        Authority::create("South").unwrap().save(theirs.path()).unwrap();
        fs::copy(theirs.path().join(CA_KEY_FILE), ours.path().join(CA_KEY_FILE)).unwrap();
        assert!(matches!(Authority::load(ours.path()), Err(AuthorityError::Damaged { .. })));
        fs::remove_file(ours.path().join(CA_KEY_FILE)).unwrap();
        assert!(matches!(Authority::load(ours.path()), Err(AuthorityError::Read { .. })));
    }

    #[test]
    fn names_that_are_no_names_are_refused() {
        let authority = Authority::create("North").unwrap();
        for bad in ["", "a b", "https://x", ".x", "*.example.org"] {
            let refused = authority.issue_coordinator(&[bad]);
            assert!(matches!(refused, Err(AuthorityError::CoordinatorName(_))), "{bad}");
        }
        for bad in ["", "line\nbreak", &"x".repeat(65)] {
            assert!(matches!(Authority::create(bad), Err(AuthorityError::Name(_))), "{bad}");
        }
    }
}
