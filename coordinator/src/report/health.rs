//! How the federation fared: labels by site, what the policy learned, folds against each other.

use std::collections::BTreeMap;

use consilium_domain::{Arm, ClassCounts, CohortSummary, Lane, Modality, ModalityGroup, Round, SiteId};
use consilium_metrics::{Estimate, MergeError, RoutingCounts, RoutingShares, ScoreHistogram, auc, wilson};
use consilium_protocol::coordinator::Coordinator;
use serde::{Deserialize, Serialize};

use super::LaneReport;

/// The classes at each site: where they differ much, a model can score by recognising the site.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LabelShift {
    /// Of the patients with this modality.
    pub modality: Modality,
    /// The share of methylated patients of all sites together; none without patients.
    #[serde(default)]
    pub pooled: Option<f64>,
    /// By site.
    pub sites: BTreeMap<SiteId, LabelShare>,
}

/// The classes at one site.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LabelShare {
    /// Patients with a methylated promoter, folds and hold-out.
    pub methylated: u32,
    /// Patients without.
    pub unmethylated: u32,
    /// The share of methylated patients, with Wilson's interval; none without patients.
    pub share: Option<Estimate>,
    /// How far that is from the share of all sites together: the total variation distance of two classes.
    #[serde(default)]
    pub distance: Option<f64>,
}

/// How a policy routed the patients of a validation fold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RoutingReport {
    /// All sites that told together.
    pub pooled: RoutingShares,
    /// By site.
    pub sites: BTreeMap<SiteId, RoutingShares>,
}

/// How folds differ in the area of a modality group. Between folds patients differ and so do models: the deviation
/// is no standard error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FoldSpread {
    /// Areas of the chosen models on their own folds, in the order of folds; none without both classes.
    pub validation: Vec<Option<f64>>,
    /// Their mean, once every fold has one.
    pub mean: Option<f64>,
    /// Their standard deviation, with folds - 1.
    pub standard_deviation: Option<f64>,
}

/// The labels of every modality.
pub(super) fn label_shift(state: &Coordinator) -> Vec<LabelShift> {
    let of = |modality: Modality| {
        let patients = |cohort: &CohortSummary| {
            let counts = cohort.counts(modality);
            counts.folds.into_iter().sum::<ClassCounts>() + counts.holdout
        };
        let all: ClassCounts = state.roster().enlisted().map(|(_, cohort)| patients(cohort)).sum();
        let pooled = (all.total() > 0).then(|| f64::from(all.methylated) / f64::from(all.total()));
        let sites = state.roster().enlisted().map(|(site, cohort)| {
            let ClassCounts { methylated, unmethylated } = patients(cohort);
            let share = wilson(methylated.into(), unmethylated.into());
            let distance = share.zip(pooled).map(|(share, pooled)| (share.value - pooled).abs());
            (site.clone(), LabelShare { methylated, unmethylated, share, distance })
        });
        LabelShift { modality, pooled, sites: sites.collect() }
    };
    state.study().modalities.iter().map(|&modality| of(modality)).collect()
}

/// How the policy of `lane` routed the patients of its fold in `round`; none where no site told.
pub(super) fn routing(state: &Coordinator, lane: Lane, round: Round) -> Option<RoutingReport> {
    let told = state.validation_details(lane, round).filter_map(|(site, detail)| {
        let counts = detail.routing.as_ref()?;
        Some((site.clone(), counts))
    });
    let mut pooled: Option<RoutingCounts> = None;
    let mut sites = BTreeMap::new();
    for (site, counts) in told {
        // Admitted counts are of one network and one number of draws.
        match &mut pooled {
            None => pooled = Some(counts.clone()),
            Some(sum) => sum.merge(counts).ok()?,
        }
        if let Some(shares) = counts.shares() {
            sites.insert(site, shares);
        }
    }
    Some(RoutingReport { pooled: pooled?.shares()?, sites })
}

/// The folds of a group numbered `index` of `arm`: of one modality from its lanes, of several from what sites told by fold.
pub(super) fn fold_spread(
    state: &Coordinator,
    arm: Arm,
    (index, group): (usize, &ModalityGroup),
    lanes: &[LaneReport],
) -> Result<Option<FoldSpread>, MergeError> {
    let validation = match group.members[..] {
        [modality] => {
            let area = |lane: &LaneReport| Some(lane.validation.as_ref()?.pooled.auc?.value);
            lanes.iter().filter(|lane| lane.modality == modality).map(area).collect()
        }
        _ => match areas_by_fold(state, arm, index)? {
            Some(areas) => areas,
            None => return Ok(None),
        },
    };
    Ok(Some(FoldSpread::of(validation)))
}

/// The pooled area of each fold; `None` unless every site that fused told its own.
fn areas_by_fold(
    state: &Coordinator,
    arm: Arm,
    index: usize,
) -> Result<Option<Vec<Option<f64>>>, MergeError> {
    let fused = state.fusions().get(&arm).map_or(0, |fusion| fusion.answers().len());
    let told: Vec<&Vec<ScoreHistogram>> = state
        .fusion_details(arm)
        .filter_map(|(_, detail)| detail.folds.get(index).filter(|folds| !folds.is_empty()))
        .collect();
    let Some((first, others)) = told.split_first().filter(|_| told.len() == fused) else { return Ok(None) };
    let mut pooled = (*first).clone();
    for folds in others {
        for (sum, fold) in pooled.iter_mut().zip(*folds) {
            sum.merge(fold)?;
        }
    }
    Ok(Some(pooled.iter().map(|fold| Some(auc(fold)?.value)).collect()))
}

impl FoldSpread {
    fn of(validation: Vec<Option<f64>>) -> Self {
        let all: Option<Vec<f64>> = validation.iter().copied().collect();
        let all = all.filter(|areas| !areas.is_empty());
        let mean = all.as_ref().map(|areas| areas.iter().sum::<f64>() / areas.len() as f64);
        let deviation = |areas: Vec<f64>, mean: f64| {
            let squares: f64 = areas.iter().map(|area| (area - mean) * (area - mean)).sum();
            (areas.len() > 1).then(|| (squares / (areas.len() - 1) as f64).sqrt())
        };
        let standard_deviation = all.zip(mean).and_then(|(areas, mean)| deviation(areas, mean));
        Self { validation, mean, standard_deviation }
    }
}
