//! The root of trust: a self-signed certificate whose key lies offline and signs issuing certificates only.

use std::fmt;
use std::time::SystemTime;

use rcgen::{BasicConstraints, IsCa, KeyPair, KeyUsagePurpose, PublicKeyData as _};
use rustls_pki_types::CertificateDer;
use time::OffsetDateTime;

use crate::certificate::{CertificateFacts, UnreadableCertificate, certificates_of, pem_of};
use crate::issuer::{Issuer, IssuerError, named};
use crate::lifetime::Lifetime;

/// The root lives longer than any study: replacing it means visiting every hospital.
const ROOT_LIFE: Lifetime = Lifetime::days(3_650);

/// The root and its key. `Debug` does not show the key.
pub struct Root {
    name: String,
    certificate: CertificateDer<'static>,
    until: SystemTime,
    inner: rcgen::Issuer<'static, KeyPair>,
}

/// Why there is no root.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// The consortium's name is empty or too long.
    #[error("`{0}` cannot name a consortium: use 1 to 64 printable characters")]
    Name(String),
    /// The certificate cannot be read.
    #[error("the root certificate is damaged: {0}")]
    Certificate(#[from] UnreadableCertificate),
    /// The key is not the certificate's.
    #[error("the root's key belongs to another certificate")]
    OtherKey,
    /// The certificate names nobody.
    #[error("the root certificate names no consortium")]
    Nameless,
    /// The root has expired.
    #[error("the root has expired: a new consortium's root must be brought to every hospital")]
    Expired,
    /// The issuing certificate cannot be used.
    #[error(transparent)]
    Issuer(#[from] IssuerError),
    /// The cryptographic library refused.
    #[error("cannot make the certificate: {0}")]
    Crypto(#[from] rcgen::Error),
}

impl Root {
    /// Makes a root with a fresh key, valid for ten years.
    ///
    /// # Errors
    /// [`RootError::Name`] where `consortium` is empty, longer than 64 characters (the limit X.520 sets for a
    /// common name) or has control characters.
    pub fn create(consortium: &str, now: SystemTime) -> Result<Self, RootError> {
        let fits =
            (1..=64).contains(&consortium.chars().count()) && !consortium.chars().any(char::is_control);
        if !fits {
            return Err(RootError::Name(consortium.chars().take(80).collect()));
        }
        let key = KeyPair::generate()?;
        let mut params = named(consortium, consortium);
        params.not_before = OffsetDateTime::from(now - Lifetime::hours(1).duration());
        params.not_after = OffsetDateTime::from(now + ROOT_LIFE.duration());
        // One issuing certificate below it, and nothing below that but leaves.
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key)?.der().clone();
        Self::new(certificate, key)
    }

    /// The root of these texts.
    ///
    /// # Errors
    /// Where one is damaged, or the key is not the certificate's.
    pub fn from_pem(certificate_pem: &str, key_pem: &str) -> Result<Self, RootError> {
        let certificate = certificates_of(certificate_pem)?.swap_remove(0);
        Self::new(certificate, KeyPair::from_pem(key_pem)?)
    }

    fn new(certificate: CertificateDer<'static>, key: KeyPair) -> Result<Self, RootError> {
        let facts = CertificateFacts::of(&certificate)?;
        if key.subject_public_key_info() != facts.public_key {
            return Err(RootError::OtherKey);
        }
        let inner = rcgen::Issuer::from_ca_cert_der(&certificate, key)?;
        let name = facts.common_name.ok_or(RootError::Nameless)?;
        Ok(Self { name, certificate, until: facts.not_after, inner })
    }

    /// The consortium's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The certificate, as PEM.
    pub fn certificate_pem(&self) -> String {
        pem_of(std::slice::from_ref(&self.certificate))
    }

    /// The key, as PEM: for the offline folder alone.
    pub fn key_pem(&self) -> String {
        self.inner.key().serialize_pem()
    }

    /// The key's secret, from which further secrets of the consortium can be derived.
    pub fn secret(&self) -> Vec<u8> {
        self.inner.key().serialize_der()
    }

    /// Makes an issuing certificate with a fresh key.
    ///
    /// # Errors
    /// Where the root has expired.
    pub fn issuing(&self, life: Lifetime, now: SystemTime) -> Result<Issuer, RootError> {
        if now >= self.until {
            return Err(RootError::Expired);
        }
        let key = KeyPair::generate()?;
        let mut params = named(&self.name, "issuing");
        params.not_before = OffsetDateTime::from(now - Lifetime::hours(1).duration());
        params.not_after = OffsetDateTime::from((now + life.duration()).min(self.until));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.inner)?;
        Ok(Issuer::from_pem(&certificate.pem(), &key.serialize_pem())?)
    }
}

impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Root").field("name", &self.name).finish_non_exhaustive()
    }
}
