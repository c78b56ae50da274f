//! A site's certificate lives a month; this asks for the next one when two thirds of it are over.
//!
//! It asks over the connection that stands, with a new key, and never in between other work's messages: the coordinator
//! answers when it can. The new pair is used from the next connection on.

use std::time::{Duration, SystemTime};

use consilium_audit::{CertificateChange, Code, Record};
use consilium_domain::{Seed, SiteId};
use consilium_pki::OwnKey;
use consilium_protocol::{FIRST_VERSION_WITH_RENEWAL, ToCoordinator, ToSite};
use consilium_transport::Identity;

use crate::auditing::own_serial;

/// The share of its life after which a certificate is renewed: ten days of thirty are left to mend what went wrong.
const RENEW_AT: f64 = 2.0 / 3.0;
/// Sites that joined together ask within this further share, each at its own time.
const JITTER: f64 = 1.0 / 30.0;
/// After a refusal or a lost answer, the share of its life to wait.
const RETRY: f64 = 1.0 / 25.0;
/// The longest sleep: a machine that slept, or whose clock was set, finds out within a minute.
const LOOK: Duration = Duration::from_secs(60);

pub(crate) struct Renewal {
    identity: Identity,
    /// The site's own place within [`JITTER`].
    place: f64,
    not_before: SystemTime,
    /// The version that is spoken; 0 before it is agreed.
    version: u16,
    /// The key for which a certificate was asked.
    asked: Option<OwnKey>,
    /// What became of the certificate and is not in the audit log yet.
    unwritten: Vec<Record>,
}

impl Renewal {
    pub(crate) fn new(identity: Identity, site: &SiteId) -> Self {
        let serial = identity.certificate().serial;
        let place = Seed::from_number(0).derive(site.as_str()).derive(&serial).stream().uniform();
        Self {
            identity,
            place,
            not_before: SystemTime::UNIX_EPOCH,
            version: 0,
            asked: None,
            unwritten: Vec::new(),
        }
    }

    /// No connection, or a new one: nothing is agreed, and an answer that was not heard will not come.
    pub(crate) fn reconnected(&mut self) {
        self.version = 0;
        self.asked = None;
    }

    /// Resolves when it is time to ask; never on a connection whose other side does not know how to answer.
    pub(crate) async fn due(&self) {
        loop {
            if self.version < FIRST_VERSION_WITH_RENEWAL {
                return std::future::pending().await;
            }
            match self.next().duration_since(SystemTime::now()) {
                Ok(left) if !left.is_zero() => tokio::time::sleep(left.min(LOOK)).await,
                _ => return,
            }
        }
    }

    /// When to ask next.
    fn next(&self) -> SystemTime {
        let at = self.identity.certificate().moment_at(RENEW_AT + JITTER * self.place);
        at.max(self.not_before)
    }

    /// The question, with a new key.
    pub(crate) fn ask(&mut self, now: SystemTime) -> Option<ToCoordinator> {
        self.not_before = now + self.identity.certificate().life().mul_f64(RETRY);
        let key = OwnKey::generate().inspect_err(|error| tracing::error!(%error, "no new key")).ok()?;
        let request = key.request().inspect_err(|error| tracing::error!(%error, "no request")).ok()?;
        self.asked = Some(key);
        Some(ToCoordinator::Renew { request })
    }

    /// Takes what concerns certificates out of the conversation. Returns whether that was all.
    pub(crate) fn hear(&mut self, message: &ToSite) -> bool {
        match message {
            ToSite::Welcome { version, .. } => {
                self.version = *version;
                false
            }
            // Only said from the version on that knows renewal: who waits for a study long must not expire.
            ToSite::Waiting => {
                self.version = FIRST_VERSION_WITH_RENEWAL;
                false
            }
            ToSite::Renewed { chain } => {
                self.take(chain);
                true
            }
            ToSite::RenewalRefused { reason } => {
                self.asked = None;
                self.refused("refused-by-coordinator");
                let until = self.identity.certificate().not_after;
                tracing::warn!(reason, ?until, "the certificate was not renewed; trying again later");
                true
            }
            _ => false,
        }
    }

    fn take(&mut self, chain: &str) {
        let Some(key) = self.asked.take() else {
            tracing::warn!("the coordinator sent a certificate that nobody asked for");
            return self.refused("not-asked-for");
        };
        match self.identity.renew(&key, chain) {
            Ok(()) => {
                self.not_before = SystemTime::UNIX_EPOCH;
                tracing::info!(serial = self.identity.certificate().serial, "the certificate was renewed");
                let (holder, serial) =
                    (Some(self.identity.role().clone().into()), Some(own_serial(&self.identity)));
                self.unwritten.push(Record::Certificate {
                    holder,
                    serial,
                    change: CertificateChange::Renewed,
                });
            }
            Err(error) => {
                tracing::error!(%error, "the certificate was not renewed; trying again later");
                self.refused("answer-unusable");
            }
        }
    }

    /// The coordinator's own words are not written down: the audit log takes no text from elsewhere.
    fn refused(&mut self, reason: &'static str) {
        let holder = Some(self.identity.role().clone().into());
        self.unwritten.push(Record::CertificateRefused { holder, reason: Code::new(reason) });
    }

