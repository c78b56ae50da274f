//! `consilium-coordinator site`: inviting, listing and revoking sites on the coordinator's own machine, while no
//! coordinator runs on the state folder.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Subcommand;
use consilium_domain::SiteId;
use consilium_pki::Lifetime;
use consilium_protocol::Timestamp;
use consilium_transport::Identity;
use time::OffsetDateTime;

use crate::conductor::now;
use crate::registry::{Registry, SiteRecord, Terms};
use crate::state_dir::{StateDir, StateDirError};

/// Sites of the consortium.
#[derive(Debug, Clone, Subcommand)]
pub enum SiteCommand {
    /// Invite a hospital: prints a one-time token for `consilium-client join`.
    Add {
        /// The site's name, for instance `st-elsewhere`.
        name: SiteId,
        /// The state folder.
        #[arg(long)]
        state: PathBuf,
        /// The coordinator's folder, with issuing.pem and issuing-key.pem.
        #[arg(long)]
        identity: PathBuf,
        /// Host and UDP port at which hospitals reach the coordinator; may be repeated.
        #[arg(long = "address", required = true)]
        addresses: Vec<String>,
        /// How long the token may be used, for instance 72h.
        #[arg(long, default_value_t = Terms::default().token_life)]
        token_life: Lifetime,
    },
    /// Show every site: state, end of its certificate, when it was last seen, and its program.
    List {
        /// The state folder.
        #[arg(long)]
        state: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Refuse every certificate and token of a site from now on.
    Revoke {
        /// The site's name.
        name: SiteId,
        /// The state folder.
        #[arg(long)]
        state: PathBuf,
    },
}

impl SiteCommand {
    /// Carries the command out.
    ///
    /// # Errors
    /// Where a coordinator runs on the folder, or the registry cannot be used.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Add { name, state, identity, addresses, token_life } => {
                let identity = Identity::load(&identity)?;
                let terms = Terms { token_life, ..Terms::default() };
                let (_folder, registry) = open(&state, Some(identity), terms).await?;
                let invitation = registry.add_site(&name, addresses, now()).await?;
                println!("{}", invitation.token);
                eprintln!(
                    "one-time token for {name}, valid until {}: at the hospital run \
                     `consilium-client join TOKEN --identity identity`; anybody who has it can join as {name}",
                    minute(invitation.expires)
                );
            }
            Self::List { state, json } => {
                let (_folder, registry) = open(&state, None, Terms::default()).await?;
                let sites = registry.sites(now()).await?;
                if json { println!("{}", serde_json::to_string_pretty(&sites)?) } else { print(&sites) }
            }
            Self::Revoke { name, state } => {
                let (_folder, registry) = open(&state, None, Terms::default()).await?;
                let known = registry.sites(now()).await?.iter().any(|site| site.site == name);
                registry.revoke(&name, now()).await?;
                println!("{name} is revoked: none of its certificates opens a door any more");
                if !known {
                    println!("note: no site of that name was ever invited or seen here");
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

async fn open(
    state: &Path,
    identity: Option<Identity>,
    terms: Terms,
) -> anyhow::Result<(StateDir, Registry)> {
    let folder = match StateDir::open(state) {
        Err(StateDirError::InUse(path)) => bail!(
            "a coordinator is running on {}: use the admin commands over the network (--connect), or stop it first",
            path.display()
        ),
        other => other?,
    };
    let registry =
        Registry::open(&folder.registry(), identity, terms).await.context("the sites are not at hand")?;
    Ok((folder, registry))
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
