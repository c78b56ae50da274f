//! Whose signature is this? Certificate chains, roles and signatures of a consortium, verified in one way for model
//! packages and for audit logs.
//!
//! Chain and signature are verified by `webpki`. A signature outlives the certificate it was made with, and nobody can
//! prove when it was made; so the chain is verified as of the day the certificate began, and whoever asks is told
//! from when until when it was valid. Deliberately without private keys: who has one brings it as a [`Sign`].

mod authorities;
mod holder;

pub use authorities::Authorities;
pub use holder::{Holder, SignatureError};

use consilium_domain::Role;

/// Somebody who can sign with the key of their certificate.
pub trait Sign: Send + Sync {
    /// Whom the certificate speaks for.
    fn role(&self) -> &Role;

    /// The certificate and what vouches for it, in DER; the own one first.
    fn certificates(&self) -> Vec<Vec<u8>>;

    /// An ECDSA P-256 signature of `text` with SHA-256, as ASN.1.
    ///
    /// # Errors
    /// Where the key is of another kind, or the cryptographic library refuses.
    fn sign(&self, text: &[u8]) -> Result<Vec<u8>, CannotSign>;
}

/// Why nothing can be signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the private key cannot sign: {0}; keys must be ECDSA P-256, as consilium-certs issues them")]
pub struct CannotSign(pub String);
