//! `audit verify` and `audit export`, as both daemons offer them.
//!
//! Exit codes: 0 the log is sound or the extract is written, 1 it cannot be read, 5 the log is not sound. (2 is a wrong
//! command line, 3 and 4 are those of `run`.)

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use consilium_domain::StudyHash;
use consilium_signing::{Authorities, SignatureError};

use crate::export::{ExportError, Extract};
use crate::inspection::{Inspection, InspectionError};
use crate::log::LOG_FILE;

/// The exit code of a log that was altered.
const NOT_SOUND: u8 = 5;
/// Where a daemon keeps its log in its state folder.
pub const AUDIT_FOLDER: &str = "audit";
/// The authority in an identity folder.
const AUTHORITY_FILE: &str = "ca.pem";

/// What can be done with a log.
#[derive(Debug, Clone, Subcommand)]
pub enum AuditCommand {
    /// Verify every line and every signature; with the other side's log also find what was cut off.
    Verify {
        /// Which log.
        #[command(flatten)]
        place: Place,
        /// The other side's log or extract.
        #[arg(long, value_name = "FILE")]
        receipts: Option<PathBuf>,
    },
    /// Write an extract that somebody else can verify.
    Export {
        /// Which log.
        #[command(flatten)]
        place: Place,
        /// Where to.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Lines from then on: a day or a time in UTC.
        #[arg(long, value_name = "TIME")]
        since: Option<String>,
        /// Lines about the study with this hash.
        #[arg(long, value_name = "HASH")]
        study: Option<String>,
    },
}

/// Which log, and who vouches for the signatures in it.
#[derive(Debug, Clone, Args)]
pub struct Place {
    /// The daemon's state folder.
    #[arg(long, value_name = "DIR", conflicts_with = "log")]
    pub state: Option<PathBuf>,
    /// A log or an extract itself.
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
    /// The folder with the ca.pem of the consortium.
    #[arg(long, value_name = "DIR", conflicts_with = "authority")]
    pub identity: Option<PathBuf>,
    /// The ca.pem itself.
    #[arg(long, value_name = "FILE")]
    pub authority: Option<PathBuf>,
}

/// Why the command cannot be carried out.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// No log named.
    #[error("which log? Name the daemon's state folder (--state), or a file (--log)")]
    WhichLog,
    /// No authority named.
    #[error(
        "who vouches for the signatures? Name the identity folder (--identity), or the ca.pem (--authority)"
    )]
    WhichAuthority,
    /// The authority.
    #[error(transparent)]
    Authority(#[from] SignatureError),
    /// A log.
    #[error(transparent)]
    Inspection(#[from] InspectionError),
    /// The extract.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// Not a hash.
    #[error("`{0}` is not a study's hash: expected 64 hexadecimal digits")]
    Study(String),
}

impl Place {
    /// What is not named is taken from a daemon's configuration.
    pub fn fill_in(&mut self, state: &Path, identity: &Path) {
        if self.log.is_none() {
            self.state.get_or_insert_with(|| state.to_owned());
        }
        if self.authority.is_none() {
            self.identity.get_or_insert_with(|| identity.to_owned());
        }
    }

    fn log(&self) -> Result<PathBuf, CommandError> {
        let in_state = self.state.as_ref().map(|state| state.join(AUDIT_FOLDER).join(LOG_FILE));
        self.log.clone().or(in_state).ok_or(CommandError::WhichLog)
    }

    fn authorities(&self) -> Result<Authorities, CommandError> {
        let in_identity = self.identity.as_ref().map(|identity| identity.join(AUTHORITY_FILE));
        let path = self.authority.clone().or(in_identity).ok_or(CommandError::WhichAuthority)?;
        Ok(Authorities::read(&path)?)
    }
}

impl AuditCommand {
    /// The place that the command is about.
    pub const fn place_mut(&mut self) -> &mut Place {
        match self {
            Self::Verify { place, .. } | Self::Export { place, .. } => place,
        }
    }

    /// Carries the command out, with a word on standard output.
    ///
    /// # Errors
    /// When something cannot be read or written. A log that is not sound is no error but an exit code.
    pub fn run(&self) -> Result<ExitCode, CommandError> {
        match self {
            Self::Verify { place, receipts } => {
                let authorities = place.authorities()?;
                let log = Inspection::of(&place.log()?, &authorities)?;
                let verdict = match receipts {
                    Some(path) => log.beside(&Inspection::of(path, &authorities)?),
                    None => log.alone(),
                };
                println!("{verdict}");
                Ok(if verdict.is_sound() { ExitCode::SUCCESS } else { ExitCode::from(NOT_SOUND) })
            }
            Self::Export { place, out, since, study } => {
                let study = study.as_deref().map(study_hash).transpose()?;
                let extract = Extract { since: since.clone(), study };
                let lines = extract.write(&place.log()?, &place.authorities()?, out)?;
                println!("{lines} lines in {}", out.display());
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

fn study_hash(text: &str) -> Result<StudyHash, CommandError> {
    serde_json::from_value(text.into()).map_err(|_| CommandError::Study(text.chars().take(80).collect()))
}
