//! What sites told beyond their histograms: kept for the report, decides nothing.

use std::collections::{BTreeMap, BTreeSet};

use consilium_domain::{Arm, Lane, ModalityGroup, Round, SiteId, Task};
use consilium_metrics::{ScoreHistogram, ScoreSums, SiteDifference, Totals};

use super::Coordinator;
use crate::{
    ArmComparison, FusionDetail, FusionOutcome, GroupScores, Rejection, ScoringDetail, ScoringOutcome,
};

/// By site.
type BySite<T> = BTreeMap<SiteId, T>;

/// What was told, by what it belongs to.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Details {
    validations: BTreeMap<(Lane, Round), BySite<ScoringDetail>>,
    holdouts: BTreeMap<Lane, BySite<ScoringDetail>>,
    fusions: BTreeMap<Arm, BySite<FusionDetail>>,
    /// The most that a site ever said; who never said more than 1 is not in it.
    fewest_per_score: BySite<u32>,
}

impl Details {
    pub(super) fn keep_scoring(&mut self, task: &Task, site: SiteId, detail: ScoringDetail) {
        self.keep_grouping(&site, detail.fewest_per_score);
        match task {
            Task::Validate { lane, round, .. } => {
                self.validations.entry((*lane, *round)).or_default().insert(site, detail);
            }
            Task::PredictHoldout { lane, .. } => {
                self.holdouts.entry(*lane).or_default().insert(site, detail);
            }
            Task::Train { .. } | Task::Fuse { .. } => {}
            Task::FitBaseline { .. } | Task::ScoreBaseline { .. } => {}
        }
    }

    pub(super) fn keep_grouping(&mut self, site: &SiteId, fewest: u32) {
        if fewest > 1 {
            let known = self.fewest_per_score.entry(site.clone()).or_default();
            *known = fewest.max(*known);
        }
    }

    pub(super) fn keep_fusion(&mut self, arm: Arm, site: SiteId, detail: FusionDetail) {
        self.keep_grouping(&site, detail.fewest_per_score);
        self.fusions.entry(arm).or_default().insert(site, detail);
    }
}

impl Coordinator {
    /// What sites told beside their validation of a round.
    pub fn validation_details(
        &self,
        lane: Lane,
        round: Round,
    ) -> impl Iterator<Item = (&SiteId, &ScoringDetail)> {
        self.details.validations.get(&(lane, round)).into_iter().flatten()
    }

    /// What sites told beside the hold-out's scores of a lane.
    pub fn holdout_details(&self, lane: Lane) -> impl Iterator<Item = (&SiteId, &ScoringDetail)> {
        self.details.holdouts.get(&lane).into_iter().flatten()
    }

    /// What sites told beside the late fusion of `arm`.
    pub fn fusion_details(&self, arm: Arm) -> impl Iterator<Item = (&SiteId, &FusionDetail)> {
        self.details.fusions.get(&arm).into_iter().flatten()
    }

    /// Fewest patients of which `site` tells a score; `None` where it counts each where it is, or has not said. A site whose
    /// policy changed while the study ran is taken for the most it ever said: bounds then are too wide, and hold.
    pub fn fewest_per_score(&self, site: &SiteId) -> Option<u32> {
        self.details.fewest_per_score.get(site).copied()
    }

    pub(super) fn check_scoring_detail(
        &self,
        arm: Arm,
        scoring: &ScoringOutcome,
        detail: &ScoringDetail,
    ) -> Result<(), Rejection> {
        check_grouping([&scoring.scores], detail.fewest_per_score)?;
        let totals = scoring.scores.totals();
        if detail.sums.is_some_and(|sums| sums.class_counts() != totals) {
            return Err(refused("the sums are of other patients than the histogram"));
        }
        let Some(routing) = &detail.routing else { return Ok(()) };
        let blocks = self.study.network.blocks().len();
        let draws = self.study.evaluation.route_samples.max(1);
        let fits = (routing.blocks(), routing.draws(), routing.class_counts()) == (blocks, draws, totals);
        if arm == Arm::Spottune && fits {
            return Ok(());
        }
        Err(refused("the routings are of another network or of other patients than the histogram"))
    }

