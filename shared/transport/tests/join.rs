//! Joining over real sockets: who is asked, who is heard, and what a recording is worth.

mod consortium;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use aws_lc_rs::hmac;
use consilium_certs::{Authority, Kit};
use consilium_domain::{Role, SiteId};
use consilium_pki::{Issuer, Lifetime, OwnKey, PublicKey, pem_of, replace_pair};
use consilium_transport::frame::{decode, encode_framed};
use consilium_transport::{
    Applicant, Dialler, Entrance, Identity, JOIN_ALPN, JoinClaim, JoinError, JoinRefusal, JoinToken, Joined,
    LinkChoice, LinkKind, Listener, ProxyChoice, RefusalCause, Tuning, connect, join, join_tcp,
};
use consortium::{counted, dial, identity, loopback, over_both_links, parts, roots, soon};
use quinn::crypto::rustls::QuicServerConfig;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::TLS13;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A coordinator that hears applicants.
struct Desk {
    kit: Kit,
    identity: Identity,
    listener: Listener,
    applicants: mpsc::Receiver<Applicant>,
    address: SocketAddr,
}

fn desk() -> Desk {
    let kit = Authority::create("North").unwrap().issue_coordinator::<&str>(&[]).unwrap();
    let identity = identity(&kit);
    let entrance = Entrance::default().with_joins();
    let mut listener =
        Listener::bind_with(loopback(), Some(loopback()), &identity, &entrance, Tuning::default()).unwrap();
    let applicants = listener.applicants().unwrap();
    let address = listener.local_addr().unwrap();
    Desk { kit, identity, listener, applicants, address }
}

impl Desk {
    fn token(&self) -> JoinToken {
        JoinToken::generate(vec![self.address.to_string()], self.identity.root_key_sha256()).unwrap()
    }

    fn issue(&self, site: &SiteId, request: &[u8]) -> Vec<CertificateDer<'static>> {
        let pair = self.kit.issuing.as_ref().unwrap();
        let issuer = Issuer::from_pem(&pair.certificate_pem, &pair.key_pem).unwrap();
        let key = PublicKey::from_request(request).unwrap();
        let role = Role::Site(site.clone());
        issuer.issue(&role, &[], &key, Lifetime::days(30), SystemTime::now()).unwrap().chain
    }

    fn client(&self) -> rustls::ClientConfig {
        let mut tls = rustls::ClientConfig::builder_with_protocol_versions(&[&TLS13])
            .with_root_certificates(roots(&self.kit))
            .with_no_client_auth();
        tls.alpn_protocols = vec![JOIN_ALPN.to_vec()];
        tls
    }

    /// TLS over TCP, of somebody who shows no certificate.
    async fn over_tcp(&self, tls: rustls::ClientConfig) -> std::io::Result<TlsStream<TcpStream>> {
        let socket = TcpStream::connect(self.address).await?;
        let host = ServerName::try_from(Role::COORDINATOR_HOST).unwrap();
        TlsConnector::from(Arc::new(tls)).connect(host, socket).await
    }
}

over_both_links!(
    a_token_leads_to_a_certificate_that_opens_the_door,
    refusals_arrive_word_for_word,
    an_answer_that_would_not_work_is_refused,
    a_foreign_coordinator_hears_nothing,
    silent_strangers_keep_no_site_out,
);

async fn join_over(
    link: LinkKind,
    address: SocketAddr,
    token: &JoinToken,
    key: &OwnKey,
) -> Result<Joined, JoinError> {
    match link {
        LinkKind::Quic => join(address, token, key).await,
        LinkKind::Tcp => join_tcp(address, token, key).await,
    }
}

async fn a_token_leads_to_a_certificate_that_opens_the_door(link: LinkKind) {
    let mut desk = desk();
    let (token, key, address) = (desk.token(), OwnKey::generate().unwrap(), desk.address);
    let site: SiteId = "st-elsewhere".parse().unwrap();
    let answering = async {
        let applicant = desk.applicants.recv().await.unwrap();
        let JoinClaim { token: id, secret, is_bound, request } = applicant.claim().clone();
        assert_eq!((id, &secret, is_bound), (token.id(), token.secret(), true));
        let chain = desk.issue(&site, &request);
        applicant.welcome(&site, &chain, desk.identity.root()).await;
    };
    let (joined, ()) = soon(async { tokio::join!(join_over(link, address, &token, &key), answering) }).await;
    let joined = joined.unwrap();
    assert_eq!(joined.site, site);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ca.pem"), pem_of(&[&joined.root])).unwrap();
    replace_pair(folder.path(), &key.to_pem(), &pem_of(&joined.chain)).unwrap();
    let identity = Identity::load(folder.path()).unwrap();
    let connection = soon(connect(desk.address, &identity, Tuning::default())).await.unwrap();
    let server = soon(desk.listener.accept()).await.unwrap().unwrap();
    assert_eq!(*server.peer(), Role::Site(site));
    assert_eq!(server.peer_expires(), identity.certificate().not_after);
    drop(connection);
}

