//! A study's data at this site: the cohort, dealt into folds, preprocessed and in memory.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use consilium_data::{
    Augmentation, Case, Cohort, CohortError, Layout, LoadError, PatientId, Placement, Split, load_input,
};
use consilium_domain::{CohortSummary, Label, Lane, Modality, Preprocessing, Seed, Study};
use consilium_model::TrainingCases;

/// The word for images that cannot be used, in the cohort's numbers. A case may have several, one a modality.
const UNUSABLE_IMAGE: &str = "unusable image";
/// The word for cases that have images, and none of a modality of the study.
const OTHER_MODALITIES: &str = "no image of the study's modalities";

/// A case's input to the network of one modality.
pub(crate) struct Input {
    pub(crate) patient: PatientId,
    pub(crate) label: Label,
    placement: Placement,
    pub(crate) values: Vec<f32>,
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
    /// Reads the cohort, deals it and preprocesses every image of the study's modalities, several at a time.
    ///
    /// An image that cannot be used is logged with its file and left out; the count is part of the summary. Cases
    /// are dealt after that, so that folds hold only cases with an input for the study.
    pub(crate) fn prepare(study: &Study, layout: Layout, folders: &[PathBuf]) -> Result<Self, CohortError> {
        let mut cohort = Cohort::open(layout, folders)?;
        let others = keep_studied(&mut cohort, &study.modalities);
        let wanted: Vec<(usize, Modality)> = (0..cohort.cases.len())
            .flat_map(|case| study.modalities.iter().map(move |&modality| (case, modality)))
            .filter(|&(case, modality)| cohort.cases[case].images.contains_key(&modality))
            .collect();
        let loaded = load_all(&cohort.cases, &wanted, study.preprocessing);
        let mut usable = BTreeMap::new();
        let mut unusable = 0;
        for ((case, modality), result) in wanted.into_iter().zip(loaded) {
            match result {
                Ok(values) => {
                    usable.insert((cohort.cases[case].patient.clone(), modality), values);
                }
                Err(error) => {
                    tracing::warn!(%modality, "left out: {error}");
                    cohort.cases[case].images.remove(&modality);
                    unusable += 1;
                }
            }
        }
        keep_studied(&mut cohort, &study.modalities);
        let split = Split::deal(&cohort, &study.evaluation, &study.seed());
        let mut summary = cohort.summary(&split, &study.modalities);
        for (reason, count) in [(UNUSABLE_IMAGE, unusable), (OTHER_MODALITIES, others)] {
            if count > 0 {
                summary.excluded.insert(reason.to_owned(), count);
            }
        }
        Ok(Self { inputs: place(&cohort, &split, &study.modalities, usable), summary })
    }

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

/// Leaves out the cases without any image of `modalities`, and counts them.
fn keep_studied(cohort: &mut Cohort, modalities: &[Modality]) -> u32 {
    let before = cohort.cases.len();
    cohort.cases.retain(|case| modalities.iter().any(|modality| case.images.contains_key(modality)));
    u32::try_from(before - cohort.cases.len()).unwrap_or(u32::MAX)
}

fn place(
    cohort: &Cohort,
    split: &Split,
    modalities: &[Modality],
    mut usable: BTreeMap<(PatientId, Modality), Vec<f32>>,
) -> BTreeMap<Modality, Vec<Input>> {
    let mut inputs = BTreeMap::new();
    for &modality in modalities {
        let placed = cohort.cases.iter().filter_map(|case| {
            let values = usable.remove(&(case.patient.clone(), modality))?;
            let placement = split.placement(&case.patient)?;
            Some(Input { patient: case.patient.clone(), label: case.label, placement, values })
        });
        inputs.insert(modality, placed.collect());
    }
    inputs
}

/// Loads the wanted images on as many threads as there are processors; results are in the order asked for.
fn load_all(
    cases: &[Case],
    wanted: &[(usize, Modality)],
    preprocessing: Preprocessing,
) -> Vec<Result<Vec<f32>, LoadError>> {
    let threads =
        std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(wanted.len().max(1));
    let next = AtomicUsize::new(0);
    let loaded = Mutex::new(Vec::with_capacity(wanted.len()));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((index, &(case, modality))) = Some(next.fetch_add(1, Ordering::Relaxed))
                    .and_then(|index| Some((index, wanted.get(index)?)))
                {
                    let result = load_input(&cases[case], modality, preprocessing);
                    loaded.lock().expect("loading does not panic with the lock held").push((index, result));
                }
            });
        }
    });
    let mut loaded = loaded.into_inner().expect("all threads have ended");
    loaded.sort_unstable_by_key(|(index, _)| *index);
    loaded.into_iter().map(|(_, result)| result).collect()
}

/// The patients of one training, as the network sees them: changed at random anew in every epoch.
pub(crate) struct LaneCases<'a> {
    pub(crate) inputs: Vec<&'a Input>,
    pub(crate) shape: [usize; 3],
    pub(crate) augmentation: Augmentation,
    pub(crate) seed: Seed,
}

impl TrainingCases for LaneCases<'_> {
    fn len(&self) -> usize {
        self.inputs.len()
    }

    fn label(&self, index: usize) -> Label {
        self.inputs[index].label
    }

    fn shape(&self) -> [usize; 3] {
        self.shape
    }

    fn fill(&self, index: usize, epoch: u16, out: &mut [f32]) {
        out.copy_from_slice(&self.inputs[index].values);
        self.augmentation.apply(out, self.shape, &self.seed, index, epoch.into());
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
