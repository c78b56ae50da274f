//! A website as those see it who come to it: over real sockets on loopback, with and without the right to look.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use consilium_certs::{Authority, Kit};
use consilium_domain::Role;
use consilium_transport::{Doorkeeper, Identity};
use consilium_web::{
    AccessToken, Login, Page, Section, Source, Trust, WebError, WebSettings, Website, sentence,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Shows always the same.
struct Still;

impl Source for Still {
    async fn page(&self) -> Page {
        let content = vec![sentence("<b>a study</b>")];
        let sections = vec![Section { id: "studies", title: "Studies", content }];
        Page { title: "A daemon".into(), lead: String::new(), sections }
    }

    async fn metrics(&self) -> String {
        "up 1\n".into()
    }

    async fn report(&self, study: String) -> Option<String> {
        (study == "abc").then(|| "<!DOCTYPE html><title>report</title>".into())
    }
}

/// Has heard that `mallory` is revoked.
struct Revoking;

impl Doorkeeper for Revoking {
    fn is_revoked(&self, role: &Role, _: &str) -> bool {
        role.to_string().ends_with(":mallory")
    }
}

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

async fn open(login: Option<Login>, trust: Option<Trust>) -> Website {
    Website::open(WebSettings { listen: LOOPBACK, login }, trust, Still).await.unwrap()
}

/// Says `request` and hears everything up to the end.
async fn say(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> String {
    // Who is turned away may find the line cut in the middle of it.
    let _ = stream.write_all(request.as_bytes()).await;
    let mut heard = Vec::new();
    let _ = stream.read_to_end(&mut heard).await;
    String::from_utf8(heard).unwrap()
}

fn get(path: &str, host: &str, more: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{more}\r\n")
}

async fn ask(site: &Website, request: &str) -> String {
    say(TcpStream::connect(site.address()).await.unwrap(), request).await
}

#[tokio::test]
async fn everything_is_there_and_nothing_of_anybody_else_may_be_loaded() {
    let site = open(None, None).await;
    assert!(site.url().starts_with("http://127.0.0.1:"), "{}", site.url());
    for (path, kind, words) in [
        ("/", "text/html", "&lt;b&gt;a study&lt;/b&gt;"),
        ("/page.css", "text/css", "contrast"),
        ("/page.js", "text/javascript", "EventSource"),
        ("/icon.svg", "image/svg+xml", "<svg"),
        ("/metrics", "text/plain; version=0.0.4", "up 1"),
        ("/reports/abc", "text/html", "<title>report"),
    ] {
        let answer = ask(&site, &get(path, "localhost", "")).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains(words), "{path}: {answer}");
        assert!(answer.contains(&format!("content-type: {kind}")), "{path}: {answer}");
        let policy = if path == "/reports/abc" { "style-src 'unsafe-inline'" } else { "script-src 'self'" };
        assert!(answer.contains("content-security-policy: default-src 'none'") && answer.contains(policy));
        assert!(
            answer.contains("x-content-type-options: nosniff\r\n")
                && answer.contains("cache-control: no-store")
        );
    }
    for path in ["/reports/abd", "/login", "/reports/../etc/passwd", "/nothing"] {
        assert!(ask(&site, &get(path, "localhost", "")).await.starts_with("HTTP/1.1 404"), "{path}");
    }
}

#[tokio::test]
async fn another_hosts_name_and_every_change_are_refused() {
    let site = open(None, None).await;
    for host in ["evil.example", "127.0.0.1.evil.example:80"] {
        let answer = ask(&site, &get("/", host, "")).await;
        assert!(answer.starts_with("HTTP/1.1 421") && !answer.contains("a study"), "{answer}");
    }
    let without = "GET / HTTP/1.0\r\n\r\n";
    assert!(ask(&site, without).await.contains("421"));
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        let request = get("/", "localhost", "Content-Length: 0\r\n").replacen("GET", method, 1);
        assert!(ask(&site, &request).await.starts_with("HTTP/1.1 405"), "{method}");
    }
}

#[tokio::test]
async fn a_listener_hears_the_page_at_once() {
    let site = open(None, None).await;
    let mut stream = TcpStream::connect(site.address()).await.unwrap();
    stream.write_all(get("/events", "localhost", "").as_bytes()).await.unwrap();
    let mut heard = String::new();
    while !heard.contains("data: {") || !heard.contains("a study") {
        let mut bytes = [0; 4096];
        let read = stream.read(&mut bytes).await.unwrap();
        assert!(read > 0, "{heard}");
        heard.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
    }
    assert!(heard.contains("content-type: text/event-stream"), "{heard}");
    drop(site);
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
}

#[tokio::test]
async fn a_head_that_is_too_long_ends_the_connection() {
    let site = open(None, None).await;
    let long = format!("X-Long: {}\r\n", "x".repeat(64 << 10));
    assert!(!ask(&site, &get("/", "localhost", &long)).await.contains("200 OK"));
    let many: String = (0..100).map(|number| format!("X-{number}: 1\r\n")).collect();
    assert!(!ask(&site, &get("/", "localhost", &many)).await.contains("200 OK"));
}

/// The kits of a consortium, each in its folder.
struct Consortium {
    folder: tempfile::TempDir,
    kits: Vec<(&'static str, Kit)>,
}

impl Consortium {
    fn new() -> Self {
        let authority = Authority::create("a test").unwrap();
        let stranger = Authority::create("another").unwrap();
        let kits = vec![
            ("coordinator", authority.issue_coordinator(&["127.0.0.1"]).unwrap()),
            ("alice", authority.issue_admin(&"alice".parse().unwrap()).unwrap()),
            ("olga", authority.issue_observer(&"olga".parse().unwrap()).unwrap()),
            ("mallory", authority.issue_admin(&"mallory".parse().unwrap()).unwrap()),
            ("north", authority.issue_site(&"north".parse().unwrap()).unwrap()),
            ("stranger", stranger.issue_admin(&"alice".parse().unwrap()).unwrap()),
        ];
        let folder = tempfile::tempdir().unwrap();
        for (name, kit) in &kits {
            kit.write(&folder.path().join(name)).unwrap();
        }
        Self { folder, kits }
    }

