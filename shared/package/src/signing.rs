//! Signing a card with the coordinator's kit.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};

use crate::signature::Signature;
use consilium_signing::Authorities;

use crate::signer::{Signer, VerifyError, trusted};

const CA_FILE: &str = "ca.pem";
const CERTIFICATE_FILE: &str = "cert.pem";
const KEY_FILE: &str = "key.pem";

/// A coordinator's certificate and key, and the authority behind them. `Debug` shows no key.
pub struct SigningKit {
    ca_pem: String,
    chain: Vec<Vec<u8>>,
    key: EcdsaKeyPair,
    signer: Signer,
}

/// Why nothing can be signed.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// A file of the kit is absent or unreadable.
    #[error("cannot read {path}: {source}; a kit has {CA_FILE}, {CERTIFICATE_FILE} and {KEY_FILE}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The certificate does not make a coordinator of its holder.
    #[error("this kit cannot sign a package: {0}")]
    Certificate(#[from] VerifyError),
    /// The key is damaged, or of another kind.
    #[error("the private key cannot sign: {0}; issue a new kit with consilium-certs")]
    Key(String),
    /// The key is somebody else's.
    #[error("the private key does not belong to the certificate beside it: copy the kit again")]
    OtherKey,
}

impl SigningKit {
    /// Reads `ca.pem`, `cert.pem` and `key.pem` from `dir`. Whether others can read the key is not asked here.
    ///
    /// # Errors
    /// Where a file cannot be read, or as [`SigningKit::from_pem`].
    pub fn load(dir: &Path) -> Result<Self, SigningError> {
        let read = |name: &str| {
            let path = dir.join(name);
            fs::read_to_string(&path).map_err(|source| SigningError::Read { path, source })
        };
        Self::from_pem(read(CA_FILE)?, &read(CERTIFICATE_FILE)?, &read(KEY_FILE)?)
    }

    /// The kit of these texts. The key is ECDSA P-256 in PKCS #8, as `consilium-certs` writes it.
    ///
    /// # Errors
    /// Where the certificate is not a coordinator's, `ca_pem` does not vouch for it, or the key is not its own.
    pub fn from_pem(ca_pem: String, certificate_pem: &str, key_pem: &str) -> Result<Self, SigningError> {
        let chain = CertificateDer::pem_slice_iter(certificate_pem.as_bytes())
            .map(|der| der.map(|der| der.to_vec()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| VerifyError::Certificate(error.to_string()))?;
        if chain.is_empty() {
            return Err(VerifyError::Certificate("it holds no certificate in PEM".to_owned()).into());
        }
        let authorities = Authorities::from_pem(&ca_pem).map_err(VerifyError::from)?;
        let signer = trusted(&chain, &authorities)?.into();
        let key = PrivatePkcs8KeyDer::from_pem_slice(key_pem.as_bytes())
            .map_err(|error| SigningError::Key(error.to_string()))?;
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, key.secret_pkcs8_der())
            .map_err(|error| SigningError::Key(error.to_string()))?;
        if public_key(&chain[0])? != key.public_key().as_ref() {
            return Err(SigningError::OtherKey);
        }
        Ok(Self { ca_pem, chain, key, signer })
    }

    /// Whom readers will be told.
    pub const fn signer(&self) -> &Signer {
        &self.signer
    }

    /// The certificate of the authority, as PEM.
    pub(crate) fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// Signs `card`. ECDSA is randomised: two signatures of one card differ, and both hold.
    pub(crate) fn sign(&self, card: &[u8]) -> Result<Signature, SigningError> {
        let signature = self
            .key
            .sign(&SystemRandom::new(), card)
            .map_err(|_| SigningError::Key("the cryptographic library refuses".to_owned()))?;
        Ok(Signature { bytes: signature.as_ref().to_vec(), certificates: self.chain.clone() })
    }
}

impl fmt::Debug for SigningKit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKit").field("signer", &self.signer).finish_non_exhaustive()
    }
}

fn public_key(certificate: &[u8]) -> Result<Vec<u8>, VerifyError> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate)
        .map_err(|error| VerifyError::Certificate(error.to_string()))?;
    Ok(certificate.public_key().subject_public_key.data.to_vec())
}

#[cfg(test)]
mod tests {
    use consilium_certs::{Authority, Kit};

    use super::*;

    fn kit_of(kit: &Kit) -> Result<SigningKit, SigningError> {
        SigningKit::from_pem(kit.ca_pem.clone(), &kit.certificate_pem, &kit.key_pem)
    }

    #[test]
    fn the_coordinators_kit_signs_and_hides_its_key() {
        let authority = Authority::create("North").unwrap();
        let kit = authority.issue_coordinator::<&str>(&[]).unwrap();
        let signing = kit_of(&kit).unwrap();
        let signature = signing.sign(b"card").unwrap();
        let signer = Signer::verify(b"card", &signature, &kit.ca_pem).unwrap();
        assert_eq!((&signer, signer.consortium.as_str()), (signing.signer(), "North"));
        assert!(!format!("{signing:?}").contains("key"));
        let dir = tempfile::tempdir().unwrap();
        kit.write(dir.path()).unwrap();
        assert_eq!(SigningKit::load(dir.path()).unwrap().signer(), &signer);
        assert!(matches!(SigningKit::load(&dir.path().join("x")), Err(SigningError::Read { .. })));
    }

    #[test]
    fn kits_that_cannot_sign_say_why() {
        let authority = Authority::create("North").unwrap();
        let kit = authority.issue_coordinator::<&str>(&[]).unwrap();
        let site = authority.issue_site(&"a".parse().unwrap()).unwrap();
        let refused = kit_of(&site).unwrap_err().to_string();
        assert!(
            refused.contains("consilium:site:a") && refused.contains("only the coordinator"),
            "{refused}"
        );
        let mixed = Kit { key_pem: site.key_pem.clone(), ..kit.clone() };
        assert!(matches!(kit_of(&mixed), Err(SigningError::OtherKey)));
        let other = Kit {
            ca_pem: Authority::create("South").unwrap().issue_site(&"a".parse().unwrap()).unwrap().ca_pem,
            ..kit.clone()
        };
        assert!(matches!(kit_of(&other), Err(SigningError::Certificate(VerifyError::Untrusted(_)))));
        for key_pem in ["", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
            let damaged = Kit { key_pem: key_pem.into(), ..kit.clone() };
            assert!(matches!(kit_of(&damaged), Err(SigningError::Key(_))), "{key_pem}");
        }
        let empty = Kit { certificate_pem: String::new(), ..kit };
        assert!(matches!(kit_of(&empty), Err(SigningError::Certificate(VerifyError::Certificate(_)))));
    }
}
