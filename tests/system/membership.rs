//! A hospital's whole membership at a coordinator that serves: invited from another machine, joined, listed, revoked.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use consilium_domain::Role;
use consilium_protocol::admin::{JoinInvitation, RegisteredSite};
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use crate::consortium::{Consortium, SITES, study};
use crate::lines::{client_tls, dial, kit};
use crate::process::Process;

#[test]
fn a_site_is_invited_joins_and_is_put_out_from_another_machine() {
    let consortium = Consortium::new().with_patients();
    let mut serving = consortium.serve(None);
    let at = serving.address;
    let ended = consortium.ask("olga", at, &["site", "add", "east"]);
    assert!(ended.code == Some(5) && ended.stderr.contains("observer"), "{}", ended.stderr);
    let added = consortium.ask("alice", at, &["site", "add", "east", "--json"]).successfully();
    let invitation: JoinInvitation = serde_json::from_str(&added.stdout).unwrap();
    let identity = consortium.kit("east");
    let arguments = ["client-join", &invitation.token, "--identity", identity.to_str().unwrap()];
    Process::start(arguments).end().successfully();

    let sites = || {
        let listed = consortium.ask("olga", at, &["site", "list", "--json"]).successfully();
        serde_json::from_str::<Vec<RegisteredSite>>(&listed.stdout).unwrap()
    };
    let east = sites().into_iter().find(|site| site.site.as_str() == "east").unwrap();
    assert_eq!(east.state, "joined");
    assert!(east.certificate_expires.is_some());

    // A kit that was issued by hand is known as soon as its site has called.
    let north = consortium.daemon(SITES[0], at);
    serving.process.wait_until("north was seen", |_| {
        sites().iter().any(|site| site.site.as_str() == SITES[0] && site.last_seen.is_some())
    });
    consortium.submit(at, &study(1, 200));
    // A thief of the kit has connected too, over either link, and keeps whatever session he was given.
    let tls = client_tls(&kit(&consortium.kit(SITES[0])), "consilium/1");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let thief = runtime.block_on(dial(at, tls.clone())).unwrap();
    runtime.block_on(over_tcp(at, tls.clone())).unwrap();
    let revoked = consortium.ask("alice", at, &["site", "revoke", SITES[0], "--reason", "a lost laptop"]);
    assert!(revoked.successfully().stdout.contains("is revoked"));
    serving.process.wait_until("north is told why", |_| north.stderr().contains("revoked"));
    assert!(runtime.block_on(thief.closed()).to_string().contains("revoked"));
    let refused = || consortium.list(at).refused.get("revoked-certificate").copied().unwrap_or(0);
    let before = refused();
    let told = runtime.block_on(async {
        match dial(at, tls.clone()).await {
            Ok(connection) => connection.closed().await.to_string(),
            Err(error) => error.to_string(),
        }
    });
    assert!(told.to_lowercase().contains("revoked"), "{told}");
    let told = runtime.block_on(over_tcp(at, tls)).unwrap_err().to_string();
    assert!(told.to_lowercase().contains("revoked"), "{told}");
    serving.process.wait_until("both are counted", |_| refused() >= before + 2);
    closed_within_a_second(&consortium);
    north.signal("TERM");
    let refused = consortium.client(SITES[0], at).end();
    assert!(refused.code == Some(3) && refused.stderr.contains("revoked"), "{}", refused.stderr);
    let audit =
        std::fs::read_to_string(consortium.path("state/audit").join(consilium_audit::LOG_FILE)).unwrap();
    for (change, holder) in [("joined", "consilium:site:east"), ("revoked", "consilium:site:north")] {
        let written = audit
            .lines()
            .any(|line| line.contains(r#""certificate""#) && line.contains(change) && line.contains(holder));
        assert!(written, "{change} {holder} is missing from the audit log");
    }
    an_observer_is_put_out(&consortium, at);
    let table = consortium.ask("alice", at, &["site", "list"]).successfully().stdout;
    assert!(table.lines().any(|line| line.starts_with(SITES[0]) && line.contains("revoked")), "{table}");
}

/// A person's certificate is revoked by its number, which the observer's own kit shows.
fn an_observer_is_put_out(consortium: &Consortium, at: SocketAddr) {
    let identity = consilium_transport::Identity::load(&consortium.kit("olga")).unwrap();
    let number = identity.certificate().serial.to_uppercase().replace(':', "");
    for words in [&["site", "revoke", "--serial", "olga"][..], &["site", "revoke", "--serial", "0x12"]] {
        let ended = consortium.ask("alice", at, words);
        assert!(ended.code == Some(5) && ended.stderr.contains("no serial number"), "{}", ended.stderr);
    }
    let ended = consortium.ask("olga", at, &["site", "revoke", "--serial", &number]);
    assert!(ended.code == Some(5) && ended.stderr.contains("observer"), "{}", ended.stderr);
    let revoked = consortium.ask("alice", at, &["site", "revoke", "--serial", &number]).successfully().stdout;
    assert!(revoked.contains("opens no door any more"), "{revoked}");
    let ended = consortium.ask("olga", at, &["study", "list"]);
    assert!(ended.code == Some(1) && ended.stderr.contains("revoked"), "{}", ended.stderr);
}

/// TLS over TCP to the end of the handshake and what the coordinator says after it. Nothing, where it takes the caller.
async fn over_tcp(at: SocketAddr, tls: rustls::ClientConfig) -> std::io::Result<()> {
    let socket = TcpStream::connect(at).await?;
    let host = ServerName::try_from(Role::COORDINATOR_HOST).unwrap();
    let mut line = tokio_rustls::TlsConnector::from(Arc::new(tls)).connect(host, socket).await?;
    match tokio::time::timeout(Duration::from_millis(300), line.read_u8()).await {
        Ok(Err(error)) => Err(error),
        Ok(Ok(_)) | Err(_) => Ok(()),
    }
}

/// The site's own log tells when its connection ended, the coordinator's when the site was revoked. One machine, one clock.
fn closed_within_a_second(consortium: &Consortium) {
    let log = |state: &str| {
        let path = consortium.path(state).join("audit").join(consilium_audit::LOG_FILE);
        let text = std::fs::read_to_string(path).unwrap();
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.collect::<Vec<_>>()
    };
    let is_revocation = |it: &&Value| it["event"] == "certificate" && it["fields"]["change"] == "revoked";
    let coordinators = log("state");
    let revoked = millis(coordinators.iter().find(is_revocation).unwrap());
    let sites = log("north-state");
    let closed = millis(sites.iter().rfind(|it| it["event"] == "connection-closed").unwrap());
    // The coordinator closes first and writes down then; midnight may lie in between.
    let late = (closed + DAY - revoked) % DAY;
    println!("the connection was closed {late} ms after the revocation was written down");
    assert!(!(1_000..=DAY - 1_000).contains(&late), "{late} ms");
}

/// Milliseconds in a day.
const DAY: u64 = 86_400_000;

/// The time of day of a record, in milliseconds.
fn millis(record: &Value) -> u64 {
    // 2026-11-06T10:34:56.789Z
    let time = record["time"].as_str().unwrap();
    let number = |range: std::ops::Range<usize>| time[range].parse::<u64>().unwrap();
    ((number(11..13) * 60 + number(14..16)) * 60 + number(17..19)) * 1_000 + number(20..23)
}
