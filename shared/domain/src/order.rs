//! What the coordinator asks of a site.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Arm, BlobRef, ClassCounts, Coefficients, Digest, Lane, Round, StudyHash};

/// Names one piece of work: a site that answers it twice is counted once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OrderId(pub Digest);

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.short())
    }
}

/// The model a lane is represented by after cross-validation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ChosenModel {
    /// The lane.
    pub lane: Lane,
    /// Its best round on the pooled validation fold.
    pub round: Round,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Task {
    /// Train the lane's model of the round before on the site's training folds; answer with an update.
    Train {
        /// The lane.
        lane: Lane,
        /// The round the update is for.
        round: Round,
        /// The model to start from.
        model: BlobRef,
        /// The patients of each class whom all sites of the round train on, where the study weights classes by them.
        classes: Option<ClassCounts>,
        /// How often the learning rates are reduced by now: `Training::reduced` has the rates.
        reductions: u16,
    },
    /// Score the lane's validation fold with the model of `round`.
    Validate {
        /// The lane.
        lane: Lane,
        /// The round whose model is scored.
        round: Round,
        /// That model.
        model: BlobRef,
    },
    /// Score the hold-out with the lane's chosen model.
    PredictHoldout {
        /// The lane.
        lane: Lane,
        /// The chosen round.
        round: Round,
        /// Its model.
        model: BlobRef,
    },
    /// Average the probabilities this site keeps, over folds and modalities.
    Fuse {
        /// The arm to fuse.
        arm: Arm,
        /// The chosen model of each of the arm's lanes.
        models: Vec<ChosenModel>,
    },
    /// Sum likelihood, gradient and information of the clinical baseline over each fold's training patients.
    FitBaseline {
        /// How often sites have been asked, from 1.
        step: u16,
        /// The coefficients to do it under, one entry a fold.
        coefficients: Vec<Coefficients>,
    },
    /// Score the clinical baseline: out of fold, and the hold-out by the mean over the folds' fits.
    ScoreBaseline {
        /// The fitted coefficients, one entry a fold.
        coefficients: Vec<Coefficients>,
    },
}

impl Task {
    /// The word for the kind of task, for logs and errors.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Train { .. } => "train",
            Self::Validate { .. } => "validate",
            Self::PredictHoldout { .. } => "predict-holdout",
            Self::Fuse { .. } => "fuse",
            Self::FitBaseline { .. } => "fit-baseline",
            Self::ScoreBaseline { .. } => "score-baseline",
        }
    }

    /// The model the site must have before it can start, if any.
    pub const fn model(&self) -> Option<BlobRef> {
        match self {
            Self::Train { model, .. } | Self::Validate { model, .. } | Self::PredictHoldout { model, .. } => {
                Some(*model)
            }
            Self::Fuse { .. } | Self::FitBaseline { .. } | Self::ScoreBaseline { .. } => None,
        }
    }

    /// The lane whose model it works with, if it works with one.
    pub const fn lane(&self) -> Option<&Lane> {
        match self {
            Self::Train { lane, .. } | Self::Validate { lane, .. } | Self::PredictHoldout { lane, .. } => {
                Some(lane)
            }
            Self::Fuse { .. } | Self::FitBaseline { .. } | Self::ScoreBaseline { .. } => None,
        }
    }

    /// What it asks the baseline to be computed under.
    pub const fn coefficients(&self) -> Option<&Vec<Coefficients>> {
        match self {
            Self::FitBaseline { coefficients, .. } | Self::ScoreBaseline { coefficients } => {
                Some(coefficients)
            }
            Self::Train { .. } | Self::Validate { .. } | Self::PredictHoldout { .. } | Self::Fuse { .. } => {
                None
            }
        }
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Train { lane, round, .. }
            | Self::Validate { lane, round, .. }
            | Self::PredictHoldout { lane, round, .. } => write!(f, "{} {lane} round {round}", self.name()),
            Self::Fuse { arm, .. } => write!(f, "{} {arm}", self.name()),
            Self::FitBaseline { step, .. } => write!(f, "{} step {step}", self.name()),
            Self::ScoreBaseline { .. } => f.write_str(self.name()),
        }
    }
}

/// A task of a study, with its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkOrder {
    /// The same task of the same study always has the same id.
    pub id: OrderId,
    /// The study it belongs to.
    pub study: StudyHash,
    /// What is to be done.
    pub task: Task,
}

impl WorkOrder {
    /// The order for `task` in `study`.
    pub fn new(study: StudyHash, task: Task) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("consilium 2026 work order");
        hasher.update(study.digest().as_bytes());
        hasher.update(task.to_string().as_bytes());
        if let Some(model) = task.model() {
            hasher.update(model.digest.as_bytes());
        }
        // The same step under other coefficients is another question.
        for value in task.coefficients().into_iter().flatten().flat_map(Coefficients::values) {
            hasher.update(&value.to_bits().to_le_bytes());
        }
        Self { id: OrderId(Digest::from_bytes(*hasher.finalize().as_bytes())), study, task }
    }
}
