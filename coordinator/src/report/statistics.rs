//! What the hold-out of one arm and modality group says beyond its scorecards: tests, curves, calibration, sites as
//! draws from a population. Every figure is explained in docs/statistics.md.

use std::collections::BTreeMap;

use consilium_domain::{Arm, Seed, SiteId};
use consilium_metrics::{
    Appraisal, AppraisalSettings, BinEdge, ChanceTest, GridMismatch, Interval, LeftOut, RandomEffects,
    ScoreEnds, ScoreHistogram, ScoreSums, Scorecard, SiteArea, TauRule, ThresholdRule, meta_analyse_areas,
    permutation_test_within_sites,
};
use consilium_protocol::FusionOutcome;
use consilium_protocol::coordinator::{Coordinator, Gathering};
use serde::{Deserialize, Serialize};

use super::ReportError;
use super::scores::{ends, pool};

/// Thresholds are chosen by each of these on the pooled validation.
const RULES: [ThresholdRule; 3] = [ThresholdRule::Youden, ThresholdRule::PaperM, ThresholdRule::Half];

/// The hold-out of all sites.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupStatistics {
    /// Figures of the summed histogram. Thresholds were chosen on the pooled out-of-fold validation.
    pub pooled: Appraisal,
    /// Test against chance that differences between sites cannot fool.
    pub within_sites: Option<ChanceTest>,
    /// The sites' areas combined; none where no site has both classes.
    pub across_sites: Option<AcrossSites>,
    /// Figures that need sums beyond histograms; none where no site told them.
    pub exact: Option<ExactScores>,
    /// The pooled figures if all whose score was told with others' lay as well, or as badly, as they can; none where every
    /// score was told where it is.
    #[serde(default)]
    pub ends: Option<FigureEnds>,
}

/// What the scores' own figures lie between, where sites told scores by groups of patients.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FigureEnds {
    /// Every figure at its worst. Sites' own order of patients is not used here: the area's bound is tighter.
    pub worst: Scorecard,
    /// Every figure at its best.
    pub best: Scorecard,
}

/// Each site's area, and all of them combined by random effects on the logit scale.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AcrossSites {
    /// Every site that answered.
    pub sites: BTreeMap<SiteId, SiteInPopulation>,
    /// The area in the middle of the population of sites.
    pub area: f64,
    /// Its 95 % interval; none for a single site.
    pub interval: Option<Interval>,
    /// Where 95 % of the true areas of further sites are expected; none below three sites.
    pub prediction: Option<Interval>,
    /// The same on the logit scale, with heterogeneity.
    pub logit: RandomEffects,
}

/// A site in the population.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SiteInPopulation {
    /// What it contributes; none where it is left out.
    pub area: Option<SiteArea>,
    /// Its share in the combined area.
    pub weight: Option<f64>,
    /// Why it is left out.
    pub left_out: Option<LeftOut>,
}

/// Figures of scores that no bin rounded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExactScores {
    /// The sites whose patients they are of; the others did not tell their sums.
    pub sites: Vec<SiteId>,
    /// Patients of the positive class.
    pub positives: u32,
    /// Patients of the negative class.
    pub negatives: u32,
    /// The Brier score.
    pub brier: f64,
    /// The mean predicted probability, to compare with the share of positive patients.
    pub mean_score: f64,
    /// Both are at most this far off.
    pub rounding_bound: f64,
}

