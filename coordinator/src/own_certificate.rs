//! The coordinator's own certificate: renewed with the issuing key before it expires, while sites stay connected.

use std::time::{Duration, SystemTime};

use consilium_domain::Role;
use consilium_pki::{
    FolderError, Issuer, IssuerError, KeyError, Lifetime, OwnKey, PublicKey, RequestError, pem_of,
    replace_pair,
};
use consilium_transport::{Identity, IdentityError};

use crate::auditing::Audit;

/// How long a renewed certificate is valid, unless the issuing one ends before.
const LIFE: Lifetime = Lifetime::days(90);
/// The share of its life after which a certificate is renewed: a third is left to mend what went wrong.
const RENEW_AT: f64 = 2.0 / 3.0;
/// Between two tries, and between two looks at the clock, which may be set.
const LOOK: Duration = Duration::from_secs(3_600);
/// The issuing certificate is made by hand: its end is announced this long before.
const ISSUER_NOTICE: Duration = Duration::from_secs(60 * 86_400);

/// Why it could not be renewed. The present one stays in use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OwnCertificateError {
    #[error(transparent)]
    Issuer(#[from] IssuerError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

/// Renews the coordinator's certificate whenever two thirds of its life are over, for as long as it is polled. Each new
/// one is written down in `audit`.
pub(crate) async fn keep_fresh(identity: Identity, audit: &Audit) {
    loop {
        let before = identity.certificate().serial;
        let pause = match renew_if_due(&identity, SystemTime::now()) {
            Ok(due) => until(due),
            Err(error) => {
                tracing::error!(%error, "the coordinator's certificate was not renewed; trying again in an hour");
                LOOK
            }
        };
        if identity.certificate().serial != before {
            // Where it cannot be written, whoever watches the log ends the coordinator.
            let _ = audit.renewed().await;
        }
        tokio::time::sleep(pause.min(LOOK)).await;
    }
}

/// Renews what is due at `now`; when to look again.
pub(crate) fn renew_if_due(identity: &Identity, now: SystemTime) -> Result<SystemTime, OwnCertificateError> {
    let facts = identity.certificate();
    let Some(issuer) = Issuer::load(identity.dir())? else {
        if now >= facts.moment_at(RENEW_AT) {
            tracing::warn!(
                "the coordinator's certificate ends soon and there is no issuing key: renew it by hand"
            );
        }
        return Ok(now + LOOK);
    };
    if now + ISSUER_NOTICE >= issuer.until() {
        tracing::warn!(
            "the issuing certificate ends within 60 days: `consilium-certs issue-issuing` makes a new one"
        );
    }
    if now < facts.moment_at(RENEW_AT) {
        return Ok(facts.moment_at(RENEW_AT));
    }
    let key = OwnKey::generate()?;
    let public_key = PublicKey::from_request(&key.request()?)?;
    let issued = issuer.issue(&Role::Coordinator, &facts.hosts, &public_key, LIFE, now)?;
    if issued.facts.not_after <= facts.not_after {
        // The issuing certificate ends with it: only a person can help.
        return Ok(now + LOOK);
    }
    replace_pair(identity.dir(), &key.to_pem(), &pem_of(&issued.chain))?;
    identity.reload()?;
    tracing::info!(serial = issued.facts.serial, "the coordinator's certificate was renewed");
    Ok(issued.facts.moment_at(RENEW_AT))
}

fn until(due: SystemTime) -> Duration {
    due.duration_since(SystemTime::now()).unwrap_or(Duration::ZERO).max(Duration::from_secs(1))
}

#[cfg(test)]
mod tests {
    use consilium_certs::{Authority, Kit};

    use super::*;

    fn written(kit: &Kit) -> (tempfile::TempDir, Identity) {
        let dir = tempfile::tempdir().unwrap();
        kit.write(dir.path()).unwrap();
        let identity = Identity::load(dir.path()).unwrap();
        (dir, identity)
    }

    #[test]
    fn two_thirds_into_its_life_it_is_renewed_with_a_new_key_and_the_same_names() {
        let kit = Authority::create("North").unwrap().issue_coordinator(&["fl.example.org"]).unwrap();
        let (dir, identity) = written(&kit);
        let before = identity.certificate();
        let early = before.not_before + before.life() / 2;
        assert_eq!(renew_if_due(&identity, early).unwrap(), before.moment_at(RENEW_AT));
        assert_eq!(identity.certificate(), before);
        renew_if_due(&identity, before.moment_at(RENEW_AT)).unwrap();
        let after = identity.certificate();
        assert_eq!((&after.hosts, &after.uris), (&before.hosts, &before.uris));
        assert!(after.not_after > before.not_after && after.public_key != before.public_key);
        assert_eq!(Identity::load(dir.path()).unwrap().certificate(), after, "and it is on the disk");
    }

    #[test]
    fn without_an_issuing_key_nothing_changes() {
        let kit = Authority::create("North").unwrap().issue_coordinator::<&str>(&[]).unwrap();
        let (_dir, identity) = written(&Kit { issuing: None, ..kit });
        let before = identity.certificate();
        renew_if_due(&identity, before.not_after).unwrap();
        assert_eq!(identity.certificate(), before);
    }

    #[test]
    fn an_expired_issuing_certificate_is_an_error_that_says_what_to_do() {
        let kit = Authority::create("North").unwrap().issue_coordinator::<&str>(&[]).unwrap();
        let (_dir, identity) = written(&kit);
        let far = identity.certificate().not_after + Duration::from_secs(300 * 86_400);
        let error = renew_if_due(&identity, far).unwrap_err().to_string();
        assert!(error.contains("issue-issuing"), "{error}");
    }
}
