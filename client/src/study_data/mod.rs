//! A study's data at this site: the cohort, preprocessed into the cache and dealt into folds.

mod intake;
mod lane_cases;

use std::collections::BTreeMap;

use consilium_data::{InputHandle, PatientId, Placement};
use consilium_domain::{CohortSummary, Label, Lane, Modality};

pub(crate) use intake::{Intake, IntakeError};
pub(crate) use lane_cases::{LaneCases, LaneInputs};

/// A case's input to the network of one modality.
pub(crate) struct Input {
    pub(crate) patient: PatientId,
    pub(crate) label: Label,
    placement: Placement,
    handle: InputHandle,
}

/// Everything work orders need to know of the patients.
pub(crate) struct StudyData {
    inputs: BTreeMap<Modality, Vec<Input>>,
    summary: CohortSummary,
}

/// Which of a lane's patients are scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CaseSet {
    /// The lane's fold.
    Validation,
    /// The final evaluation's patients.
    Holdout,
}

impl StudyData {
    /// The cohort in numbers.
    pub(crate) const fn summary(&self) -> &CohortSummary {
        &self.summary
    }

    /// The patients a lane trains on.
    pub(crate) fn training(&self, lane: &Lane) -> Vec<&Input> {
        self.select(lane, |place| matches!(place, Placement::Fold(fold) if fold != lane.fold))
    }

    /// The patients of a set of a lane.
    pub(crate) fn set(&self, lane: &Lane, set: CaseSet) -> Vec<&Input> {
        let place = match set {
            CaseSet::Validation => Placement::Fold(lane.fold),
            CaseSet::Holdout => Placement::Holdout,
        };
        self.select(lane, |other| other == place)
    }

    fn select(&self, lane: &Lane, wanted: impl Fn(Placement) -> bool) -> Vec<&Input> {
        let inputs = self.inputs.get(&lane.modality).into_iter().flatten();
        inputs.filter(|input| wanted(input.placement)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use consilium_data::phantom::{Grid, PhantomCohort};
    use consilium_domain::{Arm, ClassCounts, Fold};

    use super::*;

    const CASES: usize = 12;

    fn study(modalities: &[Modality]) -> Study {
        let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/samples/study.toml");
        let mut study: Study = toml::from_str(&std::fs::read_to_string(sample).unwrap()).unwrap();
        study.modalities = modalities.to_vec();
        study.preprocessing = Preprocessing::TumourCrop { side: 8 };
        study.evaluation.folds = 2;
        study
    }

    /// A hospital of phantoms with two modalities.
    fn hospital(out: &Path) -> PathBuf {
        let cohort = PhantomCohort {
            sites: 1,
            cases_per_site: CASES,
            signal: 1.0,
            seed: Seed::from_number(1),
            grid: Grid::Small,
            modalities: vec![Modality::T1gd, Modality::Flair],
        };
        cohort.write_site(out, 0).unwrap().folder
    }

    /// The image of one modality of some patient.
    fn image(folder: &Path, modality: Modality) -> PathBuf {
        Cohort::open(Layout::UpennGbm, &[folder.to_owned()]).unwrap().cases[3].images[&modality].clone()
    }

    fn prepare(study: &Study, folder: &Path) -> StudyData {
        StudyData::prepare(study, Layout::UpennGbm, &[folder.to_owned()]).unwrap()
    }

    fn lane(modality: Modality, fold: u8) -> Lane {
        Lane { arm: Arm::Random, modality, fold: Fold(fold) }
    }

    fn names(inputs: &[&Input]) -> Vec<PatientId> {
        inputs.iter().map(|input| input.patient.clone()).collect()
    }

    fn counts(inputs: &[&Input]) -> ClassCounts {
        let mut counts = ClassCounts::default();
        inputs.iter().for_each(|input| counts.count(input.label));
        counts
    }

    #[test]
    fn every_patient_is_trained_on_validated_or_held_out_as_the_summary_says() {
        let dir = tempfile::tempdir().unwrap();
        let data = prepare(&study(&[Modality::T1gd]), &hospital(dir.path()));
        let declared = data.summary().counts(Modality::T1gd);
        assert!(data.summary().excluded.is_empty(), "{:?}", data.summary().excluded);
        let mut held_out = Vec::new();
        for fold in 0..2 {
            let lane = lane(Modality::T1gd, fold);
            let sets = [
                data.training(&lane),
                data.set(&lane, CaseSet::Validation),
                data.set(&lane, CaseSet::Holdout),
            ];
            let expected = [declared.training(lane.fold), declared.validation(lane.fold), declared.holdout];
            assert_eq!(sets.each_ref().map(|set| counts(set)), expected);
            let everybody: std::collections::BTreeSet<_> = sets.iter().flat_map(|set| names(set)).collect();
            assert_eq!((everybody.len(), sets.iter().map(Vec::len).sum::<usize>()), (CASES, CASES));
            assert!(sets.iter().flatten().all(|input| input.values.len() == 8 * 8 * 8));
            held_out.push(names(&sets[2]));
        }
        assert!(held_out[0] == held_out[1], "the hold-out is the same in every lane");
    }

    #[test]
    fn an_unusable_image_is_left_out_and_counted_and_the_patients_other_image_stays() {
        let dir = tempfile::tempdir().unwrap();
        let folder = hospital(dir.path());
        std::fs::write(image(&folder, Modality::Flair), b"not an image").unwrap();
        let data = prepare(&study(&[Modality::T1gd, Modality::Flair]), &folder);
        assert_eq!(data.summary().excluded, [(UNUSABLE_IMAGE.to_owned(), 1)].into());
        let patients = |modality| {
            let lane = lane(modality, 0);
            data.training(&lane).len()
                + data.set(&lane, CaseSet::Validation).len()
                + data.set(&lane, CaseSet::Holdout).len()
        };
        assert_eq!((patients(Modality::T1gd), patients(Modality::Flair)), (CASES, CASES - 1));
    }

    #[test]
    fn patients_without_an_input_for_the_study_are_not_dealt() {
        let dir = tempfile::tempdir().unwrap();
        let folder = hospital(dir.path());
        std::fs::remove_file(image(&folder, Modality::T1gd)).unwrap();
        let data = prepare(&study(&[Modality::T1gd]), &folder);
        assert_eq!(data.summary().excluded, [(OTHER_MODALITIES.to_owned(), 1)].into());
        let declared = data.summary().counts(Modality::T1gd);
        let totals: Vec<u32> = declared.folds.iter().map(|fold| fold.total()).collect();
        assert_eq!(totals.iter().sum::<u32>() + declared.holdout.total(), CASES as u32 - 1);
        assert!(totals[0].abs_diff(totals[1]) <= 1, "{totals:?}");
    }
}
