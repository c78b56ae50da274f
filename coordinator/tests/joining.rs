//! Registry, door and joining together, over real sockets.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use consilium_certs::Authority;
use consilium_coordinator::registry::{Attendance, Registry, SiteState, Terms};
use consilium_domain::SiteId;
use consilium_pki::{OwnKey, pem_of, replace_pair};
use consilium_protocol::Timestamp;
use consilium_transport::{
    CloseCode, Connection, Entrance, Identity, JoinError, JoinRefusal, JoinToken, Listener, Tuning, connect,
    join,
};

/// No test waits longer for anything: a hang is a failure with a name.
const PATIENCE: Duration = Duration::from_secs(20);

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("finishes soon")
}

fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Timestamp(since.as_millis() as u64)
}

struct House {
    authority: Authority,
    dir: tempfile::TempDir,
    registry: Registry,
    listener: Listener,
    address: SocketAddr,
}

async fn house() -> House {
    let authority = Authority::create("North").unwrap();
    let dir = tempfile::tempdir().unwrap();
    authority.issue_coordinator::<&str>(&[]).unwrap().write(&dir.path().join("kit")).unwrap();
    let identity = Identity::load(&dir.path().join("kit")).unwrap();
    let path = dir.path().join("registry.sqlite");
    let registry = Registry::open(&path, Some(identity.clone()), Terms::default()).await.unwrap();
    let entrance = Entrance::default().guarded_by(Arc::new(registry.clone())).with_joins();
    let loopback = (Ipv4Addr::LOCALHOST, 0).into();
    let mut listener = Listener::bind_with(loopback, None, &identity, &entrance, Tuning::default()).unwrap();
    tokio::spawn(registry.clone().receive(listener.applicants().unwrap()));
    let address = listener.local_addr().unwrap();
    House { authority, dir, registry, listener, address }
}

fn named(name: &str) -> SiteId {
    name.parse().unwrap()
}

impl House {
    async fn token(&self, site: &str) -> JoinToken {
        self.registry.add_site(&named(site), vec![self.address.to_string()], now()).await.unwrap().token
    }

    /// The identity of a site that has joined.
    async fn joined(&self, site: &str) -> Identity {
        let key = OwnKey::generate().unwrap();
        let joined = soon(join(self.address, &self.token(site).await, &key)).await.unwrap();
        let folder =
            self.dir.path().join(format!("{site}-{}", joined.chain[0].len() + joined.chain[0][20] as usize));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("ca.pem"), pem_of(&[&joined.root])).unwrap();
        replace_pair(&folder, &key.to_pem(), &pem_of(&joined.chain)).unwrap();
        Identity::load(&folder).unwrap()
    }

    /// Both ends of a new connection, which the registry knows to be alive.
    async fn connected(&mut self, identity: &Identity) -> (Connection, Connection, Attendance) {
        let client = soon(connect(self.address, identity, Tuning::default())).await.unwrap();
        let server = soon(self.listener.accept()).await.unwrap().unwrap();
        let attendance = self.registry.attend(&server).expect("not revoked");
        (client, server, attendance)
    }
}

#[tokio::test]
async fn whoever_joined_is_let_in_and_listed() {
    let mut house = house().await;
    let identity = house.joined("a").await;
    let (_client, server, attendance) = house.connected(&identity).await;
    house.registry.saw(&named("a"), &server, "test 1\u{7}.0", now()).await;
    let record = house.registry.sites(now()).await.unwrap().remove(0);
    assert_eq!((record.state, record.connections), (SiteState::Joined, 1));
    assert_eq!(record.software.as_deref(), Some("test 1.0"), "no control character reaches a terminal");
    assert!(record.last_seen.is_some());
    drop(attendance);
    assert_eq!(house.registry.sites(now()).await.unwrap()[0].connections, 0);
}

