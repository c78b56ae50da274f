//! What an admin is shown, as data: the documents of [`super::AdminReply::Page`].

use std::collections::BTreeMap;
use std::fmt;

use consilium_domain::{CohortSummary, Digest, Lane, Round, SiteId, Study};
use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// Where a study of a consortium stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StudyState {
    /// Taken in; earlier studies still need its sites.
    Submitted,
    /// Sites enlist or work.
    Running,
    /// An admin paused it.
    Paused,
    /// Complete.
    Finished,
    /// It could not go on by its own rules.
    Halted,
    /// An admin ended it.
    Aborted,
    /// The coordinator cannot carry it on: a damaged file, a full disk. `study resume` tries again.
    Failed,
}

impl StudyState {
    /// Whether nothing more will happen.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Finished | Self::Halted | Self::Aborted)
    }
}

impl fmt::Display for StudyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Submitted => "submitted",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Finished => "finished",
            Self::Halted => "halted",
            Self::Aborted => "aborted",
            Self::Failed => "failed",
        })
    }
}

/// One line of a list of studies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StudySummary {
    /// Its place in the order of submission, from 1.
    pub number: u32,
    /// Its hash.
    pub hash: Digest,
    /// Its name for people.
    pub name: String,
    /// Where it stands.
    pub state: StudyState,
    /// Why it halted, was aborted, failed, or waits.
    pub reason: Option<String>,
    /// When it was submitted.
    pub submitted: Timestamp,
    /// Who submitted it.
    pub by: String,
    /// Steps done: each aggregated round, validated round, scored hold-out and fused arm is one.
    pub steps_done: u32,
    /// Steps of the whole study.
    pub steps: u32,
    /// Sites whose session is up.
    pub connected: u32,
    /// Sites that take part.
    pub enlisted: u32,
    /// Sites that are invited.
    pub invited: u32,
}

/// All studies, in the order of submission, and who was refused since the coordinator started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StudyList {
    /// The studies.
    pub studies: Vec<StudySummary>,
    /// How often a caller or a request was refused, by the code of the refusal.
    pub refused: BTreeMap<String, u64>,
}

/// What was done to a study.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StudyDone {
    /// The study as it stands now.
    pub study: StudySummary,
}

/// One study in detail.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StudyView {
    /// As in a list.
    pub summary: StudySummary,
    /// The plan.
    pub plan: Study,
    /// Every invited site.
    pub sites: Vec<SiteView>,
    /// Every lane; none before the study has begun to train.
    pub lanes: Vec<LaneView>,
    /// The times in which it stood still.
    pub pauses: Vec<PauseView>,
    /// When it would end if every step took as long as those so far; `None` where that cannot be said.
    #[serde(default)]
    pub expected_end: Option<Timestamp>,
    /// What a reader of its report will have to know: work that went on without a site, and why.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// Where a site stands in a study.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SiteStanding {
    /// It has not come yet.
    Awaited,
    /// It came and has not enlisted: it prepares its data, or waits for a person's approval.
    Preparing,
    /// It takes part and is connected.
    Connected,
    /// Its connection is gone.
    Gone,
    /// It declined the study or left it.
    Withdrawn,
}

impl fmt::Display for SiteStanding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Awaited => "awaited",
            Self::Preparing => "preparing",
            Self::Connected => "connected",
            Self::Gone => "gone",
            Self::Withdrawn => "withdrawn",
        })
    }
}

/// A site in a study.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteView {
    /// Which.
    pub site: SiteId,
    /// Where it stands.
    pub standing: SiteStanding,
    /// Why, where there is something to say.
    pub reason: Option<String>,
    /// When it last did something the study noticed; `None` before the study began.
    pub last_heard: Option<Timestamp>,
    /// Its patients in numbers, once it takes part.
    pub cohort: Option<CohortSummary>,
    /// The order it has in hand, as far as it has said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_hand: Option<InHandView>,
    /// The order that it works on, or is given next. `None` while it waits for others.
    #[serde(default)]
    pub order: Option<String>,
    /// How many orders it has answered.
    #[serde(default)]
    pub answered: u32,
    /// Seconds of its own work that are left, at the speed measured so far; `None` before there is one.
    #[serde(default)]
    pub work_left_secs: Option<u64>,
}

