//! What SpotTune promises about its two paths: who gets gradients, what never moves, and that hard routing by rows
//! computes what the dense sum computes.

use burn::tensor::{Device, Tensor, TensorData};
use consilium_domain::network::Depth;
use consilium_domain::{Arm, NormMode, Precision};
use consilium_weights::Weights;

use crate::backbone::Backbone;
use crate::device::ComputeDevice;
use crate::features::Features;
use crate::layer::Trained;
use crate::network::Network;
use crate::parameters::{Reader, Writer};
use crate::prediction::Routes;
use crate::sample::{self, Blobs};
use crate::volumes;

const ROWS: usize = 6;

/// The processor with its own kernels, and without.
fn devices() -> [ComputeDevice; 2] {
    [ComputeDevice::cpu(), ComputeDevice::reference()]
}

fn network(norm: NormMode) -> Network<Trained> {
    let spec = sample::spec(Depth::D18);
    let base = sample::weights(spec.backbone_tensors(), 1);
    let architecture = sample::architecture(Depth::D18, Arm::Spottune, norm);
    let trainable = sample::weights(architecture.trainable_tensors(), 2);
    Network::read(architecture, Some(&base), &trainable, &ComputeDevice::cpu()).unwrap()
}

fn volumes(tensors: &Device, device: &ComputeDevice) -> Features {
    let blobs = Blobs::new(ROWS);
    volumes::volumes(blobs.inputs().concat(), [Blobs::SIDE; 3], tensors, device.method(Precision::F32))
}

fn gates(device: &Device, blocks: usize, gate: impl Fn(usize, usize) -> f32) -> Tensor<2> {
    let values: Vec<f32> = (0..ROWS * blocks).map(|i| gate(i / blocks, i % blocks)).collect();
    Tensor::from_data(TensorData::new(values, [ROWS, blocks]), device)
}

fn written(network: &Network<Trained>, arm: Arm) -> Weights {
    let mut writer = Writer::default();
    network.write(&mut writer);
    let architecture = sample::architecture(Depth::D18, arm, NormMode::Fixed);
    writer.finish(architecture.trainable_tensors().into()).unwrap()
}

/// The gradient of the loss with respect to a block's gate is what the fine-tuned path adds over the frozen one.
/// Checked against the finite difference of the loss over the gate itself.
#[test]
fn gate_gradients_equal_finite_differences() {
    devices().iter().for_each(assert_gate_gradients);
}

fn assert_gate_gradients(processor: &ComputeDevice) {
    let network = network(NormMode::Fixed);
    let device = processor.recording();
    let input = volumes(&device, processor);
    let blocks = network.trunk.blocks.len();
    let loss = |gates: Tensor<2>| network.forward_dense(input.clone(), Some(&gates)).sum();
    let mixed = |row: usize, block: usize| if (row + block).is_multiple_of(3) { 1.0 } else { 0.0 };
    let tracked = gates(&device, blocks, mixed).require_grad();
    let gradients = loss(tracked.clone()).backward();
    let analytic = tracked.grad(&gradients).unwrap().into_data();
    let analytic = analytic.as_slice::<f32>().unwrap();
    // Small enough to cross hardly a kink of a ReLU, large enough for 32-bit floats.
    let step = 0.001f32;
    for (row, block) in [(0, 0), (1, 2), (2, 5), (5, 7)] {
        let shifted = |by: f32| {
            let gate = |r, b| mixed(r, b) + if (r, b) == (row, block) { by } else { 0.0 };
            f64::from(loss(gates(&device, blocks, gate)).into_scalar::<f32>())
        };
        let numeric = (shifted(step) - shifted(-step)) / f64::from(2.0 * step);
        let analytic = f64::from(analytic[row * blocks + block]);
        assert!(analytic.abs() > 1e-4, "the gate of row {row}, block {block} has no effect");
        assert!((numeric - analytic).abs() < 0.02 * analytic.abs() + 1e-4, "{numeric} is not {analytic}");
    }
}