#[tokio::test]
async fn a_second_key_is_told_that_the_token_was_used_and_the_first_may_ask_again() {
    let house = house().await;
    let token = house.token("a").await;
    let (first, second) = (OwnKey::generate().unwrap(), OwnKey::generate().unwrap());
    let joined = soon(join(house.address, &token, &first)).await.unwrap();
    let refused = soon(join(house.address, &token, &second)).await.unwrap_err();
    assert!(matches!(refused, JoinError::Said(JoinRefusal::Used)), "{refused}");
    assert_eq!(soon(join(house.address, &token, &first)).await.unwrap(), joined);
    assert_eq!(house.registry.refusals().into_iter().collect::<Vec<_>>(), [("join-used", 1)]);
}

/// Two machines race for one token: exactly one of them gets it.
#[tokio::test]
async fn of_two_at_once_one_joins() {
    let house = house().await;
    let token = house.token("a").await;
    let (first, second) = (OwnKey::generate().unwrap(), OwnKey::generate().unwrap());
    let both =
        async { tokio::join!(join(house.address, &token, &first), join(house.address, &token, &second)) };
    let (one, other) = soon(both).await;
    assert_eq!([one.is_ok(), other.is_ok()].into_iter().filter(|ok| *ok).count(), 1, "{one:?} {other:?}");
}

#[tokio::test]
async fn a_revocation_ends_the_sites_connections_and_nobody_elses() {
    let mut house = house().await;
    let (a, b) = (house.joined("a").await, house.joined("b").await);
    let (a_client, _a_server, _a) = house.connected(&a).await;
    let (second, _second_server, _also_a) = house.connected(&a).await;
    let (b_client, _b_server, _b) = house.connected(&b).await;
    assert_eq!(house.registry.revoke(&named("a"), now()).await.unwrap(), 2);
    for connection in [a_client, second] {
        let closed = soon(connection.closed()).await;
        assert_eq!(closed.code(), Some(CloseCode::REVOKED));
        assert!(closed.is_revocation() && closed.reason().contains("administrator"), "{closed}");
    }
    assert!(b_client.close_reason().is_none());
    let later = soon(connect(house.address, &a, Tuning::default())).await.unwrap();
    assert!(soon(later.closed()).await.is_revocation());
    assert!(soon(house.listener.accept()).await.unwrap().is_err(), "refused in the handshake");
}

/// Revoked between the handshake and the desk: the connection does not slip through.
#[tokio::test]
async fn a_revocation_during_arrival_is_noticed() {
    let mut house = house().await;
    let a = house.joined("a").await;
    let client = soon(connect(house.address, &a, Tuning::default())).await.unwrap();
    let server = soon(house.listener.accept()).await.unwrap().unwrap();
    house.registry.revoke(&named("a"), now()).await.unwrap();
    assert!(house.registry.attend(&server).is_none());
    assert!(soon(client.closed()).await.is_revocation());
}

#[tokio::test]
async fn kits_made_by_hand_are_let_in_until_they_are_revoked() {
    let mut house = house().await;
    let folder = house.dir.path().join("by-hand");
    house.authority.issue_site(&named("by-hand")).unwrap().write(&folder).unwrap();
    let identity = Identity::load(&folder).unwrap();
    let (client, server, _attendance) = house.connected(&identity).await;
    house.registry.saw(&named("by-hand"), &server, "test", now()).await;
    let record = house.registry.sites(now()).await.unwrap().remove(0);
    assert_eq!(record.state, SiteState::Joined);
    assert!(record.certificate_expires.is_some());
    let serial = identity.certificate().serial;
    assert_eq!(house.registry.revoke_serial(&serial, now()).await.unwrap(), 1);
    assert!(soon(client.closed()).await.is_revocation());
    let record = house.registry.sites(now()).await.unwrap().remove(0);
    assert_eq!(record.certificate_expires, None);
}

/// The site's name is free again for the hospital, and its stolen laptop stays outside.
#[tokio::test]
async fn a_revoked_site_that_is_invited_again_comes_in_with_its_new_certificate_only() {
    let mut house = house().await;
    let stolen = house.joined("a").await;
    house.registry.revoke(&named("a"), now()).await.unwrap();
    let fresh = house.joined("a").await;
    house.connected(&fresh).await;
    let thief = soon(connect(house.address, &stolen, Tuning::default())).await.unwrap();
    assert!(soon(thief.closed()).await.is_revocation());
}
