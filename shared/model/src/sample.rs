//! Numbers and weights for tests.

use std::sync::Arc;

use burn::tensor::TensorData;
use consilium_domain::network::{
    Depth, NetworkSpec, StemMode, TensorKind, TensorSpec, Transfer, Tuning, initial_values,
};
use consilium_domain::{
    Arm, AugmentationSpec, ClassBalance, Label, NormMode, Precision, Schedule, Seed, Training,
};
use consilium_weights::Weights;

use crate::{Architecture, Classifier, ComputeDevice, InputError, Inputs, TrainingCases};

/// Deterministic values without structure that a bug could hide in.
pub(crate) fn wave(count: usize, frequency: f64) -> Vec<f32> {
    (0..count).map(|i| (frequency * i as f64 + 0.1 * (i as f64).sqrt()).sin() as f32).collect()
}

/// Asserts equal shapes and values within `tolerance` of the largest expected magnitude.
pub(crate) fn assert_close(found: &TensorData, expected: &TensorData, tolerance: f32) {
    assert_eq!(found.shape(), expected.shape());
    let (found, expected) = (found.as_slice::<f32>().unwrap(), expected.as_slice::<f32>().unwrap());
    let largest = expected.iter().fold(f32::MIN_POSITIVE, |largest, x| largest.max(x.abs()));
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() <= tolerance * largest, "{found} is not {expected} of {largest}");
    }
}

/// A small network of `depth`.
pub(crate) const fn spec(depth: Depth) -> NetworkSpec {
    NetworkSpec { depth, width: 4 }
}

/// The network of an arm as the paper trains it.
pub(crate) fn architecture(depth: Depth, arm: Arm, norm: NormMode) -> Architecture {
    Architecture { spec: spec(depth), arm, tuning: Tuning::default(), norm }
}

/// Weights for every tensor of `manifest`; statistics and scales are not those of a fresh network.
pub(crate) fn weights(manifest: Vec<TensorSpec>, seed: u64) -> Weights {
    let manifest: Arc<[TensorSpec]> = manifest.into();
    let seed = Seed::from_number(seed);
    let values = manifest.iter().flat_map(|tensor| match tensor.kind {
        TensorKind::NormScale | TensorKind::NormVariance => uniform(tensor, &seed, 0.7, 1.3),
        TensorKind::NormShift | TensorKind::NormMean => uniform(tensor, &seed, -0.2, 0.2),
        _ => initial_values(tensor, &seed),
    });
    let values = values.collect();
    Weights::new(manifest, values).unwrap()
}

fn uniform(tensor: &TensorSpec, seed: &Seed, low: f64, high: f64) -> Vec<f32> {
    let mut stream = seed.derive(&tensor.name).stream();
    (0..tensor.values()).map(|_| stream.between(low, high) as f32).collect()
}

/// A classifier of `arm` with [`weights`], and its frozen backbone.
pub(crate) fn classifier(depth: Depth, arm: Arm, norm: NormMode) -> Classifier {
    let base = weights(spec(depth).backbone_tensors(), 1);
    let architecture = architecture(depth, arm, norm);
    let trainable = weights(architecture.trainable_tensors(), 2);
    Classifier::new(architecture, Some(&base), &trainable, &ComputeDevice::cpu()).unwrap()
}

/// Cubes that are bright inside when methylated, in noise.
pub(crate) struct Blobs {
    inputs: Vec<Vec<f32>>,
}

impl Blobs {
    pub(crate) const SIDE: usize = 16;

    pub(crate) fn new(count: usize) -> Self {
        let mut noise = Seed::from_number(3).stream();
        let inputs = (0..count).map(|case| {
            let voxel = |i: usize| {
                let inside = [i / 256, i / 16 % 16, i % 16].iter().all(|c| (4..12).contains(c));
                let signal = if inside && case % 2 == 1 { 2.0 } else { 0.0 };
                (signal + 0.3 * noise.normal()) as f32
            };
            (0..Self::SIDE.pow(3)).map(voxel).collect()
        });
        Self { inputs: inputs.collect() }
    }

    pub(crate) fn inputs(&self) -> Vec<&[f32]> {
        self.inputs.iter().map(Vec::as_slice).collect()
    }
}

impl Inputs for Blobs {
    fn len(&self) -> usize {
        self.inputs.len()
    }

    fn shape(&self) -> [usize; 3] {
        [Self::SIDE; 3]
    }

    fn read(&self, index: usize, out: &mut [f32]) -> Result<(), InputError> {
        out.copy_from_slice(&self.inputs[index]);
        Ok(())
    }
}

impl TrainingCases for Blobs {
    fn label(&self, index: usize) -> Label {
        Label::ALL[index % 2]
    }
}

/// A short training.
pub(crate) fn recipe(norm: NormMode) -> Training {
    Training {
        rounds: 1,
        local_epochs: 2,
        batch_size: 6,
        learning_rate: 3e-3,
        policy_learning_rate: 3e-3,
        weight_decay: 1e-4,
        temperature: 5.0,
        norm,
        precision: Precision::F32,
        schedule: Schedule::Constant,
        transfer: Transfer::All,
        stem: StemMode::Frozen,
        class_balance: ClassBalance::None,
        augmentation: AugmentationSpec::default(),
    }
}
