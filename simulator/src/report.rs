//! The report of a simulation: the coordinator's, and what only a simulation can know.

use std::collections::BTreeMap;

use consilium_client::Gain;
use consilium_coordinator::Report;
use consilium_domain::{Arm, SiteId};
use consilium_metrics::Scorecard;
use serde::{Deserialize, Serialize};

/// `report.json` of a simulation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SimulationReport {
    /// What the coordinator reported.
    #[serde(flatten)]
    pub federated: Report,
    /// What it could not know.
    pub simulation: Simulation,
}

/// What only a simulation can know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Simulation {
    /// Where the pretrained weights came from.
    pub weights: PretrainedWeights,
    /// The AUC of an ideal observer, over endless synthetic patients.
    pub ideal_auc: Option<f64>,
    /// The same on these very patients.
    pub ideal_auc_on_these_patients: Option<f64>,
    /// Training without federation, as far as it was asked for.
    pub baselines: Option<Baselines>,
    /// Wall-clock seconds of everything.
    pub seconds: f64,
}

/// Where pretrained weights came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PretrainedWeights {
    /// A file that was given.
    File,
    /// No MedicalNet file was given: a small backbone pretrained on phantoms.
    StandIn,
    /// No arm needed any.
    None,
}

/// Figures on the hold-out, by arm and modality group.
pub(crate) type ByArmAndGroup = BTreeMap<Arm, BTreeMap<String, Scorecard>>;

/// The same arms, folds and hold-out without federation. All are scored on the hold-out of all sites. What was not
/// chosen is empty.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Baselines {
    /// Each site trained on its own patients.
    pub local_only: BTreeMap<SiteId, ByArmAndGroup>,
    /// All patients in one place.
    pub pooled: ByArmAndGroup,
    /// What each site gained by joining, on its own hold-out; empty where a site's two studies share no patient. In a real
    /// consortium each site makes and sees its own: `consilium-client gain`.
    #[serde(default)]
    pub gains: BTreeMap<SiteId, Vec<Gain>>,
}

impl Baselines {
    /// The mean AUC of the sites' own models. `None` when one has none.
    pub fn mean_local_auc(&self, arm: Arm, group: &str) -> Option<f64> {
        let aucs: Option<Vec<f64>> = self.local_only.values().map(|scores| auc(scores, arm, group)).collect();
        let aucs = aucs.filter(|aucs| !aucs.is_empty())?;
        Some(aucs.iter().sum::<f64>() / aucs.len() as f64)
    }

    /// The AUC of the model trained on all patients in one place.
    pub fn pooled_auc(&self, arm: Arm, group: &str) -> Option<f64> {
        auc(&self.pooled, arm, group)
    }
}

fn auc(scores: &ByArmAndGroup, arm: Arm, group: &str) -> Option<f64> {
    Some(scores.get(&arm)?.get(group)?.auc.as_ref()?.value)
}

/// The hold-out's pooled figures of a report.
pub(crate) fn holdout(report: &Report) -> ByArmAndGroup {
    let groups = |arm: &consilium_coordinator::report::ArmReport| {
        arm.groups.iter().map(|group| (group.group.name.clone(), group.holdout.pooled)).collect()
    };
    report.arms.iter().map(|arm| (arm.arm, groups(arm))).collect()
}
