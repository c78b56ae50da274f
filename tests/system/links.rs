//! Where UDP is blocked: a study is finished, and its admins are heard, over TCP, by programs that were given no hint.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::Command;

use consilium_protocol::admin::JoinInvitation;
use consilium_simulator::SimulationReport;

use crate::consortium::{Consortium, study};
use crate::process::Process;

const OPTIONS: &str =
    "--arms random --modalities t1gd --sites 2 --cases 12 --folds 2 --rounds 1 --local-epochs 1";

/// A network of its own with a loopback that carries everything but UDP. `unshare` needs the right to make one.
const CUT: &str = "ip link set lo up && ";

/// Ways to drop UDP, the ones that firewalls use first. Each is tried until one is there.
const RULES: [&str; 3] = [
    "nft 'add table inet f; add chain inet f in { type filter hook input priority 0; }; add rule inet f in ip protocol \
     udp drop'",
    "iptables -A INPUT -p udp -j DROP",
    "ip rule add pref 10 ipproto udp blackhole && ip rule add pref 20 lookup local && ip rule del pref 0",
];

/// The command that cuts UDP in a network of its own, if this machine lets us make one.
fn cut() -> Option<String> {
    RULES.iter().map(|rule| format!("{CUT}{{ {rule}; }}")).find(|script| {
        let tried = Command::new("unshare").args(["-n", "sh", "-c", script]).output();
        tried.is_ok_and(|tried| tried.status.success())
    })
}

fn report(out: &Path) -> SimulationReport {
    serde_json::from_str(&fs::read_to_string(out.join("report.json")).unwrap()).unwrap()
}

#[test]
fn a_study_is_finished_where_a_firewall_drops_udp() {
    let Some(cut) = cut() else {
        println!("skipped: this machine does not let tests make a network without UDP");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let program = env!("CARGO_BIN_EXE_consilium-tests");
    let command = format!("{cut} && exec {program} simulate --out {} {OPTIONS}", out.display());
    Process::start_program("unshare", ["-n", "sh", "-c", &command]).end().successfully();
    assert_eq!(report(&out).federated.outcome.status, "finished");
    for site in ["site-1", "site-2"] {
        let remembered = fs::read_to_string(out.join(site).join("state/link.json")).unwrap();
        assert!(remembered.contains(r#""way":"tcp""#), "{remembered}");
    }
}

#[test]
fn an_admin_is_heard_over_tcp_and_sees_who_was_refused() {
    let consortium = Consortium::new();
    // A port at which TCP is the coordinator's, and UDP goes nowhere.
    let blocked = UdpSocket::bind("127.0.0.1:0").unwrap();
    let tcp = blocked.local_addr().unwrap();
    drop(TcpListener::bind(tcp).expect("nobody else listens there"));
    let mut serving = consortium.serve_with(None, &["--listen-tcp", &tcp.to_string()]);
    assert_ne!(serving.address, tcp);
    a_hospital_joins((&consortium, serving.address), tcp, &[], "east");
    // Inside many a hospital nothing is reached, and not even a name is known, but by the proxy.
    let proxy = proxy_to(tcp);
    a_hospital_joins(
        (&consortium, serving.address),
        "127.0.0.1:9".parse().unwrap(),
        &["--proxy", &proxy],
        "west",
    );

    let submitted = consortium.submit(tcp, &study(3, 1));
    assert_eq!(consortium.show(serving.address, &submitted).summary.hash, submitted.hash);
    let hash = submitted.hash.to_string();
    let ended = consortium.ask("olga", tcp, &["study", "abort", &hash, "--reason", "mine"]);
    assert!(ended.code == Some(5) && ended.stderr.contains("refused"), "{}", ended.stderr);

    let mut stranger = TcpStream::connect(tcp).unwrap();
    stranger.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    // The coordinator has hung up once this ends, however it ends, and counted it before or shortly after.
    let _ = stranger.read_to_end(&mut Vec::new());
    let at = serving.address;
    serving.process.wait_until("the stranger is counted", |_| consortium.list(at).refused.len() > 2);
    let expected = [("join-used", 2), ("not-tls", 1), ("read-only", 1)];
    let expected = expected.map(|(cause, count)| (cause.to_owned(), count));
    assert_eq!(consortium.list(at).refused, expected.into());
}

/// `site` joins with a token that names `address`, and no other hint.
fn a_hospital_joins(
    (consortium, at): (&Consortium, SocketAddr),
    address: SocketAddr,
    options: &[&str],
    site: &str,
) {
    let words = ["site", "add", site, "--address", &address.to_string(), "--json"];
    let added = consortium.ask("alice", at, &words).successfully().stdout;
    let invitation: JoinInvitation = serde_json::from_str(&added).unwrap();
    let kit = consortium.kit(site);
    let arguments = ["client-join", &invitation.token, "--identity", kit.to_str().unwrap()];
    let arguments = [&arguments[..], if options.is_empty() { &["--proxy", "off"] } else { options }].concat();
    let joined = Process::start(&arguments).end().successfully().stdout;
    assert!(joined.contains(&format!("joined as {site}")), "{joined}");
    // Again, into another folder: the token is used up over TCP as well.
    let thief = consortium.kit("thief");
    let arguments: Vec<&str> = arguments
        .iter()
        .map(|word| if *word == kit.to_str().unwrap() { thief.to_str().unwrap() } else { word })
        .collect();
    let ended = Process::start(&arguments).end();
    assert!(ended.code == Some(1) && ended.stderr.contains("was used before"), "{}", ended.stderr);
}

/// A proxy that leads to `target`, whatever it is asked for.
fn proxy_to(target: SocketAddr) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for near in listener.incoming() {
            let mut near = near.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                near.read_exact(&mut byte).unwrap();
                request.push(byte[0]);
            }
            let mut far = TcpStream::connect(target).unwrap();
            near.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").unwrap();
            let (mut from, mut to) = (near.try_clone().unwrap(), far.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut from, &mut to));
            std::thread::spawn(move || std::io::copy(&mut far, &mut near));
        }
    });
    format!("http://{address}")
}
