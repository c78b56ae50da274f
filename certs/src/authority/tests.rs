//! What is issued, what is written, and what is refused.

use std::fs;
use std::time::Duration;

use consilium_pki::certificates_of;
use rustls_pki_types::UnixTime;
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use super::*;

fn facts(kit: &Kit) -> CertificateFacts {
    CertificateFacts::of(&certificates_of(&kit.certificate_pem).unwrap()[0]).unwrap()
}

/// Whether `root_pem` vouches for the kit, by the path that TLS takes.
fn verifies(kit: &Kit, root_pem: &str, usage: KeyUsage) -> bool {
    let roots = certificates_of(root_pem).unwrap();
    let anchor = anchor_from_trusted_cert(&roots[0]).unwrap();
    let chain = certificates_of(&kit.certificate_pem).unwrap();
    assert_eq!(chain.len(), 2, "the certificate and its issuer's");
    let leaf = EndEntityCert::try_from(&chain[0]).unwrap();
    let now = UnixTime::now();
    leaf.verify_for_usage(webpki::ALL_VERIFICATION_ALGS, &[anchor], &chain[1..], now, usage, None, None)
        .is_ok()
}

fn named(name: &str) -> SiteId {
    name.parse().unwrap()
}

#[test]
fn certificates_carry_their_role_and_lifetime() {
    let authority = Authority::create("North").unwrap();
    let site = authority.issue_site(&named("st-elsewhere")).unwrap();
    assert_eq!(facts(&site).uris, ["consilium:site:st-elsewhere"]);
    let coordinator = authority.issue_coordinator(&["fl.example.org", "10.0.0.5"]).unwrap();
    assert_eq!(facts(&coordinator).uris, ["consilium:coordinator"]);
    assert_eq!(facts(&coordinator).hosts, ["coordinator.consilium.internal", "fl.example.org", "10.0.0.5"]);
    assert_eq!(facts(&authority.issue_admin(&named("ada")).unwrap()).uris, ["consilium:admin:ada"]);
    assert_eq!(facts(&authority.issue_observer(&named("bob")).unwrap()).uris, ["consilium:observer:bob"]);
    assert_eq!(facts(&site).life(), Duration::from_secs(30 * 86_400 + 3_600));
}

#[test]
fn the_root_vouches_for_everybody_through_the_issuing_certificate() {
    let (north, south) = (Authority::create("North").unwrap(), Authority::create("North").unwrap());
    let site = north.issue_site(&named("a")).unwrap();
    assert!(verifies(&site, &site.ca_pem, KeyUsage::client_auth()));
    assert!(!verifies(&site, &site.ca_pem, KeyUsage::server_auth()), "a site is no server");
    let foreign = south.issue_site(&named("a")).unwrap();
    assert!(!verifies(&site, &foreign.ca_pem, KeyUsage::client_auth()), "a name is not enough");
    let coordinator = north.issue_coordinator::<&str>(&[]).unwrap();
    assert!(verifies(&coordinator, &site.ca_pem, KeyUsage::server_auth()));
}

#[test]
fn without_the_roots_key_everything_but_a_new_issuing_certificate_is_made() {
    let dir = tempfile::tempdir().unwrap();
    Authority::create("North").unwrap().save(dir.path()).unwrap();
    let key = dir.path().join("root/ca-key.pem");
    let kept = fs::read_to_string(&key).unwrap();
    fs::remove_file(&key).unwrap();
    let authority = Authority::load(dir.path()).unwrap();
    assert_eq!(authority.name(), "North");
    let before = authority.issue_site(&named("a")).unwrap();
    assert!(matches!(Authority::replace_issuing(dir.path(), 365), Err(AuthorityError::RootOffline(_))));
    fs::write(&key, kept).unwrap();
    let until = Authority::replace_issuing(dir.path(), 700).unwrap();
    let replaced = Authority::load(dir.path()).unwrap();
    assert_eq!(replaced.issues_until(), until);
    let after = replaced.issue_site(&named("a")).unwrap();
    assert_ne!(
        certificates_of(&before.certificate_pem).unwrap()[1],
        certificates_of(&after.certificate_pem).unwrap()[1]
    );
    for kit in [before, after] {
        assert!(verifies(&kit, &replaced.root_pem, KeyUsage::client_auth()), "old and new are valid");
    }
}

