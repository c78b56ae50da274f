//! The probabilities this site predicted, kept here so that they can be averaged here.
//!
//! Late fusion needs each patient's probabilities from several models. They stay in the state folder, one file a
//! model and set of patients, and never leave: only histograms of them do.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use consilium_domain::{Arm, ChosenModel, Label};
use serde::{Deserialize, Serialize};

use crate::durable::Draft;
use crate::study_data::CaseSet;

/// One patient's probability under one model.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Scored {
    /// The laboratory's result.
    pub(crate) label: Label,
    /// Predicted probability of methylation.
    pub(crate) probability: f32,
}

/// Probabilities by patient.
pub(crate) type ScoredPatients = BTreeMap<String, Scored>;

/// Why predictions cannot be kept or found.
#[derive(Debug, thiserror::Error)]
pub enum PredictionsError {
    /// The disk refuses.
    #[error(
        "predictions {path} cannot be {action}: {source}; check the disk's space and permissions, and start the client again"
    )]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file is no table of predictions.
    #[error(
        "predictions {path} are damaged: {source}; delete the file and start the client again: the study goes on without this site's share"
    )]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Where and what.
        source: serde_json::Error,
    },
}

/// The folder of predictions of one study.
pub(crate) struct Predictions {
    folder: PathBuf,
}

impl Predictions {
    pub(crate) fn open(folder: &Path) -> Result<Self, PredictionsError> {
        let failed = |source| PredictionsError::Io { action: "stored", path: folder.to_owned(), source };
        std::fs::create_dir_all(folder).map_err(failed)?;
        restrict(folder).map_err(failed)?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// Keeps what `model` said of `set`; a repetition replaces it.
    pub(crate) fn keep(
        &self,
        model: ChosenModel,
        set: CaseSet,
        scored: &ScoredPatients,
    ) -> Result<(), PredictionsError> {
        let path = self.path(model, set);
        let failed = |source| PredictionsError::Io { action: "stored", path: path.clone(), source };
        // Durable before the scores are told: a fusion without them would be a subset that nobody notices.
        let write = || -> io::Result<()> {
            let mut draft = Draft::begin(&path)?;
            serde_json::to_writer(&mut draft, scored)?;
            draft.keep()
        };
        write().map_err(failed)
    }

    /// What `model` said of `set`; empty when it was never asked, as for a set without patients.
    pub(crate) fn of(&self, model: ChosenModel, set: CaseSet) -> Result<ScoredPatients, PredictionsError> {
        let path = self.path(model, set);
        match std::fs::read(&path) {
            Ok(text) => {
                serde_json::from_slice(&text).map_err(|source| PredictionsError::Damaged { path, source })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(ScoredPatients::new()),
            Err(source) => Err(PredictionsError::Io { action: "read", path, source }),
        }
    }

    /// Remembers by which models `arm` was fused, for the comparison with arms that are fused later.
    pub(crate) fn keep_fused(&self, arm: Arm, models: &[ChosenModel]) -> Result<(), PredictionsError> {
        let path = self.fused_path(arm);
        let failed = |source| PredictionsError::Io { action: "stored", path: path.clone(), source };
        // As durable as what was fused: see `keep`.
        let write = || -> io::Result<()> {
            let mut draft = Draft::begin(&path)?;
            serde_json::to_writer(&mut draft, models)?;
            draft.keep()
        };
        write().map_err(failed)
    }

    /// By which models `arm` was fused; `None` when it was not.
    pub(crate) fn fused(&self, arm: Arm) -> Result<Option<Vec<ChosenModel>>, PredictionsError> {
        let path = self.fused_path(arm);
        match std::fs::read(&path) {
            Ok(text) => {
                let models = serde_json::from_slice(&text);
                models.map(Some).map_err(|source| PredictionsError::Damaged { path, source })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(PredictionsError::Io { action: "read", path, source }),
        }
    }

    fn fused_path(&self, arm: Arm) -> PathBuf {
        self.folder.join(format!("{arm}-fused.json"))
    }

    fn path(&self, model: ChosenModel, set: CaseSet) -> PathBuf {
        let ChosenModel { lane, round } = model;
        let set = match set {
            CaseSet::Validation => "validation",
            CaseSet::Holdout => "holdout",
        };
        self.folder.join(format!("{}-{}-{}-round{round}-{set}.json", lane.arm, lane.modality, lane.fold))
    }
}

/// For the owner's eyes only: the folder names patients.
fn restrict(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))
}

#[cfg(test)]
mod tests {
    use consilium_domain::{Fold, Lane, Modality, Round};

    use super::*;

    #[test]
    fn predictions_come_back_by_model_and_set() {
        let dir = tempfile::tempdir().unwrap();
        let lane = Lane { arm: Arm::Spottune, modality: Modality::T1gd, fold: Fold(1) };
        let model = ChosenModel { lane, round: Round(3) };
        let scored: ScoredPatients =
            [("p".to_owned(), Scored { label: Label::Methylated, probability: 0.25 })].into();
        Predictions::open(dir.path()).unwrap().keep(model, CaseSet::Holdout, &scored).unwrap();
        let predictions = Predictions::open(dir.path()).unwrap();
        assert!(predictions.of(model, CaseSet::Holdout).unwrap() == scored);
        assert!(predictions.of(model, CaseSet::Validation).unwrap().is_empty());
        assert!(
            predictions.of(ChosenModel { round: Round(2), ..model }, CaseSet::Holdout).unwrap().is_empty()
        );
    }
}
