//! Floods and trickles: who takes his time or comes a thousand times gets his share and no more, and an honest site
//! works meanwhile.

mod consortium;

use std::net::SocketAddr;
use std::time::Duration;

use consilium_certs::Authority;
use consilium_transport::{
    AcceptError, CloseCode, Connection, ControlError, LinkKind, Listener, RefusalCause, Tuning,
};
use consortium::raw::{RawLine, RawTcp, write};
use consortium::{client_tls, connect_over, coordinator, counted, listen, over_both_links, site, soon};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};

over_both_links!(one_certificate_cannot_take_every_place, a_control_stream_that_does_not_come_is_counted,);

/// A site that connects, opens its control stream and is heard.
async fn honest(link: LinkKind, listener: &mut Listener, address: SocketAddr, authority: &Authority) {
    let client = soon(connect_over(link, address, &site(authority, "honest"))).await.unwrap();
    let (mut send, _receive) = client.open_control().await.unwrap();
    send.send(&"good morning".to_owned()).await.unwrap();
    let server: Connection = soon(async {
        loop {
            // Those of the flood who were refused come out here too.
            if let Ok(connection) = listener.accept().await.unwrap() {
                return connection;
            }
        }
    })
    .await;
    let (_, mut receive) = soon(server.accept_control()).await.unwrap();
    assert_eq!(soon(receive.receive::<String>()).await.unwrap().unwrap(), "good morning");
}

