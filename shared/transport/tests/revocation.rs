//! Revoked means out: fresh, with whatever was kept of an older session, and with the reason in words.

mod consortium;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use consilium_certs::{Authority, Kit};
use consilium_domain::Role;
use consilium_pki::replace_pair;
use consilium_transport::{Doorkeeper, Entrance, Identity, Listener, Tuning, connect};
use consortium::{client_tls, coordinator, dial, identity, loopback, soon};
use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, Resumption, Tls12ClientSessionValue,
    Tls13ClientSessionValue,
};
use rustls::pki_types::ServerName;
use rustls::{NamedGroup, version::TLS13};

/// Refuses everybody named `a`, once it was told to.
#[derive(Default)]
struct Strict(AtomicBool);

impl Doorkeeper for Strict {
    fn is_revoked(&self, role: &Role, serial: &str) -> bool {
        assert!(serial.contains(':'), "{serial}");
        self.0.load(Ordering::SeqCst) && role.to_string() == "consilium:site:a"
    }
}

struct Door {
    authority: Authority,
    strict: Arc<Strict>,
    listener: Listener,
    address: SocketAddr,
    identity: Identity,
}

fn door() -> Door {
    let (authority, strict) = (Authority::create("North").unwrap(), Arc::new(Strict::default()));
    let entrance = Entrance::default().guarded_by(strict.clone()).with_joins();
    let identity = coordinator(&authority);
    let listener = Listener::bind_with(loopback(), None, &identity, &entrance, Tuning::default()).unwrap();
    let address = listener.local_addr().unwrap();
    Door { authority, strict, listener, address, identity }
}

fn kit(door: &Door, site: &str) -> Kit {
    door.authority.issue_site(&site.parse().unwrap()).unwrap()
}

#[tokio::test]
async fn a_revoked_site_is_refused_in_the_handshake_and_others_are_not() {
    let mut door = door();
    let (a, b) = (identity(&kit(&door, "a")), identity(&kit(&door, "b")));
    let before = soon(connect(door.address, &a, Tuning::default())).await.unwrap();
    soon(door.listener.accept()).await.unwrap().unwrap();
    door.strict.0.store(true, Ordering::SeqCst);
    let after = soon(connect(door.address, &a, Tuning::default())).await.unwrap();
    let closed = soon(after.closed()).await;
    assert!(closed.is_revocation() && closed.reason().contains("the certificate was revoked"), "{closed}");
    let refused = soon(door.listener.accept()).await.unwrap().unwrap_err().to_string();
    assert!(refused.contains("was not let in"), "{refused}");
    soon(connect(door.address, &b, Tuning::default())).await.unwrap();
    assert!(soon(door.listener.accept()).await.unwrap().is_ok());
    drop(before);
}

/// Keeps whatever a server offers for a later session, and counts it.
#[derive(Debug)]
struct Hoard {
    kept: ClientSessionMemoryCache,
    tickets: AtomicUsize,
}

impl ClientSessionStore for Hoard {
    fn set_kx_hint(&self, name: ServerName<'static>, group: NamedGroup) {
        self.kept.set_kx_hint(name, group);
    }

    fn kx_hint(&self, name: &ServerName<'_>) -> Option<NamedGroup> {
        self.kept.kx_hint(name)
    }

    fn set_tls12_session(&self, name: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.kept.set_tls12_session(name, value);
    }

    fn tls12_session(&self, name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.kept.tls12_session(name)
    }

    fn remove_tls12_session(&self, name: &ServerName<'static>) {
        self.kept.remove_tls12_session(name);
    }

    fn insert_tls13_ticket(&self, name: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.tickets.fetch_add(1, Ordering::SeqCst);
        self.kept.insert_tls13_ticket(name, value);
    }

    fn take_tls13_ticket(&self, name: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.kept.take_tls13_ticket(name)
    }
}

fn hoarding(mut tls: rustls::ClientConfig) -> (rustls::ClientConfig, Arc<Hoard>) {
    let hoard = Arc::new(Hoard { kept: ClientSessionMemoryCache::new(8), tickets: AtomicUsize::new(0) });
    tls.resumption = Resumption::store(hoard.clone());
    tls.enable_early_data = true;
    (tls, hoard)
}

