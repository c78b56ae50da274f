//! The hospital's own rules: what a study may ask for, when the client may work, what may leave, and who decides.
//!
//! [`PolicyFile`] is `policy.toml` as written, [`SitePolicy`] the same checked. Everything here is a pure function of
//! the policy and what it is asked about; acting on it is the daemon's business. Nothing from outside can change it.

mod file;
mod hours;
mod judge;
mod leaving;
#[cfg(test)]
pub(crate) mod tests;

use consilium_domain::network::Depth;
use consilium_domain::{Arm, Modality, Wire};
use serde::{Deserialize, Serialize};

pub use file::{PolicyError, PolicyFile};
pub use hours::{Hours, HoursFile};
pub use judge::Ruling;

/// Who agrees to a study that is within the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Approval {
    /// A person, with `consilium-client approve`.
    #[default]
    Manual,
    /// The policy itself.
    Rule,
}

/// A checked policy. What is `None` allows everything.
///
/// The default is what applies without a policy file: no limits but the one on duplicates, and a person decides on
/// every study.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SitePolicy {
    approval: Approval,
    study: StudyLimits,
    data: DataLimits,
    histograms: HistogramLimits,
    details: DetailLimits,
    hours: Option<Hours>,
    require: Requirements,
}

/// What a study may ask for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StudyLimits {
    /// Arms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arms: Option<Vec<Arm>>,
    /// Kinds of images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modalities: Option<Vec<Modality>>,
    /// Depths of the network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub depths: Option<Vec<Depth>>,
    /// Most rounds of a lane.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub most_rounds: Option<u16>,
    /// Most passes over the site's cases in a round.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub most_local_epochs: Option<u16>,
    /// Fewest invited sites.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fewest_sites: Option<u16>,
    /// Fewest contributions that a model is made of: the study's quorum.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fewest_contributions: Option<u16>,
    /// Largest change of a weight that an update can hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub most_clip: Option<u32>,
    /// Finest resolution of an update, in binary digits after the point.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub most_fraction_bits: Option<u8>,
    /// How exactly updates may be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wires: Option<Vec<Wire>>,
}

/// On the site's own cases.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataLimits {
    /// Fewest cases with a modality with which the site takes part.
    pub fewest_cases: u32,
    /// Largest share of its cases that the coordinator may have left out as duplicates.
    pub most_duplicates_share: f64,
}

impl Default for DataLimits {
    /// Half: a coordinator cannot empty a site, and hospitals that share most of their patients must say so.
    fn default() -> Self {
        Self { fewest_cases: 0, most_duplicates_share: 0.5 }
    }
}

/// On score histograms, nearly all that is told of predictions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HistogramLimits {
    /// Most bins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub most_bins: Option<u16>,
    /// Fewest patients of either class; one with fewer is not sent, unless it is of nobody at all.
    pub fewest_of_each_class: u32,
    /// Fewest patients of a class in a bin that holds any; a histogram with fewer in one is not sent.
    pub fewest_in_a_bin: u32,
    /// Fewest patients, of either class, of whom one score is told: neighbouring bins are told together until there are so
    /// many (docs/adr/0030-scores-of-groups.md). 1 tells each where it is.
    pub fewest_per_score: u32,
}

impl Default for HistogramLimits {
    /// Scores of three patients at least, the threshold at which DataSHIELD tells cells of tables unless told otherwise.
    fn default() -> Self {
        Self { most_bins: None, fewest_of_each_class: 0, fewest_in_a_bin: 0, fewest_per_score: 3 }
    }
}

/// Sums beyond the histograms: each leaves only where this allows it and its patients are enough for a histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DetailLimits {
    /// Sums of scores and squared errors: the exact Brier score.
    pub score_sums: bool,
    /// How many patients of each class a policy network sent which way.
    pub routing: bool,
    /// Differences of two arms' areas on the site's own patients.
    pub comparisons: bool,
    /// Histograms of out-of-fold scores by fold, of groups of several modalities.
    pub fold_scores: bool,
    /// Sums for a regression on age and sex, and its scores: the clinical baseline. What is refused here is missing
    /// from the baseline and from nothing else.
    pub baseline: bool,
}

impl Default for DetailLimits {
    /// All of it: each says less of a patient than the histogram beside it, and the sums for the baseline are asked
    /// under no coefficient that singles anybody out (docs/threat-model.md).
    fn default() -> Self {
        Self { score_sums: true, routing: true, comparisons: true, fold_scores: true, baseline: true }
    }
}

/// Protection that a study must have. This release has neither, so either declines every study.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Requirements {
    /// The coordinator sees sums of updates only.
    pub secure_aggregation: bool,
    /// Updates are noised.
    pub differential_privacy: bool,
}

impl SitePolicy {
    /// When training may run and something may leave; `None` is always.
    pub const fn hours(&self) -> Option<&Hours> {
        self.hours.as_ref()
    }
}
