//! A training order: from the round's model to a sealed update.

use std::path::Path;
use std::time::Instant;

use consilium_domain::{BlobRef, ClassCounts, Lane, OrderId, Round, Seed, Study, Training, Wire};
use consilium_model::{
    Architecture, BetweenEpochs, Classifier, KeepError, ModelError, TrainingProgress, TrainingState,
    TrainingSummary,
};
use consilium_privacy::{Grid, LocalUpdate, Packed, ProtectedUpdate, UpdateEnvelope, UpdatePayload};
use consilium_protocol::{Outcome, TrainingOutcome};
use consilium_weights::Weights;

use super::{Bench, Prepared, WorkError};
use crate::half_trained::HalfTrained;
use crate::residuals::Residuals;
use crate::study_data::{LaneCases, LaneInputs};

/// What is to be trained.
pub(super) struct TrainingWork<'a> {
    pub(super) order: OrderId,
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
        let training = tracing::debug_span!("train").entered();
        let (classifier, summary) = self.trained(study, work, start, &cases, seed.derive("network"))?;
        let waiting = format!("{:.1} %", 100.0 * summary.waiting_share);
        tracing::info!(%lane, %round, loss = summary.loss, steps = summary.steps, waiting, "trained");
        let trained = classifier.trainable()?;
        drop(training);
        let grid = Grid::new(study.federation.fixed_point)?;
        let update = LocalUpdate::between(start.values(), trained.into_values(), summary.cases)?;
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

    /// Trains from the round's model, or from where a crash has left the same training.
    fn trained(
        &self,
        study: &Study,
        work: &TrainingWork<'_>,
        start: &Weights,
        cases: &LaneCases<'_>,
        seed: Seed,
    ) -> Result<(Classifier, TrainingSummary), ModelError> {
        let TrainingWork { order, lane, round, recipe, .. } = *work;
        let trainings = HalfTrained::of(&self.workplace.half_trained, study.hash());
        let architecture = Architecture::of_study(study, lane.arm);
        let mut keep = |between: &BetweenEpochs<'_>| match trainings.keep(lane, order, between) {
            Ok(()) => {}
            Err(KeepError::Device) => tracing::debug!("a graphics card keeps nothing between epochs"),
            // The training itself is sound. Its answer cannot be lost: that has to be kept, or the client ends.
            Err(error) => tracing::warn!(%lane, %round, %error, "a crash would cost more than one epoch"),
        };
        let mut observe = |progress: TrainingProgress| {
            tracing::debug!(%lane, %round, ?progress, "training");
            self.meter.set(progress.steps_in_all(), progress.steps.saturating_mul(progress.epochs.into()));
            self.valve.pass()
        };
        let mut train = |state: Option<TrainingState>| {
            let weights = state.as_ref().map_or(start, TrainingState::weights);
            let mut classifier =
                Classifier::new(architecture, self.base.as_deref(), weights, &self.workplace.device)?;
            let summary = classifier.train_from(state, cases, recipe, seed, &mut keep, &mut observe)?;
            Ok((classifier, summary))
        };
        match trainings.find(lane, order, start.manifest().clone()) {
            Ok(None) => train(None),
            Ok(Some(state)) => {
                tracing::info!(%lane, %round, epochs = state.epochs(), "the training goes on where it was");
                match train(Some(state)) {
                    Err(error @ ModelError::OtherTraining) => {
                        tracing::warn!(%lane, %round, %error, "the training begins anew");
                        train(None)
                    }
                    other => other,
                }
            }
            Err(error) => {
                tracing::warn!(%lane, %round, %error, "the training begins anew");
                train(None)
            }
        }
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