#[tokio::test]
async fn an_old_session_opens_no_door() {
    let mut door = door();
    let (tls, hoard) = hoarding(client_tls(&kit(&door, "a"), "consilium/1"));
    let first = soon(dial(door.address, tls.clone())).await.unwrap();
    let server = soon(door.listener.accept()).await.unwrap().unwrap();
    // A whole exchange, so that a ticket would have come with it.
    let (mut send, mut recv) = first.open_bi().await.unwrap();
    send.write_all(&[0xC0]).await.unwrap();
    let (mut control, _receiver) = soon(server.accept_control()).await.unwrap();
    control.send(&1u32).await.unwrap();
    let mut answer = [0; 8];
    soon(recv.read_exact(&mut answer)).await.unwrap();
    assert_eq!(hoard.tickets.load(Ordering::SeqCst), 0, "no ticket is ever offered");
    door.strict.0.store(true, Ordering::SeqCst);
    let refused = match soon(dial(door.address, tls)).await {
        Ok(connection) => soon(connection.closed()).await.to_string(),
        Err(error) => error.to_string(),
    };
    assert!(refused.contains("Revoked") || refused.contains("revoked"), "{refused}");
    assert!(soon(door.listener.accept()).await.unwrap().is_err());
}

/// The same test sees tickets where a server offers them, as most do.
#[tokio::test]
async fn a_ticket_would_have_been_seen() {
    let authority = Authority::create("North").unwrap();
    let (chain, key) = consortium::parts(&authority.issue_coordinator::<&str>(&[]).unwrap());
    let mut tls = rustls::ServerConfig::builder_with_protocol_versions(&[&TLS13])
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    tls.alpn_protocols = vec![b"consilium/1".to_vec()];
    let crypto = quinn::crypto::rustls::QuicServerConfig::try_from(tls).unwrap();
    let config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    let endpoint = quinn::Endpoint::server(config, loopback()).unwrap();
    let address = endpoint.local_addr().unwrap();
    let (tls, hoard) =
        hoarding(client_tls(&authority.issue_site(&"a".parse().unwrap()).unwrap(), "consilium/1"));
    let server = tokio::spawn(async move { endpoint.accept().await.unwrap().await.unwrap() });
    let client = soon(dial(address, tls)).await.unwrap();
    let server = soon(server).await.unwrap();
    let mut stream = server.open_uni().await.unwrap();
    stream.write_all(b"x").await.unwrap();
    soon(client.accept_uni()).await.unwrap().read_exact(&mut [0]).await.unwrap();
    assert!(hoard.tickets.load(Ordering::SeqCst) > 0);
}

/// Renewing changes what the next handshake shows, and no connection that stands.
#[tokio::test]
async fn a_renewed_certificate_is_shown_from_the_next_handshake_on() {
    let mut door = door();
    let a = identity(&kit(&door, "a"));
    let standing = soon(connect(door.address, &a, Tuning::default())).await.unwrap();
    let server = soon(door.listener.accept()).await.unwrap().unwrap();
    let (before, before_site) = (standing.peer_serial().to_owned(), server.peer_serial().to_owned());
    let renew = |identity: &Identity, kit: &Kit| {
        // The kit's folder was removed when the identity had been read; a daemon's is there still.
        std::fs::create_dir_all(identity.dir()).unwrap();
        std::fs::write(identity.dir().join("ca.pem"), &kit.ca_pem).unwrap();
        replace_pair(identity.dir(), &kit.key_pem, &kit.certificate_pem).unwrap();
        identity.reload().unwrap();
    };
    renew(&door.identity, &door.authority.issue_coordinator::<&str>(&[]).unwrap());
    renew(&a, &kit(&door, "a"));
    let next = soon(connect(door.address, &a, Tuning::default())).await.unwrap();
    let next_server = soon(door.listener.accept()).await.unwrap().unwrap();
    assert_ne!(next.peer_serial(), before);
    assert_ne!(next_server.peer_serial(), before_site);
    let other = kit(&door, "b");
    std::fs::write(a.dir().join("cert.pem"), &other.certificate_pem).unwrap();
    std::fs::write(a.dir().join("key.pem"), &other.key_pem).unwrap();
    assert!(a.reload().is_err(), "another site's pair is not taken up");
    assert!(standing.close_reason().is_none() && server.close_reason().is_none());
    for identity in [&a, &door.identity] {
        std::fs::remove_dir_all(identity.dir()).unwrap();
    }
}
