//! Asking a finished study's models about scans without a label.
//!
//! A probability is the mean over the fold models of a modality, then over the modalities that a scan has: what the
//! study's figures were computed of. Models are loaded one after the other, so that memory holds one network however
//! many there are; scans are preprocessed once a modality.

mod forecast;
mod inputs;
mod table;

use consilium_data::{LoadError, Subject, load_pair};
use consilium_domain::{Fold, Modality, Study, StudyError};
use consilium_model::{Architecture, Classifier, ComputeDevice, InMemory, ModelError, Prediction, Routes};
use consilium_package::{Card, Package, PackageError};
use consilium_weights::Weights;

pub use forecast::{Figures, FoldForecast, Forecast, ModalityForecast, RESEARCH_ONLY};
pub use inputs::{Input, write_inputs};
pub use table::write_table;

/// Scans that are asked about at a time. Each takes two megabytes a modality in the paper's shape, and every model is
/// loaded once for all of them.
const SCANS_AT_ONCE: usize = 128;

/// Scans a forward pass holds.
const BATCH: usize = 4;

/// Why a package cannot be asked. The texts name files: they are for the site's own eyes.
#[derive(Debug, thiserror::Error)]
pub enum PredictError {
    /// The package.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// The study's text in the card.
    #[error("the study in the package's card is not one that this program understands: {0}")]
    Study(#[from] StudyError),
    /// An image.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A network.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A scan without any modality of the study.
    #[error("the scan has none of the package's modalities ({known}): name other files, or another package")]
    NoModality {
        /// Those of the package.
        known: String,
    },
}

/// A package whose models can be asked.
pub struct Predictor {
    package: Package,
    study: Study,
    base: Option<Weights>,
    device: ComputeDevice,
    routes: Routes,
}

impl Predictor {
    /// Over an opened package, whose files were compared with its card.
    ///
    /// # Errors
    /// When the card's study or the backbone cannot be used.
    pub fn new(package: Package, device: ComputeDevice, routes: Routes) -> Result<Self, PredictError> {
        let study = Study::from_json(&package.card().study)?;
        let base = package.base()?;
        Ok(Self { package, study, base, device, routes })
    }

    /// What the package says of itself.
    pub fn card(&self) -> &Card {
        self.package.card()
    }

    /// Bins of the study's score histograms.
    pub fn bins(&self) -> u16 {
        self.study.evaluation.bins
    }

    /// What the networks are shown of a scan: its images in the package's modalities, preprocessed.
    ///
    /// # Errors
    /// When an image cannot be used, or there is none of the package's modalities.
    pub fn inputs(&self, subject: &Subject) -> Result<Vec<Input>, PredictError> {
        let preprocessing = self.study.preprocessing;
        let shape = preprocessing.input_shape();
        let of_modality = |&modality: &Modality| -> Result<Input, PredictError> {
            let values = load_pair(subject.pair(modality)?, preprocessing)?;
            Ok(Input { modality, shape, values })
        };
        let modalities = &self.card().modalities;
        let had = modalities.iter().filter(|modality| subject.images.contains_key(modality));
        let inputs = had.map(of_modality).collect::<Result<Vec<_>, _>>()?;
        if inputs.is_empty() { Err(self.no_modality()) } else { Ok(inputs) }
    }

    /// One answer a scan, in their order: what went wrong with one leaves the others alone.
    ///
    /// # Errors
    /// What went wrong with the models.
    pub fn predict(&self, subjects: &[Subject]) -> Result<Vec<Result<Forecast, PredictError>>, PredictError> {
        let mut answers = Vec::with_capacity(subjects.len());
        for subjects in subjects.chunks(SCANS_AT_ONCE) {
            answers.extend(self.predict_some(subjects)?);
        }
        Ok(answers)
    }

    fn predict_some(
        &self,
        subjects: &[Subject],
    ) -> Result<Vec<Result<Forecast, PredictError>>, PredictError> {
        let mut collected: Vec<Result<Vec<ModalityForecast>, PredictError>> =
            subjects.iter().map(|_| Ok(Vec::new())).collect();
        for &modality in &self.card().modalities {
            let mut asked = Vec::new();
            let mut volumes = Vec::new();
            for (number, subject) in subjects.iter().enumerate() {
                if collected[number].is_err() || !subject.images.contains_key(&modality) {
                    continue;
                }
                let loaded =
                    subject.pair(modality).and_then(|pair| load_pair(pair, self.study.preprocessing));
                match loaded {
                    Ok(values) => {
                        asked.push(number);
                        volumes.push(values);
                    }
                    Err(error) => collected[number] = Err(error.into()),
                }
            }
            if asked.is_empty() {
                continue;
            }
            for (number, forecast) in asked.into_iter().zip(self.of_modality(modality, &volumes)?) {
                if let Ok(forecasts) = &mut collected[number] {
                    forecasts.push(forecast);
                }
            }
        }
        Ok(collected.into_iter().map(|found| self.fuse(found?)).collect())
    }

    /// Asks every fold's model of a modality.
    fn of_modality(
        &self,
        modality: Modality,
        volumes: &[Vec<f32>],
    ) -> Result<Vec<ModalityForecast>, PredictError> {
        let volumes: Vec<&[f32]> = volumes.iter().map(Vec::as_slice).collect();
        let inputs = InMemory { volumes: &volumes, shape: self.study.preprocessing.input_shape() };
        let architecture = Architecture::of_study(&self.study, self.card().arm);
        let mut folds: Vec<Vec<FoldForecast>> = volumes.iter().map(|_| Vec::new()).collect();
        for fold in (0..self.card().folds).map(Fold) {
            let trained = self.package.model(modality, fold)?;
            let network = Classifier::new(architecture, self.base.as_ref(), &trained, &self.device)?;
            for (folds, answer) in folds.iter_mut().zip(network.predict(&inputs, BATCH, self.routes)?) {
                let Prediction { probability, logit, tuned } = answer;
                folds.push(FoldForecast { fold, probability, logit, tuned });
            }
        }
        Ok(folds.into_iter().map(|folds| ModalityForecast::new(modality, folds)).collect())
    }

    fn fuse(&self, modalities: Vec<ModalityForecast>) -> Result<Forecast, PredictError> {
        if modalities.is_empty() {
            return Err(self.no_modality());
        }
        Ok(Forecast::new(self.card(), modalities))
    }

    fn no_modality(&self) -> PredictError {
        let known = self.card().modalities.iter().map(|modality| modality.name()).collect::<Vec<_>>();
        PredictError::NoModality { known: known.join(", ") }
    }
}
