//! Local training: epochs of shuffled batches, one optimiser step each.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use burn::tensor::{Gradients, Tensor, TensorData};
use consilium_domain::network::TensorSpec;
use consilium_domain::{Precision, RandomStream, Seed, Training};

use crate::ModelError;
use crate::batches::{PlannedStep, TrainingCases, plan};
use crate::between_epochs::{BetweenEpochs, TrainingState};
use crate::checkpointing::Checkpointed;
use crate::device::ComputeDevice;
use crate::features::Features;
use crate::gumbel::{decide, noise_differences};
use crate::layer::Trained;
use crate::loss::binary_cross_entropy;
use crate::network::Network;
use crate::optimiser::Optimiser;
use crate::pool::in_pool;
use crate::read_ahead::read_ahead;
use crate::volumes::volumes;

/// Where training stands after a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrainingProgress {
    /// Epoch, from 0.
    pub epoch: u16,
    /// Epochs of this call.
    pub epochs: u16,
    /// Steps done in this epoch.
    pub step: u32,
    /// Steps of this epoch.
    pub steps: u32,
    /// Mean loss of the last batch.
    pub loss: f64,
}

impl TrainingProgress {
    /// Steps done in all epochs.
    pub fn steps_in_all(self) -> u32 {
        u32::from(self.epoch).saturating_mul(self.steps).saturating_add(self.step)
    }
}

/// What a training did.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrainingSummary {
    /// Mean loss a case over the last epoch, each case at the time it was seen.
    pub loss: f64,
    /// Optimiser steps of all epochs.
    pub steps: u32,
    /// Cases trained on.
    pub cases: u32,
    /// Mean share of blocks routed to their fine-tuned copy in the last epoch; `None` without routing.
    pub tuned_share: Option<f64>,
    /// Share of the time that was spent waiting for inputs to be read.
    pub waiting_share: f64,
}

/// The cases of a step, read.
struct Batch {
    shape: [usize; 3],
    /// One volume after the other.
    values: Vec<f32>,
    targets: Vec<f32>,
    weights: Vec<f32>,
}

/// What the loss compares the logits with.
struct Wanted {
    /// `[batch]`, 0 or 1.
    targets: Tensor<1>,
    /// `[batch]`, where they are not all 1.
    weights: Option<Tensor<1>>,
}

/// What one step found.
struct Step {
    loss: f64,
    tuned_share: Option<f64>,
}

/// Sums over an epoch.
#[derive(Default)]
struct Epoch {
    cases: usize,
    loss: f64,
    tuned_share: Option<f64>,
}

/// A network, its optimisers and its random numbers for the length of one call.
struct Trainer<'a> {
    network: &'a mut Network<Trained>,
    trunk: Optimiser,
    policy: Optimiser,
    noise: RandomStream,
    temperature: f64,
    precision: Precision,
    device: &'a ComputeDevice,
}

/// What a training is over, and who is told of it.
pub(crate) struct Course<'a> {
    pub(crate) cases: &'a dyn TrainingCases,
    pub(crate) recipe: &'a Training,
    pub(crate) seed: Seed,
    /// Told between two epochs.
    pub(crate) keep: &'a mut dyn FnMut(&BetweenEpochs<'_>),
    /// Told of every step.
    pub(crate) observe: &'a mut dyn FnMut(TrainingProgress) -> ControlFlow<()>,
}

