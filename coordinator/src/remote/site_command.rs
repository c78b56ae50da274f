//! `consilium-coordinator site add|list|revoke` at a coordinator that serves.

use std::process::ExitCode;

use consilium_domain::SiteId;
use consilium_protocol::admin::{AdminRequest, JoinInvitation, RegisteredSite, RevokedCertificate};

use super::study_command::print;
use super::{RemoteArgs, table};

/// Invites `site`; it will reach the coordinator at `addresses`, or where this command does if there are none.
pub(crate) async fn add(
    remote: &RemoteArgs,
    site: SiteId,
    addresses: Vec<String>,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let addresses = if addresses.is_empty() { remote.connect.iter().cloned().collect() } else { addresses };
    let request = AdminRequest::AddSite { site, addresses };
    print(remote, &request, json, |invitation: JoinInvitation| {
        eprintln!(
            "one-time token for {}, valid until {}: at the hospital run `consilium-client join TOKEN --identity \
             identity`; anybody who has it can join as {}",
            invitation.site,
            table::time_of(invitation.expires),
            invitation.site
        );
        invitation.token
    })
    .await
}

/// Shows every site.
pub(crate) async fn list(remote: &RemoteArgs, json: bool) -> anyhow::Result<ExitCode> {
    print(remote, &AdminRequest::ListSites, json, |sites: Vec<RegisteredSite>| table::sites(&sites)).await
}

/// Refuses every certificate of `site` from now on.
pub(crate) async fn revoke(
    remote: &RemoteArgs,
    site: SiteId,
    reason: String,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let request = AdminRequest::RevokeSite { site, reason };
    print(remote, &request, json, |site: RegisteredSite| {
        format!("{} is {}: none of its certificates opens a door any more", site.site, site.state)
    })
    .await
}

/// Refuses one certificate from now on, whoever holds it.
pub(crate) async fn revoke_certificate(
    remote: &RemoteArgs,
    serial: String,
    reason: String,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let request = AdminRequest::RevokeCertificate { serial, reason };
    print(remote, &request, json, |revoked: RevokedCertificate| {
        let RevokedCertificate { serial, connections } = revoked;
        format!(
            "certificate {serial} is revoked and opens no door any more; connections closed: {connections}"
        )
    })
    .await
}
