//! The certificate that signs everybody's: made by the root, held by the coordinator.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, SystemTime};

use consilium_domain::{Role, SiteId};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose,
    PublicKeyData, SanType, SerialNumber,
};
use rustls_pki_types::CertificateDer;
use time::OffsetDateTime;

use crate::certificate::{CertificateFacts, UnreadableCertificate, certificates_of};
use crate::folder::{ISSUING_FILE, ISSUING_KEY_FILE};
use crate::lifetime::Lifetime;
use crate::private_file::{Exposed, refuse_exposed};

/// Certificates begin this long before they are made, or a tenth of their life: hospital clocks are often minutes off.
const BACKDATED: Duration = Duration::from_secs(3_600);

/// Bytes of a random serial number: nobody guesses it, and RFC 5280 allows 20.
const SERIAL_BYTES: usize = 16;

/// An issuing certificate and its key. `Debug` does not show the key.
pub struct Issuer {
    consortium: String,
    certificate: CertificateDer<'static>,
    until: SystemTime,
    inner: rcgen::Issuer<'static, KeyPair>,
}

/// A certificate that was just made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// The certificate, then its issuer's.
    pub chain: Vec<CertificateDer<'static>>,
    /// What it says.
    pub facts: CertificateFacts,
}

/// Why nothing can be issued.
#[derive(Debug, thiserror::Error)]
pub enum IssuerError {
    /// One of the two files cannot be read.
    #[error("cannot read {path}: {source}; the issuing certificate and its key belong together")]
    Read {
        /// The file.
        path: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Others can read the key.
    #[error(transparent)]
    Exposed(#[from] Exposed),
    /// The certificate cannot be read.
    #[error("the issuing certificate is damaged: {0}")]
    Certificate(#[from] UnreadableCertificate),
    /// The key is not the certificate's.
    #[error("the issuing key does not belong to the issuing certificate: restore both from one backup")]
    OtherKey,
    /// It names nobody.
    #[error("the issuing certificate names no consortium")]
    Nameless,
    /// Its days are over.
    #[error(
        "the issuing certificate has expired: make a new one with `consilium-certs issue-issuing` and copy it to the \
         coordinator's folder"
    )]
    Expired,
    /// A host that is none.
    #[error("`{0}` is neither an IP address nor a DNS name: use for instance 10.0.0.5 or fl.example.org")]
    Host(String),
    /// The cryptographic library refused.
    #[error("cannot make the certificate: {0}")]
    Crypto(#[from] rcgen::Error),
}

impl Issuer {
    /// Reads the issuing certificate and key of a coordinator's folder, if it has them.
    ///
    /// # Errors
    /// Where only one of the files is there, one is damaged, or others can read the key.
    pub fn load(dir: &Path) -> Result<Option<Self>, IssuerError> {
        let (certificate, key) = (dir.join(ISSUING_FILE), dir.join(ISSUING_KEY_FILE));
        if !certificate.exists() && !key.exists() {
            return Ok(None);
        }
        refuse_exposed(&key)?;
        let read = |path: &Path| {
            std::fs::read_to_string(path)
                .map_err(|source| IssuerError::Read { path: path.to_owned(), source })
        };
        Self::from_pem(&read(&certificate)?, &read(&key)?).map(Some)
    }

    /// The issuer of these texts.
    ///
    /// # Errors
    /// Where one is damaged, or the key is not the certificate's.
    pub fn from_pem(certificate_pem: &str, key_pem: &str) -> Result<Self, IssuerError> {
        let certificate = certificates_of(certificate_pem)?.swap_remove(0);
        let facts = CertificateFacts::of(&certificate)?;
        let key = KeyPair::from_pem(key_pem)?;
        if key.subject_public_key_info() != facts.public_key {
            return Err(IssuerError::OtherKey);
        }
        let inner = rcgen::Issuer::from_ca_cert_der(&certificate, key)?;
        let consortium = facts.organisation.or(facts.common_name).ok_or(IssuerError::Nameless)?;
        Ok(Self { consortium, until: facts.not_after, certificate, inner })
    }

    /// The consortium's name.
    pub fn consortium(&self) -> &str {
        &self.consortium
    }

    /// The issuing certificate itself.
    pub const fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Its key, as PEM: for the folder of the coordinator alone.
    pub fn key_pem(&self) -> String {
        self.inner.key().serialize_pem()
    }

    /// When it expires; nothing it issues lives longer.
    pub const fn until(&self) -> SystemTime {
        self.until
    }

    /// Certifies that the holder of `key` is `role`, reachable as `hosts` where it is the coordinator.
    ///
    /// All names are written here; none comes from whoever asked.
    ///
    /// # Errors
    /// Where the issuing certificate has expired, or a host is none.
    pub fn issue(
        &self,
        role: &Role,
        hosts: &[String],
        key: &impl PublicKeyData,
        life: Lifetime,
        now: SystemTime,
    ) -> Result<Issued, IssuerError> {
        if now >= self.until {
            return Err(IssuerError::Expired);
        }
        let life = life.duration();
        let mut params = named(&self.consortium, holder(role));
        params.not_before = OffsetDateTime::from(now - BACKDATED.min(life / 10));
        params.not_after = OffsetDateTime::from((now + life).min(self.until));
        params.subject_alt_names = vec![SanType::URI(role.to_string().try_into()?)];
        for host in hosts {
            params.subject_alt_names.push(host_name(host)?);
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![match role {
            Role::Coordinator => ExtendedKeyUsagePurpose::ServerAuth,
            Role::Site(_) | Role::Admin(_) | Role::Observer(_) => ExtendedKeyUsagePurpose::ClientAuth,
        }];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(key, &self.inner)?.der().clone();
        let facts = CertificateFacts::of(&certificate)?;
        Ok(Issued { chain: vec![certificate, self.certificate.clone()], facts })
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer").field("consortium", &self.consortium).finish_non_exhaustive()
    }
}

/// Parameters with a subject and a random serial number, and nothing allowed yet.
pub(crate) fn named(organisation: &str, common_name: &str) -> CertificateParams {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::OrganizationName, organisation);
    subject.push(DnType::CommonName, common_name);
    let mut params = CertificateParams::default();
    params.distinguished_name = subject;
    let mut serial = [0; SERIAL_BYTES];
    aws_lc_rs::rand::fill(&mut serial).expect("the system has randomness");
    // Positive and of full length, so that its text is the same wherever it is read.
    serial[0] = serial[0] & 0x3f | 0x40;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params
}

fn holder(role: &Role) -> &str {
    match role {
        Role::Coordinator => "coordinator",
        Role::Site(name) | Role::Admin(name) | Role::Observer(name) => name.as_str(),
    }
}

fn host_name(name: &str) -> Result<SanType, IssuerError> {
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    // A DNS name is a dotted row of labels, and a site id is exactly one such label.
    let is_dns = name.len() <= 253 && name.split('.').all(|label| label.parse::<SiteId>().is_ok());
    if is_dns {
        Ok(SanType::DnsName(name.try_into()?))
    } else {
        Err(IssuerError::Host(name.chars().take(80).collect()))
    }
}
