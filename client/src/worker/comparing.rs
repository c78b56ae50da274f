//! Two arms on the same patients of this site: which of them orders its hold-out better, and how sure that is.
//!
//! DeLong's comparison of rows, which stay here; a difference, its variance and two counts leave
//! (docs/adr/0018-paired-comparison.md). A pair of arms is compared when the later of the two is fused.

use std::collections::BTreeMap;

use consilium_domain::{Arm, Label, ModalityGroup, Study};
use consilium_metrics::{PairedScore, SiteDifference, Totals, compare_rows};
use consilium_protocol::ArmComparison;

use super::WorkError;
use crate::late_fusion::{Means, over_folds, over_modalities};
use crate::predictions::Predictions;
use crate::study_data::CaseSet;

/// `arm`, whose mean probabilities of the hold-out are given, against every arm that was fused here before.
pub(super) fn with_arms_before(
    study: &Study,
    predictions: &Predictions,
    arm: Arm,
    holdout: &Means,
) -> Result<Vec<ArmComparison>, WorkError> {
    let mut comparisons = Vec::new();
    for &other in study.arms.iter().filter(|&&other| other != arm) {
        let Some(models) = predictions.fused(other)? else { continue };
        let theirs = over_folds(predictions, &models, CaseSet::Holdout)?;
        let groups = ModalityGroup::of_study(&study.modalities);
        let of_group = |means, group: &ModalityGroup| over_modalities(means, &group.members);
        let compared =
            groups.iter().map(|group| difference(&of_group(holdout, group), &of_group(&theirs, group)));
        comparisons.push(ArmComparison { with: other, groups: compared.collect::<Result<_, _>>()? });
    }
    Ok(comparisons)
}

/// Ours minus theirs on the patients whom both scored; `None` where a class has fewer than two patients: there is no variance then.
pub(super) fn difference(
    ours: &BTreeMap<String, (Label, f32)>,
    theirs: &BTreeMap<String, (Label, f32)>,
) -> Result<Option<SiteDifference>, WorkError> {
    let paired = ours.iter().filter_map(|(patient, &(label, first))| {
        let &(_, second) = theirs.get(patient)?;
        Some(PairedScore { first, second, positive: label == Label::Methylated })
    });
    let rows: Vec<PairedScore> = paired.collect();
    let positives = rows.iter().filter(|row| row.positive).count() as u32;
    let classes = Totals { positives, negatives: rows.len() as u32 - positives };
    let compared = compare_rows(&rows).map_err(|error| WorkError::Sums(error.to_string()))?;
    Ok(compared.and_then(|comparison| SiteDifference::of(&comparison, classes).ok()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use consilium_domain::{ChosenModel, Fold, Lane, Modality, Round};

    use super::*;
    use crate::predictions::Scored;

    fn study() -> Study {
        let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/samples/study.toml");
        let mut study: Study = toml::from_str(&std::fs::read_to_string(sample).unwrap()).unwrap();
        study.modalities = vec![Modality::T1];
        study
    }

    fn model(arm: Arm) -> ChosenModel {
        ChosenModel { lane: Lane { arm, modality: Modality::T1, fold: Fold(0) }, round: Round(1) }
    }

    #[test]
    fn the_later_arm_is_compared_with_those_before_on_common_patients() {
        let dir = tempfile::tempdir().unwrap();
        let predictions = Predictions::open(dir.path()).unwrap();
        let keep = |arm, scores: &[f32]| {
            let scored = scores.iter().enumerate().map(|(number, &probability)| {
                let label = if number % 2 == 0 { Label::Methylated } else { Label::Unmethylated };
                (format!("p{number}"), Scored { label, probability })
            });
            predictions.keep(model(arm), CaseSet::Holdout, &scored.collect()).unwrap();
        };
        // The first orders three of four pairs, the second two; a fifth patient has no score of it.
        keep(Arm::Random, &[0.9, 0.3, 0.4, 0.5, 0.7]);
        keep(Arm::Spottune, &[0.9, 0.6, 0.2, 0.3]);
        let (study, holdout) =
            (study(), |arm| over_folds(&predictions, &[model(arm)], CaseSet::Holdout).unwrap());
        let compare = |arm| with_arms_before(&study, &predictions, arm, &holdout(arm)).unwrap();
        assert!(compare(Arm::Random).is_empty(), "nobody was fused before");
        predictions.keep_fused(Arm::Random, &[model(Arm::Random)]).unwrap();
        let [comparison] = &compare(Arm::Spottune)[..] else { panic!("one arm was fused before") };
        assert_eq!(comparison.with, Arm::Random);
        let difference = comparison.groups[0].unwrap();
        assert_eq!(difference.classes(), Totals { positives: 2, negatives: 2 });
        assert!((difference.difference() + 0.25).abs() < 1e-12, "{difference:?}");
        assert!(compare(Arm::Random).is_empty(), "no arm is compared with itself");
    }
}
