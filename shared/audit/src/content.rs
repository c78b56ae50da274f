//! What kind of thing left or entered, in numbers. The bytes themselves are known by their digest.

use consilium_domain::network::TensorSpec;
use consilium_domain::{Arm, BlobRef, Digest, Lane, OrderId, Round, StudyHash, Task};
use serde::{Deserialize, Serialize};

use crate::words::Code;

/// What a message or a blob is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Content {
    /// A site's greeting.
    Hello {
        /// The oldest version it speaks.
        oldest_version: u16,
        /// The newest.
        newest_version: u16,
    },
    /// The answer to it, with the study's plan.
    Welcome {
        /// The version that is spoken.
        version: u16,
        /// The plan; none where this release cannot read it.
        study: Option<StudyHash>,
        /// The pretrained backbone.
        base: Option<BlobRef>,
    },
    /// A site's cohort in numbers.
    Enlistment {
        /// For which study.
        study: StudyHash,
        /// Modalities that were counted.
        modalities: u32,
        /// The most patients of any modality.
        patients: u64,
        /// Scans left out.
        excluded: u64,
    },
    /// The shorter way to a model, by what a round changed of the one before.
    DeltaOffer {
        /// The model.
        model: BlobRef,
        /// What the round changed.
        delta: BlobRef,
    },
    /// Keyed hashes of names and images of cases.
    Fingerprints {
        /// For which study.
        study: StudyHash,
        /// The number of the part.
        part: u32,
        /// Cases in it.
        cases: u32,
    },
    /// The site takes part.
    Enlisted {},
    /// Which of a site's cases others hold too.
    Duplicates {
        /// How many.
        cases: u32,
    },
    /// A site asks for work.
    Ready {},
    /// A work order.
    WorkOrder {
        /// Its name.
        order: OrderId,
        /// Of which study.
        study: StudyHash,
        /// What is to be done.
        work: Work,
        /// With which model.
        model: Option<BlobRef>,
    },
    /// The bytes of a model, of what makes one of the model before, or of the backbone.
    Model {},
    /// The bytes of a sealed update.
    Update {
        /// The order it answers; none while only the bytes are known.
        order: Option<OrderId>,
        /// What was done.
        work: Option<Work>,
        /// The tensors in it.
        tensors: Option<TensorSummary>,
        /// Patients it was trained on.
        cases: Option<u32>,
        /// Its Euclidean norm before quantisation.
        norm: Option<f64>,
    },
    /// The figures of a training, and which update is its result.
    Training {
        /// The order.
        order: OrderId,
        /// What was done; none for an order that nobody gave.
        work: Option<Work>,
        /// The update.
        update: BlobRef,
        /// Patients it was trained on.
        cases: u32,
        /// Its Euclidean norm before quantisation; none where it is no number.
        norm: Option<f64>,
        /// Coordinates that were cut.
        saturated: u64,
    },
    /// A histogram of scores.
    Scores {
        /// The order.
        order: OrderId,
        /// What was done.
        work: Option<Work>,
        /// Bins.
        bins: u32,
        /// Patients with the label.
        positives: u64,
        /// Patients without.
        negatives: u64,
        /// Sums told beyond the histogram: `score-sums`, `routing-counts`, `arm-comparisons`, `scores-by-fold`; and
        /// `scores-of-groups` where scores were told by groups of patients.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        beyond: Vec<Code>,
    },
    /// Histograms of scores averaged over folds and modalities.
    FusedScores {
        /// The order.
        order: OrderId,
        /// What was done.
        work: Option<Work>,
        /// Modality groups, each with a histogram for validation and one for the hold-out.
        groups: u32,
        /// Bins of each histogram.
        bins: u32,
        /// Patients with the label, over all histograms.
        positives: u64,
        /// Patients without.
        negatives: u64,
        /// Sums told beyond the histogram: `score-sums`, `routing-counts`, `arm-comparisons`, `scores-by-fold`; and
        /// `scores-of-groups` where scores were told by groups of patients.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        beyond: Vec<Code>,
    },
    /// Sums of a regression over each fold's training patients.
    RegressionSums {
        /// The order.
        order: OrderId,
        /// What was done.
        work: Option<Work>,
        /// Folds.
        folds: u32,
        /// Most patients with the label, of any fold.
        positives: u64,
        /// Most patients without, of any fold.
        negatives: u64,
    },
    /// Work that could not be done. The reason's text is not kept here.
    Failure {
        /// The order.
        order: OrderId,
        /// What was to be done.
        work: Option<Work>,
        /// Length of the reason.
        reason_bytes: u32,
    },
    /// How far the site is with an order.
    Progress {
        /// The order.
        order: OrderId,
        /// Steps done, or inputs scored.
        steps: u32,
        /// Of how many; 0 where that is not known.
        of: u32,
        /// Mebibytes that moved for it.
        mebibytes: u32,
    },
    /// An answer is recorded.
    Accepted {
        /// Whose.
        order: OrderId,
    },
    /// A message changed nothing.
    Rejected {
        /// The order it was about.
        order: Option<OrderId>,
        /// Why.
        reason: Code,
    },
    /// The study is complete.
    Finished {},
    /// The study was stopped. The reason's text is not kept here.
    Halted {
        /// Length of the reason.
        reason_bytes: u32,
    },
    /// A site declines a study or leaves it. The reason's text is not kept here.
    Withdrawal {
        /// Which study.
        study: StudyHash,
        /// Length of the reason.
        reason_bytes: u32,
    },
    /// A site's withdrawal is recorded.
    Withdrawn {},
    /// No study needs the site yet.
    Waiting {},
    /// What an admin or an observer asks for. Its texts are not kept here.
    AdminRequest {
        /// What.
        command: Code,
    },
    /// An admin or an observer is welcome.
    AdminWelcome {},
    /// A part of the answer's document.
    AdminPage {
        /// Whether it is the last one.
        last: bool,
    },
    /// A request changed nothing.
    AdminRefused {
        /// Why.
        reason: Code,
    },
    /// A site asks for its next certificate.
    CertificateRequest {
        /// Length of the request, which holds a public key and a signature.
        bytes: u32,
    },
    /// A site's next certificate.
    CertificateIssued {
        /// Length of the chain.
        bytes: u32,
    },
    /// A site gets no certificate.
    CertificateRefusal {
        /// Length of the reason.
        reason_bytes: u32,
    },
    /// A message without a record of its own kind, known by its name.
    Other {
        /// The name.
        name: Code,
    },
}

