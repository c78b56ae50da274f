//! Keys, certificates and the files they lie in: what authority, coordinator and sites have in common.
//!
//! A consortium has one offline [`Root`]. It signs an [`Issuer`], which the coordinator holds, and that signs everybody
//! else's certificate. A site makes its own [`OwnKey`] and hands out a request for a certificate; whoever answers
//! takes the public key from it and nothing else.
//!
//! It deliberately opens no socket, verifies no chain (TLS does) and decides nothing about who may have a certificate.

mod certificate;
mod folder;
mod issuer;
mod key;
mod lifetime;
mod private_file;
mod request;
mod root;

pub use certificate::{CertificateFacts, UnreadableCertificate, certificates_of, pem_of, public_key_sha256};
pub use folder::{
    CA_FILE, CERTIFICATE_FILE, FINGERPRINT_KEY_FILE, FolderError, ISSUING_FILE, ISSUING_KEY_FILE,
    JOINING_KEY_FILE, KEY_FILE, finish_replacement, refuse_exposed_secrets, replace_pair,
};
pub use issuer::{Issued, Issuer, IssuerError};
pub use key::{KeyError, OwnKey};
pub use lifetime::{Lifetime, LifetimeError};
pub use private_file::{Exposed, Readers, create, refuse_exposed, replace};
pub use request::{MAX_REQUEST_BYTES, PublicKey, RequestError};
pub use root::{Root, RootError};
