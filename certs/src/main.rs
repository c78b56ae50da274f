//! The command line of the consortium's authority.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use clap::{Args, Parser, Subcommand, value_parser};
use consilium_certs::{Authority, AuthorityError, Kit, Validity};
use consilium_domain::SiteId;
use consilium_pki::Lifetime;
use time::OffsetDateTime;

/// No certificate outlives the root's own ten years.
const DAYS: RangeInclusive<i64> = 1..=3650;

/// Makes the certificates of a consortium. Keep the authority's folder backed up, and its root offline.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make the authority of a new consortium: an offline root, and the issuing certificate for the coordinator.
    Init {
        /// The consortium's name, shown in every certificate.
        #[arg(long)]
        name: String,
        /// The authority's new folder.
        #[arg(long)]
        out: PathBuf,
    },
    /// Make the kit of one hospital by hand. `consilium-coordinator site add` lets it make its own key instead.
    IssueSite {
        /// The site's name, for instance `st-elsewhere`.
        #[arg(long)]
        site: SiteId,
        #[command(flatten)]
        issue: Issue,
        /// Days until it must be renewed.
        #[arg(long, default_value_t = Validity::default().site_days, value_parser = value_parser!(u32).range(DAYS))]
        days: u32,
    },
    /// Make the kit of the coordinator.
    IssueCoordinator {
        /// A DNS name or IP address of the coordinator; may be repeated.
        #[arg(long = "name")]
        names: Vec<String>,
        #[command(flatten)]
        issue: Issue,
        /// Days until it must be renewed.
        #[arg(long, default_value_t = Validity::default().coordinator_days, value_parser = value_parser!(u32).range(DAYS))]
        days: u32,
        /// Leave the issuing key out: then nobody can join by token, and every certificate is renewed by hand.
        #[arg(long)]
        without_issuing_key: bool,
    },
    /// Make the kit of a person who runs the consortium.
    IssueAdmin {
        /// The person's name, in the form of a site's.
        #[arg(long)]
        name: SiteId,
        #[command(flatten)]
        issue: Issue,
        /// Days until it must be made anew.
        #[arg(long, default_value_t = Validity::default().person_days, value_parser = value_parser!(u32).range(DAYS))]
        days: u32,
    },
    /// Make the kit of a person who may look at studies and change nothing.
    IssueObserver {
        /// The person's name, in the form of a site's.
        #[arg(long)]
        name: SiteId,
        #[command(flatten)]
        issue: Issue,
        /// Days until it must be made anew.
        #[arg(long, default_value_t = Validity::default().person_days, value_parser = value_parser!(u32).range(DAYS))]
        days: u32,
    },
    /// Make a new issuing certificate with the root's key, before the old one expires or after it was stolen.
    IssueIssuing {
        /// The authority's folder, with the root's key brought back.
        #[arg(long)]
        authority: PathBuf,
        /// Days until it expires.
        #[arg(long, default_value_t = 365, value_parser = value_parser!(u32).range(DAYS))]
        days: u32,
    },
}

/// Where a kit comes from and goes to.
#[derive(Args)]
struct Issue {
    /// The authority's folder.
    #[arg(long)]
    authority: PathBuf,
    /// The kit's new folder.
    #[arg(long)]
    out: PathBuf,
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
    let default = Validity::default();
    match command {
        Command::Init { name, out } => {
            let authority = Authority::create(&name)?;
            authority.save(&out)?;
            println!(
                "authority of `{name}` in {}: move root/ca-key.pem offline; hand fingerprint.key to the sites, never \
                 to the coordinator; the issuing certificate is valid until {}",
                out.display(),
                day(authority.issues_until())
            );
            Ok(())
        }
        Command::IssueSite { site, issue, days } => {
            let validity = Validity { site_days: days, ..default };
            issue.write(validity, days, &format!("site {site}"), |authority| authority.issue_site(&site))
        }
        Command::IssueCoordinator { names, issue, days, without_issuing_key } => {
            let validity = Validity { coordinator_days: days, ..default };
            issue.write(validity, days, "the coordinator", |authority| {
                let kit = authority.issue_coordinator(&names)?;
                Ok(if without_issuing_key { Kit { issuing: None, ..kit } } else { kit })
            })
        }
        Command::IssueAdmin { name, issue, days } => {
            let validity = Validity { person_days: days, ..default };
            issue.write(validity, days, &format!("admin {name}"), |authority| authority.issue_admin(&name))
        }
        Command::IssueObserver { name, issue, days } => {
            let validity = Validity { person_days: days, ..default };
            issue.write(validity, days, &format!("observer {name}"), |authority| {
                authority.issue_observer(&name)
            })
        }
        Command::IssueIssuing { authority, days } => {
            let until = Authority::replace_issuing(&authority, days)?;
            println!(
                "new issuing certificate in {}/issuing, valid until {}: copy issuing.pem and issuing-key.pem into the \
                 coordinator's kit, and move root/ca-key.pem offline again",
                authority.display(),
                day(until)
            );
            Ok(())
        }
    }
}

impl Issue {
    fn write(
        self,
        validity: Validity,
        days: u32,
        holder: &str,
        make: impl FnOnce(&Authority) -> Result<Kit, AuthorityError>,
    ) -> Result<(), AuthorityError> {
        let authority = Authority::load(&self.authority)?.with_validity(validity);
        let (wanted, until) = (SystemTime::now() + Lifetime::days(days).duration(), authority.issues_until());
        make(&authority)?.write(&self.out)?;
        println!("kit of {holder} in {}", self.out.display());
        if wanted > until {
            println!(
                "it is valid until {} and not for {days} days: then the issuing certificate ends, and no other \
                 outlives it",
                day(until)
            );
        }
        Ok(())
    }
}

fn day(moment: SystemTime) -> time::Date {
    OffsetDateTime::from(moment).date()
}