async fn refusals_arrive_word_for_word(link: LinkKind) {
    let mut desk = desk();
    let key = OwnKey::generate().unwrap();
    for refusal in [
        JoinRefusal::Wrong,
        JoinRefusal::Expired,
        JoinRefusal::Used,
        JoinRefusal::Withdrawn,
        JoinRefusal::NotBound,
        JoinRefusal::Malformed("the key is of another kind".into()),
        JoinRefusal::TooMany { wait_secs: 17 },
        JoinRefusal::CannotIssue,
        JoinRefusal::Unavailable,
    ] {
        let token = desk.token();
        let refusing = async { desk.applicants.recv().await.unwrap().refuse(refusal.clone()).await };
        let (told, ()) =
            soon(async { tokio::join!(join_over(link, desk.address, &token, &key), refusing) }).await;
        assert!(matches!(&told, Err(JoinError::Said(said)) if *said == refusal), "{told:?}");
    }
}

/// A certificate for somebody else's key, or for another site than the answer says, is never written to the disk.
async fn an_answer_that_would_not_work_is_refused(link: LinkKind) {
    let mut desk = desk();
    let (key, other) = (OwnKey::generate().unwrap(), OwnKey::generate().unwrap());
    let address = desk.address;
    let (a, b): (SiteId, SiteId) = ("a".parse().unwrap(), "b".parse().unwrap());
    for wrong_key in [true, false] {
        let token = desk.token();
        let answering = async {
            let applicant = desk.applicants.recv().await.unwrap();
            let request =
                if wrong_key { other.request().unwrap() } else { applicant.claim().request.clone() };
            let chain = desk.issue(if wrong_key { &a } else { &b }, &request);
            applicant.welcome(&a, &chain, desk.identity.root()).await;
        };
        let (told, ()) =
            soon(async { tokio::join!(join_over(link, address, &token, &key), answering) }).await;
        assert!(matches!(told, Err(JoinError::Answer(_))), "{told:?}");
    }
}

async fn a_foreign_coordinator_hears_nothing(link: LinkKind) {
    let (mut north, south) = (desk(), desk());
    let token =
        JoinToken::generate(vec![north.address.to_string()], south.identity.root_key_sha256()).unwrap();
    let refused =
        soon(join_over(link, north.address, &token, &OwnKey::generate().unwrap())).await.unwrap_err();
    assert!(matches!(refused, JoinError::Foreign(_)), "{refused}");
    assert!(refused.to_string().contains("nothing was sent"));
    let closed = soon(north.listener.accept()).await.unwrap().unwrap_err().to_string();
    assert!(closed.contains("was not let in") || closed.contains("did not join"), "{closed}");
    assert!(north.applicants.try_recv().is_err(), "nobody asked anything");
}

/// A site of the same consortium shows the right root, and its certificate says that it is no coordinator.
#[tokio::test]
async fn a_site_cannot_collect_tokens() {
    let authority = Authority::create("North").unwrap();
    let kit = authority.issue_site(&"mallory".parse().unwrap()).unwrap();
    let (mut chain, key) = parts(&kit);
    chain.extend(consilium_pki::certificates_of(&kit.ca_pem).unwrap());
    let mut tls = rustls::ServerConfig::builder_with_protocol_versions(&[&TLS13])
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    tls.alpn_protocols = vec![JOIN_ALPN.to_vec()];
    let config = quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls).unwrap()));
    let endpoint = quinn::Endpoint::server(config, loopback()).unwrap();
    let address = endpoint.local_addr().unwrap();
    tokio::spawn(async move {
        while let Some(incoming) = endpoint.accept().await {
            incoming.await.ok();
        }
    });
    let token = JoinToken::generate(vec![address.to_string()], identity(&kit).root_key_sha256()).unwrap();
    let refused = soon(join(address, &token, &OwnKey::generate().unwrap())).await.unwrap_err();
    assert!(matches!(refused, JoinError::NotTheCoordinator { .. }), "{refused}");
}

