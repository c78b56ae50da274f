//! What the registry promises, at times that the test chooses.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use consilium_certs::{Authority, Kit};
use consilium_domain::Role;
use consilium_pki::{CertificateFacts, Lifetime, OwnKey, certificates_of};
use consilium_transport::{JoinClaim, JoinRefusal};

use super::*;

/// Any day will do, as long as the issuing certificate is valid on it.
fn today() -> Timestamp {
    crate::surroundings::now()
}

const HOUR: u32 = 3_600;
const DAY: u32 = 24 * HOUR;

struct Scene {
    dir: tempfile::TempDir,
    registry: Registry,
    at: Timestamp,
    /// Everybody calls from an address of their own, lest the limit on attempts gets in the way.
    calls: u32,
}

async fn scene() -> Scene {
    scene_with(Authority::create("North").unwrap().issue_coordinator::<&str>(&[]).unwrap()).await
}

async fn scene_with(kit: Kit) -> Scene {
    let dir = tempfile::tempdir().unwrap();
    kit.write(&dir.path().join("kit")).unwrap();
    let registry = open(dir.path()).await;
    Scene { dir, registry, at: today(), calls: 0 }
}

async fn open(dir: &Path) -> Registry {
    let identity = Identity::load(&dir.join("kit")).unwrap();
    Registry::open(&dir.join("registry.sqlite"), Some(identity), Terms::default()).await.unwrap()
}

fn named(name: &str) -> SiteId {
    name.parse().unwrap()
}

fn claim(token: &JoinToken, key: &OwnKey) -> JoinClaim {
    let request = key.request().unwrap();
    JoinClaim { token: token.id(), secret: token.secret().clone(), is_bound: true, request }
}

fn facts(enrolled: &Enrolled) -> CertificateFacts {
    CertificateFacts::of(&enrolled.chain[0]).unwrap()
}

impl Scene {
    async fn invite(&self, site: &str) -> JoinToken {
        self.registry.add_site(&named(site), vec!["host:4433".into()], self.at).await.unwrap().token
    }

    async fn enrol(&mut self, claim: &JoinClaim) -> Result<Enrolled, JoinRefusal> {
        self.calls += 1;
        let from = IpAddr::V4(Ipv4Addr::from(0xc000_0200 + self.calls));
        self.registry.enrol(claim, from, self.at).await
    }

    async fn join(&mut self, site: &str) -> CertificateFacts {
        let token = self.invite(site).await;
        facts(&self.enrol(&claim(&token, &OwnKey::generate().unwrap())).await.unwrap())
    }

    async fn state(&self, site: &str) -> SiteState {
        let sites = self.registry.sites(self.at).await.unwrap();
        sites.into_iter().find(|record| record.site.as_str() == site).unwrap().state
    }

    fn revoked(&self, site: &str, serial: &str) -> bool {
        self.registry.is_revoked(&Role::Site(named(site)), serial)
    }

    fn later(&mut self, secs: u32) {
        self.at = self.at.plus_secs(secs);
    }
}

#[tokio::test]
async fn a_token_makes_one_key_the_site_and_answers_it_again() {
    let mut scene = scene().await;
    let token = scene.invite("a").await;
    let (key, other) = (OwnKey::generate().unwrap(), OwnKey::generate().unwrap());
    let first = scene.enrol(&claim(&token, &key)).await.unwrap();
    assert_eq!((first.site.as_str(), facts(&first).uris), ("a", vec!["consilium:site:a".to_owned()]));
    assert_eq!(facts(&first).public_key, key.public_key());
    scene.later(HOUR);
    assert_eq!(
        scene.enrol(&claim(&token, &key)).await.unwrap(),
        first,
        "the first answer may have been lost"
    );
    assert_eq!(scene.enrol(&claim(&token, &other)).await, Err(JoinRefusal::Used));
    scene.later(72 * HOUR);
    assert_eq!(scene.enrol(&claim(&token, &key)).await, Err(JoinRefusal::Expired));
    assert_eq!(scene.enrol(&claim(&token, &other)).await, Err(JoinRefusal::Used));
}

#[tokio::test]
async fn every_refusal_has_its_reason_and_is_counted() {
    let mut scene = scene().await;
    let (token, key) = (scene.invite("a").await, OwnKey::generate().unwrap());
    let elsewhere = JoinToken::generate(vec!["host:1".into()], [0; 32]).unwrap();
    let good = claim(&token, &key);
    let guessed = JoinClaim { secret: elsewhere.secret().clone(), ..good.clone() };
    let replayed = JoinClaim { is_bound: false, ..good.clone() };
    let malformed = JoinClaim { request: vec![0x30; 40], ..good.clone() };
    assert_eq!(scene.enrol(&claim(&elsewhere, &key)).await, Err(JoinRefusal::Wrong), "of another consortium");
    assert_eq!(scene.enrol(&guessed).await, Err(JoinRefusal::Wrong));
    let both = JoinClaim { is_bound: false, ..guessed };
    assert_eq!(scene.enrol(&both).await, Err(JoinRefusal::Wrong), "a guesser learns nothing more");
    assert_eq!(scene.enrol(&replayed).await, Err(JoinRefusal::NotBound));
    assert!(matches!(scene.enrol(&malformed).await, Err(JoinRefusal::Malformed(_))));
    let newer = scene.invite("a").await;
    assert_eq!(scene.enrol(&good).await, Err(JoinRefusal::Withdrawn), "a newer token counts");
    scene.later(72 * HOUR);
    assert_eq!(scene.enrol(&claim(&newer, &key)).await, Err(JoinRefusal::Expired));
    let counted = scene.registry.refusals();
    let expected = [
        ("join-expired", 1),
        ("join-malformed", 1),
        ("join-not-bound", 1),
        ("join-withdrawn", 1),
        ("join-wrong", 3),
    ];
    assert_eq!(counted.into_iter().collect::<Vec<_>>(), expected);
    assert_eq!(scene.state("a").await, SiteState::Invited, "nobody joined");
}

