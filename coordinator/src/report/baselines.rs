//! What the arms must beat: the majority class, and a regression on age and sex over all sites.
//!
//! A model that does not beat them is worthless, however far its area is from one half.

use std::collections::BTreeMap;

use consilium_domain::{Arm, ClassCounts, Fold, Modality, ModalityCounts, ModalityGroup, SiteId};
use consilium_metrics::{
    AppraisalSettings, BinEdge, Bracket, ChanceTest, Estimate, LogisticFit, RandomEffects, SiteDifference,
    SiteDifferences, TauRule, WaldEstimate, brier, compare_sites, permutation_test_within_sites, wilson,
};
use consilium_protocol::coordinator::{BaselineState, Coordinator};
use serde::{Deserialize, Serialize};

use super::scores::{ends, pool, scores, threshold};
use super::{ComparisonMethod, ReportError, Scores, SiteComparison};

/// The baselines of a study.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct BaselinesReport {
    /// Everybody gets the share of methylated patients among the training patients, by modality.
    pub majority: Vec<MajorityReport>,
    /// A logistic regression on age and sex; none in a study without one, and before all arms are fused.
    pub clinical: Option<ClinicalReport>,
}

/// The majority class of one modality's patients. It needs counts only, which sites tell when they enlist.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MajorityReport {
    /// Of the patients with this modality.
    pub modality: Modality,
    /// The probability everybody of a fold gets: the share of methylated patients that its lanes train on, over all
    /// sites; none where nobody trains.
    pub probabilities: Vec<Option<f64>>,
    /// Of all folds.
    pub validation: Option<MajorityScore>,
    /// By the mean probability over the folds.
    pub holdout: Option<MajorityScore>,
}

/// How good it is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MajorityScore {
    /// Methylated patients.
    pub positives: u32,
    /// Unmethylated patients.
    pub negatives: u32,
    /// The share of patients whose class is the one that is more frequent in training, with Wilson's interval.
    pub accuracy: Option<Estimate>,
    /// The mean squared error of the probability.
    pub brier: f64,
    /// One half, because all patients of a fold have the same score: said, not computed.
    pub auc: f64,
}

/// The regression on age and sex.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClinicalReport {
    /// Why there is none; what else is here is then empty or as far as it came.
    pub absent: Option<String>,
    /// Sites without which it was fitted or scored, and why.
    pub missing: BTreeMap<SiteId, String>,
    /// How often sites were asked for sums.
    pub steps: u16,
    /// The fits, in the order of folds; empty until all are fitted.
    pub folds: Vec<ClinicalFit>,
    /// The threshold that maximises Youden's J on the pooled out-of-fold validation.
    pub threshold: Option<f64>,
    /// Out-of-fold scores of the training patients whose age and sex are known.
    pub validation: Option<Scores>,
    /// Scores of such hold-out patients by the mean over the folds' fits.
    pub holdout: Option<Scores>,
    /// The Brier score of the hold-out, with the bracket that bins leave.
    pub brier: Option<Bracket>,
    /// Test of the hold-out's area against chance that differences between sites cannot fool.
    pub within_sites: Option<ChanceTest>,
    /// Every fused arm against it, in every modality group.
    pub comparisons: Vec<BaselineComparison>,
}

/// The regression of one fold's training patients, all sites together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClinicalFit {
    /// The fold.
    pub fold: Fold,
    /// Patients whose age and sex are known.
    pub cases: u32,
    /// Methylated ones among them.
    pub positives: u32,
    /// Half its product with the squared slopes was subtracted from the log-likelihood.
    pub ridge: f64,
    /// The log odds of a woman of sixty.
    pub intercept: WaldEstimate,
    /// What ten years add to them.
    pub age: WaldEstimate,
    /// What being a man adds to them.
    pub male: WaldEstimate,
}