#[test]
fn nothing_outlives_the_issuing_certificate() {
    let dir = tempfile::tempdir().unwrap();
    Authority::create("North").unwrap().save(dir.path()).unwrap();
    let until = Authority::replace_issuing(dir.path(), 10).unwrap();
    let kit = Authority::load(dir.path()).unwrap().issue_site(&named("a")).unwrap();
    assert_eq!(facts(&kit).not_after, until);
}

#[test]
fn sites_of_one_consortium_share_a_fingerprint_key_that_the_coordinator_lacks() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::create("North").unwrap();
    authority.save(dir.path()).unwrap();
    let loaded = Authority::load(dir.path()).unwrap();
    let key_of = |authority: &Authority, site: &str| {
        authority.issue_site(&named(site)).unwrap().fingerprint_key.unwrap()
    };
    let key = key_of(&authority, "a");
    assert_eq!(key.len(), 64);
    assert_eq!(key, key_of(&loaded, "b"));
    assert_ne!(key, key_of(&Authority::create("North").unwrap(), "a"));
    let kit = dir.path().join("coordinator");
    authority.issue_coordinator::<&str>(&[]).unwrap().write(&kit).unwrap();
    for file in fs::read_dir(kit).unwrap() {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        assert!(!text.contains(&key), "the coordinator must not have it");
    }
}

#[test]
fn nothing_is_overwritten_and_keys_are_private() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::create("North").unwrap();
    let kit = authority.issue_coordinator::<&str>(&[]).unwrap();
    kit.write(dir.path()).unwrap();
    assert!(matches!(kit.write(dir.path()), Err(KitError::Exists(path)) if path.ends_with("key.pem")));
    let home = dir.path().join("authority");
    authority.save(&home).unwrap();
    assert!(matches!(authority.save(&home), Err(AuthorityError::Save(KitError::Exists(_)))));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let secrets = [
            "key.pem",
            "issuing-key.pem",
            "authority/root/ca-key.pem",
            "authority/issuing/issuing-key.pem",
            "authority/fingerprint.key",
        ];
        for secret in secrets {
            let mode = fs::metadata(dir.path().join(secret)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{secret}");
        }
    }
    assert!(!format!("{kit:?}").contains("PRIVATE"));
}

#[test]
fn a_key_of_another_authority_is_noticed() {
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    Authority::create("North").unwrap().save(ours.path()).unwrap();
    Authority::create("South").unwrap().save(theirs.path()).unwrap();
    for key in ["root/ca-key.pem", "issuing/issuing-key.pem"] {
        let kept = fs::read(ours.path().join(key)).unwrap();
        fs::copy(theirs.path().join(key), ours.path().join(key)).unwrap();
        assert!(matches!(Authority::load(ours.path()), Err(AuthorityError::Damaged { .. })), "{key}");
        fs::write(ours.path().join(key), kept).unwrap();
    }
    fs::remove_file(ours.path().join("issuing/issuing-key.pem")).unwrap();
    assert!(matches!(Authority::load(ours.path()), Err(AuthorityError::Read { .. })));
}

#[test]
fn names_that_are_no_names_are_refused() {
    let authority = Authority::create("North").unwrap();
    for bad in ["", "a b", "https://x", ".x", "*.example.org"] {
        let refused = authority.issue_coordinator(&[bad]);
        assert!(matches!(refused, Err(AuthorityError::Issuer(IssuerError::Host(_)))), "{bad}");
    }
    for bad in ["", "line\nbreak", &"x".repeat(65)] {
        assert!(matches!(Authority::create(bad), Err(AuthorityError::Root(RootError::Name(_)))), "{bad}");
    }
}
