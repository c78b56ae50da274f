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

/// The word for cases whose images cannot be used, in the cohort's numbers.
const UNUSABLE_IMAGE: &str = "unusable image";

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
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
    /// are dealt after that, so that folds hold usable cases only.
    pub(crate) fn prepare(study: &Study, layout: Layout, folders: &[PathBuf]) -> Result<Self, CohortError> {
        let mut cohort = Cohort::open(layout, folders)?;
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
        cohort.cases.retain(|case| !case.images.is_empty());
        let split = Split::deal(&cohort, &study.evaluation, &study.seed());
        let mut summary = cohort.summary(&split, &study.modalities);
        if unusable > 0 {
            summary.excluded.insert(UNUSABLE_IMAGE.to_owned(), unusable);
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

/// The patients of one training, as the network sees them: mirrored anew in every epoch.
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