/// An arm against the baseline, on the hold-out patients of a modality group whom both scored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BaselineComparison {
    /// The arm.
    pub arm: Arm,
    /// The modality group.
    pub group: String,
    /// How they were compared: on the same patients, as arms are with each other.
    pub method: ComparisonMethod,
    /// The arm's area minus the baseline's, combined; none where no site could compare.
    pub combined: Option<RandomEffects>,
    /// Two-sided probability of a combined difference as large if the arm were no better; none for a single site.
    pub p_value: Option<f64>,
    /// By site; the arm's area minus the baseline's.
    pub sites: BTreeMap<SiteId, SiteComparison>,
    /// Sites that scored the baseline and told no difference.
    pub without: Vec<SiteId>,
}

impl BaselinesReport {
    /// Those of `state`.
    pub(super) fn of(state: &Coordinator) -> Result<Self, ReportError> {
        let modalities = state.study().modalities.iter();
        let clinical = state.baseline().map(|baseline| clinical(state, baseline)).transpose()?;
        Ok(Self { majority: modalities.map(|&modality| majority(state, modality)).collect(), clinical })
    }

    /// Tests of hypotheses among these figures.
    pub(super) fn tests(&self) -> u32 {
        let Some(clinical) = &self.clinical else { return 0 };
        let compared = clinical.comparisons.iter().filter(|comparison| comparison.p_value.is_some());
        compared.count() as u32 + u32::from(clinical.within_sites.is_some())
    }
}

fn majority(state: &Coordinator, modality: Modality) -> MajorityReport {
    let study = state.study();
    let enlisted: Vec<(bool, ModalityCounts)> = state
        .roster()
        .enlisted()
        .map(|(site, cohort)| (study.trains(site), cohort.counts(modality)))
        .collect();
    let training = || enlisted.iter().filter(|(trains, _)| *trains).map(|(_, counts)| counts);
    let folds: Vec<Fold> = (0..study.evaluation.folds).map(Fold).collect();
    let probabilities: Vec<Option<f64>> =
        folds.iter().map(|&fold| share(training().map(|counts| counts.training(fold)).sum())).collect();
    let validated = folds.iter().zip(&probabilities).filter_map(|(&fold, probability)| {
        Some(((*probability)?, training().map(|counts| counts.validation(fold)).sum()))
    });
    let known: Option<Vec<f64>> = probabilities.iter().copied().collect();
    let mean = known.map(|all| all.iter().sum::<f64>() / all.len() as f64);
    let held_out: ClassCounts = enlisted.iter().map(|(_, counts)| counts.holdout).sum();
    MajorityReport {
        modality,
        validation: MajorityScore::of(validated.collect()),
        holdout: mean.and_then(|mean| MajorityScore::of(vec![(mean, held_out)])),
        probabilities,
    }
}

fn share(counts: ClassCounts) -> Option<f64> {
    (counts.total() > 0).then(|| f64::from(counts.methylated) / f64::from(counts.total()))
}

impl MajorityScore {
    /// Of patients who all get the probability beside them; `None` without any.
    fn of(parts: Vec<(f64, ClassCounts)>) -> Option<Self> {
        let all: ClassCounts = parts.iter().map(|(_, counts)| *counts).sum();
        if all.total() == 0 {
            return None;
        }
        let (mut right, mut squares) = (0, 0.0);
        for (probability, ClassCounts { methylated, unmethylated }) in parts {
            // Of equal classes the unmethylated one: somebody must be.
            right += if probability > 0.5 { methylated } else { unmethylated };
            let (missed, alarmed) = (1.0 - probability, probability);
            squares += f64::from(methylated) * missed * missed + f64::from(unmethylated) * alarmed * alarmed;
        }
        Some(Self {
            positives: all.methylated,
            negatives: all.unmethylated,
            accuracy: wilson(right.into(), (all.total() - right).into()),
            brier: squares / f64::from(all.total()),
            auc: 0.5,
        })
    }
}

