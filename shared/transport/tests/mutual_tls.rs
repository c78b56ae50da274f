//! Who gets in, who does not, and whether the reason can be read.

mod consortium;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use consilium_certs::{Authority, Validity};
use consilium_domain::Role;
use consilium_transport::{
    AcceptError, BindError, CloseCode, ConnectError, Identity, LinkKind, Listener, RefusalCause, Tuning,
    connect,
};
use consortium::{
    client_tls, connect_over, coordinator, counted, dial, listen, loopback, over_both_links, pair, pair_with,
    parts, roots, site, soon,
};
use quinn::crypto::rustls::QuicServerConfig;
use rustls::version::TLS13;

over_both_links!(
    each_side_learns_who_the_other_is,
    people_are_let_in_as_sites_are,
    a_close_reason_reaches_the_other_side,
    a_listener_that_closes_tells_every_site,
    a_site_of_another_consortium_is_refused_on_both_ends,
    a_certificate_of_a_foreign_authority_is_refused_after_the_fact,
    an_expired_certificate_is_refused_with_advice,
    both_ends_of_one_session_share_a_binding,
    a_dropped_connection_ends,
    an_idle_connection_is_kept,
);

async fn each_side_learns_who_the_other_is(link: LinkKind) {
    let pair = pair(link).await;
    assert_eq!(*pair.client.peer(), Role::Coordinator);
    assert_eq!(*pair.server.peer(), Role::Site("st-elsewhere".parse().unwrap()));
    assert_ne!(pair.client.peer_serial(), pair.server.peer_serial());
    let (there, here) = (pair.client.traffic(), pair.server.traffic());
    assert!(there.bytes_sent > 2_000 && here.bytes_received > 2_000, "{there:?} {here:?}");
}

async fn people_are_let_in_as_sites_are(link: LinkKind) {
    let authority = Authority::create("North").unwrap();
    let (mut listener, address) = listen(&authority);
    let name = "alice".parse().unwrap();
    for kit in [authority.issue_admin(&name).unwrap(), authority.issue_observer(&name).unwrap()] {
        let person = consortium::identity(&kit);
        let _client = soon(connect_over(link, address, &person)).await.unwrap();
        assert_eq!(soon(listener.accept()).await.unwrap().unwrap().peer(), person.role());
    }
    assert!(listener.refusals().snapshot().is_empty());
}

async fn a_close_reason_reaches_the_other_side(link: LinkKind) {
    let pair = pair(link).await;
    pair.server.close(CloseCode::new(20), "st-elsewhere was revoked by the administrator");
    let closed = soon(pair.client.closed()).await;
    assert_eq!(closed.code(), Some(CloseCode::new(20)));
    assert_eq!(closed.to_string(), "closed by the other side: st-elsewhere was revoked by the administrator");
    assert_eq!(pair.client.close_reason(), Some(closed));
    soon(pair.client.drained()).await;
}

async fn a_listener_that_closes_tells_every_site(link: LinkKind) {
    let mut pair = pair(link).await;
    pair.listener.close(CloseCode::DONE, "maintenance until noon");
    soon(pair.listener.drained()).await;
    assert!(soon(pair.client.closed()).await.reason().contains("maintenance until noon"));
    assert!(soon(pair.listener.accept()).await.is_none());
}

async fn both_ends_of_one_session_share_a_binding(link: LinkKind) {
    let (one, other) = (pair(link).await, pair(link).await);
    assert_eq!(one.client.channel_binding(), one.server.channel_binding());
    assert_ne!(one.client.channel_binding(), other.client.channel_binding());
}

async fn a_dropped_connection_ends(link: LinkKind) {
    let consortium::Pair { client, server, client_control, .. } = pair(link).await;
    drop(client);
    assert!(server.close_reason().is_none(), "its streams keep a connection");
    drop(client_control);
    let closed = soon(server.closed()).await;
    assert_eq!(closed.code(), Some(CloseCode::DONE), "{closed}");
}

/// Nobody says anything for twice the idle timeout.
async fn an_idle_connection_is_kept(link: LinkKind) {
    let idle_timeout = Duration::from_secs(2);
    let pair = pair_with(link, Tuning { idle_timeout, ..Tuning::default() }).await;
    tokio::time::sleep(idle_timeout * 2).await;
    assert!(pair.server.close_reason().is_none() && pair.client.close_reason().is_none());
    assert!(pair.server.traffic().bytes_received > 0);
}

async fn a_site_of_another_consortium_is_refused_on_both_ends(link: LinkKind) {
    let (north, south) = (Authority::create("North").unwrap(), Authority::create("South").unwrap());
    let (_listener, address) = listen(&north);
    let refused = soon(connect_over(link, address, &site(&south, "a"))).await.unwrap_err();
    assert!(matches!(refused, ConnectError::Foreign { .. }));
    assert!(refused.to_string().contains("`O=North"), "{refused}");
    assert!(refused.to_string().contains("another consortium's authority"), "{refused}");
}

/// The trap: this client trusts the coordinator, so its `connect` succeeds; only then is it judged.
async fn a_certificate_of_a_foreign_authority_is_refused_after_the_fact(link: LinkKind) {
    let (north, south) = (Authority::create("North").unwrap(), Authority::create("South").unwrap());
    let (mut listener, address) = listen(&north);
    let mut kit = south.issue_site(&"a".parse().unwrap()).unwrap();
    kit.ca_pem = north.issue_site(&"a".parse().unwrap()).unwrap().ca_pem;
    let closed = judged(link, address, &consortium::identity(&kit)).await;
    assert!(closed.contains("another consortium's authority"), "{closed}");
    let refused = soon(listener.accept()).await.unwrap().unwrap_err();
    assert!(matches!(refused, AcceptError::Handshake { .. }));
    assert!(refused.to_string().contains("UnknownIssuer"), "{refused}");
    assert_eq!(counted(&listener, RefusalCause::FOREIGN_AUTHORITY).await, 1);
}

