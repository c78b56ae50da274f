//! What of the site's own cases may leave: the last look before something does.

use consilium_domain::{ClassCounts, CohortSummary, Study};
use consilium_metrics::{LogisticSums, ScoreHistogram, ScoreSums, SiteDifference, SmallCountRule, Totals};
use consilium_protocol::{
    BaselineOutcome, FusionDetail, FusionOutcome, GroupScores, Outcome, ScoringDetail, ScoringOutcome,
};

use super::{HistogramLimits, SitePolicy};

impl SitePolicy {
    /// Why the site takes no part with `cohort`. The number of its cases is not told.
    pub fn objection_to_cohort(&self, study: &Study, cohort: &CohortSummary) -> Option<String> {
        let fewest = self.data.fewest_cases;
        let cases = |modality| {
            let counts = cohort.counts(modality);
            (counts.folds.into_iter().sum::<ClassCounts>() + counts.holdout).total()
        };
        // Of a modality without a single case nothing is told and nothing is trained.
        let few: Vec<String> = study
            .modalities
            .iter()
            .filter(|&&modality| (1..fewest).contains(&cases(modality)))
            .map(ToString::to_string)
            .collect();
        let none = fewest > 0 && study.modalities.iter().all(|&modality| cases(modality) == 0);
        match (none, few.is_empty()) {
            (true, _) => Some(format!("this site has no case, its policy asks for {fewest}")),
            (false, false) => Some(format!(
                "this site has fewer cases with {} than the {fewest} of its policy",
                few.join(", ")
            )),
            (false, true) => None,
        }
    }

    /// Why the site does not believe that `named` of its `cases` cases are duplicates.
    pub fn objection_to_duplicates(&self, named: usize, cases: usize) -> Option<String> {
        let most = self.data.most_duplicates_share;
        (named as f64 > most * cases as f64).then(|| {
            format!(
                "the coordinator named {named} of {cases} cases as duplicates, this site's policy allows {:.0} %",
                100.0 * most
            )
        })
    }

    /// Why `outcome` may not leave.
    pub fn objection_to_outcome(&self, outcome: &Outcome) -> Option<String> {
        match outcome {
            // What an update may be like is the study's to say, and was judged with it.
            Outcome::Trained(_) => None,
            Outcome::Scored(scoring) => self.objection_to_scores(&scoring.scores),
            Outcome::ScoredInDetail(scoring, detail) => self
                .objection_to_scores(&scoring.scores)
                .or_else(|| (self.of_scoring(detail.clone()) != *detail).then(too_much)),
            Outcome::Fused(fusion) => self.objection_to_fusion(fusion),
            Outcome::FusedInDetail(fusion, detail) => self
                .objection_to_fusion(fusion)
                .or_else(|| (self.of_fusion(detail.clone()) != *detail).then(too_much)),
            Outcome::Regressed(sums) => self.objection_to_sums(sums),
            Outcome::BaselineScored(scored) => self
                .objection_to_baseline_scores(&scored.scores)
                .or_else(|| (self.of_fusion(scored.detail.clone()) != scored.detail).then(too_much)),
        }
    }

    /// Why the sums of a regression stay here. Those of two folds differ by the patients of these folds, so that
    /// each fold must be large enough, and not only what a lane trains on.
    fn objection_to_sums(&self, sums: &[LogisticSums]) -> Option<String> {
        if !self.details.baseline {
            return Some("this site's policy keeps sums of age and sex".into());
        }
        let Some(folds) = patients_of_folds(sums) else {
            return Some("the sums of a regression are not of folds".into());
        };
        let trained = sums.iter().map(LogisticSums::class_counts);
        let fewest = self.histograms.fewest_of_each_class;
        let few = |classes: Totals| {
            let anybody = classes.positives + classes.negatives > 0;
            anybody && classes.positives.min(classes.negatives) < fewest || !self.are_enough(classes)
        };
        folds.into_iter().chain(trained).any(few).then(|| {
            format!(
                "the sums are of fewer than {fewest} patients of a class, which this site's policy asks for"
            )
        })
    }

    fn objection_to_baseline_scores(&self, scores: &GroupScores) -> Option<String> {
        if !self.details.baseline {
            return Some("this site's policy keeps scores by age and sex".into());
        }
        [&scores.validation, &scores.holdout].into_iter().find_map(|scores| self.objection_to_scores(scores))
    }

