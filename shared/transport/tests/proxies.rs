//! Through an HTTP proxy: the way, the password, and proxies that refuse, babble or never end.

mod consortium;

use std::net::SocketAddr;
use std::sync::Arc;

use consilium_certs::Authority;
use consilium_domain::{BlobRef, Digest, SiteId};
use consilium_transport::{
    BlobAccess, BlobStore, Dialler, LinkChoice, LinkKind, LinkMemory, ProxyChoice, Transferred, Tuning, Way,
    serve_blobs,
};
use consortium::{listen, loopback, site, soon, store};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// `name:p@ss` in base64.
const AUTHORIZATION: &str = "Proxy-Authorization: Basic bmFtZTpwQHNz\r\n";

/// What a proxy does with a request.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// Leads to where it is asked.
    Open,
    /// As `Open`, for who knows the password.
    Password,
    /// Always says the same, and then nothing.
    Says(&'static str),
    /// Sends headers for ever.
    Endless,
    /// Lets through, and adds a word of its own.
    Talkative,
}

async fn proxy(kind: Kind) -> SocketAddr {
    let listener = TcpListener::bind(loopback()).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(serve(kind, socket));
        }
    });
    address
}

async fn serve(kind: Kind, mut socket: TcpStream) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(socket.read_u8().await?);
    }
    let request = String::from_utf8(request).unwrap();
    let target: SocketAddr =
        request.strip_prefix("CONNECT ").unwrap().split(' ').next().unwrap().parse().unwrap();
    match kind {
        Kind::Password if !request.contains(AUTHORIZATION) => {
            let reply =
                "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"x\"\r\n\r\n";
            socket.write_all(reply.as_bytes()).await
        }
        Kind::Open | Kind::Password | Kind::Talkative => {
            let mut upstream = TcpStream::connect(target).await?;
            let more = if matches!(kind, Kind::Talkative) { "hello" } else { "" };
            socket.write_all(format!("HTTP/1.1 200 Connection established\r\n\r\n{more}").as_bytes()).await?;
            tokio::io::copy_bidirectional(&mut socket, &mut upstream).await.map(|_| ())
        }
        Kind::Says(reply) => {
            socket.write_all(reply.as_bytes()).await?;
            std::future::pending().await
        }
        Kind::Endless => {
            socket.write_all(b"HTTP/1.1 200 OK\r\n").await?;
            loop {
                socket.write_all(b"X-Policy: nothing to see here\r\n").await?;
            }
        }
    }
}

/// A client to whom only the proxy leads.
fn dialler(coordinator: SocketAddr, proxy: &str) -> Dialler {
    Dialler {
        host: coordinator.ip().to_string(),
        port: coordinator.port(),
        tcp_port: coordinator.port(),
        link: LinkChoice::Tcp,
        proxy: ProxyChoice::This(proxy.parse().unwrap()),
        tuning: Tuning::default(),
    }
}

