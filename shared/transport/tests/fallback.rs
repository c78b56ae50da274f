//! Where UDP leads nowhere: the client finds another way, says what it met, and remembers what worked.

mod consortium;

use std::net::SocketAddr;
use std::path::Path;

use consilium_certs::Authority;
use consilium_transport::{
    Dialler, Identity, LinkChoice, LinkKind, LinkMemory, Listener, ProxyChoice, QUIC_PATIENCE, Tuning, Way,
};
use consortium::{coordinator, listen, loopback, site, soon};
use tokio::net::UdpSocket;
use tokio::time::Instant;

/// A coordinator on TCP whose UDP port swallows everything, as a firewall does.
async fn without_udp(authority: &Authority) -> (Listener, UdpSocket, SocketAddr) {
    // UDP of another address: on the one that is dialled nobody answers.
    let tcp = loopback_of_nobody().await;
    let hole = UdpSocket::bind(tcp).await.unwrap();
    let elsewhere: SocketAddr = "127.0.0.2:0".parse().unwrap();
    let listener =
        Listener::bind_both(elsewhere, Some(tcp), &coordinator(authority), Tuning::default()).unwrap();
    (listener, hole, tcp)
}

fn dialler(address: SocketAddr) -> Dialler {
    Dialler {
        host: address.ip().to_string(),
        port: address.port(),
        tcp_port: address.port(),
        link: LinkChoice::Auto,
        proxy: ProxyChoice::None,
        tuning: Tuning::default(),
    }
}

async fn connected(dialler: &Dialler, identity: &Identity, state: &Path) -> LinkKind {
    soon(dialler.connect(identity, &LinkMemory::open(state))).await.unwrap().kind()
}

#[tokio::test]
async fn udp_is_preferred_where_it_works() {
    let authority = Authority::create("North").unwrap();
    let (_listener, address) = listen(&authority);
    let (identity, state) = (site(&authority, "a"), tempfile::tempdir().unwrap());
    assert_eq!(connected(&dialler(address), &identity, state.path()).await, LinkKind::Quic);
    let only_tcp = Dialler { link: LinkChoice::Tcp, ..dialler(address) };
    assert_eq!(connected(&only_tcp, &identity, state.path()).await, LinkKind::Tcp);
}

#[tokio::test]
async fn where_udp_is_blocked_tcp_is_found_and_the_next_time_tried_first() {
    let authority = Authority::create("North").unwrap();
    let (_listener, hole, address) = without_udp(&authority).await;
    let (identity, state) = (site(&authority, "a"), tempfile::tempdir().unwrap());
    let began = Instant::now();
    assert_eq!(connected(&dialler(address), &identity, state.path()).await, LinkKind::Tcp);
    assert!(began.elapsed() >= QUIC_PATIENCE, "QUIC gets its time");
    assert_eq!(LinkMemory::open(state.path()).way(), Some(Way::Tcp));

    // After a restart nothing is sent over UDP any more: the hole stays as it is.
    let mut buffer = [0; 2_000];
    while hole.try_recv(&mut buffer).is_ok() {}
    assert_eq!(connected(&dialler(address), &identity, state.path()).await, LinkKind::Tcp);
    assert!(hole.try_recv(&mut buffer).is_err(), "QUIC was tried again at once");
}

#[tokio::test]
async fn quic_alone_is_kept_where_it_is_asked_for() {
    let authority = Authority::create("North").unwrap();
    let (_listener, _hole, address) = without_udp(&authority).await;
    let only_quic = Dialler { link: LinkChoice::Quic, ..dialler(address) };
    let memory = LinkMemory::of_this_process();
    let error = soon(only_quic.connect(&site(&authority, "a"), &memory)).await.unwrap_err();
    assert_eq!(error.attempts.len(), 1);
    assert!(error.to_string().contains("does the firewall let UDP through"), "{error}");
}

#[tokio::test]
async fn every_way_tells_what_it_met() {
    let authority = Authority::create("North").unwrap();
    let nobody = loopback_of_nobody().await;
    let proxy = ProxyChoice::This(format!("http://user:secret@{nobody}").parse().unwrap());
    let dialler = Dialler { proxy, ..dialler(nobody) };
    let memory = LinkMemory::of_this_process();
    let error = soon(dialler.connect(&site(&authority, "a"), &memory)).await.unwrap_err();
    let ways: Vec<Way> = error.attempts.iter().map(|attempt| attempt.way).collect();
    assert_eq!(ways, [Way::Quic, Way::Tcp, Way::Proxy]);
    let text = error.to_string();
    for part in ["QUIC (127.0.0.1", "did not answer within 3 s", "TCP (127.0.0.1", "proxy (http://127.0.0.1"]
    {
        assert!(text.contains(part), "`{part}` is missing from {text}");
    }
    assert!(!text.contains("secret") && !format!("{dialler:?}").contains("secret"), "{text}");
    assert_eq!(memory.way(), None);
}

/// A port at which nobody listens.
async fn loopback_of_nobody() -> SocketAddr {
    tokio::net::TcpListener::bind(loopback()).await.unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_said_once_a_way() {
    let authority = Authority::create("North").unwrap();
    let dialler = Dialler { host: "coordinator.invalid".into(), ..dialler(loopback()) };
    let memory = LinkMemory::of_this_process();
    let error = soon(dialler.connect(&site(&authority, "a"), &memory)).await.unwrap_err();
    assert_eq!(error.attempts.len(), 2);
    assert!(error.to_string().contains("coordinator.invalid"), "{error}");
}