    /// `outcome` without the sums that stay here, and its scores told of as many patients as the policy asks for. What is left
    /// of it may still be objected to.
    #[must_use]
    pub fn withhold(&self, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::Scored(scoring) => Outcome::Scored(self.grouped(scoring)),
            Outcome::ScoredInDetail(scoring, detail) => {
                let (scoring, detail) = (self.grouped(scoring), self.of_scoring(detail));
                if detail.is_empty() {
                    return Outcome::Scored(scoring);
                }
                Outcome::ScoredInDetail(scoring, detail)
            }
            Outcome::Fused(fusion) => Outcome::Fused(self.grouped_fusion(fusion)),
            Outcome::FusedInDetail(fusion, detail) => {
                let (fusion, detail) = (self.grouped_fusion(fusion), self.of_fusion(detail));
                if detail.is_empty() {
                    Outcome::Fused(fusion)
                } else {
                    Outcome::FusedInDetail(fusion, detail)
                }
            }
            Outcome::BaselineScored(scored) => {
                let (scores, detail) = (self.grouped_scores(&scored.scores), self.of_fusion(scored.detail));
                Outcome::BaselineScored(BaselineOutcome { scores, detail, ..scored })
            }
            other @ (Outcome::Trained(_) | Outcome::Regressed(_)) => other,
        }
    }

    fn grouped(&self, scoring: ScoringOutcome) -> ScoringOutcome {
        ScoringOutcome { scores: self.told_together(&scoring.scores), ..scoring }
    }

    fn grouped_fusion(&self, fusion: FusionOutcome) -> FusionOutcome {
        let groups = fusion.groups.iter().map(|scores| self.grouped_scores(scores)).collect();
        FusionOutcome { groups, ..fusion }
    }

    fn grouped_scores(&self, scores: &GroupScores) -> GroupScores {
        let GroupScores { validation, holdout } = scores;
        GroupScores { validation: self.told_together(validation), holdout: self.told_together(holdout) }
    }

    fn told_together(&self, scores: &ScoreHistogram) -> ScoreHistogram {
        scores.told_together(self.histograms.fewest_per_score)
    }

    fn of_scoring(&self, detail: ScoringDetail) -> ScoringDetail {
        let ScoringDetail { sums, routing, .. } = detail;
        ScoringDetail {
            fewest_per_score: self.histograms.fewest_per_score,
            sums: self.of_sums(sums),
            routing: routing.filter(|counts| self.details.routing && self.are_enough(counts.class_counts())),
        }
    }

    fn of_fusion(&self, detail: FusionDetail) -> FusionDetail {
        let told = |difference: SiteDifference| self.are_enough(difference.classes()).then_some(difference);
        let mut comparisons = detail.comparisons;
        for comparison in &mut comparisons {
            comparison.groups.iter_mut().for_each(|group| *group = group.and_then(told));
        }
        comparisons
            .retain(|comparison| self.details.comparisons && comparison.groups.iter().any(Option::is_some));
        let sums = detail.sums.into_iter().map(|sums| self.of_sums(sums)).collect();
        // One fold that stays here would follow from the others and their sum: all of a group leave or none.
        let mut folds = detail.folds;
        for group in &mut folds {
            group.iter_mut().for_each(|scores| *scores = self.told_together(scores));
            let stays = group.iter().any(|scores| self.objection_to_scores(scores).is_some());
            if stays || !self.details.fold_scores {
                group.clear();
            }
        }
        FusionDetail { sums, comparisons, folds, fewest_per_score: self.histograms.fewest_per_score }
    }

    fn of_sums(&self, sums: Option<ScoreSums>) -> Option<ScoreSums> {
        sums.filter(|sums| self.details.score_sums && self.small_counts().check_scores(sums).is_ok())
    }

    fn are_enough(&self, classes: Totals) -> bool {
        self.small_counts().check_classes(classes).is_ok()
    }

    fn small_counts(&self) -> SmallCountRule {
        let HistogramLimits { fewest_of_each_class, fewest_in_a_bin, .. } = self.histograms;
        SmallCountRule { least_class: fewest_of_each_class, least_bin: fewest_in_a_bin }
    }

    fn objection_to_fusion(&self, fusion: &FusionOutcome) -> Option<String> {
        let scores = fusion.groups.iter().flat_map(|group| [&group.validation, &group.holdout]);
        scores.into_iter().find_map(|scores| self.objection_to_scores(scores))
    }

    fn objection_to_scores(&self, scores: &ScoreHistogram) -> Option<String> {
        let (bins, fewest) = (scores.bins(), self.histograms.fewest_of_each_class);
        if self.histograms.most_bins.is_some_and(|most| bins > usize::from(most)) {
            return Some(format!("a histogram of {bins} bins is finer than this site's policy allows"));
        }
        let totals = scores.totals();
        let anybody = totals.positives + totals.negatives > 0;
        let few = totals.positives.min(totals.negatives) < fewest;
        if anybody && few {
            return Some(format!(
                "the histogram is of fewer than {fewest} patients of a class, which this site's policy asks for"
            ));
        }
        let fewest = self.histograms.fewest_per_score;
        if !scores.tells_at_least(fewest) {
            return Some(format!(
                "the histogram tells scores of fewer than {fewest} patients, which this site's policy asks for"
            ));
        }
        // The rule's text names its limit, not the count.
        self.small_counts().check(scores).err().map(|withheld| {
            format!("the histogram stays at this site: {withheld}; a study with fewer bins may do")
        })
    }
}

/// The patients of each fold, from those of all other folds; `None` where they are of no folds.
fn patients_of_folds(sums: &[LogisticSums]) -> Option<Vec<Totals>> {
    let others = u32::try_from(sums.len()).ok()?.checked_sub(1).filter(|&others| others > 0)?;
    let of_class = |count: fn(&Totals) -> u32| -> Option<Vec<u32>> {
        let trained: Vec<u32> = sums.iter().map(|sums| count(&sums.class_counts())).collect();
        let all = trained.iter().try_fold(0u32, |sum, &count| sum.checked_add(count))?;
        let everybody = all.is_multiple_of(others).then_some(all / others)?;
        trained.into_iter().map(|count| everybody.checked_sub(count)).collect()
    };
    let (positives, negatives) = (of_class(|totals| totals.positives)?, of_class(|totals| totals.negatives)?);
    let pairs = positives.into_iter().zip(negatives);
    Some(pairs.map(|(positives, negatives)| Totals { positives, negatives }).collect())
}

fn too_much() -> String {
    "the answer tells more than this site's policy allows beside histograms".into()
}
