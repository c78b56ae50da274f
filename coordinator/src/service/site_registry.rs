//! The seam to whoever keeps the consortium's hospitals: invitations, certificates, revocations.
//!
//! The service asks for what an admin asked and passes the answer on; it decides nothing about certificates. A
//! coordinator without a registry refuses these requests and says so.

use std::pin::Pin;

use consilium_domain::SiteId;
use consilium_protocol::admin::{AdminRefusal, JoinInvitation, RegisteredSite};

/// An answer of a registry, or a refusal in words for the admin ([`AdminRefusal::Site`] or [`AdminRefusal::Failed`]).
pub type RegistryFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, AdminRefusal>> + Send + 'a>>;

/// Keeps the hospitals of a consortium.
pub trait SiteRegistry: Send + Sync {
    /// Invites `site` on behalf of the admin `by`: a fresh join token.
    fn add<'a>(&'a self, site: &'a SiteId, by: &'a SiteId) -> RegistryFuture<'a, JoinInvitation>;

    /// Every hospital, by name.
    fn list(&self) -> RegistryFuture<'_, Vec<RegisteredSite>>;

    /// Ends the membership of `site` on behalf of the admin `by`; its connections are closed before this returns.
    fn revoke<'a>(
        &'a self,
        site: &'a SiteId,
        by: &'a SiteId,
        reason: &'a str,
    ) -> RegistryFuture<'a, RegisteredSite>;
}
