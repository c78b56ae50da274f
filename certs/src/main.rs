//! The command line of the consortium's authority: init, issue-site, issue-admin, issue-observer, issue-coordinator.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, value_parser};
use consilium_certs::{Authority, AuthorityError, Kit, Validity};
use consilium_domain::SiteId;

/// No certificate outlives the authority's own ten years.
const DAYS: RangeInclusive<i64> = 1..=3650;

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
        #[arg(long, default_value_t = Validity::default().site_days, value_parser = value_parser!(u32).range(DAYS))]
        days: u32,
    },
    /// Make the kit of somebody who runs the consortium: submits studies, invites and revokes sites.
    IssueAdmin(Person),
    /// Make the kit of somebody who may look at studies and sites and change nothing.
    IssueObserver(Person),
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
        #[arg(long, default_value_t = Validity::default().coordinator_days, value_parser = value_parser!(u32).range(DAYS))]
        days: u32,
    },
}

/// An admin or an observer.
#[derive(Args)]
struct Person {
    /// The authority's folder.
    #[arg(long)]
    authority: PathBuf,
    /// A short name, as in `alice`: it stands in every record of what they did.
    #[arg(long)]
    name: SiteId,
    /// The kit's new folder.
    #[arg(long)]
    out: PathBuf,
    /// Days until it must be renewed.
    #[arg(long, default_value_t = Validity::default().person_days, value_parser = value_parser!(u32).range(DAYS))]
    days: u32,
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<(), AuthorityError> {
    match command {
        Command::Init { name, out } => {
            Authority::create(&name)?.save(&out)?;
            println!("authority of `{name}` in {}: keep ca-key.pem offline", out.display());
        }
        Command::IssueSite { authority, site, out, days } => {
            let validity = Validity { site_days: days, ..Validity::default() };
            Authority::load(&authority)?.with_validity(validity).issue_site(&site)?.write(&out)?;
            println!("kit of {site} in {}, valid for {days} days", out.display());
        }
        Command::IssueAdmin(person) => issue_person(&person, Authority::issue_admin)?,
        Command::IssueObserver(person) => issue_person(&person, Authority::issue_observer)?,
        Command::IssueCoordinator { authority, names, out, days } => {
            let validity = Validity { coordinator_days: days, ..Validity::default() };
            Authority::load(&authority)?.with_validity(validity).issue_coordinator(&names)?.write(&out)?;
            println!("kit of the coordinator in {}, valid for {days} days", out.display());
        }
    }
    Ok(())
}

fn issue_person(
    person: &Person,
    issue: fn(&Authority, &SiteId) -> Result<Kit, AuthorityError>,
) -> Result<(), AuthorityError> {
    let Person { authority, name, out, days } = person;
    let validity = Validity { person_days: *days, ..Validity::default() };
    issue(&Authority::load(authority)?.with_validity(validity), name)?.write(out)?;
    println!("kit of {name} in {}, valid for {days} days", out.display());
    Ok(())
}
