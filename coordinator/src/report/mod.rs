//! The report of a study: everything it learned, as data (schema `consilium-report/2`).
//!
//! A report is computed from the coordinator's state alone, so it can be made again from the log. All scores are
//! pooled from histograms; no patient is in it.

mod baselines;
mod build;
mod comparison;
mod designs;
#[cfg(test)]
mod details;
mod health;
mod page;
mod published;
mod render;
#[cfg(test)]
mod schema;
mod scores;
mod statistics;
mod table;
mod tables;
mod tensorboard;

use std::collections::BTreeMap;

use consilium_domain::{
    Arm, CohortSummary, Digest, Fold, Modality, ModalityGroup, Round, SiteId, Study, StudyHash,
};
use consilium_metrics::Scorecard;
use consilium_protocol::coordinator::ChosenBy;
use consilium_transport::Traffic;
use serde::{Deserialize, Serialize};

pub use baselines::{
    BaselineComparison, BaselinesReport, ClinicalFit, ClinicalReport, MajorityReport, MajorityScore,
};
pub use build::ReportError;
pub(crate) use build::study_warnings;
pub use comparison::{Comparison, ComparisonMethod, SiteComparison};
pub use designs::LeftOutSite;
pub use health::{FoldSpread, LabelShare, LabelShift, RoutingReport};
pub(crate) use page::{Curve, curves};
pub use published::Published;
pub use render::{RenderError, page_beside, read, write_page};
pub use statistics::{AcrossSites, ExactScores, FigureEnds, GroupStatistics, SiteInPopulation};
pub use tables::{CsvError, write_csv};
pub use tensorboard::{TensorboardError, write_tensorboard};

/// The value of [`Report::schema`] that this release writes.
pub const SCHEMA: &str = "consilium-report/2";

/// The report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Name and version of this layout.
    pub schema: String,
    /// Name and version of the program that made the report.
    pub software: String,
    /// The agreed plan.
    pub study: Study,
    /// Its hash.
    pub study_hash: StudyHash,
    /// How it ended.
    pub outcome: StudyOutcome,
    /// The pretrained backbone, if an arm needed one.
    pub base_model: Option<Digest>,
    /// Wall-clock seconds a phase.
    pub seconds: PhaseSeconds,
    /// The invited sites.
    pub sites: Vec<SiteReport>,
    /// The classes at each site, by modality.
    pub labels: Vec<LabelShift>,
    /// The arms.
    pub arms: Vec<ArmReport>,
    /// Every pair of fused arms, by modality group.
    pub comparisons: Vec<Comparison>,
    /// What the arms must beat. Empty in reports of before.
    #[serde(default)]
    pub baselines: BaselinesReport,
    /// Each site under the models that never saw it, where the study leaves sites out; empty in other designs.
    #[serde(default)]
    pub left_out: Vec<LeftOutSite>,
    /// Tests of hypotheses in this report. None of their probabilities is corrected for the others.
    pub tests: u32,
    /// What a reader must know: work that went on without a site, and why.
    pub warnings: Vec<String>,
}

/// How a study ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StudyOutcome {
    /// `finished`, `halted`, `paused` or `running`.
    pub status: String,
    /// Why it was halted, or who paused it.
    pub reason: Option<String>,
}

/// Wall-clock seconds. A phase that was not reached is `None`. Lanes overlap, so phases of different lanes do too:
/// each ends when its last lane leaves it.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct PhaseSeconds {
    /// From the opening to the pinned roster.
    pub enrolment: Option<f64>,
    /// From there to the last validated round.
    pub cross_validation: Option<f64>,
    /// From there to the last scored hold-out.
    pub holdout: Option<f64>,
    /// From there to the last fused arm.
    pub fusion: Option<f64>,
    /// All of it.
    pub total: f64,
}

/// One site.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SiteReport {
    /// Which.
    pub site: SiteId,
    /// Its patients in numbers; `None` when it never enlisted.
    pub cohort: Option<CohortSummary>,
    /// Cases it left out because the copy of another site stays; none in a study that ignores duplicates.
    pub duplicates: Option<u32>,
    /// What it says about why it declined the study, or left it; `None` when it did neither.
    #[serde(default)]
    pub withdrawn: Option<String>,
    /// Name and version of the programs it came with, in the order of their coming. Empty in reports of before.
    #[serde(default)]
    pub software: Vec<String>,
    /// Fewest patients of whom it told a score: it told neighbours together. `None` where it told each where it is, or did not
    /// say.
    #[serde(default)]
    pub fewest_per_score: Option<u32>,
    /// UDP payload bytes from the coordinator to the site.
    pub bytes_sent: u64,
    /// UDP payload bytes from the site to the coordinator.
    pub bytes_received: u64,
    /// Seconds the site says it worked.
    pub busy_seconds: BusySeconds,
}

/// Seconds of work by kind.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct BusySeconds {
    /// Training.
    pub train: f64,
    /// Scoring validation folds.
    pub validate: f64,
    /// Scoring hold-outs.
    pub predict_holdout: f64,
    /// Late fusion.
    pub fuse: f64,
}

