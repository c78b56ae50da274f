//! A private key that never leaves the machine it was made on, and the request for a certificate that does.

use std::fmt;

use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData as _};

/// An ECDSA P-256 key. `Debug` does not show it.
pub struct OwnKey(KeyPair);

/// Why there is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the private key cannot be used: {0}")]
pub struct KeyError(String);

impl OwnKey {
    /// A fresh key.
    ///
    /// # Errors
    /// Only where the cryptographic library fails.
    pub fn generate() -> Result<Self, KeyError> {
        KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map(Self).map_err(refused)
    }

    /// Reads what [`OwnKey::to_pem`] wrote.
    ///
    /// # Errors
    /// Where the text is no ECDSA P-256 key in PKCS #8.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        KeyPair::from_pkcs8_pem_and_sign_algo(pem, &PKCS_ECDSA_P256_SHA256).map(Self).map_err(refused)
    }

    /// The key as PKCS #8 in PEM. Whoever has it *is* its holder.
    pub fn to_pem(&self) -> String {
        self.0.serialize_pem()
    }

    /// A request (PKCS #10, DER) for a certificate: the public key, signed by the private one. It names nobody, as
    /// whoever answers writes the names.
    ///
    /// # Errors
    /// Only where the cryptographic library fails.
    pub fn request(&self) -> Result<Vec<u8>, KeyError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(&self.0).map_err(refused)?;
        Ok(request.der().to_vec())
    }

    /// The public half, as a DER SubjectPublicKeyInfo.
    pub fn public_key(&self) -> Vec<u8> {
        self.0.subject_public_key_info()
    }
}

impl fmt::Debug for OwnKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnKey").finish_non_exhaustive()
    }
}

fn refused(error: rcgen::Error) -> KeyError {
    KeyError(error.to_string())
}