async fn an_expired_certificate_is_refused_with_advice(link: LinkKind) {
    let authority = Authority::create("North").unwrap();
    let (mut listener, address) = listen(&authority);
    let authority = authority.with_validity(Validity { site_days: 0, ..Validity::default() });
    let late = site(&authority, "a");
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    let closed = judged(link, address, &late).await;
    assert!(closed.contains("renew the kit"), "{closed}");
    assert!(soon(listener.accept()).await.unwrap().is_err());
    assert_eq!(counted(&listener, RefusalCause::EXPIRED).await, 1);
}

#[tokio::test]
async fn no_client_certificate_no_entry() {
    let authority = Authority::create("North").unwrap();
    let (mut listener, address) = listen(&authority);
    let mut tls = rustls::ClientConfig::builder_with_protocol_versions(&[&TLS13])
        .with_root_certificates(roots(&authority.issue_site(&"a".parse().unwrap()).unwrap()))
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"consilium/1".to_vec()];
    let refused = soon(hung_up(address, tls)).await;
    assert!(refused.contains("peer sent no certificates"), "{refused}");
    assert!(soon(listener.accept()).await.unwrap().unwrap_err().to_string().contains("a kit is needed"));
}

#[tokio::test]
async fn another_protocol_version_is_refused() {
    let authority = Authority::create("North").unwrap();
    let (mut listener, address) = listen(&authority);
    let kit = authority.issue_site(&"a".parse().unwrap()).unwrap();
    soon(hung_up(address, client_tls(&kit, "consilium/2"))).await;
    let refused = soon(listener.accept()).await.unwrap().unwrap_err().to_string();
    assert!(refused.contains("update both to the same release"), "{refused}");
}

/// A hospital that plays coordinator is found out by the purpose of its certificate.
#[tokio::test]
async fn a_site_cannot_play_coordinator() {
    let authority = Authority::create("North").unwrap();
    let kit = authority.issue_site(&"mallory".parse().unwrap()).unwrap();
    let (chain, key) = parts(&kit);
    let mut tls = rustls::ServerConfig::builder_with_protocol_versions(&[&TLS13])
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    tls.alpn_protocols = vec![b"consilium/1".to_vec()];
    let config = quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls).unwrap()));
    let endpoint = quinn::Endpoint::server(config, loopback()).unwrap();
    let address = endpoint.local_addr().unwrap();
    tokio::spawn(async move {
        while let Some(incoming) = endpoint.accept().await {
            incoming.await.ok();
        }
    });
    let refused = soon(connect(address, &site(&authority, "a"), Tuning::default())).await.unwrap_err();
    assert!(matches!(refused, ConnectError::Foreign { .. }));
    assert!(refused.to_string().contains("invalid peer certificate"), "{refused}");
}

/// And the coordinator's own certificate opens no door as a client.
#[tokio::test]
async fn the_coordinator_cannot_play_site() {
    let authority = Authority::create("North").unwrap();
    let (mut listener, address) = listen(&authority);
    let kit = authority.issue_coordinator::<&str>(&[]).unwrap();
    let refused = soon(hung_up(address, client_tls(&kit, "consilium/1"))).await;
    assert!(refused.contains("invalid peer certificate"), "{refused}");
    assert!(soon(listener.accept()).await.unwrap().is_err());
}

#[tokio::test]
async fn kits_are_not_interchangeable() {
    let authority = Authority::create("North").unwrap();
    let error = Listener::bind(loopback(), &site(&authority, "a"), Tuning::default()).err().unwrap();
    assert!(
        matches!(error, BindError::NotTheCoordinator(_)) && error.to_string().contains("issue-coordinator")
    );
    let error = connect(loopback(), &coordinator(&authority), Tuning::default()).await.unwrap_err();
    assert!(matches!(error, ConnectError::NotACaller(_)) && error.to_string().contains("calls nobody"));
}

#[tokio::test]
async fn a_taken_port_and_an_impossible_address_are_explained() {
    let authority = Authority::create("North").unwrap();
    let (_listener, address) = listen(&authority);
    let taken = Listener::bind(address, &coordinator(&authority), Tuning::default()).err().unwrap();
    assert!(matches!(taken, BindError::Socket { .. }), "{taken}");
    let nowhere = connect(loopback(), &site(&authority, "a"), Tuning::default()).await.unwrap_err();
    assert!(matches!(nowhere, ConnectError::Dial { .. }), "port 0 cannot be dialled: {nowhere}");
}

/// What the coordinator says to a certificate that it does not accept. Over QUIC the client is connected by then, over
/// TCP it may still be on its way.
async fn judged(link: LinkKind, address: SocketAddr, identity: &Identity) -> String {
    match soon(connect_over(link, address, identity)).await {
        Ok(connection) => soon(connection.closed()).await.to_string(),
        Err(error) => error.to_string(),
    }
}

/// The words with which the other side hung up.
async fn hung_up(address: SocketAddr, tls: rustls::ClientConfig) -> String {
    match dial(address, tls).await {
        Ok(connection) => connection.closed().await.to_string(),
        Err(error) => error.to_string(),
    }
}