#[tokio::test]
async fn guessing_from_one_address_is_stopped_before_anything_is_looked_up() {
    let scene = scene().await;
    let token = scene.invite("a").await;
    let wrong = JoinToken::generate(vec!["host:1".into()], [0; 32]).unwrap();
    let (guess, good) =
        (claim(&wrong, &OwnKey::generate().unwrap()), claim(&token, &OwnKey::generate().unwrap()));
    let (guesser, hospital) = (Ipv4Addr::new(192, 0, 2, 1).into(), Ipv4Addr::new(192, 0, 2, 2).into());
    let mut told = Vec::new();
    for _ in 0..12 {
        told.push(scene.registry.enrol(&guess, guesser, scene.at).await.unwrap_err());
    }
    assert_eq!(
        told[9..],
        [JoinRefusal::Wrong, JoinRefusal::TooMany { wait_secs: 60 }, JoinRefusal::TooMany { wait_secs: 60 }]
    );
    assert!(scene.registry.enrol(&good, hospital, scene.at).await.is_ok());
}

/// Whatever a request asks to be called, the registry writes the name.
#[tokio::test]
async fn no_name_comes_from_the_request() {
    let mut scene = scene().await;
    let token = scene.invite("a").await;
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params =
        rcgen::CertificateParams::new(vec!["coordinator.consilium.internal".to_owned()]).unwrap();
    for uri in ["consilium:coordinator", "consilium:admin:a", "consilium:site:b"] {
        params.subject_alt_names.push(rcgen::SanType::URI(uri.try_into().unwrap()));
    }
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let request = params.serialize_request(&key).unwrap().der().to_vec();
    let greedy = JoinClaim { request, ..claim(&token, &OwnKey::generate().unwrap()) };
    let issued = facts(&scene.enrol(&greedy).await.unwrap());
    assert_eq!((issued.uris, issued.hosts), (vec!["consilium:site:a".to_owned()], vec![]));
    assert_eq!(issued.common_name.as_deref(), Some("a"));
}

#[tokio::test]
async fn the_disk_never_sees_a_secret_and_nobody_else_sees_the_disk() {
    let mut scene = scene().await;
    let (token, key) = (scene.invite("a").await, OwnKey::generate().unwrap());
    scene.enrol(&claim(&token, &key)).await.unwrap();
    let mut looked = 0;
    for entry in std::fs::read_dir(scene.dir.path()).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        if !name.starts_with("registry") {
            continue;
        }
        looked += 1;
        let bytes = std::fs::read(entry.path()).unwrap();
        let text = token.to_string();
        let tail = &text.as_bytes()[text.len() - 20..];
        assert!(!bytes.windows(tail.len()).any(|window| window == tail), "{name}");
        let secret = secret_bytes(&token);
        assert!(!bytes.windows(16).any(|window| window == secret), "{name}");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{name}");
        }
    }
    assert_eq!(looked, 3, "the database, its log and the log's index");
}

/// The secret, out of the token's text.
fn secret_bytes(token: &JoinToken) -> Vec<u8> {
    let digits = token.to_string().rsplit_once(':').unwrap().1.to_owned();
    let mut bytes = Vec::new();
    let (mut word, mut bits) = (0u32, 0);
    for digit in digits.bytes() {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'-' => 62,
            _ => 63,
        };
        word = (word << 6 | u32::from(value)) & 0xffff;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((word >> bits & 0xff) as u8);
        }
    }
    let end = bytes.len() - 4;
    bytes[end - 16..end].to_vec()
}

#[cfg(unix)]
#[tokio::test]
async fn a_registry_that_others_can_read_is_not_opened() {
    use std::os::unix::fs::PermissionsExt as _;
    let scene = scene().await;
    let path = scene.dir.path().join("registry.sqlite");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let error = Registry::open(&path, None, Terms::default()).await.unwrap_err();
    assert!(matches!(error, RegistryError::Exposed(_)), "{error}");
}

