//! What a site answers: numbers over many patients, never one.

use consilium_domain::BlobRef;
use consilium_metrics::{LogisticSums, ScoreHistogram};
use serde::{Deserialize, Serialize};

use crate::{FusionDetail, ScoringDetail};

/// The result of a work order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Outcome {
    /// Of `Task::Train`.
    Trained(TrainingOutcome),
    /// Of `Task::Validate` and `Task::PredictHoldout`.
    Scored(ScoringOutcome),
    /// Of `Task::Fuse`.
    Fused(FusionOutcome),
    /// Of `Task::Validate` and `Task::PredictHoldout`, with sums beyond the histogram. From
    /// [`crate::DETAILS_SINCE`] on.
    ScoredInDetail(ScoringOutcome, ScoringDetail),
    /// Of `Task::Fuse`, with sums beyond the histograms. From [`crate::DETAILS_SINCE`] on.
    FusedInDetail(FusionOutcome, FusionDetail),
    /// Of `Task::FitBaseline`: the sums over each fold's training patients, in the order of folds. From
    /// [`crate::BASELINE_SINCE`] on.
    Regressed(Vec<LogisticSums>),
    /// Of `Task::ScoreBaseline`. From [`crate::BASELINE_SINCE`] on.
    BaselineScored(BaselineOutcome),
}

impl Outcome {
    /// The blob that must be with the coordinator before the answer counts.
    pub const fn blob(&self) -> Option<BlobRef> {
        match self {
            Self::Trained(training) => Some(training.update),
            Self::Scored(_) | Self::Fused(_) | Self::ScoredInDetail(..) | Self::FusedInDetail(..) => None,
            Self::Regressed(_) | Self::BaselineScored(_) => None,
        }
    }

    /// What of it every version understands.
    #[must_use]
    pub fn without_detail(self) -> Self {
        match self {
            Self::ScoredInDetail(scoring, _) => Self::Scored(scoring),
            Self::FusedInDetail(fusion, _) => Self::Fused(fusion),
            plain => plain,
        }
    }
}

/// One site's training of one round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainingOutcome {
    /// The sealed update.
    pub update: BlobRef,
    /// Cases it was trained on: its weight in the aggregate.
    pub cases: u32,
    /// Mean loss of the last local epoch.
    pub mean_loss: f64,
    /// Mean share of patients that took the fine-tuned path, over the blocks; only with a policy.
    pub tuned_share: Option<f64>,
    /// Euclidean norm of the update before quantisation.
    pub norm: f64,
    /// Coordinates that were cut to the fixed-point range.
    pub saturated: u64,
    /// Seconds the site worked.
    pub seconds: f64,
}

/// Scores of one model on one set of a site's patients.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScoringOutcome {
    /// Predicted probabilities by class.
    pub scores: ScoreHistogram,
    /// Sum of the binary cross-entropy over the patients.
    pub loss_sum: f64,
    /// Seconds the site worked.
    pub seconds: f64,
}

/// Late fusion at a site: for every modality group, averaged probabilities.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FusionOutcome {
    /// One entry a modality group of the study, in its order.
    pub groups: Vec<GroupScores>,
    /// Seconds the site worked.
    pub seconds: f64,
}

/// Fused scores of one modality group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupScores {
    /// Out-of-fold: each training patient scored by the models that did not train on it.
    pub validation: ScoreHistogram,
    /// Each hold-out patient scored by the mean over all fold models.
    pub holdout: ScoreHistogram,
}

/// Scores of the clinical baseline on the patients whose age and sex are known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BaselineOutcome {
    /// Out of fold, and the hold-out by the mean over the folds' fits.
    pub scores: GroupScores,
    /// Sums over the hold-out, one entry; and the baseline against every arm that was fused here, on the patients whom
    /// both scored. Differences are the baseline's area minus the arm's.
    pub detail: FusionDetail,
    /// Seconds the site worked.
    pub seconds: f64,
}