/// Trains `network` in place, from its beginning or from where `state` was kept.
pub(crate) fn train(
    network: &mut Network<Trained>,
    manifest: &Arc<[TensorSpec]>,
    state: Option<TrainingState>,
    course: Course<'_>,
    device: &ComputeDevice,
) -> Result<TrainingSummary, ModelError> {
    let Course { cases, recipe, seed, keep, observe } = course;
    if cases.is_empty() {
        return Err(ModelError::NoCases);
    }
    let began = Instant::now();
    let plan = plan(cases, recipe, seed);
    let mut trainer = Trainer::new(network, recipe, seed, device);
    let done = state.map_or(Ok(0), |state| trainer.go_on(state, &plan))?;
    let (last, waited) = read_ahead(
        plan.len() - done,
        |number| Batch::read(cases, plan[done + number].epoch, &plan[done + number].batch),
        |batches| -> Result<_, ModelError> {
            let mut last = Epoch::default();
            for (number, planned) in (0..).zip(&plan).skip(done) {
                if planned.step == 1 {
                    last = Epoch::default();
                    if number > done as u32 {
                        keep(&trainer.between_epochs(planned.epoch, manifest));
                    }
                }
                let found = trainer.step(batches.take()?);
                if !found.loss.is_finite() {
                    return Err(ModelError::Diverged { epoch: planned.epoch, step: number });
                }
                last.add(&found, planned.batch.len());
                if observe(planned.progress(recipe, found.loss)).is_break() {
                    return Err(ModelError::Stopped { epoch: planned.epoch });
                }
            }
            Ok((last, batches.waited()))
        },
    )?;
    let (loss, tuned_share) = last.means();
    Ok(TrainingSummary {
        loss,
        steps: plan.len() as u32,
        cases: cases.len() as u32,
        tuned_share,
        waiting_share: waited.as_secs_f64() / began.elapsed().as_secs_f64().max(f64::MIN_POSITIVE),
    })
}

impl PlannedStep {
    const fn progress(&self, recipe: &Training, loss: f64) -> TrainingProgress {
        let Self { epoch, step, steps, .. } = *self;
        TrainingProgress { epoch, epochs: recipe.local_epochs, step, steps, loss }
    }
}

/// The loss of one batch of the first epoch and its gradients, without a step.
pub(crate) fn loss_and_gradients(
    network: &mut Network<Trained>,
    cases: &dyn TrainingCases,
    batch: &[usize],
    recipe: &Training,
    seed: Seed,
    device: &ComputeDevice,
) -> Result<(f64, Vec<f32>, Gradients), ModelError> {
    let blocks = network.routing.as_ref().map_or(0, |routing| routing.frozen.len());
    let mut trainer = Trainer::new(network, recipe, seed, device);
    let noise = noise_differences(&mut seed.derive("routing").stream(), batch.len() * blocks);
    let (input, cases) = trainer.tensors(Batch::read(cases, 0, batch)?);
    Ok(in_pool(|| {
        let gates = trainer.gates(&input);
        let (loss, step) = found(trainer.network.forward_dense(input, gates.as_ref()), cases, None);
        (step.loss, noise, loss.backward())
    }))
}

impl Batch {
    fn read(cases: &dyn TrainingCases, epoch: u16, batch: &[usize]) -> Result<Self, ModelError> {
        let shape = cases.shape();
        let voxels = shape.iter().product();
        let mut values = vec![0.0; batch.len() * voxels];
        for (&case, out) in batch.iter().zip(values.chunks_exact_mut(voxels)) {
            cases.sample(case, epoch, out).map_err(|cause| ModelError::Input { case, cause })?;
        }
        Ok(Self {
            shape,
            values,
            targets: batch.iter().map(|&case| cases.label(case).as_target()).collect(),
            weights: batch.iter().map(|&case| cases.weight(case)).collect(),
        })
    }
}

impl<'a> Trainer<'a> {
    fn new(
        network: &'a mut Network<Trained>,
        recipe: &Training,
        seed: Seed,
        device: &'a ComputeDevice,
    ) -> Self {
        Self {
            network,
            trunk: Optimiser::new(recipe.learning_rate, recipe.weight_decay, device),
            policy: Optimiser::new(recipe.policy_learning_rate, recipe.weight_decay, device),
            noise: seed.derive("routing").stream(),
            temperature: recipe.temperature,
            precision: recipe.precision,
            device,
        }
    }

    /// Goes on where a training was kept: its moments, and the noise that its steps have used up. How many steps of
    /// `plan` are done.
    fn go_on(&mut self, state: TrainingState, plan: &[PlannedStep]) -> Result<usize, ModelError> {
        let TrainingState { epochs, trunk, policy, .. } = state;
        let done = plan.iter().take_while(|step| step.epoch < epochs).count();
        let mut fits = done < plan.len() && self.trunk.remember(&self.network.trunk, trunk);
        if let Some(routing) = &self.network.routing {
            fits = fits && self.policy.remember(&routing.policy, policy);
            let cases: usize = plan[..done].iter().map(|step| step.batch.len()).sum();
            drop(noise_differences(&mut self.noise, cases * routing.frozen.len()));
        }
        if fits { Ok(done) } else { Err(ModelError::OtherTraining) }
    }

