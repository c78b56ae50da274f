//! A training order: from the round's model to a sealed update.

use std::time::Instant;

use consilium_domain::{BlobRef, ClassCounts, Lane, Round, Training};
use consilium_model::{Architecture, Classifier, TrainingProgress};
use consilium_privacy::{Grid, LocalUpdate};
use consilium_protocol::{Outcome, TrainingOutcome};
use consilium_weights::Weights;

use super::{Bench, Prepared, WorkError};
use crate::study_data::{LaneCases, LaneInputs};

impl Bench {
    pub(super) fn train(
        &self,
        prepared: &Prepared,
        lane: &Lane,
        round: Round,
        recipe: &Training,
        classes: Option<ClassCounts>,
        start: &Weights,
    ) -> Result<(Outcome, Option<Vec<u8>>), WorkError> {
        let began = Instant::now();
        let Prepared { study, data, .. } = prepared;
        let seed = study.seed().derive(&format!("training/{lane}/{round}/{}", self.workplace.site));
        let inputs = LaneInputs {
            inputs: data.training(lane),
            shape: study.preprocessing.input_shape(),
            cache: self.cache()?,
        };
        let cases = LaneCases::new(inputs, recipe, classes, seed.derive("augmentation"));
        let architecture = Architecture::of_study(study, lane.arm);
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
        let grid = Grid::new(study.federation.fixed_point)?;
        let update = LocalUpdate::between(start.values(), trained.values(), summary.cases)?;
        let (payload, sealed) = update.clip(grid).quantise().seal().into_parts();
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
