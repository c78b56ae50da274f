//! Fusion orders: histograms of probabilities averaged here, and the comparison with arms fused before.

use std::collections::BTreeMap;
use std::time::Instant;

use consilium_domain::{Arm, ChosenModel, Fold, Label, ModalityGroup, Study};
use consilium_metrics::{ScoreHistogram, ScoreSums};
use consilium_protocol::{FusionDetail, FusionOutcome, GroupScores, MOST_FOLD_BINS, Outcome};

use super::scoring::{histogram, record};
use super::{WorkError, comparing};
use crate::late_fusion::{over_folds, over_modalities};
use crate::predictions::Predictions;
use crate::study_data::CaseSet;

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
    let folds = by_fold(study, predictions, models)?;
    let detail = FusionDetail { sums, comparisons, folds, fewest_per_score: 1 };
    Ok((Outcome::FusedInDetail(FusionOutcome { groups, seconds }, detail), None))
}

/// The out-of-fold scores of each group of several modalities, fold by fold; nothing where they would take too much of a frame.
fn by_fold(
    study: &Study,
    predictions: &Predictions,
    models: &[ChosenModel],
) -> Result<Vec<Vec<ScoreHistogram>>, WorkError> {
    let groups = ModalityGroup::of_study(&study.modalities);
    let several = |group: &&ModalityGroup| group.members.len() > 1;
    let (folds, bins) = (study.evaluation.folds, study.evaluation.bins);
    let told = groups.iter().filter(several).count();
    if told == 0 || told * usize::from(folds) * usize::from(bins) > MOST_FOLD_BINS {
        return Ok(Vec::new());
    }
    let mut by_group: Vec<Vec<ScoreHistogram>> = vec![Vec::new(); groups.len()];
    for fold in (0..folds).map(Fold) {
        let of_fold: Vec<ChosenModel> =
            models.iter().copied().filter(|model| model.lane.fold == fold).collect();
        let validation = over_folds(predictions, &of_fold, CaseSet::Validation)?;
        for (group, histograms) in groups.iter().zip(&mut by_group).filter(|(group, _)| several(group)) {
            histograms.push(counted(&over_modalities(&validation, &group.members), bins)?);
        }
    }
    Ok(by_group)
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