/// The question as it looks on the wire, with the proof for the channel whose exporter is `exporter`.
fn question(token: &JoinToken, secret: [u8; 16], exporter: &[u8; 32]) -> Vec<u8> {
    let request = OwnKey::generate().unwrap().request().unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
    let proof = hmac::sign(&key, &[exporter, &request[..]].concat());
    let proof: [u8; 32] = proof.as_ref().try_into().unwrap();
    encode_framed(&(token.id().0, secret, request, proof)).unwrap()
}

fn exporter(quic: &quinn::Connection) -> [u8; 32] {
    let mut secret = [0; 32];
    quic.export_keying_material(&mut secret, b"EXPORTER-consilium-join", b"").unwrap();
    secret
}

async fn say(quic: &quinn::Connection, bytes: &[u8]) -> (quinn::SendStream, quinn::RecvStream) {
    let (mut send, recv) = quic.open_bi().await.unwrap();
    send.write_all(bytes).await.unwrap();
    (send, recv)
}

#[tokio::test]
async fn a_recorded_request_is_not_bound_to_another_channel() {
    let mut desk = desk();
    let token = desk.token();
    let (first, second) =
        (dial(desk.address, desk.client()).await.unwrap(), dial(desk.address, desk.client()).await.unwrap());
    let recorded = question(&token, [9; 16], &exporter(&first));
    let _said = (say(&first, &recorded).await, say(&second, &recorded).await);
    let mut bound = Vec::new();
    for _ in 0..2 {
        let applicant = soon(desk.applicants.recv()).await.unwrap();
        bound.push((applicant.claim().is_bound, applicant.address().port()));
        tokio::spawn(applicant.refuse(JoinRefusal::Wrong));
    }
    assert_eq!(bound.iter().filter(|(is_bound, _)| *is_bound).count(), 1, "{bound:?}");
}

#[tokio::test]
async fn whoever_says_something_else_is_sent_away() {
    let mut desk = desk();
    let too_long = 8_193_u32.to_le_bytes();
    let nothing = 0_u32.to_le_bytes();
    let noise = encode_framed(&"hello".to_owned()).unwrap();
    for (bytes, word) in
        [(&too_long[..], "8193 bytes"), (&nothing, "empty"), (&noise, "cannot be read"), (&[0xC0; 9], "")]
    {
        let quic = soon(dial(desk.address, desk.client())).await.unwrap();
        let _stream = say(&quic, bytes).await;
        let closed = soon(quic.closed()).await.to_string();
        assert!(closed.contains(word), "{closed}");
        let refused = soon(desk.listener.accept()).await.unwrap().unwrap_err().to_string();
        assert!(refused.contains("did not join") && refused.contains(word), "{refused}");
    }
    assert!(desk.applicants.try_recv().is_err());
}

/// There is one stream, and after the answer there is nothing.
#[tokio::test]
async fn a_connection_for_joining_does_nothing_else() {
    let mut desk = desk();
    let token = desk.token();
    let quic = dial(desk.address, desk.client()).await.unwrap();
    let asked = question(&token, [9; 16], &exporter(&quic));
    let (_send, mut recv) = soon(say(&quic, &asked)).await;
    let second = tokio::time::timeout(std::time::Duration::from_millis(200), quic.open_bi()).await;
    assert!(second.is_err(), "a stranger has one stream");
    let applicant = soon(desk.applicants.recv()).await.unwrap();
    tokio::spawn(applicant.refuse(JoinRefusal::Wrong));
    let answer = soon(recv.read_to_end(1_000)).await.unwrap();
    assert_eq!(decode::<(u32, u32)>(&answer[4..]).unwrap(), (1, 0), "refused, wrong");
    quic.close(0u32.into(), b"");
    assert!(
        tokio::time::timeout(std::time::Duration::from_millis(200), desk.listener.accept()).await.is_err()
    );
}

#[tokio::test]
async fn without_a_certificate_there_is_nothing_but_joining() {
    let mut desk = desk();
    let mut tls = desk.client();
    tls.alpn_protocols = vec![b"consilium/1".to_vec()];
    let quic = soon(dial(desk.address, tls)).await.unwrap();
    let closed = soon(quic.closed()).await.to_string();
    assert!(closed.contains("a kit is needed"), "{closed}");
    assert!(soon(desk.listener.accept()).await.unwrap().is_err());
}

