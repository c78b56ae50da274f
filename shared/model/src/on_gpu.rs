//! Networks on a graphics adapter against the same networks on the processor. Mesa's software adapter does.
//!
//! Skipped where there is no adapter, unless CONSILIUM_REQUIRE_GPU is set: then that is a failure.

use std::ops::ControlFlow;

use burn::tensor::TensorData;
use consilium_domain::network::Depth;
use consilium_domain::{Arm, Label, NormMode, Precision, Seed, Training};
use consilium_weights::Weights;
use consilium_weights::checkpoint::Container;

use crate::device::ComputeDevice;
use crate::equivalence::{computed, distance};
use crate::golden;
use crate::pretext::{Pretext, pretrain_backbone};
use crate::sample::{self, Blobs};
use crate::{Classifier, InputError, Inputs, ModelError, Prediction, Routes, TrainingCases};

/// Largest distance from the processor's result, relative and by norm.
const TOLERANCE: f64 = 1e-3;

/// The first adapter, also if it is a software adapter.
fn adapter() -> Option<ComputeDevice> {
    match "wgpu:0".parse() {
        Ok(device) => Some(device),
        Err(error) if std::env::var_os("CONSILIUM_REQUIRE_GPU").is_some() => panic!("{error}"),
        Err(error) => {
            println!("skipped: {error}");
            None
        }
    }
}

fn classifier(arm: Arm, norm: NormMode, device: &ComputeDevice) -> Classifier {
    let architecture = sample::architecture(Depth::D10, arm, norm);
    let base = sample::weights(architecture.spec.backbone_tensors(), 1);
    let trainable = sample::weights(architecture.trainable_tensors(), 2);
    Classifier::new(architecture, Some(&base), &trainable, device).unwrap()
}

/// One optimiser step with every case, and the weights after it.
fn stepped(arm: Arm, norm: NormMode, device: &ComputeDevice, precision: Precision) -> (f64, Weights) {
    let mut classifier = classifier(arm, norm, device);
    let recipe = Training { local_epochs: 1, batch_size: 6, precision, ..sample::recipe(norm) };
    let proceed = &mut |_| ControlFlow::Continue(());
    let summary = classifier.train(&Blobs::new(6), &recipe, Seed::from_number(9), proceed).unwrap();
    assert_eq!(summary.steps, 1);
    (summary.loss, classifier.trainable().unwrap())
}

fn tensors(weights: &Weights) -> Vec<(String, TensorData)> {
    let data = |values: &[f32]| TensorData::new(values.to_vec(), [values.len()]);
    weights.iter().map(|(tensor, values)| (tensor.name.clone(), data(values))).collect()
}

fn assert_same_weights(what: &str, found: &Weights, expected: &Weights) {
    for ((name, found), (_, expected)) in tensors(found).iter().zip(&tensors(expected)) {
        let error = distance(found, expected);
        assert!(error < TOLERANCE, "{error} in {name}, {what}");
    }
}

#[test]
fn logits_and_gradients_equal_the_processors() {
    let Some(gpu) = adapter() else { return };
    for norm in [NormMode::Batch, NormMode::Fixed] {
        let [found, expected] = [gpu.clone(), ComputeDevice::cpu()]
            .map(|device| computed(Depth::D10, Arm::Spottune, norm, &device, Precision::F32));
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(&expected) {
            let error = distance(found, expected);
            assert!(error < TOLERANCE, "{error} under {norm:?}, {:?}", found.shape());
        }
    }
}

/// The factors of a product are rounded to eleven binary digits, on both sides in the same way; sums are not.
#[test]
fn mixed_precision_is_the_same_as_on_the_processor() {
    let Some(gpu) = adapter() else { return };
    if !gpu.honours(Precision::Bf16) {
        println!("skipped: {gpu} has no 16-bit floats");
        return;
    }
    for norm in [NormMode::Batch, NormMode::Fixed] {
        let of =
            |device: &ComputeDevice, precision| computed(Depth::D10, Arm::Spottune, norm, device, precision);
        let exact = of(&ComputeDevice::reference(), Precision::F32);
        let [found, expected] = [gpu.clone(), ComputeDevice::reference()].map(|device| {
            let rounded = of(&device, Precision::Bf16);
            rounded.iter().zip(&exact).map(|(rounded, exact)| distance(rounded, exact)).collect::<Vec<f64>>()
        });
        // Which side of zero the input of a ReLU is on is chance, so the errors are compared and not the gradients.
        let sum = |errors: &[f64]| errors.iter().sum::<f64>();
        assert!(found.iter().all(|&error| error < 0.1), "{found:?} under {norm:?}");
        assert!(sum(&found) > sum(&expected) / 2.0, "nothing was rounded: {found:?} and {expected:?}");
        assert!(sum(&found) < sum(&expected) * 2.0, "{found:?} is worse than {expected:?}");
    }
}

