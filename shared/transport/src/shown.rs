//! The certificate a coordinator showed, kept for the error message: who issued it tells an impostor or a firewall
//! that inspects TLS from a coordinator of another consortium.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use x509_parser::x509::X509Name;

use crate::closed::printable;
use crate::identity::Identity;
use crate::tls::{self, TlsError};

/// What a certificate says about itself. Where it was not trusted, nothing of it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownCertificate {
    /// Who says to have issued it.
    pub issuer: String,
    /// Whom it says it is for.
    pub subject: String,
    /// From when it is valid, in seconds since 1970.
    pub not_before: i64,
    /// Until when.
    pub not_after: i64,
    /// Whether this consortium's authority vouches for it, now.
    pub trusted: bool,
}

impl ShownCertificate {
    fn read(der: &CertificateDer<'_>, trusted: bool) -> Option<Self> {
        let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
        let validity = certificate.validity();
        Some(Self {
            issuer: name(certificate.issuer()),
            subject: name(certificate.subject()),
            not_before: validity.not_before.timestamp(),
            not_after: validity.not_after.timestamp(),
            trusted,
        })
    }
}

fn name(name: &X509Name<'_>) -> String {
    printable(name.to_string().as_bytes())
}

/// What the last handshake of one client configuration showed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shown(Arc<Mutex<Option<ShownCertificate>>>);

impl Shown {
    pub(crate) fn last(&self) -> Option<ShownCertificate> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Before another handshake.
    pub(crate) fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// The verdict is webpki's; this only remembers what it was about.
#[derive(Debug)]
struct Remembering {
    judge: Arc<WebPkiServerVerifier>,
    shown: Shown,
}

/// A client's TLS for `protocol` that remembers what it was shown.
pub(crate) fn client(identity: &Identity, protocol: &[u8]) -> Result<(ClientConfig, Shown), TlsError> {
    let mut config = tls::client(identity)?;
    config.alpn_protocols = vec![protocol.to_vec()];
    let judge =
        WebPkiServerVerifier::builder_with_provider(identity.roots.clone(), Arc::new(tls::provider()))
            .build()
            .map_err(tls::refused)?;
    let shown = Shown::default();
    let remembering = Remembering { judge, shown: shown.clone() };
    // rustls calls it dangerous to bring a verifier; this one refuses exactly what the library's own refuses.
    config.dangerous().set_certificate_verifier(Arc::new(remembering));
    Ok((config, shown))
}

impl ServerCertVerifier for Remembering {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verdict =
            self.judge.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        *self.shown.0.lock().unwrap_or_else(PoisonError::into_inner) =
            ShownCertificate::read(end_entity, verdict.is_ok());
        verdict
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.judge.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.judge.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.judge.supported_verify_schemes()
    }
}

impl Identity {
    /// What our own certificate says about itself.
    pub fn shown_certificate(&self) -> Option<ShownCertificate> {
        ShownCertificate::read(self.own_chain().first()?, true)
    }
}
