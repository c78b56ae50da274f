//! The command line of the consortium's authority: init, issue-site, issue-coordinator.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use consilium_certs::{Authority, Validity};
use consilium_domain::SiteId;

/// No certificate outlives the authority's own ten years.
const DAYS: RangedU64ValueParser<u32> = RangedU64ValueParser::<u32>::new().range(1..=3650);

/// Makes the certificates of a consortium. Keep the authority's folder offline and backed up.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make the authority of a new consortium.
    Init {
        /// The consortium's name, shown in every certificate.
        #[arg(long)]
        name: String,
        /// The authority's new folder.
        #[arg(long)]
        out: PathBuf,
    },
    /// Make the kit of one hospital.
    IssueSite {
        /// The authority's folder.
        #[arg(long)]
        authority: PathBuf,
        /// The site's name, for instance `st-elsewhere`.
        #[arg(long)]
        site: SiteId,
        /// The kit's new folder.
        #[arg(long)]
        out: PathBuf,
        /// Days until it must be renewed.
        #[arg(long, default_value_t = Validity::default().site_days, value_parser = DAYS)]
        days: u32,
    },
    /// Make the kit of the coordinator.
    IssueCoordinator {
        /// The authority's folder.
        #[arg(long)]
        authority: PathBuf,
        /// A DNS name or IP address of the coordinator; may be repeated.
        #[arg(long = "name")]
        names: Vec<String>,
        /// The kit's new folder.
        #[arg(long)]
        out: PathBuf,
        /// Days until it must be renewed.
        #[arg(long, default_value_t = Validity::default().coordinator_days, value_parser = DAYS)]
        days: u32,
    },
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Init { name, out } => {
            Authority::create(&name)?.save(&out)?;
            println!("authority of `{name}` in {}: keep ca-key.pem offline", out.display());
        }
        Command::IssueSite { authority, site, out, days } => {
            let validity = Validity { site_days: days, ..Validity::default() };
            load(&authority)?.with_validity(validity).issue_site(&site)?.write(&out)?;
            println!("kit of {site} in {}, valid for {days} days", out.display());
        }
        Command::IssueCoordinator { authority, names, out, days } => {
            let validity = Validity { coordinator_days: days, ..Validity::default() };
            load(&authority)?.with_validity(validity).issue_coordinator(&names)?.write(&out)?;
            println!("kit of the coordinator in {}, valid for {days} days", out.display());
        }
    }
    Ok(())
}

fn load(dir: &std::path::Path) -> anyhow::Result<Authority> {
    Authority::load(dir).with_context(|| format!("no usable authority in {}", dir.display()))
}