    fn trust(&self) -> Trust {
        let identity = Identity::load(&self.folder.path().join("coordinator")).unwrap();
        Trust { identity, doorkeeper: Arc::new(Revoking), token_file: self.token_file() }
    }

    fn token_file(&self) -> std::path::PathBuf {
        self.folder.path().join("web-token")
    }

    /// Asks over TLS, as the holder of a kit or as nobody. Empty where the handshake or the line fails.
    async fn ask(&self, site: &Website, who: Option<&str>, request: &str) -> String {
        let trusted = &self.kits[0].1.ca_pem;
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(trusted.as_bytes()).unwrap()).unwrap();
        let config = ClientConfig::builder().with_root_certificates(roots);
        let config = match who {
            None => config.with_no_client_auth(),
            Some(who) => {
                let kit = &self.kits.iter().find(|(name, _)| *name == who).unwrap().1;
                let chain = CertificateDer::pem_slice_iter(kit.certificate_pem.as_bytes());
                let chain = chain.collect::<Result<Vec<_>, _>>().unwrap();
                let key = PrivateKeyDer::from_pem_slice(kit.key_pem.as_bytes()).unwrap();
                config.with_client_auth_cert(chain, key).unwrap()
            }
        };
        let socket = TcpStream::connect(site.address()).await.unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        match TlsConnector::from(Arc::new(config)).connect(name, socket).await {
            Ok(stream) => say(stream, request).await,
            Err(_) => String::new(),
        }
    }
}

#[tokio::test]
async fn beyond_loopback_there_is_no_page_without_a_login() {
    let consortium = Consortium::new();
    let listen = SocketAddr::from(([0, 0, 0, 0], 0));
    let open = |login, trust| Website::open(WebSettings { listen, login }, trust, Still);
    let exposed = open(None, Some(consortium.trust())).await.unwrap_err();
    assert!(
        matches!(exposed, WebError::Exposed(_)) && exposed.to_string().contains("--web-login"),
        "{exposed}"
    );
    assert!(matches!(open(None, None).await, Err(WebError::LoopbackOnly(_))));
    assert!(matches!(open(Some(Login::Token), Some(consortium.trust())).await, Err(WebError::Token(_))));
    let site = open(Some(Login::Certificate), Some(consortium.trust())).await.unwrap();
    assert!(site.url().starts_with("https://"), "{}", site.url());
}

#[tokio::test]
async fn only_people_of_the_consortium_look_in_with_their_certificates() {
    let consortium = Consortium::new();
    let site = open(Some(Login::Certificate), Some(consortium.trust())).await;
    let request = get("/", "coordinator.example.org", "");
    for who in ["alice", "olga"] {
        let answer = consortium.ask(&site, Some(who), &request).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{who}: {answer}");
    }
    let sites = consortium.ask(&site, Some("north"), &request).await;
    assert!(sites.starts_with("HTTP/1.1 401") && !sites.contains("a study"), "{sites}");
    for who in [None, Some("mallory"), Some("stranger")] {
        assert_eq!(consortium.ask(&site, who, &request).await, "", "{who:?}");
    }
    // Without TLS nothing is said at all.
    assert!(!ask(&site, &request).await.contains("HTTP"));
}

#[tokio::test]
async fn the_token_opens_a_session_and_few_wrong_ones_are_heard() {
    let consortium = Consortium::new();
    let token = AccessToken::make(&consortium.token_file()).unwrap();
    let site = open(Some(Login::Token), Some(consortium.trust())).await;
    let ask = async |request: &str| consortium.ask(&site, None, request).await;
    let first = ask(&get("/", "a.example", "")).await;
    assert!(first.starts_with("HTTP/1.1 303") && first.contains("location: /login"), "{first}");
    assert!(ask(&get("/login", "a.example", "")).await.contains("type=\"password\""));
    for path in ["/events", "/metrics", "/reports/abc"] {
        assert!(ask(&get(path, "a.example", "")).await.starts_with("HTTP/1.1 401"), "{path}");
    }
    let log_in = |token: &str| {
        let form = format!("token={}", token.replace(':', "%3A"));
        let kind = "application/x-www-form-urlencoded";
        let length = form.len();
        format!(
            "POST /login HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{form}"
        )
    };
    let within = ask(&log_in(&token)).await;
    let cookie = within.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
    for word in ["Secure", "HttpOnly", "SameSite=Strict"] {
        assert!(cookie.contains(word), "{cookie}");
    }
    let cookie = format!("Cookie: {}\r\n", cookie.split(';').next().unwrap());
    assert!(ask(&get("/", "a", &cookie)).await.starts_with("HTTP/1.1 200"));
    let bearer = format!("Authorization: Bearer {token}\r\n");
    assert!(ask(&get("/metrics", "a", &bearer)).await.starts_with("HTTP/1.1 200"));
    for _ in 0..10 {
        assert!(ask(&log_in("consilium-web-1:0000")).await.starts_with("HTTP/1.1 403"));
    }
    // Now not even the right one is heard from here, while who is within stays within.
    assert!(ask(&log_in(&token)).await.starts_with("HTTP/1.1 403"));
    assert!(ask(&get("/", "a", &cookie)).await.starts_with("HTTP/1.1 200"));
    assert!(Path::new(&consortium.token_file()).exists());
}
