//! Whether a study, and an order of it, is within the policy. All objections at once, in words for people.
//!
//! An objection is told to the coordinator: it names the policy's limits and what the study asks for, never
//! anything of the site's data.

use std::fmt::Display;

use consilium_domain::{Arm, ClinicalBaseline, Coefficients, Lane, Round, Study, Task, WorkOrder};

use super::{Approval, SitePolicy};

/// What the policy says of a study.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ruling {
    /// Within the policy, which decides by itself.
    Approve,
    /// Within the policy; a person decides.
    Ask,
    /// Outside the policy, for these reasons. Nobody can approve it without changing the policy.
    Decline(Vec<String>),
}

impl SitePolicy {
    /// What this policy says of `study`.
    pub fn judge(&self, study: &Study) -> Ruling {
        let objections = self.objections(study);
        match (objections.is_empty(), self.approval) {
            (false, _) => Ruling::Decline(objections),
            (true, Approval::Rule) => Ruling::Approve,
            (true, Approval::Manual) => Ruling::Ask,
        }
    }

    fn objections(&self, study: &Study) -> Vec<String> {
        let (limits, training, federation) = (&self.study, &study.training, &study.federation);
        let wires: Option<Vec<&str>> =
            limits.wires.as_ref().map(|wires| wires.iter().map(|wire| wire.name()).collect());
        let not_listed = [
            not_listed("arm", &study.arms, limits.arms.as_deref()),
            not_listed("modality", &study.modalities, limits.modalities.as_deref()),
            not_listed("wire", &[federation.wire.name()], wires.as_deref()),
            limits.depths.as_ref().filter(|depths| !depths.contains(&study.network.depth)).map(|depths| {
                let allowed: Vec<String> = depths.iter().map(|depth| depth.layers().to_string()).collect();
                format!(
                    "the network's depth is {}, allowed are {}",
                    study.network.depth.layers(),
                    allowed.join(", ")
                )
            }),
        ];
        let beyond = [
            more("rounds", training.rounds, limits.most_rounds),
            more("local epochs", training.local_epochs, limits.most_local_epochs),
            more("histogram bins", study.evaluation.bins, self.histograms.most_bins),
            more("an update's clip", federation.fixed_point.clip, limits.most_clip),
            more(
                "an update's fraction bits",
                federation.fixed_point.fraction_bits,
                limits.most_fraction_bits,
            ),
            fewer("sites", federation.sites.len(), limits.fewest_sites.map(usize::from)),
            fewer("contributions to a model", federation.quorum, limits.fewest_contributions),
        ];
        let required = [
            self.require.secure_aggregation.then(|| missing("secure aggregation")),
            self.require.differential_privacy.then(|| missing("differential privacy")),
        ];
        not_listed.into_iter().chain(beyond).chain(required).flatten().collect()
    }

    /// Why an order of `study` is not carried out; `None` where it may be. The study passed [`Self::judge`]; whether
    /// the order belongs to it is not taken from the coordinator.
    pub fn objection_to_order(&self, study: &Study, order: &WorkOrder) -> Option<String> {
        if order.study != study.hash() {
            return Some("the order is of another study than the one that was approved".into());
        }
        match &order.task {
            Task::Train { lane, round, .. }
            | Task::Validate { lane, round, .. }
            | Task::PredictHoldout { lane, round, .. } => self.objection_to_lane(study, lane, *round),
            Task::Fuse { arm, models } => {
                let foreign = models.iter().any(|model| model.lane.arm != *arm);
                let foreign = foreign.then(|| format!("models of other arms are to be fused as {arm}"));
                let lanes = || models.iter().map(|model| (&model.lane, model.round));
                foreign
                    .or_else(|| self.objection_to_arm(study, *arm))
                    .or_else(|| lanes().find_map(|(lane, round)| self.objection_to_lane(study, lane, round)))
            }
            Task::FitBaseline { step, coefficients } => {
                self.objection_to_baseline(study, coefficients).or_else(|| not_a_step(*step))
            }
            Task::ScoreBaseline { coefficients } => self.objection_to_baseline(study, coefficients),
        }
    }

    fn objection_to_lane(&self, study: &Study, lane: &Lane, round: Round) -> Option<String> {
        let most_rounds =
            self.study.most_rounds.map_or(study.training.rounds, |most| most.min(study.training.rounds));
        let modality = [Some(&study.modalities), self.study.modalities.as_ref()];
        if modality.into_iter().flatten().any(|allowed| !allowed.contains(&lane.modality)) {
            return Some(format!("{} is not among the approved modalities", lane.modality));
        }
        if lane.fold.0 >= study.evaluation.folds {
            return Some(format!("the approved study has no fold {}", lane.fold));
        }
        if round.0 == 0 || round.0 > most_rounds {
            return Some(format!("round {round} is not among the {most_rounds} approved rounds"));
        }
        self.objection_to_arm(study, lane.arm)
    }

    fn objection_to_baseline(&self, study: &Study, coefficients: &[Coefficients]) -> Option<String> {
        if study.evaluation.baseline == ClinicalBaseline::None {
            return Some("the approved study has no clinical baseline".into());
        }
        if !self.details.baseline {
            return Some("this site's policy keeps sums of age and sex".into());
        }
        let folds = usize::from(study.evaluation.folds);
        let sound = |at: &Coefficients| {
            at.features() == ClinicalBaseline::FEATURES && at.are_within(ClinicalBaseline::LARGEST)
        };
        if coefficients.len() == folds && coefficients.iter().all(sound) {
            return None;
        }
        let largest = ClinicalBaseline::LARGEST;
        Some(format!("a baseline is computed under {folds} sets of coefficients of at most {largest} only"))
    }

    fn objection_to_arm(&self, study: &Study, arm: Arm) -> Option<String> {
        let arms = [Some(&study.arms), self.study.arms.as_ref()];
        let refused = arms.into_iter().flatten().any(|allowed| !allowed.contains(&arm));
        refused.then(|| format!("{arm} is not among the approved arms"))
    }
}

fn not_a_step(step: u16) -> Option<String> {
    let most = ClinicalBaseline::MOST_STEPS;
    let beyond = step == 0 || step > most;
    beyond.then(|| format!("step {step} of a baseline is not among the {most} that are answered"))
}

/// Whatever of `asked` is not in `allowed`.
fn not_listed<T: PartialEq + Display>(what: &str, asked: &[T], allowed: Option<&[T]>) -> Option<String> {
    let allowed = allowed?;
    let words =
        |items: &mut dyn Iterator<Item = &T>| items.map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let outside = words(&mut asked.iter().filter(|item| !allowed.contains(item)));
    let inside = words(&mut allowed.iter());
    (!outside.is_empty()).then(|| format!("{what} {outside} is not allowed, allowed are {inside}"))
}

fn more<T: PartialOrd + Display>(what: &str, asked: T, most: Option<T>) -> Option<String> {
    most.filter(|most| asked > *most).map(|most| format!("{what}: {asked}, at most {most} are allowed"))
}

fn fewer<T: PartialOrd + Display>(what: &str, asked: T, fewest: Option<T>) -> Option<String> {
    fewest
        .filter(|fewest| asked < *fewest)
        .map(|fewest| format!("{what}: {asked}, at least {fewest} are required"))
}

fn missing(protection: &str) -> String {
    format!("this site requires {protection}, which this release does not have")
}