/// A connection to `address` from another address of this machine than the honest site's.
async fn from_elsewhere(address: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind("127.0.0.66:0".parse().unwrap())?;
    socket.connect(address).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_connections_from_one_address_delay_nobody() {
    let authority = Authority::create("North").unwrap();
    let (mut listener, address) = listen(&authority);
    let mut flood = Vec::new();
    for _ in 0..1_000 {
        if let Ok(socket) = from_elsewhere(address).await {
            flood.push(socket);
        }
    }
    assert!(flood.len() > 900, "{}", flood.len());
    // More than one address may have are hung up on at once; the others have proven nothing and hold no certificate.
    let cause = RefusalCause::TOO_MANY_HANDSHAKES_FROM_ADDRESS;
    soon(async {
        while counted(&listener, cause).await < flood.len() as u64 - 32 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    honest(LinkKind::Tcp, &mut listener, address, &authority).await;
    honest(LinkKind::Quic, &mut listener, address, &authority).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_trickles_a_handshake_is_given_up_and_nobody_waits_for_him() {
    let authority = Authority::create("North").unwrap();
    let (mut listener, address) = listen(&authority);
    for _ in 0..32 {
        let mut socket = from_elsewhere(address).await.unwrap();
        tokio::spawn(async move {
            // A hello that claims 500 bytes and never has them.
            let mut hello = [0x16, 3, 1, 1, 0xf4].into_iter().chain(std::iter::repeat(0));
            while socket.write_u8(hello.next().unwrap()).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        });
    }
    honest(LinkKind::Tcp, &mut listener, address, &authority).await;
    let refused = soon(listener.accept()).await.unwrap().unwrap_err();
    assert!(matches!(refused, AcceptError::Slow { .. } | AcceptError::Handshake { .. }), "{refused}");
    soon(async {
        while listener.refusals().snapshot().values().sum::<u64>() < 32 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn what_does_not_speak_tls_is_counted() {
    let authority = Authority::create("North").unwrap();
    let (listener, address) = listen(&authority);
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    assert_eq!(counted(&listener, RefusalCause::NOT_TLS).await, 1);
}

async fn one_certificate_cannot_take_every_place(link: LinkKind) {
    let authority = Authority::create("North").unwrap();
    let (mut listener, address) = listen(&authority);
    let greedy = site(&authority, "greedy");
    let (mut held, mut inside) = (Vec::new(), Vec::new());
    let refused = loop {
        let connection = soon(connect_over(link, address, &greedy)).await.unwrap();
        match soon(listener.accept()).await.unwrap() {
            Ok(accepted) => inside.push(accepted),
            Err(refused) => break (refused, soon(connection.closed()).await),
        }
        held.push(connection);
    };
    assert_eq!(inside.len(), 16);
    assert!(matches!(refused.0, AcceptError::TooMany { .. }), "{}", refused.0);
    assert_eq!(refused.1.code(), Some(CloseCode::TOO_MANY));
    assert_eq!(counted(&listener, RefusalCause::TOO_MANY_OF_PEER).await, 1);
    honest(link, &mut listener, address, &authority).await;
    // Whoever leaves makes room.
    drop((held, inside));
    soon(connect_over(link, address, &greedy)).await.unwrap();
    assert!(soon(listener.accept()).await.unwrap().is_ok());
}

async fn a_control_stream_that_does_not_come_is_counted(link: LinkKind) {
    let authority = Authority::create("North").unwrap();
    let (mut listener, address) = listen(&authority);
    let _client = soon(connect_over(link, address, &site(&authority, "silent"))).await.unwrap();
    let server = soon(listener.accept()).await.unwrap().unwrap();
    assert_eq!(soon(server.accept_control()).await.err(), Some(ControlError::Silent));
    assert_eq!(counted(&listener, RefusalCause::SLOW_FIRST_FRAME).await, 1);
}

/// A site with a valid certificate that speaks TLS and then something else than it should on the link's own stream.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_begins_wrongly_is_refused() {
    let authority = Authority::create("North").unwrap();
    let (mut listener, address) = listen(&authority);
    let kit = authority.issue_site(&"mallory".parse().unwrap()).unwrap();
    let mut line = RawTcp::dial(address, client_tls(&kit, "consilium/1")).await;
    write(&mut line.own, &[0xC0]).await.unwrap();
    let refused = soon(listener.accept()).await.unwrap().unwrap_err();
    assert!(refused.to_string().contains("0xc0, not as the link's own"), "{refused}");
    assert_eq!(counted(&listener, RefusalCause::BAD_FIRST_STREAM).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_frames_on_the_links_own_stream_end_the_connection() {
    let authority = Authority::create("North").unwrap();
    let (mut listener, address) = listen(&authority);
    let kit = authority.issue_site(&"mallory".parse().unwrap()).unwrap();
    for bytes in [&[0, 0, 0, 0][..], &[0, 0, 1, 0], &[4, 0, 0, 0, 7, 0, 0, 0]] {
        let mut raw = soon(RawLine::dial(LinkKind::Tcp, address, &kit, "consilium/1")).await;
        let server = soon(listener.accept()).await.unwrap().unwrap();
        let RawLine::Tcp(line) = &mut raw else { unreachable!() };
        write(&mut line.own, bytes).await.unwrap();
        let (code, _) = soon(raw.closed()).await;
        assert_eq!(code, CloseCode::PROTOCOL.number());
        soon(server.closed()).await;
    }
    let counts = listener.refusals().snapshot();
    assert_eq!(counts.get(&RefusalCause::MALFORMED_FRAME), Some(&2), "{counts:?}");
    assert_eq!(counts.get(&RefusalCause::FRAME_TOO_LARGE), Some(&1), "{counts:?}");
}

/// Nobody answers pings: over TCP too the idle timeout ends the connection.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_on_which_nothing_arrives_is_given_up() {
    let authority = Authority::create("North").unwrap();
    let tuning = Tuning { idle_timeout: Duration::from_secs(2), ..Tuning::default() };
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let mut listener = Listener::bind_both(any, Some(any), &coordinator(&authority), tuning).unwrap();
    let address = listener.tcp_addr().unwrap();
    let (relay, cut) = relay_to(address).await;
    let client = soon(connect_over(LinkKind::Tcp, relay, &site(&authority, "a"))).await.unwrap();
    let server = soon(listener.accept()).await.unwrap().unwrap();
    cut.send(()).unwrap();
    let closed = soon(server.closed()).await;
    assert!(closed.to_string().contains("nothing was heard"), "{closed}");
    drop(client);
}

/// A relay that can be told to hold everything back, as a network does that has lost a cable.
async fn relay_to(address: SocketAddr) -> (SocketAddr, tokio::sync::oneshot::Sender<()>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let relay = listener.local_addr().unwrap();
    let (cut, is_cut) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let (mut near, _) = listener.accept().await.unwrap();
        let mut far = TcpStream::connect(address).await.unwrap();
        tokio::select! {
            _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
            _ = is_cut => {}
        }
        // Held open, and nothing passes.
        let _both = (near, far);
        std::future::pending::<()>().await;
    });
    (relay, cut)
}
