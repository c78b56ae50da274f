//! A firewall that opens TLS: it is refused, and who it is can be read.

mod consortium;

use std::net::SocketAddr;
use std::sync::Arc;

use consilium_certs::Authority;
use consilium_domain::Role;
use consilium_transport::{ConnectError, Dialler, LinkChoice, ProxyChoice, Tuning, Way, connect_tcp};
use consortium::{listen, loopback, parts, site, soon};
use rustls::version::TLS13;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A device that answers for the coordinator with a certificate of its own authority.
async fn device() -> SocketAddr {
    let hospital = Authority::create("Hospital Firewall CA").unwrap();
    let (chain, key) = parts(&hospital.issue_coordinator(&["c.example.org"]).unwrap());
    let mut tls = rustls::ServerConfig::builder_with_protocol_versions(&[&TLS13])
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    tls.alpn_protocols = vec![b"consilium/1".to_vec(), b"consilium-probe/1".to_vec()];
    let (acceptor, listener) =
        (TlsAcceptor::from(Arc::new(tls)), TcpListener::bind(loopback()).await.unwrap());
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(acceptor.accept(socket));
        }
    });
    address
}

#[tokio::test]
async fn a_device_that_opens_tls_is_refused_and_named() {
    let authority = Authority::create("North").unwrap();
    let refused =
        soon(connect_tcp(device().await, &site(&authority, "a"), Tuning::default())).await.unwrap_err();
    let ConnectError::Foreign { shown, .. } = &refused else { panic!("{refused}") };
    assert!(!shown.trusted && shown.issuer.contains("Hospital Firewall CA"), "{shown:?}");
    let text = refused.to_string();
    assert!(text.contains("Hospital Firewall CA") && text.contains("must be exempt"), "{text}");
}

#[tokio::test]
async fn a_probe_tells_whose_certificate_was_shown() {
    let authority = Authority::create("North").unwrap();
    let (_listener, coordinator) = listen(&authority);
    let identity = site(&authority, "a");
    for (address, trusted) in [(device().await, false), (coordinator, true)] {
        let dialler = Dialler {
            host: address.ip().to_string(),
            port: address.port(),
            tcp_port: address.port(),
            link: LinkChoice::Auto,
            proxy: ProxyChoice::None,
            tuning: Tuning::default(),
        };
        let (probe, shown) = soon(dialler.probe(Way::Tcp, &identity)).await;
        assert_eq!((probe.is_ok(), shown.unwrap().trusted), (trusted, trusted));
    }
}

/// What our own certificate says is what the authority wrote.
#[tokio::test]
async fn a_site_knows_its_own_certificate() {
    let authority = Authority::create("North").unwrap();
    let identity = site(&authority, "a");
    let own = identity.shown_certificate().unwrap();
    assert_eq!(*identity.role(), Role::Site("a".parse().unwrap()));
    assert!(own.subject.contains("CN=a") && own.issuer.contains("North"), "{own:?}");
    assert_eq!(own.not_after - own.not_before, 30 * 86_400 + 3_600);
}
