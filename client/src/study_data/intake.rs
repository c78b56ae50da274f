//! What of the hospital's folder a study can use: every image of its modalities, preprocessed into the cache.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use consilium_data::{
    Alias, CacheError, CachedInput, Case, Cohort, CohortError, DesignError, ImageSketch, InputCache,
    InputHandle, Layout, PatientId, Split, StudyFingerprintKey, TooManyAliases,
};
use consilium_domain::{ClinicalBaseline, Fingerprint, Modality, SiteId, Study};

use super::{ClinicalCase, Input, StudyData};

/// The word for images that cannot be used, in the cohort's numbers. A case may have several, one a modality.
pub(super) const UNUSABLE_IMAGE: &str = "unusable image";
/// The word for cases that have images, and none of a modality of the study.
pub(super) const OTHER_MODALITIES: &str = "no image of the study's modalities";
/// The word for cases of which another copy takes part, at this site or another.
pub(super) const DUPLICATE: &str = "duplicate of a case that takes part";

/// Why a folder cannot be taken in. The texts name files: they are for the site's own eyes.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IntakeError {
    #[error(transparent)]
    Cohort(#[from] CohortError),
    #[error(transparent)]
    Cache(#[from] CacheError),
    #[error(transparent)]
    Design(#[from] DesignError),
    #[error("a case of the folder cannot be compared with other sites': {0}")]
    Aliases(#[from] TooManyAliases),
}

/// The usable cases in the order in which they are numbered, and where their inputs are.
pub(crate) struct Intake {
    cohort: Cohort,
    inputs: BTreeMap<(PatientId, Modality), Taken>,
    left_out: BTreeMap<&'static str, u32>,
}

/// One input in the cache.
struct Taken {
    handle: InputHandle,
    /// What it looks like; `None` where the image is too small a part of a brain to tell.
    sketch: Option<ImageSketch>,
}

impl Intake {
    /// Reads the cohort and preprocesses every image of the study's modalities that is not in the cache, several at a
    /// time.
    ///
    /// An image that cannot be used is logged with its file and left out.
    pub(crate) fn open(
        study: &Study,
        layout: Layout,
        folders: &[PathBuf],
        cache: &InputCache,
    ) -> Result<Self, IntakeError> {
        let mut cohort = Cohort::open(layout, folders)?;
        let others = keep_studied(&mut cohort, &study.modalities);
        let wanted: Vec<(usize, Modality)> = (0..cohort.cases.len())
            .flat_map(|case| study.modalities.iter().map(move |&modality| (case, modality)))
            .filter(|&(case, modality)| cohort.cases[case].images.contains_key(&modality))
            .collect();
        let loaded = load_all(&cohort.cases, &wanted, study, cache);
        let (mut inputs, mut unusable) = (BTreeMap::new(), 0);
        for ((case, modality), result) in wanted.into_iter().zip(loaded) {
            match result {
                Ok(taken) => {
                    inputs.insert((cohort.cases[case].patient.clone(), modality), taken);
                }
                Err(error @ (CacheError::Case(_) | CacheError::Busy { .. })) => {
                    tracing::warn!(%modality, "left out: {error}");
                    cohort.cases[case].images.remove(&modality);
                    unusable += 1;
                }
                Err(error) => return Err(error.into()),
            }
        }
        keep_studied(&mut cohort, &study.modalities);
        Ok(Self { cohort, inputs, left_out: [(UNUSABLE_IMAGE, unusable), (OTHER_MODALITIES, others)].into() })
    }

    /// One fingerprint a case, in the cases' order.
    pub(crate) fn fingerprints(&self, key: &StudyFingerprintKey) -> Result<Vec<Fingerprint>, IntakeError> {
        let fingerprint = |case: &Case| {
            let aliases: Vec<&str> = case.aliases.iter().map(Alias::reveal).collect();
            let sketch = |&modality: &Modality| {
                let taken = self.inputs.get(&(case.patient.clone(), modality))?;
                Some((modality, taken.sketch.as_ref()?))
            };
            Ok(key.fingerprint(&aliases, case.images.keys().filter_map(sketch))?)
        };
        self.cohort.cases.iter().map(fingerprint).collect()
    }

    /// Deals the cases but those numbered `exclude` into hold-out and folds.
    ///
    /// # Errors
    /// Where the study's design needs what the cohort does not have.
    pub(crate) fn deal(
        &self,
        study: &Study,
        site: &SiteId,
        exclude: &[u32],
    ) -> Result<StudyData, IntakeError> {
        let mut cohort = self.cohort.clone();
        let mut number = 0u32..;
        cohort.cases.retain(|_| number.next().is_none_or(|number| exclude.binary_search(&number).is_err()));
        let split = Split::of_study(&cohort, study, site)?;
        let mut summary = cohort.summary(&split, &study.modalities);
        let duplicates = u32::try_from(exclude.len()).unwrap_or(u32::MAX);
        let left_out = self.left_out.iter().map(|(&reason, &count)| (reason, count));
        for (reason, count) in left_out.chain([(DUPLICATE, duplicates)]).filter(|(_, count)| *count > 0) {
            summary.excluded.insert(reason.to_owned(), count);
        }
        let placed = |modality: Modality| {
            let input = |case: &Case| {
                Some(Input {
                    patient: case.patient.clone(),
                    label: case.label,
                    placement: split.placement(&case.patient)?,
                    handle: self.inputs.get(&(case.patient.clone(), modality))?.handle.clone(),
                })
            };
            (modality, cohort.cases.iter().filter_map(input).collect())
        };
        let clinical: Vec<ClinicalCase> = cohort
            .cases
            .iter()
            .filter_map(|case| {
                Some(ClinicalCase {
                    patient: case.patient.clone(),
                    label: case.label,
                    placement: split.placement(&case.patient)?,
                    features: case.clinical.demographics?.features(),
                })
            })
            .collect();
        if study.evaluation.baseline != ClinicalBaseline::None {
            let (with, all) = (clinical.len(), cohort.cases.len());
            tracing::info!(with, all, "cases whose age and sex are known, for the baseline");
        }
        let inputs = study.modalities.iter().map(|&modality| placed(modality)).collect();
        Ok(StudyData { inputs, clinical, summary, site: site.clone() })
    }
}

/// Leaves out the cases without any image of `modalities`, and counts them.
fn keep_studied(cohort: &mut Cohort, modalities: &[Modality]) -> u32 {
    let before = cohort.cases.len();
    cohort.cases.retain(|case| modalities.iter().any(|modality| case.images.contains_key(modality)));
    u32::try_from(before - cohort.cases.len()).unwrap_or(u32::MAX)
}

/// Loads the wanted images on as many threads as there are processors; results are in the order asked for.
fn load_all(
    cases: &[Case],
    wanted: &[(usize, Modality)],
    study: &Study,
    cache: &InputCache,
) -> Vec<Result<Taken, CacheError>> {
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
                    let result = cache.load(&cases[case], modality, study.preprocessing).map(Taken::from);
                    loaded.lock().expect("loading does not panic with the lock held").push((index, result));
                }
            });
        }
    });
    let mut loaded = loaded.into_inner().expect("all threads have ended");
    loaded.sort_unstable_by_key(|(index, _)| *index);
    loaded.into_iter().map(|(_, result)| result).collect()
}

impl From<CachedInput> for Taken {
    fn from(input: CachedInput) -> Self {
        Self { handle: input.handle, sketch: ImageSketch::from_bytes(&input.sketch) }
    }
}