    pub(super) fn check_fusion_detail(
        &self,
        arm: Arm,
        fusion: &FusionOutcome,
        detail: &FusionDetail,
    ) -> Result<(), Rejection> {
        let groups = ModalityGroup::of_study(&self.study.modalities).len();
        let holdout = |group: usize| fusion.groups[group].holdout.totals();
        let summed = |(group, sums): (usize, &Option<ScoreSums>)| {
            sums.is_none_or(|sums| sums.class_counts() == holdout(group))
        };
        if detail.sums.len() != groups || !detail.sums.iter().enumerate().all(summed) {
            return Err(refused("the sums are of other patients than the histograms"));
        }
        let told = fusion.groups.iter().flat_map(|group| [&group.validation, &group.holdout]);
        check_grouping(told.chain(detail.folds.iter().flatten()), detail.fewest_per_score)?;
        self.check_folds(fusion, detail)?;
        self.check_comparisons(Some(arm), &detail.comparisons, holdout)
    }

    /// The folds of a group are of the same patients as its out-of-fold scores, each in one of them. Where scores are told by
    /// groups of patients, those of a fold are others than those of all, and the classes alone must add up.
    fn check_folds(&self, fusion: &FusionOutcome, detail: &FusionDetail) -> Result<(), Rejection> {
        let (told, grouped) = (&detail.folds, detail.fewest_per_score > 1);
        let folds = usize::from(self.study.evaluation.folds);
        let sound = |(group, histograms): (&GroupScores, &Vec<ScoreHistogram>)| {
            let Some((first, others)) = histograms.split_first() else { return true };
            let mut sum = first.clone();
            let fit = others.iter().all(|other| sum.merge(other).is_ok());
            let same = sum == group.validation || grouped && sum.totals() == group.validation.totals();
            fit && histograms.len() == folds && same
        };
        let fits = told.is_empty() || told.len() == fusion.groups.len();
        if fits && fusion.groups.iter().zip(told).all(sound) {
            return Ok(());
        }
        Err(refused("the scores by fold are of other patients than the histograms"))
    }

    /// Comparisons of `own`, or of the baseline, with arms of the study, on no more patients of a group than `most`
    /// says.
    pub(super) fn check_comparisons(
        &self,
        own: Option<Arm>,
        comparisons: &[ArmComparison],
        most: impl Fn(usize) -> Totals,
    ) -> Result<(), Rejection> {
        let groups = ModalityGroup::of_study(&self.study.modalities).len();
        let mut others = BTreeSet::new();
        for comparison in comparisons {
            let foreign = Some(comparison.with) == own || !self.study.arms.contains(&comparison.with);
            if foreign || !others.insert(comparison.with) || comparison.groups.len() != groups {
                return Err(refused("a comparison is with no other arm of the study, or with one twice"));
            }
            let of_them = |(group, told): (usize, &Option<SiteDifference>)| {
                told.is_none_or(|told| at_most(told.classes(), most(group)))
            };
            if !comparison.groups.iter().enumerate().all(of_them) {
                return Err(refused("a comparison is of more patients than the histogram"));
            }
        }
        Ok(())
    }
}

/// Fewer than in the histogram are fine: only patients that both arms scored are compared.
pub(super) fn at_most(found: Totals, most: Totals) -> bool {
    found.positives <= most.positives && found.negatives <= most.negatives
}

/// What a site says of its histograms is so.
pub(super) fn check_grouping<'a>(
    told: impl IntoIterator<Item = &'a ScoreHistogram>,
    fewest: u32,
) -> Result<(), Rejection> {
    if told.into_iter().all(|histogram| histogram.tells_at_least(fewest)) {
        return Ok(());
    }
    Err(refused("a score is told of fewer patients than the answer says"))
}

fn refused(why: &str) -> Rejection {
    Rejection::Answer(why.to_owned())
}
