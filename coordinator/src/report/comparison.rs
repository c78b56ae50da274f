//! Two arms on the same patients of the hold-out: DeLong's comparison at each site, combined by random effects.
//!
//! Why within sites and not on pooled patients: docs/adr/0018-paired-comparison.md.

use std::collections::{BTreeMap, BTreeSet};

use consilium_domain::{Arm, ModalityGroup, SiteId};
use consilium_metrics::{RandomEffects, SiteDifference, SiteDifferences, TauRule, compare_sites};
use consilium_protocol::coordinator::Coordinator;
use serde::{Deserialize, Serialize};

/// Two arms in one modality group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The modality group.
    pub group: String,
    /// The first arm.
    pub first: Arm,
    /// The second arm.
    pub second: Arm,
    /// How they were compared.
    pub method: ComparisonMethod,
    /// The first arm's area minus the second's, combined; none where no site could compare.
    pub combined: Option<RandomEffects>,
    /// Two-sided probability of a combined difference as large if the arms were equal; none for a single site, whose
    /// difference between sites is unknown.
    pub p_value: Option<f64>,
    /// By site.
    pub sites: BTreeMap<SiteId, SiteComparison>,
    /// Sites that scored the hold-out and told no difference: their policy keeps it, they have fewer than two
    /// patients of a class, or they speak an older version.
    pub without: Vec<SiteId>,
}

/// How two arms were compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ComparisonMethod {
    /// DeLong's variance on the rows of each site, which stay there; random effects over sites.
    WithinSites,
}

/// What one site found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SiteComparison {
    /// The first arm's area minus the second's.
    pub difference: f64,
    /// DeLong's variance of it.
    pub variance: f64,
    /// Patients of the positive class.
    pub positives: u32,
    /// Patients of the negative class.
    pub negatives: u32,
    /// Its share in the combined difference.
    pub weight: f64,
    /// Its variance was lifted to the least one that is believed.
    pub lifted: bool,
}

impl SiteComparison {
    /// What a site told, with its share in the combined difference.
    pub(super) fn of(told: &SiteDifference, weight: f64, lifted: bool) -> Self {
        Self {
            difference: told.difference(),
            variance: told.variance(),
            positives: told.classes().positives,
            negatives: told.classes().negatives,
            weight,
            lifted,
        }
    }
}

/// Every pair of arms that are fused, in every modality group.
pub(super) fn comparisons(state: &Coordinator) -> Vec<Comparison> {
    let arms: Vec<Arm> =
        state.study().arms.iter().copied().filter(|arm| state.fusions().contains_key(arm)).collect();
    let groups = ModalityGroup::of_study(&state.study().modalities);
    let mut comparisons = Vec::new();
    for (position, &first) in arms.iter().enumerate() {
        for &second in &arms[position + 1..] {
            for (index, group) in groups.iter().enumerate() {
                comparisons.push(compare(state, first, second, index, &group.name));
            }
        }
    }
    comparisons
}

fn compare(state: &Coordinator, first: Arm, second: Arm, index: usize, group: &str) -> Comparison {
    let told = differences(state, first, second, index);
    let differences: Vec<SiteDifference> = told.values().copied().collect();
    let analysis = compare_sites(&differences, TauRule::PauleMandel);
    let mut sites = BTreeMap::new();
    if let Some(SiteDifferences { combined, lifted }) = &analysis {
        for (position, (site, told)) in told.iter().enumerate() {
            let found = SiteComparison::of(told, combined.weights[position], lifted[position]);
            sites.insert(site.clone(), found);
        }
    }
    let fusions = [first, second].into_iter().filter_map(|arm| state.fusions().get(&arm));
    let scored: BTreeSet<&SiteId> = fusions.flat_map(|fusion| fusion.answers().keys()).collect();
    let without = scored.into_iter().filter(|site| !sites.contains_key(*site)).cloned().collect();
    let combined = analysis.map(|analysis| analysis.combined);
    Comparison {
        group: group.to_owned(),
        first,
        second,
        method: ComparisonMethod::WithinSites,
        p_value: combined.as_ref().and_then(RandomEffects::p_value),
        combined,
        sites,
        without,
    }
}

/// What sites told of the pair, with whichever arm was fused later.
fn differences(
    state: &Coordinator,
    first: Arm,
    second: Arm,
    index: usize,
) -> BTreeMap<SiteId, SiteDifference> {
    let told = |arm: Arm, with: Arm| {
        state.fusion_details(arm).filter_map(move |(site, detail)| {
            let comparison = detail.comparisons.iter().find(|comparison| comparison.with == with)?;
            Some((site.clone(), (*comparison.groups.get(index)?)?))
        })
    };
    let turned = told(second, first).map(|(site, difference)| (site, difference.reversed()));
    turned.chain(told(first, second)).collect()
}