    fn between_epochs<'b>(&'b self, epochs: u16, manifest: &'b Arc<[TensorSpec]>) -> BetweenEpochs<'b> {
        let Self { network, trunk, policy, .. } = self;
        BetweenEpochs { epochs, network, manifest, trunk, policy }
    }

    /// One forward and backward pass and, if the loss is finite, one optimiser step.
    fn step(&mut self, batch: Batch) -> Step {
        let (input, cases) = self.tensors(batch);
        in_pool(|| self.step_on(input, cases))
    }

    fn tensors(&self, batch: Batch) -> (Features, Wanted) {
        let device = self.device.recording();
        let rows = batch.targets.len();
        let input = volumes(batch.values, batch.shape, &device, self.device.method(self.precision));
        let column = |values| Tensor::from_data(TensorData::new(values, [rows]), &device);
        let weighted = batch.weights.iter().any(|&weight| weight != 1.0);
        (input, Wanted { targets: column(batch.targets), weights: weighted.then(|| column(batch.weights)) })
    }

    /// The policy's decisions `[batch, blocks]`, if there is routing.
    fn gates(&mut self, input: &Features) -> Option<Tensor<2>> {
        let preferences = self.network.routing.as_ref()?.policy.preferences(input.clone());
        let ([rows, blocks], device) = (preferences.dims(), preferences.device());
        let noise = TensorData::new(noise_differences(&mut self.noise, rows * blocks), [rows, blocks]);
        Some(decide(preferences, Tensor::from_data(noise, &device), self.temperature))
    }

    fn step_on(&mut self, input: Features, cases: Wanted) -> Step {
        let gates = self.gates(&input);
        let share = gates.clone().map(|gates| gates.mean().into_scalar::<f32>().into());
        if self.device.checkpointing() {
            let pass = Checkpointed::forward(self.network, input, gates);
            let logits = self.network.trunk.classify(pass.exit());
            let (loss, found) = found(logits, cases, share);
            if found.loss.is_finite() {
                pass.backward(self.network, loss.backward(), &mut self.trunk, &mut self.policy);
            }
            return found;
        }
        let (loss, found) = found(self.network.forward_dense(input, gates.as_ref()), cases, share);
        if found.loss.is_finite() {
            let mut gradients = loss.backward();
            self.network.trunk.step(&mut self.trunk, &mut gradients);
            if let Some(routing) = &mut self.network.routing {
                routing.policy.step(&mut self.policy, &mut gradients);
            }
        }
        found
    }
}

/// The loss of `logits`, and what to tell of it.
fn found(logits: Tensor<1>, cases: Wanted, tuned_share: Option<f64>) -> (Tensor<1>, Step) {
    let loss = binary_cross_entropy(logits, cases.targets, cases.weights);
    let value = loss.clone().into_scalar::<f32>().into();
    (loss, Step { loss: value, tuned_share })
}

impl Epoch {
    fn add(&mut self, step: &Step, cases: usize) {
        self.cases += cases;
        self.loss += cases as f64 * step.loss;
        if let Some(share) = step.tuned_share {
            *self.tuned_share.get_or_insert(0.0) += cases as f64 * share;
        }
    }

    /// Loss a case and share of tuned routing. Divided once, at the end: weights that each are rounded need not
    /// add up to one, and a share above one is nonsense that the coordinator refuses.
    fn means(&self) -> (f64, Option<f64>) {
        let cases = self.cases as f64;
        (self.loss / cases, self.tuned_share.map(|share| share / cases))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shares used to be weighted one by one; with 126 cases in batches of 8 their sum came out above one.
    #[test]
    fn a_share_of_one_stays_one_whatever_the_batches() {
        for cases in 2..400 {
            for size in [3, 7, 8, 12] {
                let mut epoch = Epoch::default();
                let mut rest = cases;
                while rest > 0 {
                    let batch = rest.min(size);
                    epoch.add(&Step { loss: 0.5, tuned_share: Some(1.0) }, batch);
                    rest -= batch;
                }
                assert_eq!(epoch.means(), (0.5, Some(1.0)), "{cases} cases in batches of {size}");
            }
        }
    }
}
