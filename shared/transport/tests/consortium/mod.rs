//! A consortium on the loopback: one authority, a listening coordinator, and sites that dial it.
#![allow(dead_code, unused_imports, unused_macros, reason = "each test binary uses its share of this module")]

pub(crate) mod raw;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use consilium_certs::{Authority, Kit};
use consilium_domain::Role;
use consilium_transport::{
    BlobStore, ConnectError, Connection, ControlReceiver, ControlSender, Identity, LinkKind, Listener,
    RefusalCause, Tuning, connect, connect_tcp,
};
use quinn::crypto::rustls::QuicClientConfig;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::TLS13;

/// No test waits longer for anything: a hang is a failure with a name.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn loopback() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

pub(crate) fn identity(kit: &Kit) -> Identity {
    let dir = tempfile::tempdir().unwrap();
    kit.write(dir.path()).unwrap();
    Identity::load(dir.path()).unwrap()
}

pub(crate) fn coordinator(authority: &Authority) -> Identity {
    identity(&authority.issue_coordinator::<&str>(&[]).unwrap())
}

pub(crate) fn site(authority: &Authority, name: &str) -> Identity {
    identity(&authority.issue_site(&name.parse().unwrap()).unwrap())
}

/// A coordinator on UDP and TCP of one port.
pub(crate) fn listen(authority: &Authority) -> (Listener, SocketAddr) {
    listen_with(authority, Tuning::default())
}

pub(crate) fn listen_with(authority: &Authority, tuning: Tuning) -> (Listener, SocketAddr) {
    let listener =
        Listener::bind_both(loopback(), Some(loopback()), &coordinator(authority), tuning).unwrap();
    let address = listener.local_addr().unwrap();
    assert_eq!(listener.tcp_addr(), Some(address));
    (listener, address)
}

/// Makes of each function two tests: over QUIC and over TCP.
macro_rules! over_both_links {
    ($($name:ident),+ $(,)?) => {
        mod quic {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name(consilium_transport::LinkKind::Quic).await;
            })+
        }
        mod tcp {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name(consilium_transport::LinkKind::Tcp).await;
            })+
        }
    };
}

pub(crate) use over_both_links;

pub(crate) async fn connect_over(
    link: LinkKind,
    address: SocketAddr,
    identity: &Identity,
) -> Result<Connection, ConnectError> {
    connect_with(link, address, identity, Tuning::default()).await
}

pub(crate) async fn connect_with(
    link: LinkKind,
    address: SocketAddr,
    identity: &Identity,
    tuning: Tuning,
) -> Result<Connection, ConnectError> {
    match link {
        LinkKind::Quic => connect(address, identity, tuning).await,
        LinkKind::Tcp => connect_tcp(address, identity, tuning).await,
    }
}

/// Waits until the listener has counted `cause`.
pub(crate) async fn counted(listener: &Listener, cause: RefusalCause) -> u64 {
    soon(async {
        loop {
            if let Some(&count) = listener.refusals().snapshot().get(&cause) {
                return count;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
}

/// Fails the test where `future` does not finish soon.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("finishes soon")
}

/// Both ends of one connection with its control stream; the first is the site's.
pub(crate) struct Pair {
    pub(crate) client: Connection,
    pub(crate) server: Connection,
    pub(crate) client_control: (ControlSender, ControlReceiver),
    pub(crate) server_control: (ControlSender, ControlReceiver),
    pub(crate) listener: Listener,
}

pub(crate) async fn pair(link: LinkKind) -> Pair {
    pair_with(link, Tuning::default()).await
}

pub(crate) async fn pair_with(link: LinkKind, tuning: Tuning) -> Pair {
    let authority = Authority::create("North").unwrap();
    let (mut listener, address) = listen_with(&authority, tuning);
    let site = site(&authority, "st-elsewhere");
    let client = soon(connect_with(link, address, &site, tuning)).await.unwrap();
    assert_eq!(client.kind(), link);
    let server = soon(listener.accept()).await.unwrap().unwrap();
    let client_control = client.open_control().await.unwrap();
    let server_control = soon(server.accept_control()).await.unwrap();
    Pair { client, server, client_control, server_control, listener }
}

pub(crate) fn store() -> (tempfile::TempDir, BlobStore) {
    let dir = tempfile::tempdir().unwrap();
    let store = BlobStore::open(dir.path()).unwrap();
    (dir, store)
}

pub(crate) fn roots(kit: &Kit) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(kit.ca_pem.as_bytes()).unwrap()).unwrap();
    roots
}

pub(crate) fn parts(kit: &Kit) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let chain = CertificateDer::pem_slice_iter(kit.certificate_pem.as_bytes()).map(Result::unwrap).collect();
    (chain, PrivateKeyDer::from_pem_slice(kit.key_pem.as_bytes()).unwrap())
}

/// The TLS of a client that shows `kit` and speaks `protocol`.
pub(crate) fn client_tls(kit: &Kit, protocol: &str) -> rustls::ClientConfig {
    let (chain, key) = parts(kit);
    let mut tls = rustls::ClientConfig::builder_with_protocol_versions(&[&TLS13])
        .with_root_certificates(roots(kit))
        .with_client_auth_cert(chain, key)
        .unwrap();
    tls.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    tls
}

/// Dials without this crate, as a cheat would.
pub(crate) async fn dial(
    address: SocketAddr,
    tls: rustls::ClientConfig,
) -> Result<quinn::Connection, quinn::ConnectionError> {
    let config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    let endpoint = quinn::Endpoint::client(loopback()).unwrap();
    endpoint.connect_with(config, address, Role::COORDINATOR_HOST).unwrap().await
}