/// An order that a site is working on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InHandView {
    /// What is to be done, in words.
    pub task: String,
    /// Steps done, or patients scored.
    pub steps: u32,
    /// Of how many; 0 where the site does not know.
    pub of: u32,
    /// When it said so.
    pub at: Timestamp,
    /// Seconds that the order took yet when it said so, at the mean of such orders before; `None` without any.
    #[serde(default)]
    pub left_secs: Option<u64>,
}

/// How far a lane is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LaneView {
    /// Which.
    pub lane: Lane,
    /// Rounds with a model.
    pub rounds_done: u16,
    /// Rounds in all.
    pub rounds: u16,
    /// The round that represents the lane, once it is chosen.
    pub chosen: Option<Round>,
    /// Whether its hold-out is scored.
    pub complete: bool,
    /// The rounds that have begun, in order.
    #[serde(default)]
    pub progress: Vec<RoundView>,
    /// The latest model that a round has made, and who is in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest: Option<ModelView>,
}

/// Who is in the model of a round. What the coordinator has signed of it lies in the study's state folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelView {
    /// The round that made it.
    pub round: Round,
    /// The model.
    pub model: Digest,
    /// Whose updates are in it.
    pub contributors: Vec<ContributorView>,
    /// Who was expected and is missing, and why.
    pub missing: BTreeMap<SiteId, String>,
}

/// One update of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContributorView {
    /// Whose.
    pub site: SiteId,
    /// Its weight: cases it was trained on.
    pub cases: u32,
    /// The sealed update.
    pub update: Digest,
}

/// What happens in a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RoundStage {
    /// Sites train.
    Training,
    /// Their updates are summed.
    Summing,
    /// Sites score the new model.
    Validating,
    /// Nothing more.
    Validated,
}

impl fmt::Display for RoundStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Training => "training",
            Self::Summing => "summing",
            Self::Validating => "validating",
            Self::Validated => "validated",
        })
    }
}

/// One round of a lane.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RoundView {
    /// Which.
    pub round: Round,
    /// What happens in it.
    pub stage: RoundStage,
    /// Sites that were asked to train.
    pub expected: u32,
    /// Updates that were taken.
    pub trained: u32,
    /// Sites that have scored its model.
    pub scored: u32,
    /// Sites without which its training or its validation went on.
    pub missing: u32,
    /// Mean loss of the last local epoch over the patients of all sites, once its training is over.
    pub training_loss: Option<f64>,
    /// Mean loss on the fold, once its validation is over.
    pub validation_loss: Option<f64>,
    /// Pooled AUC on the fold, once its validation is over.
    pub validation_auc: Option<f64>,
}

/// A time in which a study stood still.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PauseView {
    /// The admin who paused it.
    pub by: String,
    /// From when.
    pub since: Timestamp,
    /// Until when, if it continued.
    pub until: Option<Timestamp>,
}

/// What a hospital needs to join. `Debug` does not show the token: whoever has it can join.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinInvitation {
    /// The site that may join with it.
    pub site: SiteId,
    /// The token to hand over. It is shown once and stored nowhere.
    pub token: String,
    /// Until when.
    pub expires: Timestamp,
}

impl fmt::Debug for JoinInvitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinInvitation").field("site", &self.site).finish_non_exhaustive()
    }
}

/// A certificate that is worth nothing any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevokedCertificate {
    /// Its serial number, hexadecimal with colons.
    pub serial: String,
    /// How many connections were closed with it.
    pub connections: u64,
}

/// A hospital of the consortium.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisteredSite {
    /// What it is called.
    pub site: SiteId,
    /// A word: `invited`, `joined` or `revoked`.
    pub state: String,
    /// When its present certificate expires.
    pub certificate_expires: Option<Timestamp>,
    /// When it was last connected.
    pub last_seen: Option<Timestamp>,
    /// Name and version of its program.
    pub software: Option<String>,
}