fn clinical(state: &Coordinator, baseline: &BaselineState) -> Result<ClinicalReport, ReportError> {
    let scoring = baseline.scoring.as_ref();
    let edge = match scoring {
        Some(scoring) => threshold(scoring, |told| &told.scores.validation)?,
        None => None,
    };
    let pooled = |pick: fn(&consilium_protocol::GroupScores) -> &consilium_metrics::ScoreHistogram| {
        scoring.map_or(Ok(None), |scoring| scores(state, scoring, |told| pick(&told.scores), edge))
    };
    let histograms: Vec<_> = scoring
        .into_iter()
        .flat_map(|scoring| scoring.answers().values())
        .map(|a| &a.value.scores.holdout)
        .collect();
    let held_out = match scoring {
        Some(scoring) => pool(scoring, |told| &told.scores.holdout)?,
        None => None,
    };
    let mut squared = held_out.as_ref().and_then(brier).map(|brier| brier.score);
    if let Some(ends) =
        scoring.map(|scoring| ends(state, scoring, |told| &told.scores.holdout)).transpose()?.flatten()
    {
        squared.iter_mut().for_each(|bracket| ends.widen_brier(bracket));
    }
    let seed = state.study().seed().derive("report/baseline/within-sites");
    let permutations = AppraisalSettings::default().permutations;
    Ok(ClinicalReport {
        absent: baseline.absent.clone(),
        missing: baseline.missing.clone(),
        steps: baseline.steps,
        folds: (0..)
            .map(Fold)
            .zip(baseline.fits())
            .filter_map(|(fold, fit)| ClinicalFit::of(fold, fit))
            .collect(),
        threshold: edge.map(BinEdge::threshold),
        validation: pooled(|scores| &scores.validation)?,
        holdout: pooled(|scores| &scores.holdout)?,
        brier: squared,
        within_sites: permutation_test_within_sites(&histograms, permutations, seed),
        comparisons: comparisons(state, baseline),
    })
}

impl ClinicalFit {
    fn of(fold: Fold, fit: &LogisticFit) -> Option<Self> {
        let &[intercept, age, male] = &fit.coefficients[..] else { return None };
        let LogisticFit { cases, positives, ridge, .. } = *fit;
        Some(Self { fold, cases, positives, ridge, intercept, age, male })
    }
}

fn comparisons(state: &Coordinator, baseline: &BaselineState) -> Vec<BaselineComparison> {
    let groups = ModalityGroup::of_study(&state.study().modalities);
    let arms = state.study().arms.iter().filter(|arm| state.fusions().contains_key(arm));
    arms.flat_map(|&arm| {
        groups.iter().enumerate().map(move |(index, group)| compare(baseline, arm, index, &group.name))
    })
    .collect()
}

fn compare(baseline: &BaselineState, arm: Arm, index: usize, group: &str) -> BaselineComparison {
    let told: BTreeMap<&SiteId, Option<SiteDifference>> = baseline
        .scoring
        .iter()
        .flat_map(|scoring| scoring.answers())
        .map(|(site, answer)| {
            let with = answer.value.detail.comparisons.iter().find(|comparison| comparison.with == arm);
            // Told as the baseline minus the arm.
            (site, with.and_then(|with| *with.groups.get(index)?).map(|told| told.reversed()))
        })
        .collect();
    let compared: Vec<(&SiteId, SiteDifference)> =
        told.iter().filter_map(|(&site, told)| Some((site, (*told)?))).collect();
    let differences: Vec<SiteDifference> = compared.iter().map(|(_, told)| *told).collect();
    let analysis = compare_sites(&differences, TauRule::PauleMandel);
    let mut sites = BTreeMap::new();
    if let Some(SiteDifferences { combined, lifted }) = &analysis {
        for (place, (site, told)) in compared.into_iter().enumerate() {
            sites.insert(site.clone(), SiteComparison::of(&told, combined.weights[place], lifted[place]));
        }
    }
    let without = told.keys().filter(|site| !sites.contains_key(**site)).map(|&site| site.clone()).collect();
    let combined = analysis.map(|analysis| analysis.combined);
    let p_value = combined.as_ref().and_then(RandomEffects::p_value);
    let (group, method) = (group.to_owned(), ComparisonMethod::WithinSites);
    BaselineComparison { arm, group, method, combined, p_value, sites, without }
}

#[cfg(test)]
mod tests {
    use consilium_domain::{ClinicalBaseline, Study};
    use consilium_protocol::{ArmComparison, BaselineOutcome, FusionDetail, Outcome, Timestamp};

    use super::*;
    use crate::report::Report;
    use crate::scene::{Scene, study};