#[test]
fn a_training_step_equals_the_processors_with_and_without_checkpointing() {
    let Some(gpu) = adapter() else { return };
    for (arm, norm) in
        [(Arm::Spottune, NormMode::Batch), (Arm::Spottune, NormMode::Fixed), (Arm::Random, NormMode::Batch)]
    {
        let (expected_loss, expected) = stepped(arm, norm, &ComputeDevice::cpu(), Precision::F32);
        for checkpointing in [false, true] {
            let gpu = gpu.clone().with_checkpointing(checkpointing);
            let (loss, found) = stepped(arm, norm, &gpu, Precision::F32);
            let what = format!("{arm} under {norm:?}, checkpointing {checkpointing}");
            assert!((loss / expected_loss - 1.0).abs() < TOLERANCE, "{loss} not {expected_loss}, {what}");
            assert_same_weights(&what, &found, &expected);
        }
    }
}

/// A whole step in mixed precision: the loss is nearly the same, and weights moved.
#[test]
fn a_training_step_in_mixed_precision_is_taken() {
    let Some(gpu) = adapter() else { return };
    let [(exact, _), (loss, found)] = [Precision::F32, Precision::Bf16]
        .map(|precision| stepped(Arm::Spottune, NormMode::Batch, &gpu, precision));
    assert!((loss / exact - 1.0).abs() < 0.01, "{loss} not {exact}");
    let start = classifier(Arm::Spottune, NormMode::Batch, &gpu).trainable().unwrap();
    assert!(found != start, "nothing was learned");
}

/// Rows of a batch part at every block and meet again.
#[test]
fn predictions_equal_the_processors() {
    let Some(gpu) = adapter() else { return };
    let blobs = Blobs::new(5);
    let [found, expected] = [gpu, ComputeDevice::cpu()].map(|device| -> Vec<Prediction> {
        classifier(Arm::Spottune, NormMode::Batch, &device).predict(&blobs, 3, Routes::Preferred).unwrap()
    });
    let routes = |answers: &[Prediction]| -> Vec<Vec<f32>> {
        answers.iter().map(|answer| answer.tuned.clone()).collect()
    };
    assert_eq!(routes(&found), routes(&expected));
    for (found, expected) in found.iter().zip(&expected) {
        let error = f64::from((found.logit - expected.logit).abs());
        assert!(error < TOLERANCE * f64::from(expected.logit.abs().max(1.0)), "{found:?} not {expected:?}");
    }
}

#[test]
fn a_backbone_is_pretrained() {
    let Some(gpu) = adapter() else { return };
    let blobs = Blobs::new(4);
    let targets: Vec<Vec<f32>> = (0..4).map(|case| vec![(case % 2) as f32]).collect();
    let pretext = Pretext { epochs: 1, batch: 4, learning_rate: 1e-3 };
    let [found, expected] = [gpu, ComputeDevice::cpu()].map(|device| {
        let (spec, shape, seed) = (sample::spec(Depth::D10), [Blobs::SIDE; 3], Seed::from_number(1));
        let proceed = &mut |_| ControlFlow::Continue(());
        pretrain_backbone(spec, &blobs.inputs(), shape, &targets, pretext, seed, &device, proceed).unwrap()
    });
    assert_same_weights("pretrained", &found, &expected);
}

#[test]
fn the_forward_pass_equals_the_upstream_network() {
    let (Some(gpu), Some(golden)) = (adapter(), golden::file()) else { return };
    golden::assert_device(&golden, &gpu, Container::Legacy, &[(Depth::D10, "resnet10")]);
}

#[test]
fn an_adapter_that_does_not_exist_is_refused_with_those_that_do() {
    let error = "wgpu:99".parse::<ComputeDevice>().unwrap_err().to_string();
    assert!(error.contains("wgpu:99") && error.contains("`cpu`"), "{error}");
    let Some(gpu) = adapter() else { return };
    assert!(error.contains(&gpu.to_string()), "{error} does not list {gpu}");
}

/// Cases of which no adapter can hold a batch in one tensor.
struct Huge {
    cases: usize,
}

impl Inputs for Huge {
    fn len(&self) -> usize {
        self.cases
    }

    fn shape(&self) -> [usize; 3] {
        [256; 3]
    }

    fn read(&self, _index: usize, _out: &mut [f32]) -> Result<(), InputError> {
        Ok(())
    }
}

impl TrainingCases for Huge {
    fn label(&self, index: usize) -> Label {
        Label::ALL[index % 2]
    }
}

/// Not a crash, not the processor in its place, and no weights afterwards.
#[test]
fn running_out_of_memory_is_an_error_that_names_the_device() {
    let Some(gpu) = adapter() else { return };
    let bytes = 4 * 256u64.pow(3);
    let cases = Huge { cases: (gpu.tensor_bytes().unwrap() / bytes) as usize + 1 };
    let mut classifier = classifier(Arm::Random, NormMode::Batch, &gpu);
    let batch_size = cases.len() as u16;
    let recipe = Training { local_epochs: 1, batch_size, ..sample::recipe(NormMode::Batch) };
    let proceed = &mut |_| ControlFlow::Continue(());
    let error = classifier.train(&cases, &recipe, Seed::from_number(9), proceed).unwrap_err();
    assert!(matches!(error, ModelError::Device { .. }), "{error:?}");
    for text in [gpu.to_string().as_str(), "training.batch_size"] {
        assert!(error.to_string().contains(text), "{text} is missing from {error}");
    }
    assert_eq!(classifier.trainable().unwrap_err(), error);
    assert_eq!(classifier.predict(&Blobs::new(1), 1, Routes::Preferred).unwrap_err(), error);
}
