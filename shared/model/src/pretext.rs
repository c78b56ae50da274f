//! A stand-in for MedicalNet: a backbone pretrained on a regression that needs no patient.
//!
//! Demonstrations and tests have no released weights at hand. A backbone that learned to tell sizes, positions or
//! textures of synthetic volumes plays their part; it makes no claim to their quality.

use std::ops::ControlFlow;
use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Tensor, TensorData};
use consilium_domain::network::{NetworkSpec, TensorKind, TensorSpec, initial_values};
use consilium_domain::{NormMode, Precision, Seed};
use consilium_weights::Weights;

use crate::ModelError;
use crate::backbone::Backbone;
use crate::batches::shuffled;
use crate::device::ComputeDevice;
use crate::features::Features;
use crate::inputs::InputError;
use crate::layer::Trained;
use crate::linear::Linear;
use crate::loss::mean_squared_error;
use crate::optimiser::Optimiser;
use crate::parameters::{Reader, Writer};
use crate::pool::in_pool;
use crate::training::TrainingProgress;
use crate::volumes::volumes;

/// How to pretrain.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pretext {
    /// Passes over the inputs.
    pub epochs: u16,
    /// Inputs a step, at least 2.
    pub batch: usize,
    /// Adam's step size.
    pub learning_rate: f64,
}

/// A backbone with an output for each target.
#[derive(Module, Debug)]
struct Regressor {
    backbone: Backbone<Trained>,
    outputs: Linear,
}

/// Trains a backbone to regress `targets` (one list for each of `inputs`, all of the same length) from inputs of
/// `shape` by least squares, and returns its weights (`spec.backbone_tensors()`) with their running statistics.
///
/// # Errors
/// When inputs and targets do not fit together, the loss is not finite, `observe` stops, or the device failed.
#[allow(clippy::too_many_arguments, reason = "a whole training in one call; no state is worth a type")]
pub fn pretrain_backbone(
    spec: NetworkSpec,
    inputs: &[&[f32]],
    shape: [usize; 3],
    targets: &[Vec<f32>],
    pretext: Pretext,
    seed: Seed,
    device: &ComputeDevice,
    observe: &mut dyn FnMut(TrainingProgress) -> ControlFlow<()>,
) -> Result<Weights, ModelError> {
    let outputs = check(inputs, shape, targets)?;
    device.guard(|| {
        let recording = device.recording();
        let mut model = Regressor::new(spec, outputs, seed, device);
        let mut optimiser = Optimiser::new(pretext.learning_rate, 0.0, device);
        let mut steps_done = 0;
        for epoch in 0..pretext.epochs {
            let mut order = seed.derive(&format!("batches/{epoch}")).stream();
            let batches = shuffled((0..inputs.len()).collect(), pretext.batch, &mut order);
            for (step, batch) in (1..).zip(&batches) {
                let values = batch.iter().flat_map(|&index| inputs[index].iter().copied()).collect();
                let input = volumes(values, shape, &recording, device.method(Precision::F32));
                let wanted =
                    batch.iter().flat_map(|&index| targets[index].iter().copied()).collect::<Vec<_>>();
                let wanted = Tensor::from_data(TensorData::new(wanted, [batch.len(), outputs]), &recording);
                let loss = in_pool(|| model.step(&mut optimiser, input, wanted));
                if !loss.is_finite() {
                    return Err(ModelError::Diverged { epoch, step: steps_done });
                }
                steps_done += 1;
                let steps = batches.len() as u32;
                let progress = TrainingProgress { epoch, epochs: pretext.epochs, step, steps, loss };
                if observe(progress).is_break() {
                    return Err(ModelError::Stopped { epoch });
                }
            }
        }
        let mut writer = Writer::default();
        model.backbone.write(&mut writer);
        Ok(writer.finish(spec.backbone_tensors().into())?)
    })
}

