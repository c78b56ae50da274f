//! Who may come in beyond what a certificate says: the revoked may not, and those with a join token may ask.

use std::fmt;
use std::sync::Arc;

use consilium_domain::Role;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

use crate::peer::Peer;
use crate::sockets::Sockets;

/// Knows which certificates were revoked. Asked in every handshake, so it must answer at once.
pub trait Doorkeeper: Send + Sync {
    /// Whether the certificate with this serial number (hexadecimal with colons) no longer speaks for `role`.
    fn is_revoked(&self, role: &Role, serial: &str) -> bool;
}

/// How the coordinator's door works. The default lets in whoever has a certificate of the consortium, and nobody else.
#[derive(Clone, Default)]
pub struct Entrance {
    pub(crate) doorkeeper: Option<Arc<dyn Doorkeeper>>,
    pub(crate) joins: bool,
    pub(crate) sockets: Sockets,
}

impl Entrance {
    /// Asks `doorkeeper` about every certificate.
    #[must_use]
    pub fn guarded_by(mut self, doorkeeper: Arc<dyn Doorkeeper>) -> Self {
        self.doorkeeper = Some(doorkeeper);
        self
    }

    /// Hears out callers without a certificate who want to join: see [`crate::Listener::applicants`].
    #[must_use]
    pub const fn with_joins(mut self) -> Self {
        self.joins = true;
        self
    }

    /// Listens over the UDP of `sockets` instead of the system's.
    #[must_use]
    pub fn over(mut self, sockets: Sockets) -> Self {
        self.sockets = sockets;
        self
    }
}

impl fmt::Debug for Entrance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entrance").field("joins", &self.joins).finish_non_exhaustive()
    }
}

/// The verifier of chains, then the doorkeeper.
pub(crate) struct Guarded {
    inner: Arc<dyn ClientCertVerifier>,
    doorkeeper: Arc<dyn Doorkeeper>,
}

impl Guarded {
    pub(crate) fn new(inner: Arc<dyn ClientCertVerifier>, doorkeeper: Arc<dyn Doorkeeper>) -> Self {
        Self { inner, doorkeeper }
    }
}

impl fmt::Debug for Guarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guarded").finish_non_exhaustive()
    }
}

impl ClientCertVerifier for Guarded {
    fn offer_client_auth(&self) -> bool {
        self.inner.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.inner.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.inner.verify_client_cert(end_entity, intermediates, now)?;
        // A certificate without a role is refused after the handshake, with a reason.
        match Peer::from_certificate(end_entity) {
            Ok(peer) if self.doorkeeper.is_revoked(&peer.role, &peer.serial) => {
                Err(Error::InvalidCertificate(CertificateError::Revoked))
            }
            _ => Ok(verified),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
