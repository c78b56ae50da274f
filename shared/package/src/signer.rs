//! Who signed a card, and whether the consortium's authority vouches for them.
//!
//! Chain and signature are verified by `webpki`. A certificate of the coordinator lasts months and a package years,
//! and nobody can prove when a signature was made; so an expired certificate does not break a package. The chain is
//! verified as of the day the certificate began, and the reader is told from when until when it was valid.

use std::time::{Duration, SystemTime};

use consilium_domain::{Digest, Role, UnknownRole};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;
use webpki::aws_lc_rs::ECDSA_P256_SHA256;
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

use crate::signature::Signature;

/// Largest authority file: a few certificates.
const MAX_AUTHORITY_BYTES: usize = 64 << 10;

/// Who answers for a card: the holder of a coordinator's certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Signer {
    /// The name of the authority that issued the certificate: the consortium's.
    pub consortium: String,
    /// The certificate's serial number in hexadecimal.
    pub serial: String,
    /// SHA-256 of the certificate.
    pub certificate_sha256: Digest,
    /// From when it is valid, in seconds since 1970 (UTC).
    pub valid_from_unix_secs: i64,
    /// Until when it is valid, in seconds since 1970 (UTC).
    pub valid_until_unix_secs: i64,
}

/// A certificate at some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// Its days have not begun.
    NotYet,
    /// It is valid.
    Current,
    /// Its days are over.
    Expired,
}

/// Why nobody trustworthy answers for a card.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The authority's certificate cannot be read.
    #[error("the authority's certificate cannot be read: {0}; give the ca.pem of the consortium")]
    Authority(String),
    /// The signer's certificate cannot be read.
    #[error("the signer's certificate cannot be read: {0}")]
    Certificate(String),
    /// No name, or several: neither is ever issued by a consortium's authority.
    #[error("the signer's certificate has {0} URI names where exactly one is expected")]
    NotOneName(usize),
    /// A name of somebody else's scheme.
    #[error("the signer's certificate is not of a consortium: {0}")]
    UnknownRole(#[from] UnknownRole),
    /// Signed by somebody who may not.
    #[error("signed as `{0}`: only the coordinator may sign a package")]
    NotCoordinator(Role),
    /// Another authority.
    #[error(
        "the authority given does not vouch for the signer ({0}): the package is of another consortium, or forged"
    )]
    Untrusted(String),
    /// Not a signature of this card.
    #[error("the signature is not of this card: the card or the signature was altered")]
    Signature,
}

impl Signer {
    /// The certificate at `now`.
    pub fn standing(&self, now: SystemTime) -> Standing {
        let now = OffsetDateTime::from(now).unix_timestamp();
        if now < self.valid_from_unix_secs {
            Standing::NotYet
        } else if now > self.valid_until_unix_secs {
            Standing::Expired
        } else {
            Standing::Current
        }
    }

    /// The first and the last day of the certificate (UTC), as YYYY-MM-DD.
    pub fn days(&self) -> [String; 2] {
        [self.valid_from_unix_secs, self.valid_until_unix_secs].map(day)
    }

    /// Whoever signed `card`, if `ca_pem` vouches for them.
    pub(crate) fn verify(card: &[u8], signature: &Signature, ca_pem: &str) -> Result<Self, VerifyError> {
        let authorities = authorities(ca_pem)?;
        let chain: Vec<CertificateDer<'_>> =
            signature.certificates.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
        let signer = trusted(&chain, &authorities)?;
        let leaf = EndEntityCert::try_from(&chain[0]).map_err(unreadable)?;
        leaf.verify_signature(ECDSA_P256_SHA256, card, &signature.bytes)
            .map_err(|_| VerifyError::Signature)?;
        Ok(signer)
    }
}

/// The certificates of `ca_pem`, at least one.
pub(crate) fn authorities(ca_pem: &str) -> Result<Vec<CertificateDer<'static>>, VerifyError> {
    if ca_pem.len() > MAX_AUTHORITY_BYTES {
        return Err(VerifyError::Authority(format!("it has more than {MAX_AUTHORITY_BYTES} bytes")));
    }
    let certificates = CertificateDer::pem_slice_iter(ca_pem.as_bytes()).collect::<Result<Vec<_>, _>>();
    match certificates {
        Ok(certificates) if certificates.is_empty() => {
            Err(VerifyError::Authority("it holds no certificate in PEM".to_owned()))
        }
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(VerifyError::Authority(error.to_string())),
    }
}

/// The holder of the first certificate of `chain`, if they are the coordinator of one of `authorities`.
pub(crate) fn trusted(
    chain: &[CertificateDer<'_>],
    authorities: &[CertificateDer<'_>],
) -> Result<Signer, VerifyError> {
    let (_, certificate) = x509_parser::parse_x509_certificate(&chain[0])
        .map_err(|error| VerifyError::Certificate(error.to_string()))?;
    // Asked first, because it explains more than the purpose that a site's certificate lacks.
    match role_in(&certificate)? {
        Role::Coordinator => {}
        other => return Err(VerifyError::NotCoordinator(other)),
    }
    let validity = certificate.validity();
    let anchors: Vec<TrustAnchor<'_>> = authorities
        .iter()
        .map(|der| anchor_from_trusted_cert(der).map_err(|error| VerifyError::Authority(error.to_string())))
        .collect::<Result<_, _>>()?;
    let began = u64::try_from(validity.not_before.timestamp())
        .map_err(|_| VerifyError::Certificate("it began before 1970".to_owned()))?;
    let leaf = EndEntityCert::try_from(&chain[0]).map_err(unreadable)?;
    let moment = UnixTime::since_unix_epoch(Duration::from_secs(began));
    leaf.verify_for_usage(
        &[ECDSA_P256_SHA256],
        &anchors,
        &chain[1..],
        moment,
        KeyUsage::server_auth(),
        None,
        None,
    )
    .map_err(|error| VerifyError::Untrusted(error.to_string()))?;
    Ok(Signer {
        consortium: consortium(&certificate),
        serial: certificate.raw_serial_as_string(),
        certificate_sha256: Digest::from_bytes(Sha256::digest(&chain[0]).into()),
        valid_from_unix_secs: validity.not_before.timestamp(),
        valid_until_unix_secs: validity.not_after.timestamp(),
    })
}

fn role_in(certificate: &X509Certificate<'_>) -> Result<Role, VerifyError> {
    let names = certificate
        .subject_alternative_name()
        .map_err(|error| VerifyError::Certificate(error.to_string()))?;
    let uris: Vec<&str> = names
        .iter()
        .flat_map(|names| &names.value.general_names)
        .filter_map(|name| if let GeneralName::URI(uri) = name { Some(*uri) } else { None })
        .collect();
    match uris[..] {
        [uri] => Ok(uri.parse()?),
        _ => Err(VerifyError::NotOneName(uris.len())),
    }
}

fn consortium(certificate: &X509Certificate<'_>) -> String {
    let issuer = certificate.issuer();
    // An authority of one's own may have a common name only.
    let mut names = issuer.iter_organization().chain(issuer.iter_common_name());
    let name = names.next().and_then(|name| name.as_str().ok());
    name.unwrap_or("(without a name)").chars().filter(|c| !c.is_control()).take(64).collect()
}

fn unreadable(error: webpki::Error) -> VerifyError {
    VerifyError::Certificate(error.to_string())
}

fn day(unix_secs: i64) -> String {
    // Certificates can say years that a calendar of four digits has not.
    OffsetDateTime::from_unix_timestamp(unix_secs)
        .map_or_else(|_| unix_secs.to_string(), |at| at.date().to_string())
}
