//! `consilium-coordinator site`: inviting, listing and revoking sites, at a coordinator that serves or on its own
//! machine while it does not run.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use consilium_audit::command::AUDIT_FOLDER;
use consilium_audit::{AuditLog, CertificateChange, Record};
use consilium_domain::{Role, SiteId};
use consilium_protocol::Timestamp;
use consilium_transport::Identity;
use time::OffsetDateTime;

use crate::registry::{Registry, SiteRecord, Terms, serial_of};
use crate::remote::{RemoteArgs, site_command};
use crate::state_dir::{StateDir, StateDirError};
use crate::surroundings::now;

/// Inviting, listing and revoking sites.
#[derive(Debug, Clone, Args)]
pub struct SiteArgs {
    #[command(subcommand)]
    command: SiteCommand,
    /// The coordinator's state folder on this machine, while no coordinator runs on it; --identity is then the
    /// coordinator's kit. Without it a running coordinator is asked.
    #[arg(long, global = true)]
    state: Option<PathBuf>,
    /// JSON instead of words.
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    remote: RemoteArgs,
}

#[derive(Debug, Clone, Subcommand)]
enum SiteCommand {
    /// Invite a hospital: prints a one-time token for `consilium-client join`.
    Add {
        /// The site's name, for instance `st-elsewhere`.
        name: SiteId,
        /// Host and port at which hospitals reach the coordinator; may be repeated. By default that of --connect.
        #[arg(long = "address", required_unless_present = "connect")]
        addresses: Vec<String>,
    },
    /// Show every site: state, end of its certificate, when it was last seen, and its program.
    List,
    /// Refuse every certificate and token of a site from now on, and close its connections; or one certificate, whoever
    /// holds it.
    Revoke {
        /// The site's name.
        #[arg(required_unless_present = "serial")]
        name: Option<SiteId>,
        /// The serial number of one certificate instead, an admin's for instance: `openssl x509 -noout -serial` shows it.
        #[arg(long, conflicts_with = "name")]
        serial: Option<String>,
        /// Why, for the coordinator's log.
        #[arg(long, default_value = "no reason given")]
        reason: String,
    },
}

impl SiteArgs {
    /// Carries the command out.
    ///
    /// # Errors
    /// Where the coordinator cannot be reached, or where its state folder is in use or damaged.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let Self { command, state, json, remote } = self;
        let Some(state) = state else {
            return match command {
                SiteCommand::Add { name, addresses } => {
                    site_command::add(&remote, name, addresses, json).await
                }
                SiteCommand::List => site_command::list(&remote, json).await,
                SiteCommand::Revoke { name: Some(name), reason, .. } => {
                    site_command::revoke(&remote, name, reason, json).await
                }
                SiteCommand::Revoke { serial, reason, .. } => {
                    site_command::revoke_certificate(&remote, serial.unwrap_or_default(), reason, json).await
                }
            };
        };
        match command {
            SiteCommand::Add { name, addresses } => {
                let kit = remote
                    .identity
                    .context("--identity: the coordinator's kit, which issues certificates")?;
                let (_folder, registry) = open(&state, Some(Identity::load(&kit)?)).await?;
                let invitation = registry.add_site(&name, addresses, now()).await?;
                println!("{}", invitation.token);
                eprintln!(
                    "one-time token for {name}, valid until {}: at the hospital run \
                     `consilium-client join TOKEN --identity identity`; anybody who has it can join as {name}",
                    minute(invitation.expires)
                );
            }
            SiteCommand::List => {
                let (_folder, registry) = open(&state, None).await?;
                let sites = registry.sites(now()).await?;
                if json { println!("{}", serde_json::to_string_pretty(&sites)?) } else { print(&sites) }
            }
            SiteCommand::Revoke { name: None, serial, reason } => {
                let serial = serial.as_deref().and_then(serial_of).context(
                    "--serial: no serial number; `openssl x509 -in cert.pem -noout -serial` shows it",
                )?;
                let (_folder, registry) = open(&state, None).await?;
                registry.revoke_serial(&serial, now()).await?;
                write_down(&state, None, Some(&serial))?;
                tracing::warn!(serial, reason, "a certificate is revoked");
                println!("certificate {serial} is revoked and opens no door any more");
            }
            SiteCommand::Revoke { name: Some(name), reason, .. } => {
                let (_folder, registry) = open(&state, None).await?;
                let known = registry.sites(now()).await?.iter().any(|site| site.site == name);
                registry.revoke(&name, now()).await?;
                write_down(&state, Some(&name), None)?;
                tracing::warn!(site = %name, reason, "a site is revoked");
                println!("{name} is revoked: none of its certificates opens a door any more");
                if !known {
                    println!("note: no site of that name was ever invited or seen here");
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

async fn open(state: &Path, identity: Option<Identity>) -> anyhow::Result<(StateDir, Registry)> {
    let folder = match StateDir::open(state) {
        Err(StateDirError::InUse(path)) => bail!(
            "a coordinator is running on {}: ask it with --connect instead of --state, or stop it first",
            path.display()
        ),
        other => other?,
    };
    let registry = Registry::open(&folder.registry(), identity, Terms::default())
        .await
        .context("the sites are not at hand")?;
    Ok((folder, registry))
}

/// Writes a revocation into the coordinator's audit log: no daemon runs that would.
fn write_down(state: &Path, site: Option<&SiteId>, serial: Option<&str>) -> anyhow::Result<()> {
    let log = AuditLog::open(&state.join(AUDIT_FOLDER), &Role::Coordinator)?;
    let holder = site.map(|site| Role::Site(site.clone()).into());
    let serial = serial.and_then(|serial| serial.parse().ok());
    log.append(Record::Certificate { holder, serial, change: CertificateChange::Revoked })?;
    Ok(())
}

fn print(sites: &[SiteRecord]) {
    println!("{:<24} {:<8} {:<17} {:<17} program", "site", "state", "certificate until", "last seen");
    let date = |at: Option<Timestamp>| at.map_or_else(|| "-".to_owned(), minute);
    for SiteRecord { site, state, certificate_expires, last_seen, software, .. } in sites {
        let software = software.as_deref().unwrap_or("-");
        println!(
            "{site:<24} {state:<8} {:<17} {:<17} {software}",
            date(*certificate_expires),
            date(*last_seen)
        );
    }
}

/// UTC, to the minute.
fn minute(at: Timestamp) -> String {
    let secs = i64::try_from(at.0 / 1_000).unwrap_or(i64::MAX);
    OffsetDateTime::from_unix_timestamp(secs)
        .map_or_else(|_| at.0.to_string(), |at| format!("{} {:02}:{:02}Z", at.date(), at.hour(), at.minute()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_to_the_minute() {
        assert_eq!(minute(Timestamp(1_790_000_000_000)), "2026-09-21 14:13Z");
    }
}