/// Frozen blocks pass back the gradients that trainable blocks with the same weights pass back.
#[test]
fn the_frozen_path_passes_gradients_through() {
    let network = network(NormMode::Fixed);
    let routing = network.routing.as_ref().unwrap();
    let processor = ComputeDevice::cpu();
    let device = processor.recording();
    let spec = sample::spec(Depth::D18);
    let base = sample::weights(spec.backbone_tensors(), 1);
    let mut reader = Reader::new(&base, device.clone());
    let twin = Backbone::new(spec, |geometry| Trained::read(&mut reader, geometry, NormMode::Fixed));
    let start = network.trunk.stem.forward(volumes(&device, &processor)).inner().into_leaf();
    let gradient = |end: Features| {
        let gradients = network.trunk.classify(end).sum().backward();
        start.slope(&gradients).into_planar().into_data()
    };
    let frozen = gradient(routing.frozen.iter().fold(start.clone(), |x, block| block.forward(x)));
    let trained = gradient(twin.blocks.iter().fold(start.clone(), |x, block| block.forward(x)));
    assert!(frozen.as_slice::<f32>().unwrap().iter().any(|slope| slope.abs() > 1e-4));
    sample::assert_close(&frozen, &trained, 1e-4);
}

#[test]
fn rows_taking_their_path_give_what_the_dense_sum_gives() {
    devices().iter().for_each(assert_rows_equal_dense);
}

fn assert_rows_equal_dense(processor: &ComputeDevice) {
    let network = network(NormMode::Fixed);
    let folded = network.fold();
    let device = processor.plain();
    let input = volumes(&device, processor);
    let predictions = folded.predict(input.clone(), 0, Routes::Preferred);
    let routes: Vec<_> = predictions.iter().map(|prediction| prediction.tuned.clone()).collect();
    let shares = || routes.iter().flatten();
    assert!(shares().any(|tuned| *tuned == 1.0) && shares().any(|tuned| *tuned == 0.0));
    let gate = |row: usize, block: usize| routes[row][block];
    let blocks = network.trunk.blocks.len();
    let dense = folded.forward_dense(input, Some(&gates(&device, blocks, gate)));
    let recording = processor.recording();
    let decided = gates(&recording, blocks, gate);
    let recorded = network.forward_dense(volumes(&recording, processor), Some(&decided));
    let by_rows: Vec<f32> = predictions.iter().map(|prediction| prediction.logit).collect();
    let by_rows = TensorData::new(by_rows, [ROWS]);
    sample::assert_close(&by_rows, &dense.into_data(), 1e-6);
    sample::assert_close(&by_rows, &recorded.into_data(), 1e-4);
}

#[test]
fn every_mixture_of_routes_is_sent_back_to_its_row() {
    let processor = ComputeDevice::cpu();
    let folded = network(NormMode::Fixed).fold();
    let routing = folded.routing.as_ref().unwrap();
    let x = folded.trunk.stem.forward(volumes(&processor.plain(), &processor));
    let (tuned, frozen) = (&folded.trunk.blocks[0], &routing.frozen[0]);
    let [all_tuned, all_frozen] = [tuned, frozen].map(|block| block.forward(x.clone()));
    for pattern in 0..1u32 << ROWS {
        let takes: Vec<bool> = (0..ROWS).map(|row| pattern >> row & 1 == 1).collect();
        let found = crate::prediction::forward_by_rows(x.clone(), &takes, tuned, frozen);
        for (row, &tuned) in takes.iter().enumerate() {
            let expected = if tuned { &all_tuned } else { &all_frozen };
            let [found, expected] =
                [&found, expected].map(|x| x.clone().select(&[row]).into_planar().into_data());
            sample::assert_close(&found, &expected, 1e-6);
        }
    }
}

#[test]
fn fixed_normalisation_keeps_its_statistics_and_batch_normalisation_moves_them() {
    for norm in [NormMode::Fixed, NormMode::Batch] {
        let network = network(norm);
        let before = written(&network, Arm::Spottune);
        let processor = ComputeDevice::cpu();
        let input = volumes(&processor.recording(), &processor);
        let tuned = gates(&processor.recording(), network.trunk.blocks.len(), |_, _| 1.0);
        let _ = network.routing.as_ref().unwrap().policy.preferences(input.clone());
        let _ = network.forward_dense(input, Some(&tuned));
        let after = written(&network, Arm::Spottune);
        for ((tensor, before), (_, after)) in before.iter().zip(after.iter()) {
            let moved = norm == NormMode::Batch && !tensor.kind.is_parameter();
            assert_eq!(before != after, moved, "{} under {norm:?}", tensor.name);
        }
    }
}
