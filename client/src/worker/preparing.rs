//! Before any order: the cohort in the cache, its fingerprints, and its folds.

use consilium_data::{CacheError, FingerprintKey, IMAGE_SKETCHER, InputCache};
use consilium_domain::{CohortSummary, Digest, Fingerprint, Study, StudyHash};

use super::{Bench, Prepared};
use crate::predictions::{Predictions, PredictionsError};
use crate::study_data::{Intake, IntakeError};

/// Why a site cannot take part with its data. The texts name files: they are for the site's own eyes.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PrepareError {
    #[error(transparent)]
    Intake(#[from] IntakeError),
    #[error(transparent)]
    Cache(#[from] CacheError),
    #[error(transparent)]
    Predictions(#[from] PredictionsError),
    #[error(
        "the study compares sites' patients and {path} is not to be had ({problem}): ask the consortium's authority for \
         a kit with fingerprint.key"
    )]
    Key { path: String, problem: String },
}

impl Bench {
    #[tracing::instrument(level = "debug", skip_all)]
    pub(super) fn fingerprint(&mut self, study: &Study) -> Result<Vec<Fingerprint>, PrepareError> {
        let key = self.key()?.for_study(study.hash());
        Ok(self.intake(study)?.fingerprints(&key)?)
    }

    #[tracing::instrument(level = "debug", skip_all)]
    pub(super) fn prepare(&mut self, study: Study, exclude: &[u32]) -> Result<CohortSummary, PrepareError> {
        let site = self.workplace.site.clone();
        let data = self.intake(&study)?.deal(&study, &site, exclude)?;
        let folder = self.workplace.predictions.join(study.hash().digest().short());
        let predictions = Predictions::open(&folder)?;
        let summary = data.summary().clone();
        let device = &self.workplace.device;
        if !device.honours(study.training.precision) {
            tracing::warn!(%device, "the study allows 16-bit factors; this device has none and computes in 32 bits");
        }
        self.prepared = Some(Prepared { study, data, predictions });
        Ok(summary)
    }

    /// The cohort, taken in once a study.
    fn intake(&mut self, study: &Study) -> Result<&Intake, PrepareError> {
        let hash = study.hash();
        if self.intake.as_ref().is_none_or(|(of, _)| *of != hash) {
            self.intake = Some((hash, self.take_in(study, hash)?));
        }
        Ok(&self.intake.as_ref().expect("it was taken in above").1)
    }

    fn take_in(&mut self, study: &Study, hash: StudyHash) -> Result<Intake, PrepareError> {
        let began = std::time::Instant::now();
        if self.cache.is_none() {
            let cache = InputCache::open(&self.workplace.cache, self.workplace.cache_settings)?;
            self.cache = Some(cache.with_sketcher(IMAGE_SKETCHER));
        }
        let cache = self.cache.as_ref().expect("it was opened above");
        let intake = Intake::open(study, self.workplace.layout, &self.workplace.folders, cache)?;
        cache.flush()?;
        let (seconds, stats) = (began.elapsed().as_secs_f64(), cache.stats());
        tracing::info!(study = %hash.digest().short(), seconds, ?stats, "the cohort is in the cache");
        Ok(intake)
    }

    fn key(&self) -> Result<FingerprintKey, PrepareError> {
        let path = &self.workplace.fingerprint_key;
        let problem = |problem: String| PrepareError::Key { path: path.display().to_string(), problem };
        let text = std::fs::read_to_string(path).map_err(|error| problem(error.to_string()))?;
        // Both are 32 bytes in hexadecimal digits.
        let key: Digest =
            text.trim().parse().map_err(|_| problem("it is not 64 hexadecimal digits".into()))?;
        Ok(FingerprintKey::from_bytes(*key.as_bytes()))
    }
}