    fn with_baseline() -> Study {
        let mut study = study();
        study.evaluation.baseline = ClinicalBaseline::AgeSex;
        study
    }

    fn report(scene: &Scene) -> Report {
        Report::of(&scene.state, Timestamp(100_000)).unwrap()
    }

    #[test]
    fn the_majority_class_follows_from_counts() {
        let score = MajorityScore::of(vec![
            (0.75, ClassCounts { methylated: 3, unmethylated: 1 }),
            (0.25, ClassCounts { methylated: 2, unmethylated: 2 }),
        ])
        .unwrap();
        // 3 and 2 right of 8; (3/16 + 9/16 + 2 * 9/16 + 2/16) / 8.
        assert_eq!((score.positives, score.negatives, score.auc), (5, 3, 0.5));
        assert!((score.accuracy.unwrap().value - 0.625).abs() < 1e-12);
        assert!((score.brier - 0.25).abs() < 1e-12 && MajorityScore::of(vec![]).is_none());
        let report = report(&Scene::finished());
        let [majority] = &report.baselines.majority[..] else { panic!("one modality") };
        assert_eq!(majority.probabilities, [Some(0.5), Some(0.5)]);
        let holdout = majority.holdout.unwrap();
        assert_eq!((holdout.positives, holdout.negatives, holdout.brier), (6, 6, 0.25));
        assert_eq!(report.baselines.clinical, None, "the study has none");
    }

    #[test]
    fn the_regression_is_fitted_scored_and_compared() {
        let told = serde_json::json!({
            "difference": -0.25, "variance": 0.01, "classes": { "positives": 3, "negatives": 3 },
        });
        let difference: SiteDifference = serde_json::from_value(told).unwrap();
        let mut scene = Scene::enrolling_in(with_baseline());
        while scene.step_with(|outcome| match outcome {
            Outcome::BaselineScored(scored) => {
                let comparison = ArmComparison { with: Arm::Random, groups: vec![Some(difference)] };
                let detail = FusionDetail {
                    sums: vec![None],
                    comparisons: vec![comparison],
                    folds: Vec::new(),
                    fewest_per_score: 1,
                };
                Outcome::BaselineScored(BaselineOutcome { detail, ..scored })
            }
            other => other,
        }) {}
        let report = report(&scene);
        assert_eq!(report.outcome.status, "finished");
        let clinical = report.baselines.clinical.as_ref().unwrap();
        assert!(clinical.absent.is_none() && clinical.missing.is_empty() && clinical.steps > 2);
        assert_eq!(clinical.folds.len(), 2);
        assert!(
            clinical.folds.iter().all(|fit| fit.cases == 12 && fit.age.value > 0.0 && fit.male.value > 0.0)
        );
        assert_eq!(clinical.holdout.as_ref().unwrap().pooled.auc.unwrap().value, 1.0);
        let [comparison] = &clinical.comparisons[..] else { panic!("one arm, one group") };
        assert_eq!((comparison.sites.len(), comparison.without.len()), (2, 0));
        let combined = comparison.combined.as_ref().unwrap();
        assert!((combined.estimate - 0.25).abs() < 1e-12, "the arm is better: {combined:?}");
        assert!(comparison.p_value.is_some());
        let again: Report = serde_json::from_str(&serde_json::to_string(&report).unwrap()).unwrap();
        assert_eq!(again, report);
    }

    #[test]
    fn what_nobody_could_fit_is_absent_with_the_reason_and_a_warning() {
        let mut scene = Scene::enrolling_in(with_baseline());
        while scene.state.baseline().is_none() {
            assert!(scene.step());
        }
        scene.fail("a", "no age here");
        scene.fail("b", "no age here");
        assert!(!scene.step(), "the study is over");
        let report = report(&scene);
        assert_eq!(report.outcome.status, "finished");
        let clinical = report.baselines.clinical.as_ref().unwrap();
        assert!(clinical.absent.as_ref().unwrap().contains("no age here") && clinical.folds.is_empty());
        assert!(report.warnings.iter().any(|warning| warning.contains("baseline")), "{:?}", report.warnings);
    }
}
