//! The clinical baseline at this site: sums over patients whose age and sex are known, and their scores.
//!
//! Ages and sexes stay here. What leaves of a step is a 3 by 3 matrix, three numbers and a likelihood for each fold, and of the
//! scores what leaves of an arm's.

use std::collections::BTreeMap;
use std::time::Instant;

use consilium_domain::{ClinicalBaseline, Coefficients, Label, ModalityGroup, Study};
use consilium_metrics::{LogisticSums, ScoreSums, probability};
use consilium_protocol::{ArmComparison, BaselineOutcome, FusionDetail, GroupScores, Outcome};

use super::comparing::difference;
use super::scoring::{histogram, record};
use super::{Prepared, WorkError};
use crate::late_fusion::{over_folds, over_modalities};
use crate::predictions::Predictions;
use crate::study_data::{CaseSet, ClinicalCase};

/// A patient's probability.
type Scores = BTreeMap<String, (Label, f32)>;

/// The sums over each fold's training patients under its coefficients.
pub(super) fn sums(cases: &[ClinicalCase], coefficients: &[Coefficients]) -> Result<Outcome, WorkError> {
    if cases.is_empty() {
        return Err(WorkError::NoDemographics);
    }
    let of_fold = |(fold, at): (u8, &Coefficients)| {
        let mut sums = LogisticSums::new(ClinicalBaseline::FEATURES);
        for case in cases.iter().filter(|case| case.trains_but_in(fold)) {
            let positive = case.label == Label::Methylated;
            sums.record(at, &case.features, 0.0, positive)
                .map_err(|error| WorkError::Sums(error.to_string()))?;
        }
        Ok(sums)
    };
    Ok(Outcome::Regressed((0..).zip(coefficients).map(of_fold).collect::<Result<_, WorkError>>()?))
}

/// The scores under the fitted coefficients, and the comparison with every arm that was fused here.
pub(super) fn score(prepared: &Prepared, coefficients: &[Coefficients]) -> Result<Outcome, WorkError> {
    let began = Instant::now();
    let Prepared { study, data, predictions } = prepared;
    let cases = data.clinical();
    if cases.is_empty() {
        return Err(WorkError::NoDemographics);
    }
    let (mut validation, mut holdout) = (Scores::new(), Scores::new());
    for case in cases {
        let (set, fits) = match case.fold() {
            Some(fold) => (&mut validation, coefficients.get(usize::from(fold.0)..=usize::from(fold.0))),
            None => (&mut holdout, Some(coefficients)),
        };
        let probability = mean(fits.unwrap_or_default(), &case.features)?;
        set.insert(case.patient.reveal().to_owned(), (case.label, probability));
    }
    // A site that does not train scores the hold-out only, as with arms.
    if !study.trains(&data.site) {
        validation.clear();
    }
    let mut sums = ScoreSums::new();
    for &(label, probability) in holdout.values() {
        let recorded = sums.record(probability, label == Label::Methylated);
        recorded.map_err(|error| WorkError::Sums(error.to_string()))?;
    }
    let comparisons = with_arms(study, predictions, &holdout)?;
    let scores = GroupScores {
        validation: counted(&validation, study.evaluation.bins)?,
        holdout: counted(&holdout, study.evaluation.bins)?,
    };
    let detail = FusionDetail { sums: vec![Some(sums)], comparisons, folds: Vec::new(), fewest_per_score: 1 };
    Ok(Outcome::BaselineScored(BaselineOutcome { scores, detail, seconds: began.elapsed().as_secs_f64() }))
}

/// The mean probability over `fits`.
fn mean(fits: &[Coefficients], features: &[f64]) -> Result<f32, WorkError> {
    let all: Option<Vec<f64>> = fits.iter().map(|at| probability(at, features)).collect();
    let all = all.filter(|all| !all.is_empty());
    let all = all.ok_or_else(|| WorkError::Sums("the baseline has no fit for a patient's fold".into()))?;
    Ok((all.iter().sum::<f64>() / all.len() as f64) as f32)
}

fn counted(scores: &Scores, bins: u16) -> Result<consilium_metrics::ScoreHistogram, WorkError> {
    let mut histogram = histogram(bins)?;
    for &(label, probability) in scores.values() {
        record(&mut histogram, probability, label)?;
    }
    Ok(histogram)
}