#[tokio::test]
async fn what_was_revoked_stays_revoked_after_a_restart() {
    let mut scene = scene().await;
    let (a, b) = (scene.join("a").await.serial, scene.join("b").await.serial);
    scene.registry.revoke(&named("a"), scene.at).await.unwrap();
    scene.registry.revoke_serial("be:ef", scene.at).await.unwrap();
    let again = scene.join("a").await.serial;
    for _ in 0..2 {
        assert!(scene.revoked("a", &a) && scene.revoked("a", "kit:by:hand"), "also what was never seen here");
        assert!(!scene.revoked("a", &again), "invited again, it is welcome with its new certificate");
        assert!(!scene.revoked("b", &b) && !scene.revoked("b", "kit:by:hand"));
        assert!(scene.revoked("b", "be:ef"));
        assert!(scene.registry.is_revoked(&Role::Admin(named("ada")), "be:ef"), "a serial is anybody's");
        scene.registry = open(scene.dir.path()).await;
    }
}

#[tokio::test]
async fn a_site_is_invited_joined_and_revoked() {
    let mut scene = scene().await;
    let open_token = scene.invite("a").await;
    assert_eq!(scene.state("a").await, SiteState::Invited);
    let joined = scene.join("a").await;
    assert_eq!(scene.state("a").await, SiteState::Joined);
    let record = scene.registry.sites(scene.at).await.unwrap().remove(0);
    assert_eq!(record.certificate_expires, Some(timestamp(joined.not_after)));
    assert_eq!((record.token_expires, record.last_seen, record.connections), (None, None, 0));
    let unused = scene.invite("a").await;
    scene.registry.revoke(&named("a"), scene.at).await.unwrap();
    assert_eq!(scene.state("a").await, SiteState::Revoked);
    for token in [open_token, unused] {
        let refused = scene.enrol(&claim(&token, &OwnKey::generate().unwrap())).await;
        assert_eq!(refused, Err(JoinRefusal::Withdrawn));
    }
    scene.invite("a").await;
    assert_eq!(scene.state("a").await, SiteState::Invited);
    scene.later(72 * HOUR);
    assert_eq!(scene.state("a").await, SiteState::Revoked);
    scene.registry.revoke(&named("never-seen"), scene.at).await.unwrap();
    assert_eq!(scene.state("never-seen").await, SiteState::Revoked);
}

#[tokio::test]
async fn renewal_is_for_the_site_itself_now_and_then() {
    let mut scene = scene().await;
    let first = scene.join("a").await;
    let request = OwnKey::generate().unwrap().request().unwrap();
    let renew = async |scene: &Scene, request: &[u8]| {
        scene.registry.renew(&named("a"), &first.serial, request, scene.at).await
    };
    assert_eq!(renew(&scene, &request).await, Err(RenewalRefusal::TooSoon));
    scene.later(20 * DAY);
    assert!(matches!(renew(&scene, b"noise").await, Err(RenewalRefusal::Request(_))));
    let chain = renew(&scene, &request).await.unwrap();
    let renewed = CertificateFacts::of(&certificates_of(&chain).unwrap()[0]).unwrap();
    assert_eq!(renewed.uris, ["consilium:site:a"]);
    assert_eq!(renewed.not_after.duration_since(first.not_after).unwrap().as_secs(), u64::from(20 * DAY));
    let record = scene.registry.sites(scene.at).await.unwrap().remove(0);
    assert_eq!(record.certificate_expires, Some(timestamp(renewed.not_after)));
    scene.registry.revoke(&named("a"), scene.at).await.unwrap();
    scene.later(20 * DAY);
    assert_eq!(renew(&scene, &request).await, Err(RenewalRefusal::Revoked));
    let counted = scene.registry.refusals();
    assert_eq!(counted.into_values().collect::<Vec<_>>(), [1, 1, 1]);
}

/// An authority of one's own keeps its key to itself: the registry then only remembers who was sent away.
#[tokio::test]
async fn without_an_issuing_key_there_is_revocation_and_nothing_else() {
    let kit = Authority::create("North").unwrap().issue_coordinator::<&str>(&[]).unwrap();
    let scene = scene_with(Kit { issuing: None, ..kit }).await;
    let refused = scene.registry.add_site(&named("a"), vec!["host:1".into()], scene.at).await;
    assert!(refused.unwrap_err().to_string().contains("no issuing key"));
    let request = OwnKey::generate().unwrap().request().unwrap();
    let refused = scene.registry.renew(&named("a"), "01", &request, scene.at).await;
    assert_eq!(refused, Err(RenewalRefusal::CannotIssue));
    scene.registry.revoke(&named("a"), scene.at).await.unwrap();
    scene.registry.revoke_serial("0b", scene.at).await.unwrap();
    assert!(scene.revoked("a", "01") && scene.revoked("b", "0b") && !scene.revoked("b", "01"));
}

#[tokio::test]
async fn certificates_live_as_long_as_the_terms_say() {
    let mut scene = scene().await;
    let identity = Identity::load(&scene.dir.path().join("kit")).unwrap();
    let terms = Terms { certificate_life: Lifetime::secs(90), ..Terms::default() };
    let path = scene.dir.path().join("registry.sqlite");
    scene.registry = Registry::open(&path, Some(identity), terms).await.unwrap();
    let life = scene.join("a").await.life().as_secs();
    assert!((90..=100).contains(&life), "{life}");
}
