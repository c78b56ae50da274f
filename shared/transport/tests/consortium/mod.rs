//! A consortium on the loopback: one authority, a listening coordinator, and sites that dial it.
#![allow(dead_code, reason = "each test binary uses its share of this module")]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use consilium_certs::{Authority, Kit};
use consilium_domain::Role;
use consilium_transport::{
    BlobStore, Connection, ControlReceiver, ControlSender, Identity, Listener, Tuning, connect,
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

pub(crate) fn listen(authority: &Authority) -> (Listener, SocketAddr) {
    let listener = Listener::bind(loopback(), &coordinator(authority), Tuning::default()).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
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

pub(crate) async fn pair() -> Pair {
    let authority = Authority::create("North").unwrap();
    let (mut listener, address) = listen(&authority);
    let client = soon(connect(address, &site(&authority, "st-elsewhere"), Tuning::default())).await.unwrap();
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