#[tokio::test]
async fn a_coordinator_that_takes_nobody_does_not_even_listen() {
    let authority = Authority::create("North").unwrap();
    let (_listener, address) = consortium::listen(&authority);
    let root = identity(&authority.issue_coordinator::<&str>(&[]).unwrap()).root_key_sha256();
    let token = JoinToken::generate(vec![address.to_string()], root).unwrap();
    let refused = soon(join(address, &token, &OwnKey::generate().unwrap())).await.unwrap_err();
    assert!(matches!(refused, JoinError::Refused { .. }), "{refused}");
}

/// Whoever connects to join and then says nothing takes the places of others who want to join, and of no site.
async fn silent_strangers_keep_no_site_out(link: LinkKind) {
    let mut desk = desk();
    let (mut silent, mut over_tcp) = (Vec::new(), Vec::new());
    for _ in 0..9 {
        match link {
            LinkKind::Quic => silent.push(soon(dial(desk.address, desk.client())).await.unwrap()),
            LinkKind::Tcp => over_tcp.push(soon(desk.over_tcp(desk.client())).await.unwrap()),
        }
    }
    let refused = soon(desk.listener.accept()).await.unwrap().unwrap_err().to_string();
    assert!(refused.contains("too many want to join"), "{refused}");
    let pair = desk.kit.issuing.as_ref().unwrap();
    let issuer = Issuer::from_pem(&pair.certificate_pem, &pair.key_pem).unwrap();
    let (folder, key) = (tempfile::tempdir().unwrap(), OwnKey::generate().unwrap());
    let public_key = PublicKey::from_request(&key.request().unwrap()).unwrap();
    let role = Role::Site("a".parse().unwrap());
    let issued = issuer.issue(&role, &[], &public_key, Lifetime::days(1), SystemTime::now()).unwrap();
    std::fs::write(folder.path().join("ca.pem"), &desk.kit.ca_pem).unwrap();
    replace_pair(folder.path(), &key.to_pem(), &pem_of(&issued.chain)).unwrap();
    let site = Identity::load(folder.path()).unwrap();
    soon(connect(desk.address, &site, Tuning::default())).await.unwrap();
    assert_eq!(*soon(desk.listener.accept()).await.unwrap().unwrap().peer(), role);
}

fn exporter_over_tcp(line: &TlsStream<TcpStream>) -> [u8; 32] {
    line.get_ref().1.export_keying_material([0; 32], b"EXPORTER-consilium-join", Some(b"")).unwrap()
}

#[tokio::test]
async fn over_tcp_too_a_recording_is_worth_nothing() {
    let mut desk = desk();
    let token = desk.token();
    let mut first = desk.over_tcp(desk.client()).await.unwrap();
    let mut second = desk.over_tcp(desk.client()).await.unwrap();
    let recorded = question(&token, [9; 16], &exporter_over_tcp(&first));
    for (line, is_bound) in [(&mut first, true), (&mut second, false)] {
        line.write_all(&recorded).await.unwrap();
        let applicant = soon(desk.applicants.recv()).await.unwrap();
        assert_eq!(applicant.claim().is_bound, is_bound);
        drop(applicant);
    }
}

/// Over TCP the hello is read before it is answered: whoever offers anything besides joining must show a certificate.
#[tokio::test]
async fn over_tcp_nobody_without_a_certificate_gets_further_than_joining() {
    let mut desk = desk();
    for offered in
        [&[&b"consilium/1"[..]][..], &[JOIN_ALPN, b"consilium/1"], &[b"consilium-probe/1", JOIN_ALPN], &[]]
    {
        let mut tls = desk.client();
        tls.alpn_protocols = offered.iter().map(|protocol| protocol.to_vec()).collect();
        // TLS 1.3: the client is done before the server has judged it.
        if let Ok(mut line) = soon(desk.over_tcp(tls)).await {
            assert!(soon(line.read_u8()).await.is_err());
        }
        let refused = soon(desk.listener.accept()).await.unwrap().unwrap_err().to_string();
        assert!(refused.contains("was not let in"), "{refused}");
    }
    let counts = desk.listener.refusals().snapshot();
    assert_eq!(counts.get(&RefusalCause::NO_CERTIFICATE), Some(&4), "{counts:?}");
    assert!(desk.applicants.try_recv().is_err());
}

