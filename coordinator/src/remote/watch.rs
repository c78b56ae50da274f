//! `consilium-coordinator watch`: a study followed from any machine to its end. On a terminal the whole of it is drawn
//! again and again, elsewhere a line is written for everything that changes.
//!
//! It asks over the admins' connection, no more often than a coordinator hears anybody for ever without making them wait,
//! and connects again by itself.

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use consilium_process::describe;
use consilium_protocol::admin::{AdminRequest, StudyList, StudyState, StudyView};
use serde::de::DeserializeOwned;

use super::{Answer, Remote, RemoteArgs, table};
use crate::cli::REFUSED;

/// Clears a terminal and goes to its upper left corner.
const CLEARED: &str = "\x1b[2J\x1b[H";

/// What `watch` needs.
#[derive(Debug, Clone, Args)]
pub(crate) struct WatchArgs {
    /// The study's hash, or at least its first eight digits; by default the only one that is not over.
    study: Option<String>,
    /// Write each change as one line of JSON, as `study show --json` has it.
    #[arg(long)]
    json: bool,
    /// Seconds between two looks. Below 15 a coordinator makes one wait after the first ten minutes or so.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=55))]
    every: u64,
}

/// How changes are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Screen,
    Lines,
    Json,
}

impl WatchArgs {
    /// Follows the study to its end; the exit code says which: 0 finished, 3 halted or aborted, 4 it failed at the
    /// coordinator and may be resumed.
    ///
    /// # Errors
    /// When the kit or the first connection fails, or the study cannot be told.
    pub(crate) async fn run(self, remote: &RemoteArgs) -> anyhow::Result<ExitCode> {
        let form = match (self.json, io::stdout().is_terminal()) {
            (true, _) => Form::Json,
            (false, true) => Form::Screen,
            (false, false) => Form::Lines,
        };
        let mut connected = match remote.reach().await? {
            Ok(connected) => Some(connected),
            Err(refusal) => return Ok(refused(&refusal)),
        };
        let study = match self.study {
            Some(study) => study,
            None => the_only_one(connected.as_mut().expect("it was just connected")).await?,
        };
        let mut before: Option<StudyView> = None;
        loop {
            match look(&mut connected, remote, &study).await {
                Ok(Ok(view)) => {
                    if before.as_ref() != Some(&view) {
                        tell(form, before.as_ref(), &view)?;
                    }
                    if let Some(code) = exit_code(view.summary.state) {
                        if let Some(connected) = connected {
                            connected.leave().await;
                        }
                        return Ok(ExitCode::from(code));
                    }
                    before = Some(view);
                }
                Ok(Err(code)) => return Ok(code),
                Err(error) => {
                    connected = None;
                    eprintln!("not connected: {}; trying again", describe(error.as_ref()));
                }
            }
            tokio::time::sleep(Duration::from_secs(self.every)).await;
        }
    }
}

/// One look at the study, over a new connection if the last is gone. The inner error is the exit code of a refusal.
async fn look(
    connected: &mut Option<Remote>,
    remote: &RemoteArgs,
    study: &str,
) -> anyhow::Result<Result<StudyView, ExitCode>> {
    let over = match connected {
        Some(over) => over,
        None => match remote.reach().await? {
            Ok(fresh) => connected.insert(fresh),
            Err(refusal) => return Ok(Err(refused(&refusal))),
        },
    };
    match over.ask(&AdminRequest::ShowStudy { study: study.to_owned() }).await? {
        Answer::Document(text) => read(&text).map(Ok),
        Answer::Refused(refusal) => Ok(Err(refused(&refusal))),
    }
}

async fn the_only_one(connected: &mut Remote) -> anyhow::Result<String> {
    let Answer::Document(text) = connected.ask(&AdminRequest::ListStudies).await? else {
        bail!("the coordinator does not list its studies: name one");
    };
    let list: StudyList = read(&text)?;
    let open: Vec<_> = list.studies.iter().filter(|study| !study.state.is_over()).collect();
    match open[..] {
        [only] => Ok(only.hash.to_string()),
        [] => bail!("no study is under way: name one to see how it ended"),
        _ => {
            let names: Vec<String> =
                open.iter().map(|study| format!("{} {}", study.hash.short(), study.name)).collect();
            bail!("which study? {}", names.join(", "))
        }
    }
}

fn read<T: DeserializeOwned>(text: &str) -> anyhow::Result<T> {
    serde_json::from_str(text).context("the coordinator is of another release: update this program")
}

