//! The TLS both sides insist on: version 1.3, post-quantum first, a certificate from each side, every time anew.
//!
//! Nothing is ever resumed. A session ticket would let a revoked site back in without showing its certificate.

use std::fmt;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{ClientConfig, ServerConfig};

use crate::entrance::{Entrance, Guarded};
use crate::identity::Identity;
use crate::join::JOIN_ALPN;

/// Names this protocol and its version in the handshake, so that versions never meet by accident.
pub(crate) const ALPN: &[u8] = b"consilium/1";

/// The same for connections that only measure the network.
pub(crate) const PROBE_ALPN: &[u8] = b"consilium-probe/1";

/// Why TLS could not be configured from an identity that loaded well.
#[derive(Debug, thiserror::Error)]
#[error("TLS cannot be configured from this kit: {0}; issue a new one")]
pub struct TlsError(String);

/// The one crypto provider: aws-lc-rs, with the key exchanges we accept. A recording of today's traffic must stay
/// closed to tomorrow's quantum computer, hence the hybrid first; plain X25519 stays for peers behind boxes that
/// drop the larger hello.
pub(crate) fn provider() -> CryptoProvider {
    CryptoProvider {
        kx_groups: vec![kx_group::X25519MLKEM768, kx_group::X25519],
        ..aws_lc_rs::default_provider()
    }
}

/// A client that shows its certificate and trusts only the consortium's authority.
pub(crate) fn client(identity: &Identity) -> Result<ClientConfig, TlsError> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&[&TLS13])
        .map_err(refused)?
        .with_root_certificates(identity.roots.clone())
        .with_client_cert_resolver(Arc::new(identity.clone()));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    config.enable_early_data = false;
    Ok(config)
}

/// A server that refuses whoever shows no certificate of the consortium's authority. Where sites may join, callers
/// without one finish the handshake too, and the listener closes all of them but those who only want to join.
pub(crate) fn server(identity: &Identity, entrance: &Entrance) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(provider());
    let builder = WebPkiClientVerifier::builder_with_provider(identity.roots.clone(), provider.clone());
    let builder = if entrance.joins { builder.allow_unauthenticated() } else { builder };
    let mut verifier: Arc<dyn ClientCertVerifier> = builder.build().map_err(refused)?;
    if let Some(doorkeeper) = &entrance.doorkeeper {
        verifier = Arc::new(Guarded::new(verifier, doorkeeper.clone()));
    }
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(refused)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(identity.clone()));
    config.alpn_protocols = vec![ALPN.to_vec(), PROBE_ALPN.to_vec()];
    if entrance.joins {
        config.alpn_protocols.push(JOIN_ALPN.to_vec());
    }
    resume_nothing(&mut config);
    Ok(config)
}

/// A server for those who have no certificate and want to join: it asks for none, and speaks of nothing else. Over TCP,
/// where the hello is read before it is answered, they meet this one, and everybody else a [`server`] that is strict.
pub(crate) fn joining(identity: &Identity) -> Result<ServerConfig, TlsError> {
    let builder = ServerConfig::builder_with_provider(Arc::new(provider()));
    let builder = builder.with_protocol_versions(&[&TLS13]).map_err(refused)?;
    let mut config = builder.with_no_client_auth().with_cert_resolver(Arc::new(identity.clone()));
    config.alpn_protocols = vec![JOIN_ALPN.to_vec()];
    resume_nothing(&mut config);
    Ok(config)
}

pub(crate) fn resume_nothing(config: &mut ServerConfig) {
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.max_early_data_size = 0;
}

pub(crate) fn refused(error: impl fmt::Display) -> TlsError {
    TlsError(error.to_string())
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write as _};

    use consilium_certs::{Authority, Kit};
    use consilium_domain::Role;
    use rustls::pki_types::ServerName;
    use rustls::{ClientConnection, HandshakeKind, NamedGroup, ProtocolVersion, ServerConnection};

    use super::*;

    fn identity(kit: &Kit) -> Identity {
        let dir = tempfile::tempdir().unwrap();
        kit.write(dir.path()).unwrap();
        Identity::load(dir.path()).unwrap()
    }

    /// Carries everything each side has to say to the other until both are silent.
    fn talk(client: &mut ClientConnection, server: &mut ServerConnection) {
        while client.wants_write() || server.wants_write() {
            let mut wire = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut wire).unwrap();
            }
            let mut wire = Cursor::new(wire);
            while server.read_tls(&mut wire).unwrap() > 0 {
                server.process_new_packets().unwrap();
            }
            let mut wire = Vec::new();
            while server.wants_write() {
                server.write_tls(&mut wire).unwrap();
            }
            let mut wire = Cursor::new(wire);
            while client.read_tls(&mut wire).unwrap() > 0 {
                client.process_new_packets().unwrap();
            }
        }
    }

    #[test]
    fn the_handshake_is_post_quantum_mutual_and_never_resumed() {
        let authority = Authority::create("North").unwrap();
        let coordinator = identity(&authority.issue_coordinator::<&str>(&[]).unwrap());
        let site = identity(&authority.issue_site(&"a".parse().unwrap()).unwrap());
        let (client_config, server_config) =
            (Arc::new(client(&site).unwrap()), Arc::new(server(&coordinator, &Entrance::default()).unwrap()));
        // The second handshake would resume the first, if anything could be resumed.
        for _ in 0..2 {
            let host = ServerName::try_from(Role::COORDINATOR_HOST).unwrap();
            let mut client = ClientConnection::new(client_config.clone(), host).unwrap();
            let mut server = ServerConnection::new(server_config.clone()).unwrap();
            talk(&mut client, &mut server);
            server.writer().write_all(b"x").unwrap();
            talk(&mut client, &mut server);
            assert!(!client.is_handshaking() && !server.is_handshaking());
            assert_eq!(client.protocol_version(), Some(ProtocolVersion::TLSv1_3));
            let group = client.negotiated_key_exchange_group().unwrap();
            assert_eq!(group.name(), NamedGroup::X25519MLKEM768);
            assert_eq!(client.alpn_protocol(), Some(ALPN));
            assert_eq!(server.peer_certificates().map(<[_]>::len), Some(2), "with the issuing certificate");
            assert_eq!(client.tls13_tickets_received(), 0);
            assert_eq!(client.handshake_kind(), Some(HandshakeKind::Full));
        }
    }
}
