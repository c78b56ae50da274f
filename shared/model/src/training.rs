//! Local training: epochs of shuffled batches, one optimiser step each.

use std::ops::ControlFlow;

use burn::tensor::{Gradients, Tensor, TensorData};
use consilium_domain::{Precision, RandomStream, Seed, Training};

use crate::ModelError;
use crate::batches::{TrainingCases, shuffled};
use crate::checkpointing::Checkpointed;
use crate::device::ComputeDevice;
use crate::features::Features;
use crate::gumbel::{decide, noise_differences};
use crate::layer::Trained;
use crate::loss::binary_cross_entropy;
use crate::network::Network;
use crate::optimiser::Optimiser;
use crate::pool::in_pool;
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
}

/// What one step found.
struct Step {
    loss: f64,
    tuned_share: Option<f64>,
}

/// Sums over an epoch.
#[derive(Default)]
struct Epoch {
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

/// Trains `network` in place.
pub(crate) fn train(
    network: &mut Network<Trained>,
    cases: &dyn TrainingCases,
    recipe: &Training,
    seed: Seed,
    device: &ComputeDevice,
    observe: &mut dyn FnMut(TrainingProgress) -> ControlFlow<()>,
) -> Result<TrainingSummary, ModelError> {
    if cases.is_empty() {
        return Err(ModelError::NoCases);
    }
    let mut trainer = Trainer::new(network, recipe, seed, device);
    let (mut steps, mut last) = (0, Epoch::default());
    for epoch in 0..recipe.local_epochs {
        let mut order = seed.derive(&format!("batches/{epoch}")).stream();
        let batches = shuffled(cases.len(), recipe.batch_size.into(), &mut order);
        last = Epoch::default();
        for (step, batch) in (1..).zip(&batches) {
            let found = trainer.step(cases, epoch, batch);
            if !found.loss.is_finite() {
                return Err(ModelError::Diverged { epoch, step: steps });
            }
            steps += 1;
            last.add(&found, batch.len());
            let epochs = recipe.local_epochs;
            let progress =
                TrainingProgress { epoch, epochs, step, steps: batches.len() as u32, loss: found.loss };
            if observe(progress).is_break() {
                return Err(ModelError::Stopped { epoch });
            }
        }
    }
    let (loss, tuned_share) = last.means(cases.len());
    Ok(TrainingSummary { loss, steps, cases: cases.len() as u32, tuned_share })
}

/// The loss of one batch of the first epoch and its gradients, without a step.
pub(crate) fn loss_and_gradients(
    network: &mut Network<Trained>,
    cases: &dyn TrainingCases,
    batch: &[usize],
    recipe: &Training,
    seed: Seed,
    device: &ComputeDevice,
) -> (f64, Vec<f32>, Gradients) {
    let blocks = network.routing.as_ref().map_or(0, |routing| routing.frozen.len());
    let mut trainer = Trainer::new(network, recipe, seed, device);
    let noise = noise_differences(&mut seed.derive("routing").stream(), batch.len() * blocks);
    let (input, targets) = trainer.batch(cases, 0, batch);
    in_pool(|| {
        let gates = trainer.gates(&input);
        let (loss, step) = found(trainer.network.forward_dense(input, gates.as_ref()), targets, None);
        (step.loss, noise, loss.backward())
    })
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

    /// One forward and backward pass and, if the loss is finite, one optimiser step.
    fn step(&mut self, cases: &dyn TrainingCases, epoch: u16, batch: &[usize]) -> Step {
        let (input, targets) = self.batch(cases, epoch, batch);
        in_pool(|| self.step_on(input, targets))
    }

    /// Volumes and targets.
    fn batch(&self, cases: &dyn TrainingCases, epoch: u16, batch: &[usize]) -> (Features, Tensor<1>) {
        let device = self.device.recording();
        let fill = |row: usize, out: &mut [f32]| cases.fill(batch[row], epoch, out);
        let input =
            volumes(batch.len(), cases.shape(), &device, self.device.arithmetic(self.precision), fill);
        let targets: Vec<f32> = batch.iter().map(|&index| cases.label(index).as_target()).collect();
        (input, Tensor::from_data(TensorData::new(targets, [batch.len()]), &device))
    }

    /// The policy's decisions `[batch, blocks]`, if there is routing.
    fn gates(&mut self, input: &Features) -> Option<Tensor<2>> {
        let preferences = self.network.routing.as_ref()?.policy.preferences(input.clone());
        let ([rows, blocks], device) = (preferences.dims(), preferences.device());
        let noise = TensorData::new(noise_differences(&mut self.noise, rows * blocks), [rows, blocks]);
        Some(decide(preferences, Tensor::from_data(noise, &device), self.temperature))
    }

    fn step_on(&mut self, input: Features, targets: Tensor<1>) -> Step {
        let gates = self.gates(&input);
        let share = gates.clone().map(|gates| gates.mean().into_scalar::<f32>().into());
        if self.device.checkpointing() {
            let pass = Checkpointed::forward(self.network, input, gates);
            let logits = self.network.trunk.classify(pass.exit());
            let (loss, found) = found(logits, targets, share);
            if found.loss.is_finite() {
                pass.backward(self.network, loss.backward(), &mut self.trunk, &mut self.policy);
            }
            return found;
        }
        let (loss, found) = found(self.network.forward_dense(input, gates.as_ref()), targets, share);
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
fn found(logits: Tensor<1>, targets: Tensor<1>, tuned_share: Option<f64>) -> (Tensor<1>, Step) {
    let loss = binary_cross_entropy(logits, targets);
    let value = loss.clone().into_scalar::<f32>().into();
    (loss, Step { loss: value, tuned_share })
}

impl Epoch {
    fn add(&mut self, step: &Step, cases: usize) {
        self.loss += cases as f64 * step.loss;
        if let Some(share) = step.tuned_share {
            *self.tuned_share.get_or_insert(0.0) += cases as f64 * share;
        }
    }

    /// Loss a case and share of tuned routing. Divided once, at the end: weights that each are rounded need not
    /// add up to one, and a share above one is nonsense that the coordinator refuses.
    fn means(&self, cases: usize) -> (f64, Option<f64>) {
        let cases = cases as f64;
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
                assert_eq!(epoch.means(cases), (0.5, Some(1.0)), "{cases} cases in batches of {size}");
            }
        }
    }
}