impl GroupStatistics {
    /// Those of `arm` in the group numbered `index`.
    pub(super) fn of(
        state: &Coordinator,
        arm: Arm,
        index: usize,
        fusion: &Gathering<FusionOutcome>,
    ) -> Result<Option<Self>, ReportError> {
        let (Some(validation), Some(holdout)) = (
            pool(fusion, |outcome| &outcome.groups[index].validation)?,
            pool(fusion, |outcome| &outcome.groups[index].holdout)?,
        ) else {
            return Ok(None);
        };
        let thresholds: Vec<(ThresholdRule, BinEdge)> =
            RULES.into_iter().filter_map(|rule| Some((rule, rule.choose(&validation)?))).collect();
        let ends = ends(state, fusion, |outcome| &outcome.groups[index].holdout)?;
        let seed = state.study().seed().derive(&format!("report/{arm}/{index}"));
        let settings = AppraisalSettings::default();
        let sites: BTreeMap<&SiteId, &ScoreHistogram> = fusion
            .answers()
            .iter()
            .map(|(site, answer)| (site, &answer.value.groups[index].holdout))
            .collect();
        let mut pooled = Appraisal::of(&holdout, &thresholds, settings, seed)?;
        if let Some(ends) = &ends {
            pooled.brier.iter_mut().for_each(|brier| ends.widen_brier(&mut brier.score));
            // It knows of bins alone.
            pooled.recalibration.iter_mut().for_each(|figures| figures.slope_bound = None);
        }
        let youden =
            thresholds.iter().find(|(rule, _)| *rule == ThresholdRule::Youden).map(|&(_, edge)| edge);
        Ok(Some(Self {
            ends: ends.map(|ends| FigureEnds::of(&ends, youden)).transpose()?,
            pooled,
            within_sites: within_sites(&sites, settings.permutations, seed.derive("within-sites")),
            across_sites: AcrossSites::of(&sites),
            exact: ExactScores::of(state, arm, index),
        }))
    }

    /// Tests of hypotheses among these figures.
    pub(super) fn tests(&self) -> u32 {
        u32::from(self.pooled.chance.is_some()) + u32::from(self.within_sites.is_some())
    }
}

fn within_sites(
    sites: &BTreeMap<&SiteId, &ScoreHistogram>,
    permutations: u32,
    seed: Seed,
) -> Option<ChanceTest> {
    let histograms: Vec<&ScoreHistogram> = sites.values().copied().collect();
    permutation_test_within_sites(&histograms, permutations, seed)
}

impl FigureEnds {
    fn of(ends: &ScoreEnds, threshold: Option<BinEdge>) -> Result<Self, GridMismatch> {
        Ok(Self {
            worst: Scorecard::of(&ends.worst, threshold)?,
            best: Scorecard::of(&ends.best, threshold)?,
        })
    }
}

impl AcrossSites {
    fn of(sites: &BTreeMap<&SiteId, &ScoreHistogram>) -> Option<Self> {
        let analysis = meta_analyse_areas(sites.values().copied(), TauRule::PauleMandel)?;
        let mut weights = analysis.logit.weights.iter().copied();
        let named = sites.keys().zip(analysis.sites).map(|(&site, area)| {
            let entry = match area {
                Ok(area) => SiteInPopulation { area: Some(area), weight: weights.next(), left_out: None },
                Err(why) => SiteInPopulation { area: None, weight: None, left_out: Some(why) },
            };
            (site.clone(), entry)
        });
        Some(Self {
            sites: named.collect(),
            area: analysis.area,
            interval: analysis.interval,
            prediction: analysis.prediction,
            logit: analysis.logit.clone(),
        })
    }
}

impl ExactScores {
    fn of(state: &Coordinator, arm: Arm, index: usize) -> Option<Self> {
        let (mut pooled, mut sites) = (ScoreSums::new(), Vec::new());
        for (site, detail) in state.fusion_details(arm) {
            // Admitted sums are of as many patients as the histograms, which fit together.
            if let Some(sums) = detail.sums.get(index).copied().flatten()
                && pooled.merge(&sums).is_ok()
            {
                sites.push(site.clone());
            }
        }
        let counts = pooled.class_counts();
        Some(Self {
            sites,
            positives: counts.positives,
            negatives: counts.negatives,
            brier: pooled.brier()?,
            mean_score: pooled.mean_score()?,
            rounding_bound: ScoreSums::ROUNDING_BOUND,
        })
    }
}
