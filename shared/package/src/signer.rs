//! Who signed a card, and whether the consortium's authority vouches for them.
//!
//! Chain and signature are verified by `consilium_signing`. A certificate of the coordinator lasts months and a package
//! years; so an expired certificate does not break a package, and the reader is told from when until when it was valid.

use std::time::SystemTime;

use consilium_domain::{Digest, Role, UnknownRole};
use consilium_signing::{Authorities, Holder, SignatureError};
use serde::Serialize;
use time::OffsetDateTime;

use crate::signature::Signature;

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
        let holder = trusted(&signature.certificates, &Authorities::from_pem(ca_pem)?)?;
        holder.verify(card, &signature.bytes)?;
        Ok(holder.into())
    }
}

impl From<Holder> for Signer {
    fn from(holder: Holder) -> Self {
        Self {
            consortium: holder.consortium,
            serial: holder.serial,
            certificate_sha256: holder.certificate_sha256,
            valid_from_unix_secs: holder.valid_from_unix_secs,
            valid_until_unix_secs: holder.valid_until_unix_secs,
        }
    }
}

impl From<SignatureError> for VerifyError {
    fn from(error: SignatureError) -> Self {
        match error {
            SignatureError::Authority(problem) => Self::Authority(problem),
            SignatureError::Certificate(problem) => Self::Certificate(problem),
            SignatureError::NotOneName(count) => Self::NotOneName(count),
            SignatureError::UnknownRole(role) => Self::UnknownRole(role),
            SignatureError::Untrusted(problem) => Self::Untrusted(problem),
            SignatureError::Signature => Self::Signature,
        }
    }
}

/// The holder of the first certificate of `chain`, if they are the coordinator of one of `authorities`.
pub(crate) fn trusted(chain: &[Vec<u8>], authorities: &Authorities) -> Result<Holder, VerifyError> {
    // Asked first, because it explains more than the purpose that a site's certificate lacks.
    match Holder::claimed_role(chain)? {
        Role::Coordinator => Ok(Holder::trusted(chain, authorities)?),
        other => Err(VerifyError::NotCoordinator(other)),
    }
}

fn day(unix_secs: i64) -> String {
    // Certificates can say years that a calendar of four digits has not.
    OffsetDateTime::from_unix_timestamp(unix_secs)
        .map_or_else(|_| unix_secs.to_string(), |at| at.date().to_string())
}
