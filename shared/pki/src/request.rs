//! Reading a request for a certificate: the public key is taken, everything else is left.

use rcgen::{
    CertificateSigningRequestParams, PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm,
    SubjectPublicKeyInfo,
};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer as _;

/// Longest request that is read. One for P-256 has some 250 bytes.
pub const MAX_REQUEST_BYTES: usize = 2_048;

/// A public key whose private half the requester has shown to hold.
#[derive(Debug)]
pub struct PublicKey {
    spki: SubjectPublicKeyInfo,
    der: Vec<u8>,
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Too long to be one.
    #[error("the certificate request has more than {MAX_REQUEST_BYTES} bytes")]
    TooLong,
    /// Not PKCS #10, or not signed by the key it holds.
    #[error("the certificate request cannot be read, or is not signed by its own key")]
    Unreadable,
    /// Another kind of key.
    #[error("the certificate request holds another key than ECDSA P-256")]
    Algorithm,
}

impl PublicKey {
    /// Reads and verifies a request (PKCS #10, DER). Names and extensions in it are ignored.
    ///
    /// # Errors
    /// Where it is no request, its own key did not sign it, or the key is not of the kind this consortium uses.
    pub fn from_request(request: &[u8]) -> Result<Self, RequestError> {
        if request.len() > MAX_REQUEST_BYTES {
            return Err(RequestError::TooLong);
        }
        CertificateSigningRequestParams::from_der(&request.into()).map_err(|_| RequestError::Unreadable)?;
        let (rest, parsed) =
            X509CertificationRequest::from_der(request).map_err(|_| RequestError::Unreadable)?;
        if !rest.is_empty() {
            return Err(RequestError::Unreadable);
        }
        let der = parsed.certification_request_info.subject_pki.raw.to_vec();
        // The key's own algorithm, not the one that the signature claims.
        let spki = SubjectPublicKeyInfo::from_der(&der).map_err(|_| RequestError::Algorithm)?;
        if spki.algorithm() == &PKCS_ECDSA_P256_SHA256 {
            Ok(Self { spki, der })
        } else {
            Err(RequestError::Algorithm)
        }
    }

    /// As a DER SubjectPublicKeyInfo.
    pub fn der(&self) -> &[u8] {
        &self.der
    }
}

impl PublicKeyData for PublicKey {
    fn der_bytes(&self) -> &[u8] {
        self.spki.der_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.spki.algorithm()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};

    use super::*;
    use crate::OwnKey;

    #[test]
    fn a_request_shows_its_public_key() {
        let key = OwnKey::generate().unwrap();
        let read = PublicKey::from_request(&key.request().unwrap()).unwrap();
        assert_eq!(read.der(), key.public_key());
        assert_eq!(OwnKey::from_pem(&key.to_pem()).unwrap().public_key(), key.public_key());
    }

    /// The few bytes that the signature does not cover change nothing.
    #[test]
    fn an_altered_byte_never_changes_the_key() {
        let key = OwnKey::generate().unwrap();
        let request = key.request().unwrap();
        let mut refused = 0;
        for place in 0..request.len() {
            let mut altered = request.clone();
            altered[place] ^= 1;
            match PublicKey::from_request(&altered) {
                Ok(read) => assert_eq!(read.der(), key.public_key(), "byte {place}"),
                Err(_) => refused += 1,
            }
        }
        assert!(refused > request.len() - 10, "{refused} of {}", request.len());
        let longer = [request, vec![0]].concat();
        assert_eq!(PublicKey::from_request(&longer).unwrap_err(), RequestError::Unreadable);
        assert_eq!(PublicKey::from_request(&vec![0; 3_000]).unwrap_err(), RequestError::TooLong);
    }

    #[test]
    fn other_kinds_of_key_are_refused() {
        for algorithm in [&PKCS_ECDSA_P384_SHA384, &PKCS_ED25519] {
            let key = KeyPair::generate_for(algorithm).unwrap();
            let request = CertificateParams::default().serialize_request(&key).unwrap();
            assert_eq!(PublicKey::from_request(request.der()).unwrap_err(), RequestError::Algorithm);
        }
    }
}
