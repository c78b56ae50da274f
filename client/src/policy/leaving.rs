//! What of the site's own cases may leave: the last look before something does.

use consilium_domain::{ClassCounts, CohortSummary, Study};
use consilium_metrics::ScoreHistogram;
use consilium_protocol::Outcome;

use super::SitePolicy;

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
            Outcome::Fused(fusion) => {
                let scores = fusion.groups.iter().flat_map(|group| [&group.validation, &group.holdout]);
                scores.into_iter().find_map(|scores| self.objection_to_scores(scores))
            }
        }
    }

    fn objection_to_scores(&self, scores: &ScoreHistogram) -> Option<String> {
        let (bins, fewest) = (scores.bins(), self.histograms.fewest_of_each_class);
        if self.histograms.most_bins.is_some_and(|most| bins > usize::from(most)) {
            return Some(format!("a histogram of {bins} bins is finer than this site's policy allows"));
        }
        let totals = scores.totals();
        let anybody = totals.positives + totals.negatives > 0;
        let few = totals.positives.min(totals.negatives) < fewest;
        (anybody && few).then(|| {
            format!("the histogram is of fewer than {fewest} patients of a class, which this site's policy asks for")
        })
    }
}
