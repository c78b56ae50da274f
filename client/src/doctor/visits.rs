//! The doctor against a real coordinator's door, over real sockets on loopback.

use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;

use consilium_certs::Authority;
use consilium_transport::{Identity, LinkChoice, Listener, Tuning};
use tempfile::TempDir;

use super::examination::examine;
use super::findings::{Findings, Status};
use crate::config::Config;

const LOOPBACK: &str = "127.0.0.1:0";

/// A hospital's configuration for the coordinator at `address`.
fn config(folder: &TempDir, authority: &Authority, address: SocketAddr) -> Config {
    authority.issue_site(&"north".parse().unwrap()).unwrap().write(&folder.path().join("identity")).unwrap();
    std::fs::create_dir(folder.path().join("scans")).unwrap();
    let path: PathBuf = folder.path().join("client.toml");
    let text = format!(
        "coordinator = \"{address}\"\nidentity = \"identity\"\nstate = \"state\"\ndata = [\"scans\"]\n\
         layout = \"upenn-gbm\"\nproxy = \"off\"\n"
    );
    std::fs::write(&path, text).unwrap();
    Config::read(&path).unwrap()
}

fn coordinator(authority: &Authority) -> Identity {
    let kit = tempfile::tempdir().unwrap();
    authority.issue_coordinator::<&str>(&[]).unwrap().write(kit.path()).unwrap();
    Identity::load(kit.path()).unwrap()
}

fn statuses(findings: &Findings) -> Vec<(&str, Status)> {
    findings.findings.iter().map(|finding| (finding.test.as_str(), finding.status)).collect()
}

#[tokio::test]
async fn a_healthy_site_is_well() {
    let authority = Authority::create("North").unwrap();
    let any = LOOPBACK.parse().unwrap();
    let listener = Listener::bind_both(any, Some(any), &coordinator(&authority), Tuning::default()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let findings = examine(&config(&folder, &authority, listener.local_addr().unwrap())).await;
    assert!(findings.well, "{findings}");
    let expected = [
        ("certificate", Status::Pass),
        ("name", Status::Pass),
        ("udp", Status::Pass),
        ("tcp", Status::Pass),
        ("proxy", Status::Skip),
        ("tls-inspection", Status::Pass),
        ("coordinator", Status::Pass),
        ("clock", Status::Pass),
    ];
    assert_eq!(statuses(&findings)[..8], expected, "{findings}");
    // How fast is the machine's business.
    for (test, status) in &statuses(&findings)[8..] {
        assert!(matches!(status, Status::Pass | Status::Warn), "{test}: {findings}");
    }
}

#[tokio::test]
async fn a_blocked_port_and_a_foreign_coordinator_are_told_apart() {
    let (north, south) = (Authority::create("North").unwrap(), Authority::create("South").unwrap());
    let any: SocketAddr = LOOPBACK.parse().unwrap();
    let elsewhere = "127.0.0.2:0".parse().unwrap();
    let listener =
        Listener::bind_both(elsewhere, Some(any), &coordinator(&north), Tuning::default()).unwrap();
    let address = listener.tcp_addr().unwrap();
    // A firewall on the port that is dialled: it takes everything and answers nothing.
    let _hole = UdpSocket::bind(address).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let findings = examine(&config(&folder, &north, address)).await;
    assert!(
        findings.well && statuses(&findings)[2..4] == [("udp", Status::Warn), ("tcp", Status::Pass)],
        "{findings}"
    );

    let folder = tempfile::tempdir().unwrap();
    let mut stranger = config(&folder, &south, address);
    stranger.dialler.link = LinkChoice::Tcp;
    let findings = examine(&stranger).await;
    assert!(!findings.well, "{findings}");
    assert!(statuses(&findings).contains(&("tls-inspection", Status::Fail)), "{findings}");
    assert!(findings.to_string().contains("North"), "who is there instead is named: {findings}");
}