/// What is refused is said on the line: a bare TLS channel has no other place for words.
#[tokio::test]
async fn over_tcp_whoever_says_something_else_is_told_so() {
    let mut desk = desk();
    let too_long = 8_193_u32.to_le_bytes();
    let noise = encode_framed(&"hello".to_owned()).unwrap();
    // The last is how yamux begins.
    for (bytes, word) in [
        (&too_long[..], "8193 bytes"),
        (&[0; 4], "empty"),
        (&noise, "cannot be read"),
        (&[0, 1, 0, 1], "bytes"),
    ] {
        let mut line = soon(desk.over_tcp(desk.client())).await.unwrap();
        line.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        soon(line.read_to_end(&mut answer)).await.unwrap();
        let (refused, malformed, told): (u32, u32, String) = decode(&answer[4..]).unwrap();
        assert_eq!((refused, malformed), (1, 5), "{told}");
        assert!(told.contains(word), "{told}");
        let noted = soon(desk.listener.accept()).await.unwrap().unwrap_err().to_string();
        assert!(noted.contains("did not join") && noted.contains(word), "{noted}");
    }
    assert_eq!(counted(&desk.listener, RefusalCause::new("malformed-join")).await, 4);
    assert!(desk.applicants.try_recv().is_err());
}

/// A listener that takes nobody speaks of joining over neither link.
#[tokio::test]
async fn a_coordinator_that_takes_nobody_refuses_over_tcp_too() {
    let authority = Authority::create("North").unwrap();
    let (listener, address) = consortium::listen(&authority);
    let root = identity(&authority.issue_coordinator::<&str>(&[]).unwrap()).root_key_sha256();
    let token = JoinToken::generate(vec![address.to_string()], root).unwrap();
    let refused = soon(join_tcp(address, &token, &OwnKey::generate().unwrap())).await.unwrap_err();
    assert!(matches!(refused, JoinError::Refused { .. }), "{refused}");
    assert_eq!(counted(&listener, RefusalCause::OTHER_PROTOCOL).await, 1);
}

/// A proxy that leads to `target`, whatever it is asked for; it gives back what it was asked for.
async fn proxy_to(target: SocketAddr) -> (SocketAddr, mpsc::Receiver<String>) {
    let listener = TcpListener::bind(loopback()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (asked, asks) = mpsc::channel(8);
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let asked = asked.clone();
            tokio::spawn(async move {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    request.push(near.read_u8().await.unwrap());
                }
                asked.send(String::from_utf8(request).unwrap()).await.unwrap();
                let mut far = TcpStream::connect(target).await.unwrap();
                near.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
                tokio::io::copy_bidirectional(&mut near, &mut far).await.ok();
            });
        }
    });
    (address, asks)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_joins_through_the_proxy_that_alone_leads_out() {
    let mut desk = desk();
    let (token, key) = (desk.token(), OwnKey::generate().unwrap());
    let site: SiteId = "st-elsewhere".parse().unwrap();
    // Nobody listens there; the proxy knows better.
    let nowhere = TcpListener::bind(loopback()).await.unwrap().local_addr().unwrap();
    let (proxy, mut asks) = proxy_to(desk.address).await;
    let dialler = Dialler {
        host: nowhere.ip().to_string(),
        port: nowhere.port(),
        tcp_port: nowhere.port(),
        link: LinkChoice::Tcp,
        proxy: ProxyChoice::This(format!("http://{proxy}").parse().unwrap()),
        tuning: Tuning::default(),
    };
    let answering = async {
        let applicant = desk.applicants.recv().await.unwrap();
        assert!(applicant.claim().is_bound, "the proxy is in between and not in the channel");
        let chain = desk.issue(&site, &applicant.claim().request);
        applicant.welcome(&site, &chain, desk.identity.root()).await;
    };
    let (joined, ()) = soon(async { tokio::join!(dialler.join(&token, &key), answering) }).await;
    assert_eq!(joined.unwrap().site, site);
    let asked = asks.recv().await.unwrap();
    assert!(asked.starts_with(&format!("CONNECT {nowhere} HTTP/1.1\r\n")), "{asked}");

    let foreign = JoinToken::generate(vec![nowhere.to_string()], [7; 32]).unwrap();
    let refused = soon(dialler.join(&foreign, &key)).await.unwrap_err();
    assert!(matches!(refused, JoinError::NoWay(_)), "{refused}");
    let told = refused.to_string();
    assert!(
        told.contains("TCP (") && told.contains("proxy (") && told.contains("nothing was sent"),
        "{told}"
    );
    assert!(desk.applicants.try_recv().is_err(), "nobody asked anything");
}
