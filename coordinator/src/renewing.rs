//! A site's next certificate, asked for over a connection that stands.

use consilium_domain::SiteId;
use consilium_protocol::{ToSite, bounded_reason};
use consilium_transport::Connection;

use crate::registry::Registry;
use crate::surroundings::now;

/// A new certificate for the site that this connection's certificate names, or why not.
pub(crate) async fn renewed(
    registry: &Registry,
    site: &SiteId,
    connection: &Connection,
    request: &[u8],
) -> ToSite {
    match registry.renew(site, connection.peer_serial(), request, now()).await {
        Ok(chain) => ToSite::Renewed { chain },
        Err(refusal) => ToSite::RenewalRefused { reason: bounded_reason(&refusal.to_string()) },
    }
}
