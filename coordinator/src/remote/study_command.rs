//! `consilium-coordinator study submit|list|show|pause|resume|abort`, and `report` from another machine.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Subcommand;
use consilium_process::describe;
use consilium_protocol::admin::{AdminRequest, StudyDone, StudyList, StudySummary, StudyView};
use serde::de::DeserializeOwned;

use super::{Answer, RemoteArgs, table};
use crate::cli::REFUSED;
use crate::config::read_study;
use crate::report::Report;

/// Studies of a consortium: submit, list, show, pause, resume, abort.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum StudyCommand {
    /// Hand in a study. It begins when every earlier study of its sites is over.
    Submit {
        /// The study file (TOML); see docs/samples/study.toml. It is checked here and again by the coordinator.
        file: PathBuf,
        /// Pretrained weights: a name or digest of the coordinator's `weights list`.
        #[arg(long)]
        weights: Option<String>,
        /// JSON instead of words.
        #[arg(long)]
        json: bool,
    },
    /// List all studies in the order of submission.
    List {
        /// JSON instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Show one study: its plan, its sites, how far its lanes are.
    Show {
        /// The study's hash, or at least its first eight digits.
        study: String,
        /// JSON instead of tables.
        #[arg(long)]
        json: bool,
    },
    /// Hand out no more work until `resume`; no deadline passes meanwhile. Work under way is taken in.
    Pause {
        /// The study's hash, or at least its first eight digits.
        study: String,
        /// JSON instead of words.
        #[arg(long)]
        json: bool,
    },
    /// Let a paused study continue, or try again one that failed.
    Resume {
        /// The study's hash, or at least its first eight digits.
        study: String,
        /// JSON instead of words.
        #[arg(long)]
        json: bool,
    },
    /// End a study for good.
    Abort {
        /// The study's hash, or at least its first eight digits.
        study: String,
        /// Why, for the sites and the report.
        #[arg(long)]
        reason: String,
        /// JSON instead of words.
        #[arg(long)]
        json: bool,
    },
}

impl StudyCommand {
    /// Asks the coordinator and prints its answer.
    ///
    /// # Errors
    /// When a file, the kit or the connection fails. A refusal is no error: it has an exit code of its own.
    pub(crate) async fn run(self, remote: &RemoteArgs) -> anyhow::Result<ExitCode> {
        match self {
            Self::Submit { file, weights, json } => {
                // What is wrong with a file is said where the file lies, before anybody is asked.
                read_study(&file)?;
                let text = std::fs::read_to_string(&file)
                    .with_context(|| format!("the study file {} cannot be read", file.display()))?;
                change(remote, &AdminRequest::SubmitStudy { text, weights }, json).await
            }
            Self::List { json } => {
                print(remote, &AdminRequest::ListStudies, json, |list: StudyList| table::list(&list)).await
            }
            Self::Show { study, json } => {
                let request = AdminRequest::ShowStudy { study };
                print(remote, &request, json, |view: StudyView| table::view(&view)).await
            }
            Self::Pause { study, json } => change(remote, &AdminRequest::PauseStudy { study }, json).await,
            Self::Resume { study, json } => change(remote, &AdminRequest::ResumeStudy { study }, json).await,
            Self::Abort { study, reason, json } => {
                change(remote, &AdminRequest::AbortStudy { study, reason }, json).await
            }
        }
    }
}

/// The report of a study at the coordinator; the inner error is the exit code of a refusal, which was printed.
pub(crate) async fn report(
    remote: &RemoteArgs,
    study: String,
) -> anyhow::Result<Result<(Report, String), ExitCode>> {
    match remote.ask(&AdminRequest::Report { study }).await? {
        Answer::Document(text) => {
            let report = serde_json::from_str(&text).context("the report is of another release")?;
            Ok(Ok((report, text)))
        }
        Answer::Refused(refusal) => Ok(Err(refused(&refusal))),
    }
}

async fn change(remote: &RemoteArgs, request: &AdminRequest, json: bool) -> anyhow::Result<ExitCode> {
    print(remote, request, json, |done: StudyDone| words(&done.study)).await
}

fn words(study: &StudySummary) -> String {
    let reason = study.reason.as_ref().map_or(String::new(), |reason| format!(" ({reason})"));
    format!("study {} {}: {}{reason}\n{}", study.number, study.name, study.state, study.hash)
}

/// Asks, and prints the answer as it came or in `words`.
pub(super) async fn print<T: DeserializeOwned>(
    remote: &RemoteArgs,
    request: &AdminRequest,
    json: bool,
    words: impl FnOnce(T) -> String,
) -> anyhow::Result<ExitCode> {
    match remote.ask(request).await? {
        Answer::Document(text) if json => println!("{text}"),
        Answer::Document(text) => {
            let answer = serde_json::from_str(&text)
                .context("the coordinator is of another release: its answer can be read with --json")?;
            println!("{}", words(answer).trim_end());
        }
        Answer::Refused(refusal) => return Ok(refused(&refusal)),
    }
    Ok(ExitCode::SUCCESS)
}

fn refused(refusal: &consilium_protocol::admin::AdminRefusal) -> ExitCode {
    eprintln!("refused: {}", describe(refusal));
    ExitCode::from(REFUSED)
}
