//! What can happen to a study, and what follows from it.

use std::collections::BTreeMap;

use consilium_domain::{Arm, BlobRef, CohortSummary, Fingerprint, Lane, OrderId, Round, SiteId, Study};
use serde::{Deserialize, Serialize};

use super::Movement;
use crate::{Outcome, Progress};

/// The blobs a study starts from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FirstModels {
    /// The pretrained backbone; sites fetch it once.
    pub base: Option<BlobRef>,
    /// What trains, before the first round, by arm.
    pub initial: BTreeMap<Arm, BlobRef>,
    /// Bytes of an update at most, by arm.
    pub update_bytes: BTreeMap<Arm, u64>,
}

/// The first event of a log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Opening {
    /// The agreed plan.
    pub study: Study,
    /// What it starts from.
    pub models: FirstModels,
}

/// Something that happened. Accepted events are the only thing a coordinator must remember.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// The study was opened; the first event and only the first.
    Opened(Box<Opening>),
    /// The coordinator takes the study up again after it was away: the first event of every later process.
    /// All sessions ended with the process before, and no patience ran out while nobody could be heard.
    /// Repeat [`super::Coordinator::pending_aggregations`] after it.
    Resumed,
    /// A site's session is up.
    SiteConnected {
        /// Which.
        site: SiteId,
        /// Name and version of its program; empty where it did not say, and in logs of before.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        software: String,
    },
    /// A site's session is gone.
    SiteGone {
        /// Which.
        site: SiteId,
        /// What the transport said.
        reason: String,
    },
    /// A site sent a part of its fingerprints.
    FingerprintsSent {
        /// Which.
        site: SiteId,
        /// The number of the part; 0 starts over.
        part: u32,
        /// Whether it is the last part.
        last: bool,
        /// The next cases.
        cases: Vec<Fingerprint>,
    },
    /// A site takes part.
    SiteEnlisted {
        /// Which.
        site: SiteId,
        /// Its patients in numbers.
        cohort: CohortSummary,
    },
    /// A site did its work.
    OrderAnswered {
        /// Which site.
        site: SiteId,
        /// Which order.
        order: OrderId,
        /// The result.
        outcome: Outcome,
    },
    /// A site could not do its work.
    OrderFailed {
        /// Which site.
        site: SiteId,
        /// Which order.
        order: OrderId,
        /// Why.
        reason: String,
    },
    /// The sum over a closed round was taken and the new model is stored.
    RoundAggregated {
        /// The lane.
        lane: Lane,
        /// The round.
        round: Round,
        /// The new model.
        model: BlobRef,
        /// How the updates lay to their mean; none where only their sum was seen, and in logs of before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        movement: Option<Movement>,
        /// What makes the model of the one the round started from; none in logs of before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        delta: Option<BlobRef>,
    },
    /// The time of [`super::Coordinator::next_timeout`] has come.
    TimePassed,
    /// An admin paused the study: until it continues no orders are handed out and no patience runs out.
    Paused {
        /// The admin.
        by: String,
    },
    /// An admin let the paused study continue.
    Continued {
        /// The admin.
        by: String,
    },
    /// An admin ended the study for good.
    Aborted {
        /// Why.
        reason: String,
    },
    /// A site declined the study or left it. What it contributed to closed rounds and answered before stays.
    SiteWithdrew {
        /// Which.
        site: SiteId,
        /// What it says.
        reason: String,
    },
    /// A site is further with an order than it ever was.
    OrderProgressed {
        /// Which site.
        site: SiteId,
        /// Which order.
        order: OrderId,
        /// How far.
        progress: Progress,
    },
}

/// One admitted update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contribution {
    /// Whose.
    pub site: SiteId,
    /// The sealed update.
    pub update: BlobRef,
    /// Its weight.
    pub cases: u32,
}

/// Something the shell must do, after the event that caused it is durable.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Add the contributions' mean to `start`, store the model and report [`Event::RoundAggregated`].
    Aggregate {
        /// The lane.
        lane: Lane,
        /// The round.
        round: Round,
        /// The model the round started from.
        start: BlobRef,
        /// At least a quorum, each site once, in site order.
        contributions: Vec<Contribution>,
    },
    /// Tell the log that work went on without some sites.
    WentOnWithout {
        /// The work, in words.
        work: String,
        /// The sites and why they are missing.
        missing: BTreeMap<SiteId, String>,
    },
    /// Tell the admin that a site declined the study or left it.
    SiteWithdrew {
        /// Which.
        site: SiteId,
        /// What it says.
        reason: String,
    },
    /// The study is complete: write the report.
    Finish,
    /// The study cannot go on.
    Halt {
        /// Why, and what to do about it.
        reason: String,
    },
}
