//! The forward pass against numbers of the upstream network (Tencent/MedicalNet in PyTorch), stage by stage.

use std::path::Path;
use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Tensor, TensorData};
use consilium_domain::network::{Depth, NetworkSpec, TensorSpec};
use consilium_domain::{NormMode, Precision};
use consilium_weights::Weights;
use consilium_weights::checkpoint::{Container, import};
use serde_json::Value;

use crate::backbone::Backbone;
use crate::device::ComputeDevice;
use crate::features::{Features, Finish};
use crate::layer::{Folded, Layer, Trained};
use crate::parameters::Reader;
use crate::stem::Stem;
use crate::volumes::{STEM, volumes};

const TOLERANCE: f64 = 1e-4;

#[path = "../../weights/tests/checkpoints/writer/mod.rs"]
#[allow(dead_code, reason = "the tests of the importer use all of it")]
mod writer;

/// The weights that the numbers were made with, through the importer of MedicalNet's released files.
fn formula_weights(spec: NetworkSpec, container: Container) -> Weights {
    let model = writer::formula::model(spec);
    let file = match container {
        Container::Legacy => model.legacy(),
        Container::Zip => model.zipped(false),
    };
    import(&file, spec).unwrap().weights
}

fn formula_input(device: &ComputeDevice) -> Features {
    let value = |i: usize| ((0.05 * i as f64).sin() + 0.5 * (0.013 * i as f64).cos()) as f32;
    let (shape, method) = ([16, 20, 18], device.method(Precision::F32));
    volumes((0..shape.iter().product()).map(value).collect(), shape, &device.plain(), method)
}

fn assert_stage(what: &str, found: Features, expected: &Value) {
    let found = found.into_planar();
    let shape: Vec<usize> = found.dims().to_vec();
    assert_eq!(serde_json::to_value(shape).unwrap(), expected["shape"], "{what}");
    let data = found.into_data();
    let values: Vec<f64> = data.as_slice::<f32>().unwrap().iter().map(|&x| x.into()).collect();
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let deviation = (values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / values.len() as f64).sqrt();
    let largest = values.iter().fold(0.0f64, |largest, x| largest.max(x.abs()));
    let near = |name: &str, found: f64, expected: &Value| {
        let expected = expected.as_f64().unwrap();
        assert!((found - expected).abs() <= TOLERANCE * largest, "{what} {name}: {found} is not {expected}");
    };
    near("mean", mean, &expected["mean"]);
    near("std", deviation, &expected["std_pop"]);
    near("abs max", largest, &expected["abs_max"]);
    for (position, sample) in expected["samples"].as_object().unwrap() {
        near(position, values[position.parse::<usize>().unwrap()], sample);
    }
}

fn assert_network<L: Layer>(what: &str, network: &Backbone<L>, input: &Features, expected: &Value) {
    let Stem::Tuned(stem) = &network.stem else { unreachable!("it was read as tuned") };
    assert_stage("bn1", stem.forward(input.clone(), Finish::default()), &expected["bn1"]);
    let mut x = network.stem.forward(input.clone());
    assert_stage("maxpool", x.clone(), &expected["maxpool"]);
    for (position, block) in network.blocks.iter().enumerate() {
        x = block.forward(x);
        let next = network.blocks.get(position + 1);
        if next.is_none_or(|next| next.spec().stage != block.spec().stage) {
            let stage = format!("layer{}", block.spec().stage);
            assert_stage(&format!("{what} {stage}"), x.clone(), &expected[&stage]);
        }
    }
    let pooled = x.average().into_data();
    let pooled = pooled.as_slice::<f32>().unwrap();
    let expected = &expected["global_avg_pool_layer4"];
    let (sum, wanted) =
        (pooled.iter().map(|&x| f64::from(x)).sum::<f64>(), expected["sum"].as_f64().unwrap());
    assert!((sum / wanted - 1.0).abs() <= TOLERANCE, "{what} sum {sum} is not {wanted}");
    for (found, wanted) in pooled.iter().zip(expected["first8"].as_array().unwrap()) {
        assert!((f64::from(*found) - wanted.as_f64().unwrap()).abs() <= TOLERANCE, "{what} {found} {wanted}");
    }
}

/// The upstream network's numbers, or a line that says they are absent.
pub(crate) fn file() -> Option<Value> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let path = root.join("../shared/data/medicalnet/golden_medicalnet_forward.json");
    let Ok(text) = std::fs::read_to_string(path) else {
        println!("skipped: ../shared is absent");
        return None;
    };
    Some(serde_json::from_str(&text).unwrap())
}

#[test]
fn the_forward_pass_equals_the_upstream_network() {
    let Some(golden) = file() else { return };
    let networks = [(Depth::D10, "resnet10"), (Depth::D18, "resnet18"), (Depth::D50, "resnet50")];
    for (device, container) in
        [(ComputeDevice::cpu(), Container::Legacy), (ComputeDevice::reference(), Container::Zip)]
    {
        assert_device(&golden, &device, container, &networks);
    }
}

pub(crate) fn assert_device(
    golden: &Value,
    device: &ComputeDevice,
    container: Container,
    networks: &[(Depth, &str)],
) {
    for &(depth, name) in networks {
        let spec = NetworkSpec { depth, width: 64 };
        let (weights, input) = (formula_weights(spec, container), formula_input(device));
        let kernel = weights.iter().next().expect("the stem's kernel is first");
        let kernel =
            Tensor::from_data(TensorData::new(kernel.1.to_vec(), kernel.0.shape.clone()), &device.plain());
        let convolved =
            input.clone().convolve(kernel, Tensor::zeros([64], &device.plain()), STEM, Finish::default());
        assert_stage("conv1", convolved, &golden["models"][name]["conv1"]);
        let mut reader = Reader::new(&weights, device.plain());
        let trained = Backbone::new(spec, |geometry| Trained::read(&mut reader, geometry, NormMode::Fixed));
        assert_network("trained", &trained, &input, &golden["models"][name]);
        let mut reader = Reader::new(&weights, device.plain());
        let folded = Backbone::new(spec, |geometry| Folded::read(&mut reader, geometry));
        assert_network("folded", &folded, &input, &golden["models"][name]);
        assert_network("folded after training", &trained.fold(), &input, &golden["models"][name]);
    }
}

/// Counted by burn, and so including nothing that an optimiser would not move.
#[test]
fn parameters_are_as_many_as_in_the_released_networks() {
    for (depth, expected) in [(Depth::D10, 14_355_520), (Depth::D18, 32_986_176), (Depth::D50, 46_155_072)] {
        let spec = NetworkSpec { depth, width: 64 };
        let manifest: Arc<[TensorSpec]> = spec.backbone_tensors().into();
        let count = manifest.iter().map(TensorSpec::values).sum();
        let weights = Weights::new(manifest, vec![0.5; count]).unwrap();
        let mut reader = Reader::new(&weights, ComputeDevice::cpu().plain());
        let trained = Backbone::new(spec, |geometry| Trained::read(&mut reader, geometry, NormMode::Batch));
        assert_eq!(trained.num_params(), expected);
        let mut reader = Reader::new(&weights, ComputeDevice::cpu().plain());
        let folded = Backbone::new(spec, |geometry| Folded::read(&mut reader, geometry));
        assert_eq!(folded.num_params(), 0, "a frozen network has nothing to train");
    }
}
