//! From a token to a study: hospitals join, train, renew their certificates, and are shown the door.

use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use consilium_certs::Authority;
use consilium_client::{ConfigFile, ProxySetting, TransfersFile};
use consilium_coordinator::registry::{SiteRecord, SiteState};
use consilium_coordinator::{Notice, read_study};
use consilium_data::CachePrecision;
use consilium_transport::{JoinToken, TokenError};

use crate::by_hand::{AGREES, address, notices, progress};
use crate::process::{Ended, Process};

const SITES: [&str; 2] = ["site-1", "site-2"];
/// Writes phantoms and a study for them, and trains for a moment.
const SIMULATION: &str =
    "--arms random --modalities t1gd --sites 2 --cases 12 --folds 2 --rounds 1 --local-epochs 1 --device cpu";
/// Nobody waits for the end of a study with so many rounds.
const ENDLESS: u16 = 900;
const IDLE_TIMEOUT_SECS: u16 = 4;
/// More than any operator has logged, so that a secret would show.
const LEVEL: Option<&str> = Some("debug");

/// A consortium without a single kit for a site.
struct Consortium {
    folder: tempfile::TempDir,
}

fn consortium(rounds: u16) -> Consortium {
    let folder = tempfile::tempdir().unwrap();
    let simulated = folder.path().join("simulated");
    let options: Vec<&str> = SIMULATION.split_whitespace().collect();
    Process::simulate(&simulated, &options).end().successfully();
    let mut study = read_study(&simulated.join("study.toml")).unwrap();
    study.training.rounds = rounds;
    fs::write(folder.path().join("study.toml"), toml::to_string(&study).unwrap()).unwrap();
    let authority = Authority::create("North").unwrap();
    authority.save(&folder.path().join("authority")).unwrap();
    authority.issue_coordinator(&["127.0.0.1"]).unwrap().write(&folder.path().join("kit")).unwrap();
    Consortium { folder }
}

impl Consortium {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn site_command(&self, arguments: &[&str], and: &[(&str, &Path)]) -> Ended {
        let state = self.path("state");
        let mut all = vec!["coordinator-site".to_owned()];
        all.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        for (option, path) in [("--state", state.as_path())].iter().chain(and) {
            all.extend([(*option).to_owned(), path.to_str().unwrap().to_owned()]);
        }
        Process::start(all).end()
    }

    /// A token for `site`.
    fn invite(&self, site: &str, address: SocketAddr) -> String {
        let kit = self.path("kit");
        let added =
            self.site_command(&["add", site, "--address", &address.to_string()], &[("--identity", &kit)]);
        let token = added.successfully().stdout.trim().to_owned();
        assert!(token.starts_with("consilium-join-1:") && !token.contains('\n'), "{token}");
        token
    }

    fn sites(&self) -> Vec<SiteRecord> {
        serde_json::from_str(&self.site_command(&["list", "--json"], &[]).successfully().stdout).unwrap()
    }

    fn coordinator(&self, listen: SocketAddr, certificate_life: &str) -> Process {
        let mut arguments = vec!["coordinator-process".to_owned()];
        for (option, name) in [
            ("--study", "study.toml"),
            ("--state", "state"),
            ("--identity", "kit"),
            ("--report", "report.json"),
        ] {
            arguments.extend([option.to_owned(), self.path(name).to_str().unwrap().to_owned()]);
        }
        for (option, value) in [
            ("--listen", listen.to_string()),
            ("--notices", "json".to_owned()),
            ("--idle-timeout-secs", IDLE_TIMEOUT_SECS.to_string()),
            ("--certificate-life", certificate_life.to_owned()),
        ] {
            arguments.extend([option.to_owned(), value]);
        }
        Process::start_logging(LEVEL, arguments)
    }

    fn join(&self, token: &str, identity: &str) -> Ended {
        let (folder, shared) = (self.path(identity), self.path("authority/fingerprint.key"));
        let mut arguments: Vec<OsString> = vec!["client-join".into(), token.into()];
        arguments.extend(["--identity".into(), folder.into_os_string()]);
        arguments.extend(["--fingerprint-key".into(), shared.into_os_string()]);
        Process::start_logging(LEVEL, arguments).end()
    }

