//! Late fusion at the site (arXiv:2310.12373): the mean of the probabilities over the fold models, then over the
//! modalities of a group.
//!
//! Hold-out patients are scored by all fold models. Training patients are scored out of fold: by the model that was
//! validated on them. A patient that lacks a modality is scored by those it has.

use std::collections::BTreeMap;

use consilium_domain::{ChosenModel, Label, Modality};

use crate::predictions::{Predictions, PredictionsError, Scored};
use crate::study_data::CaseSet;

/// A patient's mean probability by modality.
pub(crate) type Means = BTreeMap<String, (Label, BTreeMap<Modality, f64>)>;

/// For every patient and modality the mean over the models that scored them: one for the patients of a fold, all
/// for the hold-out's.
pub(crate) fn over_folds(
    predictions: &Predictions,
    models: &[ChosenModel],
    set: CaseSet,
) -> Result<Means, PredictionsError> {
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
pub(crate) fn over_modalities(means: &Means, members: &[Modality]) -> BTreeMap<String, (Label, f32)> {
    let fused = means.iter().filter_map(|(patient, (label, by_modality))| {
        let present: Vec<f64> =
            members.iter().filter_map(|modality| by_modality.get(modality)).copied().collect();
        let mean = present.iter().sum::<f64>() / present.len() as f64;
        (!present.is_empty()).then(|| (patient.clone(), (*label, mean as f32)))
    });
    fused.collect()
}

#[cfg(test)]
mod tests {
    use consilium_domain::{Arm, Fold, Lane, Round};

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
        let fused = over_modalities(&means, &[Modality::T1, Modality::Flair]);
        // a: (0.3 + 0.8) / 2; b has T1 only.
        assert!((fused["a"].1 - 0.55).abs() < 1e-6 && (fused["b"].1 - 0.85).abs() < 1e-6);
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
