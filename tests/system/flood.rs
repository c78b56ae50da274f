//! A thousand strangers from one address, over and over while a study runs: what they cost the coordinator in memory,
//! what it writes about them, and whom they delay.
//!
//! Some show no certificate, some say that they want to join and then nothing, some begin a handshake over TCP and never
//! end it. The honest sites call from another address of this machine.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use consilium_coordinator::Report;
use consilium_domain::Role;
use consilium_protocol::admin::StudyState;
use quinn::crypto::rustls::QuicClientConfig;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use crate::consortium::{Consortium, SITES, study};
use crate::lines::{kit, stranger};

/// Callers at once, over QUIC and as many over TCP.
const STRANGERS: usize = 1_000;
/// Another address than that of the sites.
const ELSEWHERE: &str = "127.0.0.66:0";
/// What the coordinator's memory may grow by at its peak: 48 KiB for each of those who call at once. There are places for
/// 32 handshakes and for 8 who want to join; the rest is what quinn keeps of callers that were just sent away.
const MOST_GROWTH: u64 = 48 * 1024 * 1024;
/// Handshakes of one address that are under way at once.
const PLACES: usize = 32;
/// How long a caller waits to be sent away: longer than any handshake may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// Calls over QUIC without a certificate, half of them to join; each waits until it is sent away. How many there were.
async fn over_quic(at: SocketAddr, tls: &[rustls::ClientConfig; 2]) -> usize {
    let endpoint = quinn::Endpoint::client(ELSEWHERE.parse().unwrap()).unwrap();
    let mut callers = JoinSet::new();
    for number in 0..STRANGERS {
        let crypto = QuicClientConfig::try_from(tls[number % tls.len()].clone()).unwrap();
        let config = quinn::ClientConfig::new(Arc::new(crypto));
        let dialling = endpoint.connect_with(config, at, Role::COORDINATOR_HOST).unwrap();
        callers.spawn(tokio::time::timeout(PATIENCE, async {
            if let Ok(connection) = dialling.await {
                connection.closed().await;
            }
        }));
    }
    callers.join_all().await.len()
}

/// Callers over TCP that begin a hello of 500 bytes and never end it. Each is held open.
async fn half_open(at: SocketAddr) -> Vec<TcpStream> {
    let mut held = Vec::new();
    for _ in 0..STRANGERS {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(ELSEWHERE.parse().unwrap()).unwrap();
        let Ok(mut stream) = socket.connect(at).await else { continue };
        // Whoever has no place any more is hung up on, and may hear so here.
        let _ = stream.write_all(&[0x16, 3, 1, 1, 0xf4, 1]).await;
        held.push(stream);
    }
    held
}

/// Waves of strangers until `until`, two at least: while their address has its places, and while it has none left. How
/// many called.
async fn flood(at: SocketAddr, tls: [rustls::ClientConfig; 2], until: Arc<AtomicBool>) -> usize {
    let mut called = 0;
    loop {
        called += over_quic(at, &tls).await;
        let held = half_open(at).await;
        called += held.len() + over_quic(at, &tls).await;
        if until.load(Ordering::Relaxed) {
            return called;
        }
    }
}

#[test]
fn a_thousand_strangers_from_one_address_cost_little_and_delay_nobody() {
    let consortium = Consortium::new().with_patients();
    let mut serving = consortium.serve(None);
    let at = serving.address;
    let clients = SITES.map(|site| consortium.daemon(site, at));
    // What a study takes in memory it takes before the flood.
    let calm = consortium.submit(at, &study(1, 2));
    consortium.wait_for(&mut serving, &calm, StudyState::Finished);
    let before = serving.process.peak_memory();

    let over = Arc::new(AtomicBool::new(false));
    let north = kit(&consortium.kit("north"));
    let tls = ["consilium/1", "consilium-join/1"].map(|protocol| stranger(&north, protocol));
    let flooding = std::thread::spawn({
        let over = over.clone();
        move || tokio::runtime::Runtime::new().unwrap().block_on(flood(at, tls, over))
    });
    let stormy = consortium.submit(at, &study(2, 4));
    consortium.wait_for(&mut serving, &stormy, StudyState::Finished);
    over.store(true, Ordering::Relaxed);
    let called = flooding.join().unwrap();
    assert!(called > 29 * STRANGERS / 10, "{called}");

    let growth = serving.process.peak_memory() - before;
    println!("{called} strangers: the coordinator's peak of {before} bytes grew by {growth}");
    assert!(growth < MOST_GROWTH, "{growth} bytes more at the peak, after {before}");

    // Nobody is sent away uncounted, and every reason has its count.
    let refused = || consortium.list(at).refused;
    serving.process.wait_until("everybody is counted", |_| refused().values().sum::<u64>() >= called as u64);
    let refused = refused();
    println!("{refused:?}");
    for cause in ["no-certificate", "too-many-handshakes-from-address", "too-many-joining"] {
        assert!(refused.get(cause).is_some_and(|&count| count > 0), "{cause} in {refused:?}");
    }
    // A flood of callers is no flood of lines: ten a minute, and the counters.
    let lines = serving.process.stderr().lines().filter(|line| line.contains("connection refused")).count();
    assert!((1..=called / 10).contains(&lines), "{lines} lines about {called} callers");
    let audit = fs::read_to_string(consortium.path("state/audit").join(consilium_audit::LOG_FILE)).unwrap();
    let told = audit.lines().filter(|line| line.contains(r#""event":"connections-refused""#)).count();
    assert!((1..PLACES).contains(&told), "{told} lines in the audit log");

    let folder = consortium.study_folder(&stormy);
    serving.process.wait_until("the report is written", |_| folder.join("report.json").exists());
    let report: Report = serde_json::from_slice(&fs::read(folder.join("report.json")).unwrap()).unwrap();
    assert_eq!((report.outcome.status.as_str(), report.warnings), ("finished", Vec::new()));
    for client in clients {
        client.signal("TERM");
        assert_eq!(client.end().code, Some(4));
    }
}
