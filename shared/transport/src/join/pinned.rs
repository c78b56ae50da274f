//! Believes the coordinator whose chain leads to the root that the token pins, and nobody else.

use std::sync::{Arc, OnceLock};

use consilium_domain::Role;
use consilium_pki::public_key_sha256;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use crate::peer::Peer;
use crate::tls;

/// What the handshake found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Finding {
    /// The pinned root is in the chain and vouches for the coordinator.
    Coordinator,
    /// The pinned root is not in the chain.
    Foreign,
    /// The chain is of the right consortium, and not good.
    Bad(String),
}

#[derive(Debug)]
pub(super) struct PinnedRoot {
    root_key_sha256: [u8; 32],
    provider: Arc<CryptoProvider>,
    finding: OnceLock<Finding>,
}

impl PinnedRoot {
    pub(super) fn new(root_key_sha256: [u8; 32]) -> Self {
        Self { root_key_sha256, provider: Arc::new(tls::provider()), finding: OnceLock::new() }
    }

    /// What the one handshake this was made for has found out, if it came that far.
    pub(super) fn finding(&self) -> Option<&Finding> {
        self.finding.get()
    }

    fn judge(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<Finding, Error> {
        let is_pinned =
            |der: &&CertificateDer<'_>| public_key_sha256(der).is_ok_and(|hash| hash == self.root_key_sha256);
        let Some(root) = intermediates.iter().find(is_pinned) else { return Ok(Finding::Foreign) };
        let mut roots = RootCertStore::empty();
        roots.add(root.clone().into_owned())?;
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), self.provider.clone())
            .build()
            .map_err(|error| Error::General(error.to_string()))?
            .verify_server_cert(end_entity, intermediates, server_name, &[], now)?;
        Ok(match Peer::from_certificate(end_entity) {
            Ok(Peer { role: Role::Coordinator, .. }) => Finding::Coordinator,
            Ok(peer) => Finding::Bad(format!("its certificate is for `{}`", peer.role)),
            Err(error) => Finding::Bad(error.to_string()),
        })
    }
}

impl ServerCertVerifier for PinnedRoot {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let judged = self.judge(end_entity, intermediates, server_name, now);
        let (finding, verdict) = match judged {
            Ok(Finding::Coordinator) => (Finding::Coordinator, Ok(ServerCertVerified::assertion())),
            Ok(finding) => (finding, Err(Error::InvalidCertificate(CertificateError::UnknownIssuer))),
            Err(error) => (Finding::Bad(error.to_string()), Err(error)),
        };
        self.finding.set(finding).ok();
        verdict
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is not spoken here".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