    fn client(&self, site: &str, coordinator: SocketAddr) -> Process {
        let config = ConfigFile {
            coordinator: coordinator.to_string(),
            identity: self.path(site),
            state: self.path(&format!("{site}-state")),
            data: vec![self.path("simulated/phantoms").join(site)],
            layout: "upenn-gbm".to_owned(),
            device: "cpu".to_owned(),
            checkpointing: false,
            cache_gib: 1,
            cache_precision: CachePrecision::F32,
            congestion: "cubic".to_owned(),
            idle_timeout_secs: IDLE_TIMEOUT_SECS,
            link: "auto".to_owned(),
            tcp_port: None,
            proxy: Some(ProxySetting::new("off")),
            policy: Some("policy.toml".into()),
            transfers: TransfersFile::default(),
        };
        fs::write(self.path("policy.toml"), AGREES).unwrap();
        let path = self.path(&format!("{site}.toml"));
        fs::write(&path, toml::to_string(&config).unwrap()).unwrap();
        let path = path.into_os_string();
        Process::start_logging(LEVEL, ["client-process".into(), "--once".into(), "--config".into(), path])
    }

    fn certificate(&self, site: &str) -> String {
        fs::read_to_string(self.path(site).join("cert.pem")).unwrap()
    }
}

/// A free port, so that tokens can be made before the coordinator runs.
fn free_port() -> SocketAddr {
    std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn refused(ended: &Ended, words: &str) {
    assert_eq!(ended.code, Some(1), "{}\n{}", ended.stdout, ended.stderr);
    assert!(ended.stderr.contains(words), "`{words}` is missing from\n{}", ended.stderr);
}

#[test]
fn hospitals_join_with_tokens_and_take_part() {
    let consortium = consortium(1);
    let listen = free_port();
    let tokens = SITES.map(|site| consortium.invite(site, listen));
    let spare = consortium.invite("site-3", listen);
    let mut coordinator = consortium.coordinator(listen, "30d");
    let address = address(&mut coordinator);

    let kit = consortium.path("kit");
    let busy = consortium.site_command(&["add", "x", "--address", "h:1"], &[("--identity", &kit)]);
    refused(&busy, "ask it with --connect");
    let mut mistyped = tokens[0].clone();
    mistyped.replace_range(40..41, if &mistyped[40..41] == "A" { "B" } else { "A" });
    refused(&consortium.join(&mistyped, "site-1"), &TokenError::Mistyped.to_string());
    let root = [7; 32];
    let foreign = JoinToken::generate(vec![address.to_string()], root).unwrap().to_string();
    refused(&consortium.join(&foreign, "site-1"), "nothing was sent");

    let mut told = Vec::new();
    for (site, token) in SITES.iter().zip(&tokens) {
        let joined = consortium.join(token, site).successfully();
        assert!(joined.stdout.contains(&format!("joined as {site}")), "{}", joined.stdout);
        told.push(joined);
    }
    refused(&consortium.join(&tokens[0], "thief"), "the token was used before");
    refused(&consortium.join(&tokens[0], "site-1"), "holds a certificate already");
    let guessed = JoinToken::generate(vec![address.to_string()], root_of(&consortium)).unwrap().to_string();
    refused(&consortium.join(&guessed, "guesser"), "has not issued this token");

    let clients = SITES.map(|site| consortium.client(site, address));
    told.extend(clients.into_iter().chain([coordinator]).map(|process| process.end().successfully()));
    // Whatever anybody said, at a level at which much is said, holds no secret.
    let mut secrets: Vec<String> =
        tokens.iter().chain([&spare]).map(|token| token[60..].to_owned()).collect();
    let folders = ["site-1", "site-2", "kit", "authority/root", "authority/issuing", "authority"];
    for folder in folders {
        for name in ["key.pem", "ca-key.pem", "issuing-key.pem", "fingerprint.key"] {
            let text = fs::read_to_string(consortium.path(folder).join(name)).unwrap_or_default();
            secrets.extend(
                text.lines().filter(|line| line.len() >= 24 && !line.contains(' ')).map(str::to_owned),
            );
        }
    }
    assert!(secrets.len() > 3 + 2 * 3, "{} secrets", secrets.len());
    for ended in &told {
        assert!(ended.stdout.len() + ended.stderr.len() > 50, "it said nothing");
        for secret in &secrets {
            assert!(!ended.stderr.contains(secret) && !ended.stdout.contains(secret), "a secret was logged");
        }
    }
    let sites = consortium.sites();
    let states: Vec<_> = sites.iter().map(|record| (record.site.as_str(), record.state)).collect();
    let expected =
        [("site-1", SiteState::Joined), ("site-2", SiteState::Joined), ("site-3", SiteState::Invited)];
    assert_eq!(states, expected);
    assert!(sites[0].software.as_deref().unwrap().starts_with("consilium-client "));
    assert!(sites[0].certificate_expires.is_some() && sites[0].last_seen.is_some());
}

fn root_of(consortium: &Consortium) -> [u8; 32] {
    consilium_transport::Identity::load(&consortium.path("kit")).unwrap().root_key_sha256()
}

/// Certificates of half a minute: each site renews its own with a new key while it trains, and no round is lost.
#[test]
fn certificates_are_renewed_while_the_study_runs() {
    let consortium = consortium(ENDLESS);
    let listen = free_port();
    let tokens = SITES.map(|site| consortium.invite(site, listen));
    let mut coordinator = consortium.coordinator(listen, "30s");
    let address = address(&mut coordinator);
    for (site, token) in SITES.iter().zip(&tokens) {
        consortium.join(token, site).successfully();
    }
    let first = SITES.map(|site| (consortium.certificate(site), key(&consortium, site)));
    let clients = SITES.map(|site| consortium.client(site, address));
    let rounds = |process: &Process| progress(process).map_or(0, |progress| progress.rounds);
    coordinator.wait_until("the first round is trained", |process| rounds(process) >= 1);
    coordinator.wait_until("both have renewed", |_| {
        SITES.iter().zip(&first).all(|(site, (before, _))| consortium.certificate(site) != *before)
    });
    let before = rounds(&coordinator);
    coordinator.wait_until("training goes on", |process| rounds(process) >= before + 3);
    for (site, (_, old)) in SITES.iter().zip(&first) {
        assert_ne!(key(&consortium, site), *old, "a new certificate has a new key");
    }
    let told = notices(&coordinator);
    let connected: Vec<u32> = told
        .iter()
        .filter_map(|notice| if let Notice::Progress(at) = notice { Some(at.connected) } else { None })
        .collect();
    let both = connected.iter().position(|&count| count == 2).unwrap();
    assert!(connected[both..].iter().all(|&count| count == 2), "a connection was lost: {connected:?}");
    assert!(!told.iter().any(|notice| matches!(notice, Notice::Warning(_))), "{told:?}");

    // Both certificates stand in the site's own audit log: the one it joined with, and the one that came after.
    for site in SITES {
        let log = consortium.path(&format!("{site}-state/audit")).join(consilium_audit::LOG_FILE);
        let log = fs::read_to_string(log).unwrap();
        let holder = format!(r#""holder":"consilium:site:{site}""#);
        let told = |change: &str| {
            let words = [r#""event":"certificate""#, &holder, &format!(r#""change":"{change}""#)];
            log.lines().filter(|line| words.iter().all(|word| line.contains(word))).count()
        };
        let (first, later) = (told("taken-up"), told("renewed"));
        assert!(first == 1 && later >= 1, "{site}: {first} taken up, {later} renewed");
    }

    // The renewed pair opens the door.
    let [one, two] = clients;
    one.kill();
    let one = consortium.client(SITES[0], address);
    let before = rounds(&coordinator);
    coordinator.wait_until("the restarted site trains", |process| rounds(process) >= before + 3);
    drop((one, two));
}

fn key(consortium: &Consortium, site: &str) -> String {
    fs::read_to_string(consortium.path(site).join("key.pem")).unwrap()
}

#[test]
fn a_revoked_site_stops_and_says_why() {
    let consortium = consortium(ENDLESS);
    let listen = free_port();
    let token = consortium.invite(SITES[0], listen);
    let mut coordinator = consortium.coordinator(listen, "30d");
    let address = address(&mut coordinator);
    consortium.join(&token, SITES[0]).successfully();
    let client = consortium.client(SITES[0], address);
    coordinator
        .wait_until("the site is there", |process| progress(process).is_some_and(|at| at.connected == 1));
    coordinator.signal("TERM");
    coordinator.end();
    consortium.site_command(&["revoke", SITES[0]], &[]).successfully();
    assert_eq!(consortium.sites()[0].state, SiteState::Revoked);
    let _coordinator = consortium.coordinator(listen, "30d");
    let ended = client.end();
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    assert!(ended.stderr.contains("revoked") && ended.stderr.contains("administrator"), "{}", ended.stderr);
}