    /// What became of the certificate since the last call, for the audit log.
    pub(crate) fn take_unwritten(&mut self) -> Vec<Record> {
        std::mem::take(&mut self.unwritten)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use consilium_certs::Authority;
    use consilium_domain::Role;
    use consilium_pki::{Issuer, Lifetime, PublicKey, pem_of};
    use consilium_protocol::{Features, Standing};

    use super::*;

    struct Scene {
        _dir: tempfile::TempDir,
        issuer: Issuer,
        renewal: Renewal,
    }

    fn site(name: &str) -> SiteId {
        name.parse().unwrap()
    }

    fn scene() -> Scene {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::create("North").unwrap();
        let pair = authority.issue_coordinator::<&str>(&[]).unwrap().issuing.unwrap();
        authority.issue_site(&site("a")).unwrap().write(dir.path()).unwrap();
        let identity = Identity::load(dir.path()).unwrap();
        let issuer = Issuer::from_pem(&pair.certificate_pem, &pair.key_pem).unwrap();
        Scene { _dir: dir, issuer, renewal: Renewal::new(identity, &site("a")) }
    }

    fn welcome(version: u16) -> ToSite {
        let (features, standing) = (Features::default(), Standing::Invited);
        ToSite::Welcome { version, features, site: site("a"), study: "{}".into(), base: None, standing }
    }

    impl Scene {
        fn answer(&mut self, role: &Role, to: ToCoordinator) -> bool {
            let ToCoordinator::Renew { request } = to else { panic!("{to:?}") };
            let key = PublicKey::from_request(&request).unwrap();
            let issued = self.issuer.issue(role, &[], &key, Lifetime::days(30), SystemTime::now()).unwrap();
            self.renewal.hear(&ToSite::Renewed { chain: pem_of(&issued.chain) })
        }

        fn serial(&self) -> String {
            self.renewal.identity.certificate().serial
        }

        fn serial_on_disk(&self) -> String {
            let dir: &Path = self.renewal.identity.dir();
            Identity::load(dir).unwrap().certificate().serial
        }
    }

    #[test]
    fn it_is_due_at_two_thirds_of_the_life_and_a_little_later() {
        let scene = scene();
        let facts = scene.renewal.identity.certificate();
        let share = scene.renewal.next().duration_since(facts.not_before).unwrap().as_secs_f64()
            / facts.life().as_secs_f64();
        assert!((RENEW_AT..RENEW_AT + JITTER).contains(&share), "{share}");
    }

    #[test]
    fn a_new_pair_is_used_and_lies_on_the_disk() {
        let mut scene = scene();
        let (before, now) = (scene.serial(), SystemTime::now());
        let question = scene.renewal.ask(now).unwrap();
        assert!(scene.renewal.next() > now, "it does not ask again at once");
        assert!(scene.answer(&Role::Site(site("a")), question));
        assert_ne!(scene.serial(), before);
        assert_eq!(scene.serial_on_disk(), scene.serial());
        let serial = Some(scene.serial().parse().unwrap());
        let (holder, change) = (Some(Role::Site(site("a")).into()), CertificateChange::Renewed);
        assert_eq!(scene.renewal.take_unwritten(), [Record::Certificate { holder, serial, change }]);
        assert_eq!(scene.renewal.take_unwritten(), []);
    }

    #[test]
    fn a_certificate_for_somebody_else_or_another_key_changes_nothing() {
        let mut scene = scene();
        let before = scene.serial();
        let question = scene.renewal.ask(SystemTime::now()).unwrap();
        assert!(scene.answer(&Role::Site(site("b")), question));
        let question = scene.renewal.ask(SystemTime::now()).unwrap();
        scene.renewal.ask(SystemTime::now()).unwrap();
        assert!(scene.answer(&Role::Site(site("a")), question), "the answer to an older question");
        let question = scene.renewal.ask(SystemTime::now()).unwrap();
        scene.renewal.reconnected();
        assert!(scene.answer(&Role::Site(site("a")), question), "nobody asked on this connection");
        assert!(scene.renewal.hear(&ToSite::RenewalRefused { reason: "no".into() }));
        assert_eq!((scene.serial(), scene.serial_on_disk()), (before.clone(), before));
        let reasons = scene.renewal.take_unwritten().into_iter().map(|record| match record {
            Record::CertificateRefused { reason, .. } => reason.to_string(),
            other => panic!("{other:?}"),
        });
        let expected = ["answer-unusable", "answer-unusable", "not-asked-for", "refused-by-coordinator"];
        assert_eq!(reasons.collect::<Vec<_>>(), expected);
    }

    #[tokio::test(start_paused = true)]
    async fn an_older_coordinator_is_never_asked() {
        let mut scene = scene();
        scene.renewal.not_before = SystemTime::UNIX_EPOCH;
        assert!(!scene.renewal.hear(&welcome(3)), "the welcome goes on to the participant");
        let never = tokio::time::timeout(Duration::from_secs(60 * 86_400), scene.renewal.due());
        assert!(never.await.is_err());
    }
}
