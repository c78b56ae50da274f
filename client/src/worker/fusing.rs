//! Late fusion at the site (arXiv:2310.12373): the mean of the probabilities over the fold models, then over the
//! modalities of a group.
//!
//! Hold-out patients are scored by all fold models. Training patients are scored out of fold: by the model that was
//! validated on them. A patient that lacks a modality is scored by those it has.

use std::collections::BTreeMap;
use std::time::Instant;

use consilium_domain::{Arm, ChosenModel, Label, Modality, ModalityGroup, Study};
use consilium_metrics::{ScoreHistogram, ScoreSums};
use consilium_protocol::{FusionDetail, FusionOutcome, GroupScores, Outcome};

use super::scoring::{histogram, record};
use super::{WorkError, comparing};
use crate::predictions::{Predictions, Scored};
use crate::study_data::CaseSet;

/// A patient's mean probability by modality.
pub(super) type Means = BTreeMap<String, (Label, BTreeMap<Modality, f64>)>;

pub(super) fn fuse(
    study: &Study,
    predictions: &Predictions,
    arm: Arm,
    models: &[ChosenModel],
) -> Result<(Outcome, Option<Vec<u8>>), WorkError> {
    let began = Instant::now();
    let validation = over_folds(predictions, models, CaseSet::Validation)?;
    let holdout = over_folds(predictions, models, CaseSet::Holdout)?;
    let (mut groups, mut sums) = (Vec::new(), Vec::new());
    for group in ModalityGroup::of_study(&study.modalities) {
        let held_out = over_modalities(&holdout, &group.members);
        sums.push(Some(summed(&held_out)?));
        groups.push(GroupScores {
            validation: counted(&over_modalities(&validation, &group.members), study.evaluation.bins)?,
            holdout: counted(&held_out, study.evaluation.bins)?,
        });
    }
    let comparisons = comparing::with_arms_before(study, predictions, arm, &holdout)?;
    predictions.keep_fused(arm, models)?;
    let seconds = began.elapsed().as_secs_f64();
    let detail = FusionDetail { sums, comparisons };
    Ok((Outcome::FusedInDetail(FusionOutcome { groups, seconds }, detail), None))
}

/// For every patient and modality the mean over the models that scored them: one for the patients of a fold, all
/// for the hold-out's.
pub(super) fn over_folds(
    predictions: &Predictions,
    models: &[ChosenModel],
    set: CaseSet,
) -> Result<Means, WorkError> {
    let mut sums: BTreeMap<(String, Modality), (Label, f64, u32)> = BTreeMap::new();
    for &model in models {
        for (patient, Scored { label, probability }) in predictions.of(model, set)? {
            let sum = sums.entry((patient, model.lane.modality)).or_insert((label, 0.0, 0));
            sum.1 += f64::from(probability);
            sum.2 += 1;
        }
    }
    let mut means = Means::new();
    for ((patient, modality), (label, sum, count)) in sums {
        let patient = means.entry(patient).or_insert_with(|| (label, BTreeMap::new()));
        patient.1.insert(modality, sum / f64::from(count));
    }
    Ok(means)
}

/// Each patient who has any of `members`, with the mean over those it has.
pub(super) fn over_modalities(means: &Means, members: &[Modality]) -> BTreeMap<String, (Label, f32)> {
    let fused = means.iter().filter_map(|(patient, (label, by_modality))| {
        let present: Vec<f64> =
            members.iter().filter_map(|modality| by_modality.get(modality)).copied().collect();
        let mean = present.iter().sum::<f64>() / present.len() as f64;
        (!present.is_empty()).then(|| (patient.clone(), (*label, mean as f32)))
    });
    fused.collect()
}

fn counted(fused: &BTreeMap<String, (Label, f32)>, bins: u16) -> Result<ScoreHistogram, WorkError> {
    let mut scores = histogram(bins)?;
    for &(label, probability) in fused.values() {
        record(&mut scores, probability, label)?;
    }
    Ok(scores)
}

fn summed(fused: &BTreeMap<String, (Label, f32)>) -> Result<ScoreSums, WorkError> {
    let mut sums = ScoreSums::new();
    for &(label, probability) in fused.values() {
        let positive = label == Label::Methylated;
        sums.record(probability, positive).map_err(|error| WorkError::Sums(error.to_string()))?;
    }
    Ok(sums)
}

#[cfg(test)]
mod tests {
    use consilium_domain::{Fold, Lane, Round};

    use super::*;

    fn model(modality: Modality, fold: u8) -> ChosenModel {
        ChosenModel { lane: Lane { arm: Arm::Random, modality, fold: Fold(fold) }, round: Round(1) }
    }

    fn keep(predictions: &Predictions, model: ChosenModel, set: CaseSet, scores: &[(&str, f32)]) {
        let scored = scores.iter().map(|&(patient, probability)| {
            (patient.to_owned(), Scored { label: Label::Methylated, probability })
        });
        predictions.keep(model, set, &scored.collect()).unwrap();
    }

    #[test]
    fn folds_are_averaged_then_modalities_and_missing_ones_are_skipped() {
        let dir = tempfile::tempdir().unwrap();
        let predictions = Predictions::open(dir.path()).unwrap();
        let models = [
            model(Modality::T1, 0),
            model(Modality::T1, 1),
            model(Modality::Flair, 0),
            model(Modality::Flair, 1),
        ];
        keep(&predictions, models[0], CaseSet::Holdout, &[("a", 0.2), ("b", 0.9)]);
        keep(&predictions, models[1], CaseSet::Holdout, &[("a", 0.4), ("b", 0.8)]);
        keep(&predictions, models[2], CaseSet::Holdout, &[("a", 0.8)]);
        keep(&predictions, models[3], CaseSet::Holdout, &[("a", 0.8)]);
        let means = over_folds(&predictions, &models, CaseSet::Holdout).unwrap();
        assert!((means["a"].1[&Modality::T1] - 0.3).abs() < 1e-6);
        let fused = counted(&over_modalities(&means, &[Modality::T1, Modality::Flair]), 10).unwrap();
        // a: (0.3 + 0.8) / 2 = 0.55; b has T1 only: 0.85. Both are the middle of a bin.
        assert_eq!((fused.positives()[5], fused.positives()[8]), (1, 1), "{:?}", fused.positives());
    }

    #[test]
    fn training_patients_are_scored_by_the_model_that_did_not_see_them() {
        let dir = tempfile::tempdir().unwrap();
        let predictions = Predictions::open(dir.path()).unwrap();
        let models = [model(Modality::T1, 0), model(Modality::T1, 1)];
        keep(&predictions, models[0], CaseSet::Validation, &[("a", 0.25)]);
        keep(&predictions, models[1], CaseSet::Validation, &[("b", 0.75)]);
        let means = over_folds(&predictions, &models, CaseSet::Validation).unwrap();
        assert_eq!((means["a"].1[&Modality::T1], means["b"].1[&Modality::T1]), (0.25, 0.75));
    }
}
