//! Who belongs to the consortium, as the coordinator knows it: sites, their invitations and certificates, and who was
//! shown the door.
//!
//! The certificate says who somebody *is*; this says whether that still counts. It lives in `registry.sqlite` in the
//! state folder, which only its owner can read. Certificates that are not in it (kits made by hand, an authority of
//! one's own) are good as long as neither they nor their site were revoked.
//!
//! A site that was revoked may be invited again. From then on only certificates that this registry has issued since
//! are good for it: an old copy stays worthless.
//!
//! It deliberately knows no study, and no clock: whoever calls says what time it is.

mod attempts;
mod database;
mod enrolment;
mod live;
mod reception;
mod record;
mod recording;
mod serial;
mod standing;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use consilium_audit::CertificateChange;
use consilium_domain::{Role, SiteId};
use consilium_pki::Lifetime;
use consilium_protocol::Timestamp;
use consilium_transport::{Connection, Doorkeeper, Identity, JoinToken, TokenError};

use crate::auditing::Audit;
use attempts::Attempts;
use database::Database;
use live::Live;
use standing::Standing;

pub use database::RegistryError;
pub use enrolment::{Enrolled, RenewalRefusal};
pub use live::Attendance;
pub use record::{SiteRecord, SiteState};
pub use serial::serial_of;

/// How long a token may be used: over a weekend, and not much longer.
const TOKEN_LIFE: Lifetime = Lifetime::hours(72);
/// How long a site's certificate is valid: a stolen key is worth at most a month.
const CERTIFICATE_LIFE: Lifetime = Lifetime::days(30);

/// For how long things are issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// How long a join token may be used.
    pub token_life: Lifetime,
    /// How long a site's certificate is valid; it is renewed at two thirds.
    pub certificate_life: Lifetime,
}

impl Default for Terms {
    fn default() -> Self {
        Self { token_life: TOKEN_LIFE, certificate_life: CERTIFICATE_LIFE }
    }
}

/// A token for a hospital. Its text is shown once; the registry keeps a hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// What the hospital's IT department is handed.
    pub token: JoinToken,
    /// When it can no longer be used.
    pub expires: Timestamp,
}

