//! What a coordinator is started with.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use consilium_domain::{Study, StudyError};
use consilium_pki::Lifetime;
use consilium_transport::Tuning;
use consilium_web::WebSettings;

use crate::notice::NoticeFormat;
use crate::weights::WeightsStore;

/// A checked configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// The plan.
    pub study: Study,
    /// Where the event log and the blobs live.
    pub state_dir: PathBuf,
    /// Where `ca.pem`, `cert.pem` and `key.pem` of the coordinator lie.
    pub identity_dir: PathBuf,
    /// The UDP address to listen on.
    pub listen: SocketAddr,
    /// The TCP address to listen on, if any.
    pub listen_tcp: Option<SocketAddr>,
    /// The pretrained backbone: a safetensors file, or a name or digest of the store.
    pub weights: Option<PathBuf>,
    /// Imported weights.
    pub weights_store: WeightsStore,
    /// Where the report goes.
    pub report: PathBuf,
    /// How progress is told.
    pub notices: NoticeFormat,
    /// How connections behave.
    pub tuning: Tuning,
    /// How long a site's certificate is valid that this coordinator issues.
    pub certificate_life: Lifetime,
    /// The live page, if there is one.
    pub web: Option<WebSettings>,
}

/// Why a file is not a study.
#[derive(Debug, thiserror::Error)]
pub enum StudyFileError {
    /// The file cannot be read.
    #[error("the study file {path} cannot be read: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file is not TOML of the right shape.
    #[error("the study file {path} is not a study:\n{source}")]
    Syntax {
        /// Which.
        path: PathBuf,
        /// Where and what.
        source: Box<toml::de::Error>,
    },
    /// A value is impossible.
    #[error("{path}: {source}")]
    Values {
        /// Which.
        path: PathBuf,
        /// All problems.
        source: StudyError,
    },
}

/// Reads and checks `study.toml`. Unknown keys are refused.
///
/// # Errors
/// With the line, or with every impossible value and its key.
pub fn read_study(path: &Path) -> Result<Study, StudyFileError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| StudyFileError::Read { path: path.to_owned(), source })?;
    parse_study(&text, path)
}

/// Reads and checks the text of a study file that lies, or lay elsewhere, at `path`.
///
/// # Errors
/// As [`read_study`].
pub fn parse_study(text: &str, path: &Path) -> Result<Study, StudyFileError> {
    let study: Study = toml::from_str(text)
        .map_err(|source| StudyFileError::Syntax { path: path.to_owned(), source: Box::new(source) })?;
    study.check().map_err(|source| StudyFileError::Values { path: path.to_owned(), source })?;
    Ok(study)
}

#[cfg(test)]
mod tests {
    use consilium_domain::{Arm, Plateau, Schedule, Selection};

    use super::*;

    /// The sample that ships with the documentation.
    fn sample() -> PathBuf {
        shipped("study.toml")
    }

    fn shipped(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/samples").join(name)
    }

    /// The simulator writes its studies as TOML for the coordinator.
    #[test]
    fn the_shipped_samples_are_studies_and_survive_being_written() {
        for name in ["study.toml", "study-schmitz2024.toml"] {
            let study = read_study(&shipped(name)).unwrap();
            let text = toml::to_string(&study).unwrap();
            assert_eq!(toml::from_str::<Study>(&text).unwrap(), study, "{text}");
        }
    }

    /// The numbers of arXiv:2310.12373 and of the authors' published code.
    #[test]
    fn the_papers_study_has_the_papers_numbers() {
        let study = read_study(&shipped("study-schmitz2024.toml")).unwrap();
        assert_eq!((study.arms.len(), study.modalities.len(), study.evaluation.folds), (3, 11, 5));
        assert_eq!(study.evaluation.holdout_fraction, 0.3);
        assert_eq!(study.evaluation.selection, Selection::PaperM);
        let training = &study.training;
        assert_eq!(training.rounds * training.local_epochs, 90);
        assert_eq!((training.batch_size, training.temperature, training.weight_decay), (12, 100.0, 1e-8));
        assert_eq!((training.learning_rate, training.policy_learning_rate), (1e-5, 1e-4));
        let Schedule::Plateau(Plateau { factor, patience }) = training.schedule else { panic!("a plateau") };
        // PyTorch reduces at the epoch after its patience of 20 bad ones.
        assert_eq!((factor, (patience + 1) * training.local_epochs), (0.1, 20 + 1));
        let tensors = study.trainable_tensors(Arm::Medicalnet);
        assert!(tensors.iter().all(|t| t.name.starts_with("tuned.layer4.") || t.name.starts_with("head.")));
    }

    #[test]
    fn a_misspelt_key_is_named_with_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("study.toml");
        let text = std::fs::read_to_string(sample()).unwrap().replace("quorum", "qorum");
        std::fs::write(&path, text).unwrap();
        let error = read_study(&path).unwrap_err().to_string();
        assert!(error.contains("qorum") && error.contains("line"), "{error}");
    }
}