/// One arm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ArmReport {
    /// Which.
    pub arm: Arm,
    /// The model of round 0.
    pub initial_model: Option<Digest>,
    /// Its lanes.
    pub lanes: Vec<LaneReport>,
    /// Late fusion, one entry a modality group. Empty until the arm is fused.
    pub groups: Vec<GroupReport>,
    /// What others published of this arm, where the study follows their recipe.
    pub published: Option<Published>,
}

/// One lane.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LaneReport {
    /// What it sees.
    pub modality: Modality,
    /// The fold it is validated on.
    pub fold: Fold,
    /// Every round.
    pub rounds: Vec<RoundReport>,
    /// The round that represents the lane.
    pub chosen_round: Option<Round>,
    /// What made it that.
    pub chosen_by: Option<ChosenBy>,
    /// The digest of its model.
    pub chosen_model: Option<Digest>,
    /// Scores of that round on the fold; the threshold maximises Youden's J there.
    pub validation: Option<Scores>,
    /// Scores of that model alone on the hold-out, at the threshold of the validation.
    pub holdout: Option<Scores>,
}

/// One round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RoundReport {
    /// Its number.
    pub round: Round,
    /// How often the learning rates were reduced for it.
    pub reductions: u16,
    /// When it was opened, in seconds after the study.
    pub opened_secs: f64,
    /// When nobody's update was waited for any longer.
    pub trained_secs: Option<f64>,
    /// When nobody's validation was waited for any longer.
    pub validated_secs: Option<f64>,
    /// The aggregated model.
    pub model: Option<Digest>,
    /// Who contributed what.
    pub contributors: Vec<ContributorReport>,
    /// Who was expected and is missing, and why.
    pub missing: BTreeMap<SiteId, String>,
    /// Scores of the new model on the fold.
    pub validation: Option<Scores>,
    /// Its mean cross-entropy over the patients of the fold, pooled over sites, by which the rates are reduced.
    pub validation_loss: Option<f64>,
    /// M of the paper on the fold, where the study chooses by it and the round passes.
    pub validation_m: Option<f64>,
    /// How the new model routed the patients of the fold; only of an arm with a policy, where sites told.
    pub routing: Option<RoutingReport>,
    /// How far the model moved, and how far the updates lay apart; none where only their sum was seen, and in rounds of
    /// before.
    #[serde(default)]
    pub movement: Option<MovementReport>,
}

/// How the updates of a round lay to each other, as they were summed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MovementReport {
    /// Euclidean norm of their mean.
    pub norm: f64,
    /// Root mean square distance of two of them, drawn with the weight of their cases.
    pub drift: f64,
}

/// One admitted update.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContributorReport {
    /// Whose.
    pub site: SiteId,
    /// Cases it was trained on.
    pub cases: u32,
    /// Its share in the aggregate: its cases among those of all contributors so far.
    pub weight: f64,
    /// When it was recorded, in seconds after the study was opened.
    pub answered_secs: f64,
    /// Seconds the site says it worked.
    pub busy_secs: f64,
    /// The digest of the sealed update.
    pub update: Digest,
    /// Its length in bytes, as it came over the wire. 0 in reports of before.
    #[serde(default)]
    pub update_bytes: u64,
    /// Its Euclidean norm, as the site told it: before clipping and rounding.
    pub norm: f64,
    /// The cosine of its angle to the round's mean update, once that was taken; none where only the sum was seen.
    #[serde(default)]
    pub cosine: Option<f64>,
    /// Coordinates that were cut.
    pub saturated: u64,
    /// Mean loss of the site's last local epoch.
    pub mean_loss: f64,
    /// Mean share of patients on the fine-tuned path.
    pub tuned_share: Option<f64>,
}

/// Late fusion of one modality group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupReport {
    /// Which modalities.
    pub group: ModalityGroup,
    /// The threshold that maximises Youden's J on the pooled out-of-fold validation.
    pub threshold: Option<f64>,
    /// Out-of-fold scores of the training patients.
    pub validation: Scores,
    /// Scores of the hold-out patients by the mean over all fold models.
    pub holdout: Scores,
    /// What the hold-out says beyond its scorecards.
    pub statistics: GroupStatistics,
    /// How the folds differ; of a group of several modalities only where every site told its scores by fold.
    pub folds: Option<FoldSpread>,
}

/// Scores of one set of patients.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Over all sites.
    pub pooled: Scorecard,
    /// By site.
    pub sites: BTreeMap<SiteId, Scorecard>,
    /// Sites that were asked and did not answer, and why.
    pub missing: BTreeMap<SiteId, String>,
}

impl Report {
    /// The late fusion of `arm` in `group`.
    pub fn group(&self, arm: Arm, group: &str) -> Option<&GroupReport> {
        self.arms
            .iter()
            .find(|report| report.arm == arm)?
            .groups
            .iter()
            .find(|report| report.group.name == group)
    }

    /// Adds the bytes that went to and came from each site.
    pub fn set_traffic(&mut self, traffic: &BTreeMap<SiteId, Traffic>) {
        for site in &mut self.sites {
            let Traffic { bytes_sent, bytes_received } = traffic.get(&site.site).copied().unwrap_or_default();
            (site.bytes_sent, site.bytes_received) = (bytes_sent, bytes_received);
        }
    }
}
