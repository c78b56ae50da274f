//! From the state folder of a finished study to a signed model package.
//!
//! Everything comes from the event log and the blobs, so a package can be made again, and years later; the study is
//! not touched. The card's figures are those of the report, pooled over sites.

mod command;
mod facts;

use std::path::{Path, PathBuf};

use consilium_domain::{Arm, Lane};
use consilium_package::{
    BaseNote, ExportedModel, Figures, PackageWriter, SigningError, SigningKit, Verified, WriteError,
};
use consilium_protocol::Timestamp;
use consilium_protocol::coordinator::{Coordinator, LaneState, Phase};
use consilium_transport::{BlobStore, Identity, IdentityError, StoreError};

use crate::event_log::{EventLog, EventLogError};
use crate::report::{ArmReport, Report, ReportError};
use crate::weights::{self, WeightsStore};

pub use command::ModelCommand;

/// What to export, and as whom.
#[derive(Debug, Clone)]
pub struct ModelExport {
    /// The state folder of the study.
    pub state_dir: PathBuf,
    /// Which arm.
    pub arm: Arm,
    /// Folder with ca.pem, cert.pem and key.pem of the coordinator.
    pub identity_dir: PathBuf,
    /// The package's new folder.
    pub out: PathBuf,
    /// The day of the export (YYYY-MM-DD), if it shall be in the card.
    pub date: Option<String>,
    /// Imported weights, which know the backbone's name and licence.
    pub weights_store: WeightsStore,
}

/// Why there is no package. The study is as it was, and nothing is left where the package should be.
#[derive(Debug, thiserror::Error)]
pub enum ModelExportError {
    /// No study.
    #[error("{0} holds no study: name the folder given to `run --state`")]
    NoStudy(PathBuf),
    /// The log.
    #[error(transparent)]
    Log(#[from] EventLogError),
    /// The log's events do not follow from each other.
    #[error("the event log cannot be replayed by this release: use the release that wrote it")]
    Replay,
    /// Still running, or not begun.
    #[error(
        "study {name} is not finished: {complete} of {lanes} lanes are complete; let `run` end it, then export again"
    )]
    Unfinished {
        /// The study.
        name: String,
        /// Lanes that are complete.
        complete: usize,
        /// Lanes it has.
        lanes: usize,
    },
    /// Stopped for a reason: what there is was not evaluated.
    #[error(
        "study {name} was halted ({reason}): its models were not evaluated, so there is nothing to export"
    )]
    Halted {
        /// The study.
        name: String,
        /// Why.
        reason: String,
    },
    /// Another study's arm.
    #[error("the study has no arm {asked}: it has {}", names(.arms))]
    NoSuchArm {
        /// As asked.
        asked: Arm,
        /// What there is.
        arms: Vec<Arm>,
    },
    /// A finished study without a model is a fault of this program.
    #[error("the log names no chosen model for lane {0}: use the release that wrote it")]
    NoModel(String),
    /// The certificates.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The kit cannot sign.
    #[error(transparent)]
    Signing(#[from] SigningError),
    /// A blob is absent or damaged.
    #[error("a model of the study cannot be read: {0}; restore the state folder from a backup")]
    Store(#[from] StoreError),
    /// The folder of imported weights cannot be read, and with it the backbone's licence.
    #[error(transparent)]
    WeightsStore(#[from] weights::StoreError),
    /// The figures cannot be computed.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// The package cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

fn names(arms: &[Arm]) -> String {
    arms.iter().map(|arm| arm.name()).collect::<Vec<_>>().join(", ")
}

/// Writes the package.
///
/// # Errors
/// When the study is not finished, a file is missing or damaged, the kit cannot sign, or `out` exists.
pub async fn export(order: &ModelExport) -> Result<Verified, ModelExportError> {
    let state = finished_study(&order.state_dir).await?;
    let (study, arm) = (state.study(), order.arm);
    if !study.arms.contains(&arm) {
        return Err(ModelExportError::NoSuchArm { asked: arm, arms: study.arms.clone() });
    }
    // Reads the kit as the daemon does, which refuses a key that others can read.
    Identity::load(&order.identity_dir)?;
    let kit = SigningKit::load(&order.identity_dir)?;
    // The report's times are not used, so any moment serves.
    let report = Report::of(&state, Timestamp(0))?;
    let of_arm = report.arms.iter().find(|found| found.arm == arm);
    let of_arm = of_arm.ok_or_else(|| ModelExportError::NoModel(arm.to_string()))?;
    let store = BlobStore::open(&order.state_dir.join("blobs"))?;
    let mut writer = PackageWriter::create(&order.out, study, arm)?;
    let mut base_note = BaseNote { name: None, licence: None };
    if let Some(base) = state.first_models().base.filter(|_| arm.is_pretrained()) {
        writer.add_base(&store.read(&base).await?)?;
        base_note = facts::base_note(base.digest, &order.weights_store)?;
    }
    for lane in state.lanes().iter().filter(|lane| lane.lane.arm == arm) {
        add_lane(&mut writer, lane, of_arm, &store).await?;
    }
    Ok(writer.finish(facts::of(&report, of_arm, order.date.clone(), base_note), &kit)?)
}

/// The state of the study in `state_dir`, if it is finished.
async fn finished_study(state_dir: &Path) -> Result<Coordinator, ModelExportError> {
    let path = state_dir.join("events.sqlite");
    if !path.is_file() {
        return Err(ModelExportError::NoStudy(state_dir.to_owned()));
    }
    let (_, events) = EventLog::open(&path).await?;
    let state = Coordinator::replay(events).ok_or(ModelExportError::Replay)?;
    let name = &state.study().name;
    match state.phase() {
        Phase::Finished { .. } => Ok(state),
        Phase::Halted { reason, .. } => {
            Err(ModelExportError::Halted { name: name.clone(), reason: reason.clone() })
        }
        Phase::Enrolling | Phase::Running { .. } => Err(ModelExportError::Unfinished {
            name: name.clone(),
            complete: state.lanes().iter().filter(|lane| lane.is_complete()).count(),
            lanes: state.study().lanes().len(),
        }),
    }
}

/// The chosen model of `lane`, with its figures in `report`.
async fn add_lane(
    writer: &mut PackageWriter,
    lane: &LaneState,
    report: &ArmReport,
    store: &BlobStore,
) -> Result<(), ModelExportError> {
    let (chosen, blob) =
        lane.chosen_model().ok_or_else(|| ModelExportError::NoModel(lane.lane.to_string()))?;
    let Lane { modality, fold, .. } = lane.lane;
    let reported = report.lanes.iter().find(|found| (found.modality, found.fold) == (modality, fold));
    let validation = reported.and_then(|lane| lane.validation.as_ref());
    let validation = validation.map(|scores| Figures::from(&scores.pooled));
    let safetensors = &store.read(&blob).await?;
    writer.add_model(ExportedModel { modality, fold, round: chosen.round, validation, safetensors })?;
    Ok(())
}

#[cfg(test)]
mod tests;