/// Why a site cannot be invited.
#[derive(Debug, thiserror::Error)]
pub enum AddSiteError {
    /// There is nothing to issue certificates with.
    #[error(
        "this coordinator has no issuing key, so nobody can join by token: give --identity a kit with \
         issuing.pem and issuing-key.pem, or issue the site's kit by hand"
    )]
    CannotIssue,
    /// The issuing key cannot be used.
    #[error(transparent)]
    Issuer(#[from] consilium_pki::IssuerError),
    /// The coordinator's address is none.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The database.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

/// The registry. Clones share it.
#[derive(Clone)]
pub struct Registry(Arc<Shared>);

struct Shared {
    database: Database,
    /// The coordinator's own kit; its folder holds the issuing certificate. None where nothing is issued.
    identity: Option<Identity>,
    terms: Terms,
    /// What the database says of revocations, for the handshake to ask.
    standing: RwLock<Standing>,
    /// Held while the database and `standing` change, so that they change together.
    writing: tokio::sync::Mutex<()>,
    live: Live,
    attempts: Mutex<Attempts>,
    refusals: Mutex<BTreeMap<&'static str, u64>>,
    audit: OnceLock<Audit>,
}

impl Registry {
    /// Opens or creates the registry at `path`. Without an `identity` it can be read and sites can be revoked, and
    /// nothing is issued.
    ///
    /// # Errors
    /// When the file is not a registry of this format, others can read it, or the disk refuses.
    pub async fn open(path: &Path, identity: Option<Identity>, terms: Terms) -> Result<Self, RegistryError> {
        let database = Database::open(path).await?;
        let standing = RwLock::new(database.standing().await?);
        Ok(Self(Arc::new(Shared {
            database,
            identity,
            terms,
            standing,
            writing: tokio::sync::Mutex::default(),
            live: Live::default(),
            attempts: Mutex::default(),
            refusals: Mutex::default(),
            audit: OnceLock::new(),
        })))
    }

    /// Invites `site`: makes a one-time token for the coordinator at `addresses` (`HOST:PORT`). An older token of the
    /// site that nobody has used is withdrawn.
    ///
    /// # Errors
    /// Where nothing can be issued, an address is none, or the disk refuses.
    pub async fn add_site(
        &self,
        site: &SiteId,
        addresses: Vec<String>,
        at: Timestamp,
    ) -> Result<Invitation, AddSiteError> {
        let identity = self.0.identity.as_ref().ok_or(AddSiteError::CannotIssue)?;
        self.issuer()?.ok_or(AddSiteError::CannotIssue)?;
        let token = JoinToken::generate(addresses, identity.root_key_sha256())?;
        let expires = later(at, self.0.terms.token_life);
        let _writing = self.0.writing.lock().await;
        self.0.database.invite(site, &token, at, expires).await?;
        tracing::info!(%site, token = %token.id(), "site invited");
        Ok(Invitation { token, expires })
    }

    /// Every site the registry knows, by name.
    ///
    /// # Errors
    /// When the disk refuses.
    pub async fn sites(&self, at: Timestamp) -> Result<Vec<SiteRecord>, RegistryError> {
        let mut records = self.0.database.sites(at).await?;
        for record in &mut records {
            record.connections = self.0.live.count(&record.site);
        }
        Ok(records)
    }

    /// Revokes every certificate and open token that `site` has, and closes its connections. When this returns, none of
    /// them opens a door any more. Returns how many connections were closed.
    ///
    /// # Errors
    /// When the disk refuses: then nothing was revoked.
    pub async fn revoke(&self, site: &SiteId, at: Timestamp) -> Result<usize, RegistryError> {
        let _writing = self.0.writing.lock().await;
        self.0.database.revoke(site, at).await?;
        self.standing_mut(|standing| standing.revoke(site));
        let closed = self.0.live.close(|role, _| role.site() == Some(site));
        self.record(Some(Role::Site(site.clone())), None, CertificateChange::Revoked).await;
        tracing::warn!(%site, connections = closed, "site revoked");
        Ok(closed)
    }

    /// Revokes one certificate by its serial number (as [`serial_of`] writes it), whoever holds it: also an admin's.
    ///
    /// # Errors
    /// When the disk refuses: then nothing was revoked.
    pub async fn revoke_serial(&self, serial: &str, at: Timestamp) -> Result<usize, RegistryError> {
        let _writing = self.0.writing.lock().await;
        self.0.database.revoke_serial(serial, at).await?;
        self.standing_mut(|standing| standing.revoke_serial(serial));
        let closed = self.0.live.close(|_, shown| shown == serial);
        self.record(None, Some(serial), CertificateChange::Revoked).await;
        tracing::warn!(serial, connections = closed, "certificate revoked");
        Ok(closed)
    }

    /// Notes a connection as alive for as long as the returned value lives, so that a revocation closes it. One whose
    /// certificate was revoked since its handshake is closed at once, and nothing is returned.
    pub fn attend(&self, connection: &Connection) -> Option<Attendance> {
        let attendance = self.0.live.enter(self.clone(), connection);
        // Only now: a revocation in between has either found it alive or is found here.
        if self.is_revoked(connection.peer(), connection.peer_serial()) {
            live::hang_up(connection);
            return None;
        }
        Some(attendance)
    }

    /// Notes that `site` was there, with which program. That the disk refuses is no reason to send it away.
    pub async fn saw(&self, site: &SiteId, connection: &Connection, software: &str, at: Timestamp) {
        let software: String = software.chars().filter(|c| !c.is_control()).collect();
        let _writing = self.0.writing.lock().await;
        if self.is_revoked(connection.peer(), connection.peer_serial()) {
            return;
        }
        let expires = timestamp(connection.peer_expires());
        let noted = self.0.database.saw(site, connection.peer_serial(), expires, &software, at).await;
        if let Err(error) = noted {
            tracing::error!(%site, %error, "the registry could not note a site's presence");
        }
    }

    /// How often whom was refused, by reason: joining and renewal.
    pub fn refusals(&self) -> BTreeMap<&'static str, u64> {
        self.0.refusals.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn count(&self, reason: &'static str) {
        *self.0.refusals.lock().unwrap_or_else(PoisonError::into_inner).entry(reason).or_default() += 1;
    }

    fn standing_mut(&self, change: impl FnOnce(&mut Standing)) {
        change(&mut self.0.standing.write().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Doorkeeper for Registry {
    fn is_revoked(&self, role: &Role, serial: &str) -> bool {
        self.0.standing.read().unwrap_or_else(PoisonError::into_inner).is_revoked(role, serial)
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("terms", &self.0.terms).finish_non_exhaustive()
    }
}

fn later(at: Timestamp, life: Lifetime) -> Timestamp {
    Timestamp(at.0.saturating_add(u64::try_from(life.duration().as_millis()).unwrap_or(u64::MAX)))
}

fn moment(at: Timestamp) -> std::time::SystemTime {
    std::time::UNIX_EPOCH + std::time::Duration::from_millis(at.0)
}

fn timestamp(moment: std::time::SystemTime) -> Timestamp {
    let since = moment.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
