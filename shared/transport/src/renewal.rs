//! Taking a new certificate into use: checked before a byte is written, because what is on the disk must work.

use std::sync::Arc;

use consilium_domain::Role;
use consilium_pki::{CertificateFacts, FolderError, OwnKey, certificates_of, pem_of, replace_pair};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;

use crate::identity::{Identity, IdentityError};
use crate::peer::Peer;
use crate::tls;

/// Why a new certificate is not taken into use. The present one is untouched.
#[derive(Debug, thiserror::Error)]
pub enum RenewalError {
    /// It would not work.
    #[error("the new certificate cannot be used: {0}; tell the consortium's admin")]
    Certificate(String),
    /// It cannot be written.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// It was written and cannot be read.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

impl Identity {
    /// Replaces key and certificate, on the disk and from the next handshake on. A machine that dies in between has the
    /// old pair or the new one. `chain_pem` is the certificate, then its issuer's, as the coordinator sent them.
    ///
    /// # Errors
    /// Where the chain is not for `key` and this identity's role, or does not lead to a root that is trusted already.
    pub fn renew(&self, key: &OwnKey, chain_pem: &str) -> Result<(), RenewalError> {
        let chain =
            certificates_of(chain_pem).map_err(|error| RenewalError::Certificate(error.to_string()))?;
        check_chain(&chain, key, self.role(), &self.roots).map_err(RenewalError::Certificate)?;
        replace_pair(self.dir(), &key.to_pem(), &pem_of(&chain))?;
        self.reload()?;
        Ok(())
    }
}

/// Whether `chain` makes of the holder of `key` a client of that `role`, now, for whoever trusts `roots`.
pub(crate) fn check_chain(
    chain: &[CertificateDer<'_>],
    key: &OwnKey,
    role: &Role,
    roots: &Arc<RootCertStore>,
) -> Result<(), String> {
    let (leaf, issuers) = chain.split_first().ok_or("there is none in it")?;
    if CertificateFacts::of(leaf).map_err(|error| error.to_string())?.public_key != key.public_key() {
        return Err("it is for another key".to_owned());
    }
    let peer = Peer::from_certificate(leaf).map_err(|error| error.to_string())?;
    if peer.role != *role {
        return Err(format!("it is for `{}`", peer.role));
    }
    WebPkiClientVerifier::builder_with_provider(roots.clone(), Arc::new(tls::provider()))
        .build()
        .map_err(|error| error.to_string())?
        .verify_client_cert(leaf, issuers, UnixTime::now())
        .map(drop)
        .map_err(|error| format!("{error}; is this machine's clock right?"))
}
