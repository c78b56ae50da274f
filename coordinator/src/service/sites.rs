//! What admins ask about the hospitals of the consortium: the registry's answers in their words.

use consilium_domain::SiteId;
use consilium_protocol::admin::{AdminRefusal, JoinInvitation, RegisteredSite, RevokedCertificate};

use super::Service;
use crate::registry::{AddSiteError, Registry, RegistryError, SiteRecord, serial_of};
use crate::surroundings::now;

/// Most addresses of one coordinator in a token: a name and a few addresses for sites without name service.
const MAX_ADDRESSES: usize = 8;

impl Service {
    /// Invites `site`, which reaches this coordinator at `addresses`.
    pub(super) async fn add_site(
        &self,
        site: SiteId,
        addresses: Vec<String>,
        by: &SiteId,
    ) -> Result<JoinInvitation, AdminRefusal> {
        if addresses.is_empty() || addresses.len() > MAX_ADDRESSES {
            let reason = format!("name 1 to {MAX_ADDRESSES} addresses of this coordinator");
            return Err(AdminRefusal::Site(reason));
        }
        let invitation =
            self.registry.add_site(&site, addresses, now()).await.map_err(|error| match error {
                AddSiteError::Registry(error) => failed(&error),
                other => AdminRefusal::Site(other.to_string()),
            })?;
        tracing::info!(%site, %by, "a site is invited");
        Ok(JoinInvitation { site, token: invitation.token.to_string(), expires: invitation.expires })
    }

    /// Every site, by name.
    pub(crate) async fn registered(&self) -> Result<Vec<RegisteredSite>, AdminRefusal> {
        registered(&self.registry).await.map_err(|error| failed(&error))
    }

    /// Refuses every certificate of `site` from now on; its connections are closed when this returns.
    pub(super) async fn revoke_site(
        &self,
        site: &SiteId,
        reason: &str,
        by: &SiteId,
    ) -> Result<RegisteredSite, AdminRefusal> {
        let connections = self.registry.revoke(site, now()).await.map_err(|error| failed(&error))?;
        tracing::warn!(%site, %by, reason, connections, "a site is revoked");
        let known = self.registered().await?.into_iter().find(|record| record.site == *site);
        known.ok_or_else(|| AdminRefusal::Failed(format!("{site} is revoked and not listed")))
    }

    /// Refuses one certificate from now on; its connections are closed when this returns.
    pub(super) async fn revoke_certificate(
        &self,
        serial: &str,
        reason: &str,
        by: &SiteId,
    ) -> Result<RevokedCertificate, AdminRefusal> {
        let serial = serial_of(serial).ok_or_else(no_serial)?;
        let closed = self.registry.revoke_serial(&serial, now()).await.map_err(|error| failed(&error))?;
        tracing::warn!(serial, %by, reason, connections = closed, "a certificate is revoked");
        Ok(RevokedCertificate { serial, connections: closed as u64 })
    }
}

/// Every site of `registry`, by name.
pub(crate) async fn registered(registry: &Registry) -> Result<Vec<RegisteredSite>, RegistryError> {
    Ok(registry.sites(now()).await?.into_iter().map(shown).collect())
}

fn no_serial() -> AdminRefusal {
    AdminRefusal::Site(
        "this is no serial number: `openssl x509 -in cert.pem -noout -serial` shows it".to_owned(),
    )
}

fn shown(record: SiteRecord) -> RegisteredSite {
    RegisteredSite {
        site: record.site,
        state: record.state.to_string(),
        certificate_expires: record.certificate_expires,
        last_seen: record.last_seen,
        software: record.software,
    }
}

fn failed(error: &RegistryError) -> AdminRefusal {
    AdminRefusal::Failed(error.to_string())
}
