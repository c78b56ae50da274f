//! The coordinator's side of a study: a fold over accepted events.
//!
//! ```text
//! Enrolling --all invited enlisted, or time is up with a quorum--> Running --all arms fused--> Finished
//!     |                                                               |
//!     +-------------------- a quorum can no longer be had ------------+------------------> Halted
//! ```
//!
//! The shell asks [`Coordinator::admit`] whether an event may happen, writes it to its log, and only then calls
//! [`Coordinator::apply`], which returns the effects to carry out. State is a function of the log alone
//! ([`Coordinator::replay`]). Orders are not pushed: a site that is ready gets [`Coordinator::next_order`].

mod admission;
mod applying;
mod baseline;
mod comparison;
mod details;
mod event;
mod gathering;
mod lane;
mod movement;
mod opening;
mod orders;
mod patience;
mod pausing;
mod roster;
mod selection;
mod settling;
mod withdrawing;

use std::collections::BTreeMap;

use consilium_domain::{Arm, OrderId, Study, StudyHash, Task};

pub use baseline::BaselineState;
pub use comparison::Exclusion;
pub use event::{Contribution, Effect, Event, FirstModels, Opening};
pub use gathering::{Answered, Closing, Gathering};
pub use lane::{LaneState, RoundState};
pub use movement::{Movement, SiteMovement};
pub use pausing::Pause;
pub use roster::{InHand, Member, Presence, Roster, Withdrawal};
pub use selection::{ChosenBy, PooledScores, pooled_scores};

use crate::{FusionOutcome, Rejection, Timestamp};
use comparison::Comparison;
use details::Details;

/// Where a study stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// Invited sites are enlisting, after their fingerprints were compared if the study excludes duplicates.
    Enrolling,
    /// The roster is pinned, lanes train.
    Running {
        /// When the roster was pinned.
        since: Timestamp,
    },
    /// Everything is evaluated.
    Finished {
        /// When the roster was pinned.
        began: Timestamp,
        /// When the last arm was fused.
        at: Timestamp,
    },
    /// Stopped for a reason.
    Halted {
        /// When.
        at: Timestamp,
        /// Why, and what to do about it.
        reason: String,
    },
}

/// The state of a study.
#[derive(Debug, Clone, PartialEq)]
pub struct Coordinator {
    study: Study,
    hash: StudyHash,
    models: FirstModels,
    opened: Timestamp,
    now: Timestamp,
    phase: Phase,
    roster: Roster,
    comparison: Comparison,
    lanes: Vec<LaneState>,
    fusions: BTreeMap<Arm, Gathering<FusionOutcome>>,
    details: Details,
    baseline: Option<BaselineState>,
    orders: BTreeMap<OrderId, Task>,
    pauses: Vec<Pause>,
    aborted: bool,
}

impl Coordinator {
    /// Opens a study: invited sites may enlist.
    pub fn open(at: Timestamp, opening: Opening) -> Self {
        let Opening { study, models } = opening;
        let roster = Roster::invite(&study.federation.sites, at);
        Self {
            hash: study.hash(),
            comparison: Comparison::of(study.federation.duplicates),
            study,
            models,
            opened: at,
            now: at,
            phase: Phase::Enrolling,
            roster,
            lanes: Vec::new(),
            fusions: BTreeMap::new(),
            details: Details::default(),
            baseline: None,
            orders: BTreeMap::new(),
            pauses: Vec::new(),
            aborted: false,
        }
    }

    /// The state after a log. `None` when the log is empty or does not begin with [`Event::Opened`], or holds an
    /// event that its own past refuses: such a log was not written by this machine.
    pub fn replay(log: impl IntoIterator<Item = (Timestamp, Event)>) -> Option<Self> {
        let mut log = log.into_iter();
        let (at, Event::Opened(opening)) = log.next()? else { return None };
        let mut state = Self::open(at, *opening);
        for (at, event) in log {
            state.handle(at, event).ok()?;
        }
        Some(state)
    }

    /// [`Self::admit`] and [`Self::apply`] in one: a rejected event changes nothing.
    ///
    /// # Errors
    /// The reason why the event may not happen.
    pub fn handle(&mut self, at: Timestamp, event: Event) -> Result<Vec<Effect>, Rejection> {
        self.admit(at, &event)?;
        Ok(self.apply(at, event))
    }

    /// The agreed plan.
    pub const fn study(&self) -> &Study {
        &self.study
    }

    /// Its hash.
    pub const fn hash(&self) -> StudyHash {
        self.hash
    }

    /// The models the study starts from.
    pub const fn first_models(&self) -> &FirstModels {
        &self.models
    }

    /// When the study was opened.
    pub const fn opened(&self) -> Timestamp {
        self.opened
    }

    /// Where the study stands.
    pub const fn phase(&self) -> &Phase {
        &self.phase
    }

    /// Whether nothing more can happen.
    pub const fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Finished { .. } | Phase::Halted { .. })
    }

    /// Whether it was an admin who ended the study.
    pub const fn was_aborted(&self) -> bool {
        self.aborted
    }

    /// The sites.
    pub const fn roster(&self) -> &Roster {
        &self.roster
    }

    /// The lanes, in the study's order; empty before the roster is pinned.
    pub fn lanes(&self) -> &[LaneState] {
        &self.lanes
    }

    /// The late fusion of each arm whose lanes are complete.
    pub const fn fusions(&self) -> &BTreeMap<Arm, Gathering<FusionOutcome>> {
        &self.fusions
    }
}
