//! The commands by which people speak to the client, running or not.
//!
//! Exit codes: 0 it is done or shown, 1 it is not done and why, 2 the command is not understood, 3 for `status` when no
//! daemon runs.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use consilium_audit::command::AUDIT_FOLDER;
use consilium_audit::{AuditLog, Record};
use consilium_transport::Identity;

use super::MAX_ANSWER_BYTES;
use super::address::Address;
use crate::config::Config;
use crate::steward::{Answer, Clock, Request, Steward};

/// How long a daemon may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Which client.
#[derive(Debug, Clone, Args)]
pub struct ControlArgs {
    /// The client's configuration (TOML).
    #[arg(long)]
    config: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// A decision on a study.
#[derive(Debug, Clone, Args)]
pub struct DecisionArgs {
    /// The study's hash, or its first eight or more digits.
    study: String,
    #[command(flatten)]
    client: ControlArgs,
}

/// What can be asked and told.
#[derive(Debug, Clone, Subcommand)]
pub enum ControlCommand {
    /// Show every study that was offered, what the policy says of it, and what was decided.
    Studies(ControlArgs),
    /// Show what the client does right now.
    Status(ControlArgs),
    /// Agree to a study that is within the policy.
    Approve(DecisionArgs),
    /// Decline a study. Final; the coordinator is told.
    Decline {
        /// Which study, of which client.
        #[command(flatten)]
        decision: DecisionArgs,
        /// Why. Is told to the coordinator and stands in its report: name no patient.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Leave a study that was approved. Final; what was contributed stays, nothing more follows.
    Leave {
        /// Which study, of which client.
        #[command(flatten)]
        decision: DecisionArgs,
        /// Why. Is told to the coordinator and stands in its report: name no patient.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Stop everything until `resume`: training, sending, the connection. Survives a restart.
    Pause(ControlArgs),
    /// Go on after `pause`.
    Resume(ControlArgs),
}

/// Carries out `command`.
///
/// # Errors
/// When the client's folder cannot be used, or its daemon does not answer.
pub(crate) fn control(command: ControlCommand) -> anyhow::Result<ExitCode> {
    let (ControlArgs { config, json }, request) = command.into_request();
    let config = Config::read(&config)?;
    let answer = ask(&config, &request)?;
    if json {
        println!("{}", serde_json::to_string_pretty(&answer)?);
    } else {
        print!("{}", words(&answer));
    }
    Ok(match answer {
        Answer::Refused(reason) => {
            if !json {
                eprintln!("error: {reason}");
            }
            ExitCode::FAILURE
        }
        Answer::Status(status) if !status.running => ExitCode::from(3),
        _ => ExitCode::SUCCESS,
    })
}

impl ControlCommand {
    fn into_request(self) -> (ControlArgs, Request) {
        match self {
            Self::Studies(client) => (client, Request::Studies),
            Self::Status(client) => (client, Request::Status),
            Self::Approve(DecisionArgs { study, client }) => (client, Request::Approve { study }),
            Self::Decline { decision: DecisionArgs { study, client }, reason } => {
                (client, Request::Decline { study, reason })
            }
            Self::Leave { decision: DecisionArgs { study, client }, reason } => {
                (client, Request::Leave { study, reason })
            }
            Self::Pause(client) => (client, Request::Pause),
            Self::Resume(client) => (client, Request::Resume),
        }
    }
}

/// Asks the daemon; where none runs, the folder is changed here, and the next daemon finds it so.
fn ask(config: &Config, request: &Request) -> anyhow::Result<Answer> {
    match connect(&config.state) {
        Ok(stream) => converse(stream, request)
            .context("the running client does not answer; see its log, then try again"),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            let mut steward = Steward::open(&config.state, config.policy.clone(), Clock::system())?;
            let answer = steward.answer(request.clone());
            write_down(config, &steward.take_unwritten())?;
            Ok(answer)
        }
        Err(error) => Err(error).with_context(|| {
            format!(
                "the running client in {} cannot be reached: be the user it runs as, or root",
                config.state.display()
            )
        }),
    }
}

/// What was decided while no client runs is in the audit log like everything else.
fn write_down(config: &Config, decisions: &[Record]) -> anyhow::Result<()> {
    if decisions.is_empty() {
        return Ok(());
    }
    let identity = Identity::load(&config.identity)?;
    AuditLog::open(&config.state.join(AUDIT_FOLDER), identity.role())?.append_all(decisions)?;
    Ok(())
}

fn connect(state: &Path) -> io::Result<UnixStream> {
    UnixStream::connect(Address::in_folder(state)?.path)
}

fn converse(mut stream: UnixStream, request: &Request) -> anyhow::Result<Answer> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut text = serde_json::to_vec(request)?;
    text.push(b'\n');
    stream.write_all(&text)?;
    let mut line = String::new();
    BufReader::new(stream.take(MAX_ANSWER_BYTES)).read_line(&mut line)?;
    if !line.ends_with('\n') {
        bail!("the answer was cut short");
    }
    Ok(serde_json::from_str(&line)?)
}

fn words(answer: &Answer) -> String {
    match answer {
        Answer::Studies(studies) if studies.is_empty() => "no study was offered yet\n".to_owned(),
        Answer::Studies(studies) => studies.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
        Answer::Status(status) => status.to_string(),
        Answer::Done(text) => format!("{text}\n"),
        Answer::Refused(_) => String::new(),
    }
}