fn with_arms(
    study: &Study,
    predictions: &Predictions,
    holdout: &Scores,
) -> Result<Vec<ArmComparison>, WorkError> {
    let mut comparisons = Vec::new();
    for &arm in &study.arms {
        let Some(models) = predictions.fused(arm)? else { continue };
        let theirs = over_folds(predictions, &models, CaseSet::Holdout)?;
        let groups = ModalityGroup::of_study(&study.modalities);
        let compared =
            groups.iter().map(|group| difference(holdout, &over_modalities(&theirs, &group.members)));
        comparisons.push(ArmComparison { with: arm, groups: compared.collect::<Result<_, _>>()? });
    }
    Ok(comparisons)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use consilium_data::phantom::{Grid, PhantomCohort};
    use consilium_data::{CachePrecision, CacheSettings, InputCache, Layout};
    use consilium_domain::{Arm, ChosenModel, Fold, Lane, Modality, Preprocessing, Round, Seed};
    use consilium_metrics::Totals;

    use super::*;
    use crate::predictions::Scored;
    use crate::study_data::Intake;

    const CASES: usize = 24;

    /// A hospital of phantoms, whose ages and sexes are drawn without regard to the label.
    fn prepared(out: &Path) -> Prepared {
        let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/samples/study.toml");
        let mut study: Study = toml::from_str(&std::fs::read_to_string(sample).unwrap()).unwrap();
        study.preprocessing = Preprocessing::TumourCrop { side: 8 };
        study.evaluation.folds = 2;
        study.evaluation.baseline = ClinicalBaseline::AgeSex;
        let cohort = PhantomCohort {
            sites: 1,
            cases_per_site: CASES,
            signal: 1.0,
            seed: Seed::from_number(1),
            grid: Grid::Small,
            modalities: vec![Modality::T1gd],
        };
        let folder = cohort.write_site(out, 0).unwrap().folder;
        let settings = CacheSettings { max_bytes: 1 << 30, precision: CachePrecision::F32 };
        let cache = InputCache::open(&out.join("cache"), settings).unwrap();
        let intake = Intake::open(&study, Layout::UpennGbm, &[folder], &cache).unwrap();
        let data = intake.deal(&study, &study.federation.sites[0], &[]).unwrap();
        let predictions = Predictions::open(&out.join("predictions")).unwrap();
        Prepared { study, data, predictions }
    }

    fn zero() -> Coefficients {
        Coefficients::zero(ClinicalBaseline::FEATURES).unwrap()
    }

    #[test]
    fn every_patient_is_in_the_sums_of_all_folds_but_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let prepared = prepared(dir.path());
        let cases = prepared.data.clinical();
        assert_eq!(cases.len(), CASES, "phantoms have ages and sexes");
        let Outcome::Regressed(sums) = sums(cases, &[zero(), zero()]).unwrap() else { panic!("sums") };
        let counts = prepared.data.summary().counts(Modality::T1gd);
        for (fold, sums) in (0..).zip(&sums) {
            let expected = counts.training(Fold(fold));
            let Totals { positives, negatives } = sums.class_counts();
            assert_eq!((positives, negatives), (expected.methylated, expected.unmethylated));
        }
        assert!(matches!(super::sums(&[], &[zero(), zero()]), Err(WorkError::NoDemographics)));
    }

    #[test]
    fn patients_are_scored_by_the_fit_that_did_not_see_them_and_compared_with_fused_arms() {
        let dir = tempfile::tempdir().unwrap();
        let prepared = prepared(dir.path());
        // The first fit gives everybody one half, the second a quarter; the hold-out has their mean.
        let quarter = Coefficients::new(vec![-(3.0f64.ln()), 0.0, 0.0]).unwrap();
        let lane = Lane { arm: Arm::Random, modality: Modality::T1gd, fold: Fold(0) };
        let model = ChosenModel { lane, round: Round(1) };
        let held_out = prepared.data.set(&lane, CaseSet::Holdout);
        let right = held_out.iter().map(|input| {
            let probability = if input.label == Label::Methylated { 0.9 } else { 0.1 };
            (input.patient.reveal().to_owned(), Scored { label: input.label, probability })
        });
        prepared.predictions.keep(model, CaseSet::Holdout, &right.collect()).unwrap();
        prepared.predictions.keep_fused(Arm::Random, &[model]).unwrap();
        let Outcome::BaselineScored(told) = score(&prepared, &[zero(), quarter]).unwrap() else {
            panic!("scores")
        };
        let counts = prepared.data.summary().counts(Modality::T1gd);
        let (bins, validation) = (prepared.study.evaluation.bins / 8, &told.scores.validation);
        for (fold, bin) in [(0, 4 * bins), (1, 2 * bins)] {
            let expected = counts.validation(Fold(fold)).methylated;
            assert_eq!(validation.positives()[usize::from(bin)], expected);
        }
        assert_eq!(told.scores.holdout.positives()[usize::from(3 * bins)], counts.holdout.methylated);
        let [comparison] = &told.detail.comparisons[..] else { panic!("one arm was fused") };
        let difference = comparison.groups[0].unwrap().difference();
        assert!((difference + 0.5).abs() < 1e-12, "a coin against an oracle: {difference}");
        let sums = told.detail.sums[0].unwrap();
        assert!((sums.mean_score().unwrap() - 0.375).abs() < 1e-6);
    }
}
