//! Trainings between two epochs, kept so that a power cut at the site costs one epoch and not all of them.
//!
//! One file a lane, in the state folder: half-trained weights are as secret as an update and never leave. It tells
//! which order it is of, and is deleted once that order is answered, or another of the lane begins. A file that cannot
//! be used is no harm: the training begins anew and gives the same update.

use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use consilium_domain::network::TensorSpec;
use consilium_domain::{Digest, Lane, OrderId, StudyHash};
use consilium_model::{BetweenEpochs, KeepError, TrainingState, TrainingStateError};

use crate::durable::{self, Draft, SealedError};

/// Why a training cannot be gone on with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HalfTrainedError {
    #[error(transparent)]
    File(#[from] SealedError),
    #[error(transparent)]
    State(#[from] TrainingStateError),
}

/// The folder of one study's trainings under way.
pub(crate) struct HalfTrained {
    folder: PathBuf,
}

impl HalfTrained {
    /// The folder of `study` under `folder`. It is made when something is kept.
    pub(crate) fn of(folder: &Path, study: StudyHash) -> Self {
        Self { folder: folder.join(study.to_string()) }
    }

    /// Keeps where the training of `order` stands, durably.
    pub(crate) fn keep(
        &self,
        lane: &Lane,
        order: OrderId,
        training: &BetweenEpochs<'_>,
    ) -> Result<(), KeepError> {
        let mut draft = Draft::begin(&self.path(lane))?;
        draft.write_all(order.0.as_bytes())?;
        training.keep(&mut draft)?;
        Ok(draft.seal()?)
    }

    /// Where the training of `order` stood, if anything of it was kept. What was kept of another order goes.
    pub(crate) fn find(
        &self,
        lane: &Lane,
        order: OrderId,
        manifest: Arc<[TensorSpec]>,
    ) -> Result<Option<TrainingState>, HalfTrainedError> {
        let path = self.path(lane);
        let Some(mut content) = durable::open_sealed(&path)? else { return Ok(None) };
        let mut of = [0; 32];
        content.read_exact(&mut of).map_err(SealedError::Io)?;
        if OrderId(Digest::from_bytes(of)) != order {
            durable::remove(&path).map_err(SealedError::Io)?;
            return Ok(None);
        }
        Ok(Some(TrainingState::read(content, manifest)?))
    }

    /// The training of `lane` is answered.
    pub(crate) fn forget(&self, lane: &Lane) -> io::Result<()> {
        durable::remove(&self.path(lane))
    }

    /// The study is over.
    pub(crate) fn study_over(&self) -> io::Result<()> {
        durable::remove_folder(&self.folder)
    }

    fn path(&self, lane: &Lane) -> PathBuf {
        self.folder.join(format!("{}-{}-{}", lane.arm, lane.modality, lane.fold))
    }
}
