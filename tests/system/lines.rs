//! Raw lines to a coordinator, for those who keep to no rules: the same as in the transport's own tests.

#[path = "../../shared/transport/tests/consortium/mod.rs"]
mod by_the_transport;

use std::fs;
use std::path::Path;

use consilium_certs::Kit;

pub(crate) use by_the_transport::raw::{RawLine, RawStream, write};
pub(crate) use by_the_transport::{client_tls, dial, over_both_links, roots};

/// The kit in `folder`.
pub(crate) fn kit(folder: &Path) -> Kit {
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    Kit {
        ca_pem: read("ca.pem"),
        certificate_pem: read("cert.pem"),
        key_pem: read("key.pem"),
        fingerprint_key: None,
        issuing: None,
    }
}

/// The TLS of somebody who has no certificate and offers `protocol`.
pub(crate) fn stranger(kit: &Kit, protocol: &str) -> rustls::ClientConfig {
    let mut tls = rustls::ClientConfig::builder_with_protocol_versions(&[&rustls::version::TLS13])
        .with_root_certificates(roots(kit))
        .with_no_client_auth();
    tls.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    tls
}
