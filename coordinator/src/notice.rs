//! What a running coordinator tells whoever started it: one JSON object a line, or words.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

use consilium_domain::{SiteId, StudyHash};
use consilium_protocol::coordinator::{Coordinator, LaneState, Phase, Presence};
use serde::{Deserialize, Serialize};

use crate::recent::Recent;

/// How far a study is. Counted in steps: each aggregated round, each validated round, each scored hold-out and
/// each fused arm is one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// `enrolling`, `running`, `paused`, `finished` or `halted`.
    pub phase: String,
    /// Steps done.
    pub done: u32,
    /// Steps of the whole study.
    pub total: u32,
    /// Rounds aggregated over all lanes.
    pub rounds: u32,
    /// Lanes whose hold-out is scored.
    pub lanes_complete: u32,
    /// All lanes.
    pub lanes: u32,
    /// Sites whose session is up.
    pub connected: u32,
    /// Sites that take part (before the start: that have enlisted).
    pub enlisted: u32,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Notice {
    /// The socket is bound.
    Listening(SocketAddr),
    /// Something moved.
    Progress(Progress),
    /// Something a human should know.
    Warning(String),
    /// The report is written.
    Report(PathBuf),
    /// An admin or an observer asked for something.
    Command {
        /// Who.
        by: SiteId,
        /// What, as the command line calls it.
        command: String,
        /// The study or site it was about.
        about: Option<String>,
        /// `done`, or the code of the refusal.
        outcome: String,
    },
    /// The live page is open at this address.
    Page(String),
    /// Something about one of several studies.
    Of {
        /// Which.
        study: StudyHash,
        /// What.
        notice: Box<Notice>,
    },
}

/// Tells notices in one form, of one study or of all.
#[derive(Debug, Clone)]
pub(crate) struct Teller {
    format: NoticeFormat,
    study: Option<StudyHash>,
    recent: Recent,
}

impl Teller {
    /// Tells of the one study there is, or of everything.
    pub(crate) fn new(format: NoticeFormat) -> Self {
        Self { format, study: None, recent: Recent::default() }
    }

    /// Tells of one study among several.
    pub(crate) fn of(&self, study: StudyHash) -> Self {
        Self { study: Some(study), ..self.clone() }
    }

    /// What was told lately.
    pub(crate) const fn recent(&self) -> &Recent {
        &self.recent
    }

    pub(crate) fn tell(&self, notice: Notice) {
        self.recent.note(self.study, &notice);
        match self.study {
            Some(study) => Notice::Of { study, notice: Box::new(notice) }.print(self.format),
            None => notice.print(self.format),
        }
    }
}

/// The form of notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum NoticeFormat {
    /// Words for people.
    Plain,
    /// One JSON object a line, for programs.
    Json,
    /// None: whoever runs the coordinator within its own process looks at the state.
    #[value(skip)]
    Silent,
}

impl Progress {
    /// How far `state` is.
    pub fn of(state: &Coordinator) -> Self {
        let study = state.study();
        let lanes = study.lanes().len() as u32;
        let per_lane = 2 * u32::from(study.training.rounds) + 1;
        let lanes_complete = state.lanes().iter().filter(|lane| lane.is_complete()).count() as u32;
        let rounds = state.lanes().iter().map(aggregated).sum();
        let validated: u32 = state.lanes().iter().map(validated).sum();
        let fused = state.fusions().values().filter(|fusion| fusion.closing().is_some()).count() as u32;
        let connected =
            state.roster().iter().filter(|(_, m)| m.presence == Presence::Connected).count() as u32;
        Self {
            phase: match state.phase() {
                _ if state.pause().is_some() => "paused",
                Phase::Enrolling => "enrolling",
                Phase::Running { .. } => "running",
                Phase::Finished { .. } => "finished",
                Phase::Halted { .. } => "halted",
            }
            .to_owned(),
            done: rounds + validated + lanes_complete + fused,
            total: lanes * per_lane + study.arms.len() as u32,
            rounds,
            lanes_complete,
            lanes,
            connected,
            enlisted: state.roster().enlisted().count() as u32,
        }
    }
}

impl Notice {
    /// Prints the notice to standard output. That nobody reads it any more is no reason to stop a study.
    pub fn print(&self, format: NoticeFormat) {
        let line = match format {
            NoticeFormat::Json => serde_json::to_string(self).expect("notices are plain data"),
            NoticeFormat::Plain => self.to_string(),
            NoticeFormat::Silent => return,
        };
        let mut output = std::io::stdout().lock();
        if let Err(error) = writeln!(output, "{line}").and_then(|()| output.flush()) {
            tracing::warn!(%error, line, "standard output takes no notices");
        }
    }
}

impl std::fmt::Display for Notice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Listening(address) => write!(f, "listening on {address}"),
            Self::Progress(p) => write!(
                f,
                "{}: {} of {} steps, {} rounds, {} of {} lanes complete, {} of {} sites connected",
                p.phase, p.done, p.total, p.rounds, p.lanes_complete, p.lanes, p.connected, p.enlisted
            ),
            Self::Warning(text) => write!(f, "warning: {text}"),
            Self::Page(address) => write!(f, "live page at {address}"),
            Self::Report(path) => write!(f, "report written to {}", path.display()),
            Self::Command { by, command, about, outcome } => {
                let about = about.as_ref().map_or(String::new(), |about| format!(" {about}"));
                write!(f, "{by}: {command}{about}: {outcome}")
            }
            Self::Of { study, notice } => write!(f, "{} {notice}", study.digest().short()),
        }
    }
}

fn aggregated(lane: &LaneState) -> u32 {
    lane.rounds.iter().filter(|round| round.model.is_some()).count() as u32
}

fn validated(lane: &LaneState) -> u32 {
    let closed = |round: &&consilium_protocol::coordinator::RoundState| {
        round.validation.as_ref().is_some_and(|validation| validation.closing().is_some())
    };
    lane.rounds.iter().filter(closed).count() as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::Scene;

    #[test]
    fn progress_grows_with_every_step_and_ends_at_its_total() {
        let mut scene = Scene::enrolling();
        let mut steps = vec![Progress::of(&scene.state)];
        assert_eq!((steps[0].phase.as_str(), steps[0].done), ("enrolling", 0));
        while scene.step() {
            steps.push(Progress::of(&scene.state));
        }
        assert!(steps.is_sorted_by_key(|progress| progress.done));
        assert!(steps.iter().all(|progress| progress.total == steps[0].total));
        let last = steps.last().unwrap();
        assert_eq!(
            (last.phase.as_str(), last.done, last.lanes_complete),
            ("finished", last.total, last.lanes)
        );
    }

    #[test]
    fn notices_survive_their_json() {
        let progress = Notice::Progress(Progress::of(&Scene::running().state));
        for notice in [progress, Notice::Warning("a\nb".into()), Notice::Report("r.json".into())] {
            let line = serde_json::to_string(&notice).unwrap();
            assert!(!line.contains('\n'), "{line}");
            assert_eq!(serde_json::from_str::<Notice>(&line).unwrap(), notice);
        }
    }
}
