//! Why an admin's request changed nothing.

use serde::{Deserialize, Serialize};

/// A refusal that the caller is told, counted by [`AdminRefusal::code`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum AdminRefusal {
    /// No common version, or one from before there were admins.
    #[error("no common protocol version: install a release of this program that speaks version {ours}")]
    Version {
        /// The coordinator's newest.
        ours: u16,
    },
    /// The first message must be `Hello`, once.
    #[error("the message does not fit the state of the session: {0}")]
    OutOfTurn(String),
    /// An observer asked for a change.
    #[error("an observer may look and change nothing: ask an admin of the consortium")]
    ReadOnly,
    /// A text is longer than it may be.
    #[error("{what} has {bytes} bytes, and {limit} are allowed")]
    TooLong {
        /// What.
        what: String,
        /// Its length.
        bytes: u64,
        /// The most.
        limit: u64,
    },
    /// A name of a study that names none.
    #[error("no study has a hash that begins with `{0}`: `study list` shows all")]
    UnknownStudy(String),
    /// A name of a study that names several or is too short to name one.
    #[error("`{0}` does not name one study: give at least {min} digits of its hash, and more where several begin alike", min = super::MIN_STUDY_DIGITS)]
    AmbiguousStudy(String),
    /// The text is no study, or cannot be carried out here.
    #[error("the study was not taken: {0}")]
    Study(String),
    /// The same plan was submitted before.
    #[error("this study was submitted before: {0}; change its `seed` or `name` to run it again")]
    SameStudy(String),
    /// The study is not in a state for that.
    #[error("{0}")]
    State(String),
    /// The registry of sites says no.
    #[error("{0}")]
    Site(String),
    /// The coordinator could not do it.
    #[error("the coordinator could not do it: {0}")]
    Failed(String),
}

impl AdminRefusal {
    /// A stable word for counters and programs.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Version { .. } => "version",
            Self::OutOfTurn(_) => "out-of-turn",
            Self::ReadOnly => "read-only",
            Self::TooLong { .. } => "too-long",
            Self::UnknownStudy(_) => "unknown-study",
            Self::AmbiguousStudy(_) => "ambiguous-study",
            Self::Study(_) => "study",
            Self::SameStudy(_) => "same-study",
            Self::State(_) => "state",
            Self::Site(_) => "site",
            Self::Failed(_) => "failed",
        }
    }
}