fn refused(refusal: &consilium_protocol::admin::AdminRefusal) -> ExitCode {
    eprintln!("refused: {}", describe(refusal));
    ExitCode::from(REFUSED)
}

const fn exit_code(state: StudyState) -> Option<u8> {
    match state {
        StudyState::Finished => Some(0),
        StudyState::Halted | StudyState::Aborted => Some(3),
        StudyState::Failed => Some(4),
        StudyState::Submitted | StudyState::Running | StudyState::Paused => None,
    }
}

fn tell(form: Form, before: Option<&StudyView>, view: &StudyView) -> anyhow::Result<()> {
    let text = match form {
        Form::Screen => format!("{CLEARED}{}", printable(&table::view(view))),
        Form::Json => serde_json::to_string(view)? + "\n",
        Form::Lines => changes(before, view).iter().map(|line| printable(line) + "\n").collect(),
    };
    let mut output = io::stdout().lock();
    output.write_all(text.as_bytes()).and_then(|()| output.flush()).context("standard output takes no more")
}

/// What people elsewhere wrote must not move the cursor.
fn printable(text: &str) -> String {
    text.chars().filter(|character| *character == '\n' || !character.is_control()).collect()
}

/// A line for everything that changed since `before`.
fn changes(before: Option<&StudyView>, view: &StudyView) -> Vec<String> {
    let mut lines = Vec::new();
    let (summary, last) = (&view.summary, before.map(|before| &before.summary));
    if last.is_none_or(|last| {
        (last.state, last.steps_done, last.connected)
            != (summary.state, summary.steps_done, summary.connected)
    }) {
        let reason = summary.reason.as_ref().map_or(String::new(), |reason| format!(" ({reason})"));
        let end =
            view.expected_end.map_or(String::new(), |end| format!(", to end {} UTC", table::time_of(end)));
        let longest = longest(view);
        lines.push(format!(
            "{}{reason}: {} of {} steps, {} of {} sites connected{end}{longest}",
            summary.state, summary.steps_done, summary.steps, summary.connected, summary.invited
        ));
    }
    for site in &view.sites {
        let known = before.and_then(|before| before.sites.iter().find(|known| known.site == site.site));
        if known.is_some_and(|known| known.standing != site.standing) {
            let why = site.reason.as_ref().map_or(String::new(), |why| format!(": {why}"));
            lines.push(format!("{} is {}{why}", site.site, site.standing));
        }
    }
    let told = before.map_or(0, |before| before.warnings.len());
    lines.extend(view.warnings.iter().skip(told).map(|warning| format!("warning: {warning}")));
    lines
}

/// The site with the most work left, among those of which it is known.
fn longest(view: &StudyView) -> String {
    let left = view.sites.iter().filter_map(|site| Some((site.work_left_secs?, &site.site)));
    left.filter(|(secs, _)| *secs > 0).max().map_or(String::new(), |(secs, site)| {
        format!(", most work left at {site}: {}", table::work_left(Some(secs)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::Scene;
    use crate::service::overview;

    fn view(scene: &Scene) -> StudyView {
        let state = &scene.state;
        overview::view(overview::summary_of(state), state.study(), Some(state))
    }

    #[test]
    fn only_what_changed_is_told() {
        let mut scene = Scene::running();
        let first = view(&scene);
        assert!(changes(None, &first)[0].starts_with("running: 0 of 11 steps, 2 of 2 sites connected"));
        assert_eq!(changes(Some(&first), &first), [""; 0]);
        scene.withdraw("a", "no more");
        let lines = changes(Some(&first), &view(&scene));
        assert!(lines.contains(&"a is withdrawn: no more".to_owned()), "{lines:?}");
        assert!(lines.iter().any(|line| line == "warning: a left the study: no more"), "{lines:?}");
    }

    #[test]
    fn the_end_of_a_study_ends_it_and_says_how() {
        let ends = [StudyState::Finished, StudyState::Halted, StudyState::Aborted, StudyState::Failed];
        assert_eq!(ends.map(exit_code), [Some(0), Some(3), Some(3), Some(4)]);
        let open = [StudyState::Submitted, StudyState::Running, StudyState::Paused];
        assert_eq!(open.map(exit_code), [None; 3]);
    }

    #[test]
    fn nobody_elsewhere_moves_the_cursor() {
        assert_eq!(printable("a\x1b[2Jb\nc\r"), "a[2Jb\nc");
    }
}