/// What an order asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Work {
    /// `train`, `validate`, `predict-holdout`, `fuse`, `fit-baseline` or `score-baseline`.
    pub task: Code,
    /// For which arm; none for the baseline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arm: Option<Arm>,
    /// In which lane; none where lanes are fused.
    pub lane: Option<Lane>,
    /// In which round of it.
    pub round: Option<Round>,
}

impl Work {
    /// What `task` asks for.
    pub fn of(task: &Task) -> Self {
        let (arm, lane, round) = match task {
            Task::Train { lane, round, .. }
            | Task::Validate { lane, round, .. }
            | Task::PredictHoldout { lane, round, .. } => (Some(lane.arm), Some(*lane), Some(*round)),
            Task::Fuse { arm, .. } => (Some(*arm), None, None),
            Task::FitBaseline { .. } | Task::ScoreBaseline { .. } => (None, None, None),
        };
        Self { task: Code::new(task.name()), arm, lane, round }
    }
}

/// Which tensors a set of weights has. Their names and shapes follow from study and arm; the digest pins them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TensorSummary {
    /// How many.
    pub tensors: u32,
    /// Values in all of them.
    pub values: u64,
    /// BLAKE3 of one line a tensor in the manifest's order: name, a blank, its extents with `x` between them.
    pub manifest: Digest,
}

impl TensorSummary {
    /// The tensors of `manifest`.
    pub fn of(manifest: &[TensorSpec]) -> Self {
        let mut text = String::new();
        for tensor in manifest {
            let extents: Vec<String> = tensor.shape.iter().map(ToString::to_string).collect();
            text += &format!("{} {}\n", tensor.name, extents.join("x"));
        }
        Self {
            tensors: manifest.len() as u32,
            values: manifest.iter().map(|tensor| tensor.values() as u64).sum(),
            manifest: Digest::of(text.as_bytes()),
        }
    }
}
