//! TLS for people's browsers: the coordinator's own certificate, and from them a certificate of the consortium or none.
//!
//! Only the handshake. What is said then, and who of the certified may hear it, is not this crate's.

use std::fmt;
use std::sync::Arc;

use consilium_domain::Role;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use rustls::server::WebPkiClientVerifier;
use rustls::version::TLS13;

use crate::entrance::{Doorkeeper, Guarded};
use crate::identity::Identity;
use crate::peer::{CertificateNameError, Peer};
use crate::tls::{TlsError, provider, refused, resume_nothing};

/// What browsers speak.
const HTTP_ALPN: &[u8] = b"http/1.1";

/// What is asked of a browser.
#[derive(Clone)]
pub enum BrowserTls {
    /// A certificate of the consortium's authority that the doorkeeper does not know as revoked.
    WithCertificates(Arc<dyn Doorkeeper>),
    /// Nothing: who it is is told above TLS.
    WithoutCertificates,
}

impl fmt::Debug for BrowserTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WithCertificates(_) => "WithCertificates",
            Self::WithoutCertificates => "WithoutCertificates",
        })
    }
}

/// A server for browsers that shows the certificate of `identity`.
///
/// # Errors
/// When TLS cannot be configured from that kit.
pub fn browser_tls(identity: &Identity, asks: BrowserTls) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(provider());
    let builder = ServerConfig::builder_with_provider(provider.clone());
    let builder = builder.with_protocol_versions(&[&TLS13]).map_err(refused)?;
    let builder = match asks {
        BrowserTls::WithoutCertificates => builder.with_no_client_auth(),
        BrowserTls::WithCertificates(doorkeeper) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(identity.roots.clone(), provider);
            let verifier = verifier.build().map_err(refused)?;
            builder.with_client_cert_verifier(Arc::new(Guarded::new(verifier, doorkeeper)))
        }
    };
    let mut config = builder.with_cert_resolver(Arc::new(identity.clone()));
    config.alpn_protocols = vec![HTTP_ALPN.to_vec()];
    resume_nothing(&mut config);
    Ok(config)
}

/// Whom the first certificate of a verified `chain` speaks for.
///
/// # Errors
/// When it does not say.
pub fn role_shown(chain: &[CertificateDer<'_>]) -> Result<Role, CertificateNameError> {
    Peer::of(chain).map(|peer| peer.role)
}