/// The memory of a client that has used a proxy: it is tried first.
fn by_proxy(state: &tempfile::TempDir) -> LinkMemory {
    std::fs::write(state.path().join("link.json"), r#"{"way":"proxy","quic_tried":null}"#).unwrap();
    LinkMemory::open(state.path())
}

struct Everything;

impl BlobAccess for Everything {
    fn may_read(&self, _: &SiteId, _: &Digest) -> bool {
        true
    }

    fn may_write(&self, _: &SiteId, _: &BlobRef) -> bool {
        true
    }
}

async fn works_through(kind: Kind, credentials: &str) {
    let authority = Authority::create("North").unwrap();
    let (mut listener, address) = listen(&authority);
    let proxy = proxy(kind).await;
    let state = tempfile::tempdir().unwrap();
    let memory = by_proxy(&state);
    let dialler = dialler(address, &format!("http://{credentials}{proxy}"));
    let client = soon(dialler.connect(&site(&authority, "a"), &memory)).await.unwrap();
    assert_eq!((client.kind(), client.remote_address()), (LinkKind::Tcp, proxy));
    assert_eq!(memory.way(), Some(Way::Proxy));
    let server = soon(listener.accept()).await.unwrap().unwrap();
    let _control = client.open_control().await.unwrap();
    let _accepted = soon(server.accept_control()).await.unwrap();
    let ((_a, theirs), (_b, ours)): ((_, BlobStore), (_, BlobStore)) = (store(), store());
    tokio::spawn(serve_blobs(server, theirs.clone(), Arc::new(Everything)));
    let blob = ours.insert(vec![7; 3_000_000]).await.unwrap();
    assert_eq!(soon(client.upload(blob, &ours)).await.unwrap(), Transferred::Moved);
    assert_eq!(theirs.read(&blob).await.unwrap(), vec![7; 3_000_000]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_leads_through() {
    works_through(Kind::Open, "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_wants_a_password_gets_it() {
    works_through(Kind::Password, "name:p%40ss@").await;
}

/// What the client says about a proxy that leads nowhere.
async fn refused_by(kind: Kind, credentials: &str) -> String {
    let authority = Authority::create("North").unwrap();
    let proxy = proxy(kind).await;
    let state = tempfile::tempdir().unwrap();
    // Nobody listens at the port that is dialled: only the proxy could lead on.
    let nobody = TcpListener::bind(loopback()).await.unwrap().local_addr().unwrap();
    let dialler = dialler(nobody, &format!("http://{credentials}{proxy}"));
    let error = soon(dialler.connect(&site(&authority, "a"), &by_proxy(&state))).await.unwrap_err();
    assert_eq!(error.attempts[0].way, Way::Proxy);
    let text = error.attempts[0].problem.clone();
    assert!(!text.contains("secret"), "{text}");
    text
}

#[tokio::test]
async fn a_missing_and_a_wrong_password_are_told_apart() {
    let missing = refused_by(Kind::Password, "").await;
    assert!(missing.contains("wants a name and a password"), "{missing}");
    let wrong = refused_by(Kind::Password, "name:secret@").await;
    assert!(wrong.contains("does not take the name and the password"), "{wrong}");
}

#[tokio::test]
async fn a_proxy_that_knows_other_passwords_only_is_explained() {
    let reply = "HTTP/1.1 407 No\r\nProxy-Authenticate: NTLM\r\nProxy-Authenticate: Negotiate\r\n\r\n";
    let refused = refused_by(Kind::Says(reply), "").await;
    assert!(refused.contains("it offers NTLM, Negotiate only"), "{refused}");
}

#[tokio::test]
async fn a_proxy_that_forbids_says_so() {
    let page = "HTTP/1.1 403 Blocked by policy\r\nContent-Length: 9\r\n\r\n<html>no!";
    let refused = refused_by(Kind::Says(page), "").await;
    assert!(
        refused.contains("403 Blocked by policy") && refused.contains("ask for CONNECT to 127.0.0.1"),
        "{refused}"
    );
}

#[tokio::test]
async fn what_is_no_proxy_is_noticed() {
    let refused = refused_by(Kind::Says("SSH-2.0-OpenSSH_9.6\r\n"), "").await;
    assert!(refused.contains("no HTTP proxy"), "{refused}");
}

#[tokio::test]
async fn headers_without_end_are_given_up() {
    let refused = refused_by(Kind::Endless, "").await;
    assert!(refused.contains("more than 16384 bytes of headers"), "{refused}");
}

#[tokio::test]
async fn a_proxy_that_adds_words_interferes() {
    let authority = Authority::create("North").unwrap();
    let (_listener, address) = listen(&authority);
    let proxy = proxy(Kind::Talkative).await;
    let state = tempfile::tempdir().unwrap();
    let dialler = dialler(address, &format!("http://{proxy}"));
    // TCP itself leads there, and the proxy is remembered as bad no longer than it is.
    let memory = by_proxy(&state);
    let client = soon(dialler.connect(&site(&authority, "a"), &memory)).await.unwrap();
    assert_eq!((client.remote_address(), memory.way()), (address, Some(Way::Tcp)));
}
