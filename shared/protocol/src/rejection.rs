//! Why a message of a peer changed nothing. The peer's fault or bad luck, never ours: it is counted and told back.

use consilium_domain::StudyHash;
use serde::{Deserialize, Serialize};

/// A refusal the peer is told.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, thiserror::Error)]
pub enum Rejection {
    /// No common protocol version.
    #[error("no common protocol version: install a release that speaks version {ours}")]
    Version {
        /// The coordinator's newest.
        ours: u16,
    },
    /// The first message must be `Hello`, once.
    #[error("the message does not fit the state of the session: {0}")]
    OutOfTurn(String),
    /// The certificate's site is not invited.
    #[error("this site is not invited to the study: ask the consortium's admin")]
    NotInvited,
    /// Enlisted for another plan.
    #[error("the site enlisted for study {theirs}, this one is {ours}: fetch the plan again")]
    OtherStudy {
        /// What the site named.
        theirs: StudyHash,
        /// What runs here.
        ours: StudyHash,
    },
    /// The cohort's numbers do not have the plan's shape.
    #[error("the cohort summary does not fit the study: {0}")]
    Cohort(String),
    /// The roster is pinned.
    #[error("the study has started without this site; it can join the next one")]
    RosterPinned,
    /// Already enlisted.
    #[error("this site is enlisted already")]
    AlreadyEnlisted,
    /// Not enlisted yet.
    #[error("this site has not enlisted")]
    NotEnlisted,
    /// No such order for this site.
    #[error("no such work order was given to this site")]
    UnknownOrder,
    /// Answered before: counted once.
    #[error("this work order was answered before; it counts once")]
    Duplicate,
    /// The gathering is closed.
    #[error("the round is closed: it went on without this answer")]
    Late,
    /// The answer does not fit the order.
    #[error("the answer does not fit the work order: {0}")]
    Answer(String),
    /// The update's bytes cannot be used.
    #[error("the update cannot be used: {0}")]
    Update(String),
    /// The study is over.
    #[error("the study is over")]
    Over,
    /// The fingerprints cannot be used.
    #[error("the fingerprints cannot be used: {0}")]
    Fingerprints(String),
}

impl Rejection {
    /// Whether the order is open still, and only this answer to it is no good.
    pub const fn blames_the_answer(&self) -> bool {
        matches!(self, Self::Answer(_) | Self::Update(_))
    }

    /// A stable word for counters.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Version { .. } => "version",
            Self::OutOfTurn(_) => "out-of-turn",
            Self::NotInvited => "not-invited",
            Self::OtherStudy { .. } => "other-study",
            Self::Cohort(_) => "cohort",
            Self::RosterPinned => "roster-pinned",
            Self::AlreadyEnlisted => "already-enlisted",
            Self::NotEnlisted => "not-enlisted",
            Self::UnknownOrder => "unknown-order",
            Self::Duplicate => "duplicate",
            Self::Late => "late",
            Self::Answer(_) => "answer",
            Self::Update(_) => "update",
            Self::Over => "over",
            Self::Fingerprints(_) => "fingerprints",
        }
    }
}
