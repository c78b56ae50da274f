//! A training order: from the round's model to a sealed update.

use std::path::Path;
use std::time::Instant;

use consilium_domain::{BlobRef, ClassCounts, Lane, Round, Study, Training, Wire};
use consilium_model::{Architecture, Classifier, TrainingProgress};
use consilium_privacy::{Grid, LocalUpdate, Packed, ProtectedUpdate, UpdateEnvelope, UpdatePayload};
use consilium_protocol::{Outcome, TrainingOutcome};
use consilium_weights::Weights;

use super::{Bench, Prepared, WorkError};
use crate::residuals::Residuals;
use crate::study_data::{LaneCases, LaneInputs};

/// What is to be trained.
pub(super) struct TrainingWork<'a> {
    pub(super) lane: &'a Lane,
    pub(super) round: Round,
    pub(super) recipe: &'a Training,
    pub(super) classes: Option<ClassCounts>,
    /// The coordinator reads packed updates.
    pub(super) packs: bool,
}

impl Bench {
    pub(super) fn train(
        &self,
        prepared: &Prepared,
        work: &TrainingWork<'_>,
        start: &Weights,
    ) -> Result<(Outcome, Option<Vec<u8>>), WorkError> {
        let began = Instant::now();
        let TrainingWork { lane, round, recipe, classes, .. } = *work;
        let Prepared { study, data, .. } = prepared;
        let seed = study.seed().derive(&format!("training/{lane}/{round}/{}", self.workplace.site));
        let inputs = LaneInputs {
            inputs: data.training(lane),
            shape: study.preprocessing.input_shape(),
            cache: self.cache()?,
        };
        let cases = LaneCases::new(inputs, recipe, classes, seed.derive("augmentation"));
        let architecture = Architecture::of_study(study, lane.arm);
        let training = tracing::debug_span!("train").entered();
        let mut classifier =
            Classifier::new(architecture, self.base.as_ref(), start, &self.workplace.device)?;
        let mut observe = |progress: TrainingProgress| {
            tracing::debug!(%lane, %round, ?progress, "training");
            self.valve.pass()
        };
        let summary = classifier.train(&cases, recipe, seed.derive("network"), &mut observe)?;
        let waiting = format!("{:.1} %", 100.0 * summary.waiting_share);
        tracing::info!(%lane, %round, loss = summary.loss, steps = summary.steps, waiting, "trained");
        let trained = classifier.trainable()?;
        drop(training);
        let grid = Grid::new(study.federation.fixed_point)?;
        let update = LocalUpdate::between(start.values(), trained.values(), summary.cases)?;
        let sealed = seal(&self.workplace.residuals, study, work, update.clip(grid).quantise())?;
        let (payload, sealed) = sealed.into_parts();
        let outcome = Outcome::Trained(TrainingOutcome {
            update: BlobRef::of(&payload),
            cases: sealed.cases,
            mean_loss: summary.loss,
            tuned_share: summary.tuned_share,
            norm: sealed.norm,
            saturated: sealed.saturated,
            seconds: began.elapsed().as_secs_f64(),
        });
        Ok((outcome, Some(payload)))
    }
}

/// Packs the update as the study's wire says. What it cannot tell is durable in the folder `residuals` before the update
/// can leave.
#[tracing::instrument(level = "debug", name = "pack", skip_all)]
pub(super) fn seal(
    residuals: &Path,
    study: &Study,
    work: &TrainingWork<'_>,
    update: ProtectedUpdate,
) -> Result<UpdateEnvelope, WorkError> {
    let coordinates = update.coordinates();
    let TrainingWork { lane, round, packs, .. } = *work;
    let wire = study.federation.wire;
    if !packs && wire == Wire::F32 {
        return Ok(update.seal());
    }
    let residuals = Residuals::of(residuals, study.hash());
    let before = match wire {
        Wire::Int8 => residuals.before(lane, round, coordinates)?,
        Wire::F32 | Wire::Bf16 => None,
    };
    let Packed { envelope, residual, relative_error } = update.pack(wire, before.as_ref())?;
    if let Some(residual) = residual {
        residuals.keep(lane, round, &residual)?;
    }
    let bytes = envelope.payload().len();
    let share = format!("{:.4}", bytes as f64 / UpdatePayload::bytes(coordinates) as f64);
    tracing::info!(%lane, %round, wire = wire.name(), bytes, share, relative_error, "update packed");
    Ok(envelope)
}