/// The number of targets of each input.
fn check(inputs: &[&[f32]], shape: [usize; 3], targets: &[Vec<f32>]) -> Result<usize, ModelError> {
    let expected = targets.first().map_or(0, Vec::len);
    if inputs.is_empty() || expected == 0 {
        return Err(ModelError::NoCases);
    }
    for (case, input) in inputs.iter().enumerate() {
        let (found, needed) = (input.len(), shape.iter().product::<usize>());
        if found != needed {
            let cause = InputError(format!("{found} voxels where the shape {shape:?} needs {needed}"));
            return Err(ModelError::Input { case, cause });
        }
        let found = targets.get(case).map_or(0, Vec::len);
        if found != expected {
            return Err(ModelError::Targets { case, found, expected });
        }
    }
    Ok(expected)
}

impl Regressor {
    fn new(spec: NetworkSpec, outputs: usize, seed: Seed, device: &ComputeDevice) -> Self {
        let mut manifest = spec.backbone_tensors();
        let tensor = |name: &str, shape: Vec<usize>, kind| TensorSpec { name: name.into(), shape, kind };
        manifest.push(tensor("outputs.weight", vec![outputs, spec.features()], TensorKind::LinearWeight));
        manifest.push(tensor("outputs.bias", vec![outputs], TensorKind::LinearBias));
        let manifest: Arc<[TensorSpec]> = manifest.into();
        let seed = seed.derive("pretext");
        let values = manifest.iter().flat_map(|tensor| initial_values(tensor, &seed)).collect();
        let weights = Weights::new(manifest, values).expect("initial values are finite and complete");
        let mut reader = Reader::new(&weights, device.recording());
        let layer = |geometry| Trained::read(&mut reader, geometry, NormMode::Batch);
        let backbone = Backbone::new(spec, layer);
        Self { backbone, outputs: Linear::read(&mut reader) }
    }

    /// One optimiser step, unless the loss is not finite.
    fn step(&mut self, optimiser: &mut Optimiser, input: Features, targets: Tensor<2>) -> f64 {
        let outputs = self.outputs.forward(self.backbone.features(input));
        let loss = mean_squared_error(outputs, targets);
        let value = f64::from(loss.clone().into_scalar::<f32>());
        if value.is_finite() {
            optimiser.step(self, &mut loss.backward());
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use consilium_domain::network::Depth;

    use super::*;
    use crate::sample::{self, Blobs};

    #[test]
    fn a_pretrained_backbone_has_learned_and_measured() {
        let (spec, device) = (sample::spec(Depth::D10), ComputeDevice::cpu());
        let blobs = Blobs::new(16);
        let targets: Vec<Vec<f32>> = (0..16).map(|case| vec![(case % 2) as f32, 0.5]).collect();
        let pretext = Pretext { epochs: 6, batch: 8, learning_rate: 3e-3 };
        let (shape, seed) = ([Blobs::SIDE; 3], Seed::from_number(1));
        let mut losses = Vec::new();
        let weights =
            pretrain_backbone(spec, &blobs.inputs(), shape, &targets, pretext, seed, &device, &mut |p| {
                losses.push(p.loss);
                ControlFlow::Continue(())
            })
            .unwrap();
        assert!(losses.last().unwrap() < &(0.5 * losses[0]), "{losses:?}");
        assert_eq!(weights.manifest().to_vec(), spec.backbone_tensors());
        for (tensor, values) in weights.iter() {
            match tensor.kind {
                TensorKind::NormMean => assert!(values.iter().any(|mean| *mean != 0.0), "{}", tensor.name),
                TensorKind::NormVariance => assert!(values.iter().all(|v| *v > 0.0), "{}", tensor.name),
                _ => {}
            }
        }
    }

    #[test]
    fn inputs_without_targets_are_refused() {
        let blobs = Blobs::new(2);
        let pretext = Pretext { epochs: 1, batch: 2, learning_rate: 1e-3 };
        let proceed = &mut |_| ControlFlow::Continue(());
        let (spec, shape) = (sample::spec(Depth::D10), [Blobs::SIDE; 3]);
        let (seed, device) = (Seed::from_number(1), ComputeDevice::cpu());
        let targets = [vec![1.0, 2.0]];
        let error =
            pretrain_backbone(spec, &blobs.inputs(), shape, &targets, pretext, seed, &device, proceed);
        assert_eq!(error.unwrap_err(), ModelError::Targets { case: 1, found: 0, expected: 2 });
    }
}
