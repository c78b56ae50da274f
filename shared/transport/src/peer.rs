//! Who a verified certificate speaks for.
//!
//! Trust is not decided here: rustls has checked the chain, the dates and the purpose before this is asked.

use std::time::SystemTime;

use consilium_domain::{Role, UnknownRole};
use consilium_pki::CertificateFacts;
use rustls::pki_types::CertificateDer;

/// The holder of a verified certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) role: Role,
    /// The certificate's serial number in hexadecimal: what a revocation names.
    pub(crate) serial: String,
    /// Until when it is valid.
    pub(crate) expires: SystemTime,
}

/// Why a certificate does not say whose it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateNameError {
    /// Not an X.509 certificate.
    #[error("the certificate cannot be read: {0}")]
    Unreadable(String),
    /// No name, or several: neither is ever issued by the consortium's authority.
    #[error(
        "the certificate has {0} URI names where exactly one is expected: issue a new kit with consilium-certs"
    )]
    NotOneName(usize),
    /// A name of somebody else's scheme.
    #[error("the certificate's name is not of this consortium's kind: {0}")]
    Role(#[from] UnknownRole),
    /// TLS finished without a certificate.
    #[error("no certificate was shown: a kit is needed to connect")]
    Absent,
}

impl Peer {
    pub(crate) fn from_certificate(certificate: &CertificateDer<'_>) -> Result<Self, CertificateNameError> {
        let facts = CertificateFacts::of(certificate)
            .map_err(|error| CertificateNameError::Unreadable(error.to_string()))?;
        match &facts.uris[..] {
            [uri] => Ok(Self { role: uri.parse()?, serial: facts.serial, expires: facts.not_after }),
            uris => Err(CertificateNameError::NotOneName(uris.len())),
        }
    }

    /// The holder of the first certificate of `chain`.
    pub(crate) fn of(chain: &[CertificateDer<'_>]) -> Result<Self, CertificateNameError> {
        Self::from_certificate(chain.first().ok_or(CertificateNameError::Absent)?)
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, SanType};

    use super::*;

    fn certificate(uris: &[&str]) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        params.subject_alt_names.extend(uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())));
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    #[test]
    fn exactly_one_role_is_read() {
        let peer = Peer::from_certificate(&certificate(&["consilium:site:a"])).unwrap();
        assert_eq!(peer.role, Role::Site("a".parse().unwrap()));
        assert!(peer.serial.len() > 10);
        let two = certificate(&["consilium:site:a", "consilium:coordinator"]);
        assert_eq!(Peer::from_certificate(&two), Err(CertificateNameError::NotOneName(2)));
        assert_eq!(Peer::from_certificate(&certificate(&[])), Err(CertificateNameError::NotOneName(0)));
        let foreign = Peer::from_certificate(&certificate(&["spiffe://x/y"]));
        assert!(matches!(foreign, Err(CertificateNameError::Role(_))));
        let garbage = Peer::from_certificate(&CertificateDer::from(vec![1, 2, 3]));
        assert!(matches!(garbage, Err(CertificateNameError::Unreadable(_))));
    }
}
