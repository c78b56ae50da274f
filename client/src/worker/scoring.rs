//! Scoring orders: a lane's fold, or the hold-out, under one model.

use std::num::NonZeroU16;
use std::time::Instant;

use consilium_domain::{Arm, ChosenModel, Label, Lane, Round, Study, Task};
use consilium_metrics::{RoutingCounts, ScoreHistogram, ScoreSums};
use consilium_model::{Architecture, Classifier, Prediction, Routes};
use consilium_protocol::{Outcome, ScoringDetail, ScoringOutcome};
use consilium_weights::Weights;

use super::valve::Valved;
use super::{Bench, Prepared, WorkError};
use crate::predictions::{Scored, ScoredPatients};
use crate::study_data::{CaseSet, LaneInputs};

impl Bench {
    pub(super) fn score(
        &self,
        prepared: &Prepared,
        task: &Task,
        lane: &Lane,
        round: Round,
        model: &Weights,
    ) -> Result<(Outcome, Option<Vec<u8>>), WorkError> {
        let began = Instant::now();
        let Prepared { study, data, predictions } = prepared;
        let set = if matches!(task, Task::Validate { .. }) { CaseSet::Validation } else { CaseSet::Holdout };
        let inputs = data.set(lane, set);
        self.meter.begin(inputs.len());
        let base = self.base.as_deref();
        let architecture = Architecture::of_study(study, lane.arm);
        let classifier = Classifier::new(architecture, base, model, &self.workplace.device)?;
        let inputs = LaneInputs { inputs, shape: study.preprocessing.input_shape(), cache: self.cache()? };
        let inputs = Valved { inputs: &inputs, valve: &self.valve, meter: &self.meter };
        let answers = classifier.predict(&inputs, study.training.batch_size.into(), routes(study, task))?;
        let mut scores = histogram(study.evaluation.bins)?;
        let mut scored = ScoredPatients::new();
        let mut loss_sum = 0.0;
        let mut detail = ScoringDetail {
            sums: Some(ScoreSums::new()),
            routing: self.routing(study, lane)?,
            fewest_per_score: 1,
        };
        for (input, answer) in inputs.inputs.inputs.iter().zip(&answers) {
            record(&mut scores, answer.probability, input.label)?;
            loss_sum += cross_entropy(answer.logit, input.label);
            add(&mut detail, answer, input.label)?;
            let entry = Scored { label: input.label, probability: answer.probability };
            scored.insert(input.patient.reveal().to_owned(), entry);
        }
        predictions.keep(ChosenModel { lane: *lane, round }, set, &scored)?;
        let seconds = began.elapsed().as_secs_f64();
        Ok((Outcome::ScoredInDetail(ScoringOutcome { scores, loss_sum, seconds }, detail), None))
    }

    /// Nobody's routings yet, where the arm has a policy.
    fn routing(&self, study: &Study, lane: &Lane) -> Result<Option<RoutingCounts>, WorkError> {
        let (blocks, draws) = (study.network.blocks().len(), study.evaluation.route_samples.max(1));
        let counts = (lane.arm == Arm::Spottune).then(|| RoutingCounts::new(blocks, draws));
        counts.transpose().map_err(|error| WorkError::Sums(error.to_string()))
    }
}

/// Counts a patient into the sums beside the histogram.
fn add(detail: &mut ScoringDetail, answer: &Prediction, label: Label) -> Result<(), WorkError> {
    let positive = label == Label::Methylated;
    if let Some(sums) = &mut detail.sums {
        sums.record(answer.probability, positive).map_err(|error| WorkError::Sums(error.to_string()))?;
    }
    if let Some(routing) = &mut detail.routing {
        routing.record(&answer.tuned, positive).map_err(|error| WorkError::Sums(error.to_string()))?;
    }
    Ok(())
}

/// How patients are routed, as the study says. The same task draws the same routings again.
fn routes(study: &Study, task: &Task) -> Routes {
    NonZeroU16::new(study.evaluation.route_samples).map_or(Routes::Preferred, |count| Routes::Sampled {
        count,
        seed: study.seed().derive(&format!("routes/{task}")),
    })
}

pub(super) fn histogram(bins: u16) -> Result<ScoreHistogram, WorkError> {
    ScoreHistogram::new(bins).map_err(|error| WorkError::Histogram(error.to_string()))
}

pub(super) fn record(scores: &mut ScoreHistogram, probability: f32, label: Label) -> Result<(), WorkError> {
    scores
        .record(probability, label == Label::Methylated)
        .map_err(|error| WorkError::Histogram(error.to_string()))
}

/// Binary cross-entropy of a logit z and a target y: max(z, 0) - z y + ln(1 + e^-|z|), which never overflows.
fn cross_entropy(logit: f32, label: Label) -> f64 {
    let (logit, target) = (f64::from(logit), f64::from(label.as_target()));
    logit.max(0.0) - logit * target + (-logit.abs()).exp().ln_1p()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cross_entropy_is_minus_the_log_of_the_probability() {
        for logit in [-3.0f32, -0.1, 0.0, 2.0] {
            let probability = 1.0 / (1.0 + f64::from(-logit).exp());
            assert!((cross_entropy(logit, Label::Methylated) + probability.ln()).abs() < 1e-9);
            assert!((cross_entropy(logit, Label::Unmethylated) + (1.0 - probability).ln()).abs() < 1e-9);
        }
        assert!(cross_entropy(1e30, Label::Unmethylated).is_finite());
    }
}
