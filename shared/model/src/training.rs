//! Local training: epochs of shuffled batches, one optimiser step each.

use std::ops::ControlFlow;

use burn::tensor::{Tensor, TensorData};
use consilium_domain::{RandomStream, Seed, Training};

use crate::ModelError;
use crate::batches::{TrainingCases, shuffled};
use crate::device::ComputeDevice;
use crate::gumbel::{decide, noise_differences};
use crate::layer::Trained;
use crate::loss::binary_cross_entropy;
use crate::network::Network;
use crate::optimiser::Optimiser;
use crate::pool::in_pool;
use crate::volumes::Volumes;

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
    let mut trainer = Trainer {
        network,
        trunk: Optimiser::new(recipe.learning_rate, recipe.weight_decay),
        policy: Optimiser::new(recipe.policy_learning_rate, recipe.weight_decay),
        noise: seed.derive("routing").stream(),
        temperature: recipe.temperature,
        device,
    };
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

impl Trainer<'_> {
    /// One forward and backward pass and, if the loss is finite, one optimiser step.
    fn step(&mut self, cases: &dyn TrainingCases, epoch: u16, batch: &[usize]) -> Step {
        let device = self.device.recording();
        let input =
            Volumes::new(batch.len(), cases.shape(), &device, |row, out| cases.fill(batch[row], epoch, out));
        let targets: Vec<f32> = batch.iter().map(|&index| cases.label(index).as_target()).collect();
        let targets = Tensor::<1>::from_data(TensorData::new(targets, [batch.len()]), &device);
        in_pool(|| self.step_on(&input, targets))
    }

    fn step_on(&mut self, input: &Volumes, targets: Tensor<1>) -> Step {
        let (noise, temperature, device) = (&mut self.noise, self.temperature, targets.device());
        let (logits, gates) = self.network.forward_dense(input, |preferences| {
            let [rows, blocks] = preferences.dims();
            let noise = TensorData::new(noise_differences(noise, rows * blocks), [rows, blocks]);
            decide(preferences, Tensor::from_data(noise, &device), temperature)
        });
        let loss = binary_cross_entropy(logits, targets);
        let found = Step {
            loss: loss.clone().into_scalar::<f32>().into(),
            tuned_share: gates.map(|gates| gates.mean().into_scalar::<f32>().into()),
        };
        if found.loss.is_finite() {
            let mut gradients = loss.backward();
            self.trunk.step(&mut self.network.trunk, &mut gradients);
            if let Some(routing) = &mut self.network.routing {
                self.policy.step(&mut routing.policy, &mut gradients);
            }
        }
        found
    }
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
