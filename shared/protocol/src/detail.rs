//! What a site tells beyond its histograms: sums over many patients, as far as its policy lets them leave.
//!
//! Since version 4. Every part may be absent: the site's policy keeps it, or it is undefined there. What it is for and
//! what it says of patients: docs/statistics.md. No part is asked for by an order of its own: it is computed from what
//! the order has computed anyway.

use consilium_domain::{Arm, Bounded};
use consilium_metrics::{RoutingCounts, ScoreHistogram, ScoreSums, SiteDifference};
use serde::{Deserialize, Deserializer, Serialize};

/// The first version in which answers carry details.
pub const DETAILS_SINCE: u16 = 4;

/// Beside a [`crate::ScoringOutcome`]; of the same patients.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ScoringDetail {
    /// Sums of scores and squared errors.
    pub sums: Option<ScoreSums>,
    /// How patients were routed; only of an arm with a policy.
    pub routing: Option<RoutingCounts>,
    /// Every score of the histogram is told of at least so many patients ([`ScoreHistogram::told_together`]); 0 and 1 say
    /// that each is counted where it is.
    pub fewest_per_score: u32,
}

/// Beside a [`crate::FusionOutcome`].
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct FusionDetail {
    /// Of the hold-out's patients, one entry a modality group, in the study's order.
    #[serde(deserialize_with = "at_most::<_, MOST_GROUPS, _>")]
    pub sums: Vec<Option<ScoreSums>>,
    /// Comparisons with the arms that this site had fused before. Of two arms only the later answer holds one.
    #[serde(deserialize_with = "at_most::<_, { Arm::ALL.len() }, _>")]
    pub comparisons: Vec<ArmComparison>,
    /// The out-of-fold scores by fold, one entry a modality group, each with one entry a fold or none; no entry at all where
    /// nothing is told. Of groups of one modality none are told, for the lanes' own validations say the same.
    #[serde(deserialize_with = "few")]
    pub folds: Vec<Vec<ScoreHistogram>>,
    /// As [`ScoringDetail::fewest_per_score`], of every histogram of the answer.
    pub fewest_per_score: u32,
}

/// Most modality groups of a study: each of eleven modalities, and their seven combinations.
const MOST_GROUPS: usize = 18;
/// Most folds of a study.
const MOST_FOLDS: usize = 20;

/// A list that lies in another or holds others: what a sender claims of it must cost no memory.
fn at_most<'de, T, const MOST: usize, D>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    Ok(Bounded::<T, MOST>::deserialize(deserializer)?.0)
}

/// Lists within a list: what a sender claims of each must cost no memory.
fn few<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Vec<ScoreHistogram>>, D::Error> {
    let groups = Bounded::<Bounded<ScoreHistogram, MOST_FOLDS>, MOST_GROUPS>::deserialize(deserializer)?;
    Ok(groups.0.into_iter().map(|folds| folds.0).collect())
}

/// Most bins that [`FusionDetail::folds`] may have over all groups and folds: half a frame. Of studies with more nobody tells
/// them.
pub const MOST_FOLD_BINS: usize = 4096;

/// The fused arm against another, on the same patients of the hold-out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ArmComparison {
    /// The other arm. Differences are this arm's area minus the other's.
    pub with: Arm,
    /// One entry a modality group, in the study's order.
    #[serde(deserialize_with = "at_most::<_, MOST_GROUPS, _>")]
    pub groups: Vec<Option<SiteDifference>>,
}

impl ScoringDetail {
    /// Whether it tells anything.
    pub const fn is_empty(&self) -> bool {
        self.sums.is_none() && self.routing.is_none() && self.fewest_per_score <= 1
    }
}

impl FusionDetail {
    /// Whether it tells anything.
    pub fn is_empty(&self) -> bool {
        let folds = self.folds.iter().all(Vec::is_empty);
        self.sums.iter().all(Option::is_none)
            && self.comparisons.is_empty()
            && folds
            && self.fewest_per_score <= 1
    }
}
