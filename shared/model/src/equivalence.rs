//! The processor's own kernels against burn's operations: the same network, the same loss, the same gradients.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Gradients, Tensor, TensorData};
use consilium_domain::network::Depth;
use consilium_domain::{Arm, NormMode, Precision};

use crate::device::ComputeDevice;
use crate::layer::Trained;
use crate::network::Network;
use crate::sample;
use crate::volumes::volumes;

const ROWS: usize = 4;
/// No two extents are equal, and no map is a multiple of a register.
const SHAPE: [usize; 3] = [26, 37, 45];

/// Largest distance of a tensor of gradients.
const TOLERANCE: f64 = 1e-3;

/// Gradients of a module's parameters, in its order.
struct Collected<'a> {
    gradients: &'a Gradients,
    found: Vec<TensorData>,
}

impl ModuleVisitor for Collected<'_> {
    fn visit_float<const D: usize>(&mut self, parameter: &Param<Tensor<D>>) {
        let gradient = parameter.val().grad(self.gradients).expect("every parameter has a gradient");
        self.found.push(gradient.into_data());
    }
}

/// The logits and the gradients of everything that is learned.
pub(crate) fn computed(
    depth: Depth,
    arm: Arm,
    norm: NormMode,
    device: &ComputeDevice,
    precision: Precision,
) -> Vec<TensorData> {
    let spec = sample::spec(depth);
    let base = sample::weights(spec.backbone_tensors(), 1);
    let architecture = sample::architecture(depth, arm, norm);
    let trainable = sample::weights(architecture.trainable_tensors(), 2);
    let network = Network::<Trained>::read(architecture, Some(&base), &trainable, device).unwrap();
    let recording = device.recording();
    let values = sample::wave(ROWS * SHAPE.iter().product::<usize>(), 0.73);
    let input = volumes(values, SHAPE, &recording, device.method(precision));
    // Straight-through: zeros and ones forward, the policy's preferences backward.
    let gates = network.routing.as_ref().map(|routing| {
        let preferences = routing.policy.preferences(input.clone());
        let [rows, blocks] = preferences.dims();
        let hard = (0..rows * blocks).map(|i| f32::from(u8::from(i % 3 != 0))).collect::<Vec<_>>();
        let hard = Tensor::from_data(TensorData::new(hard, [rows, blocks]), &recording);
        hard + (preferences.clone() - preferences.detach())
    });
    let logits = network.forward_dense(input, gates.as_ref());
    let weights = Tensor::from_data([1.0, -0.5, 0.25, 0.7], &recording);
    let gradients = (logits.clone() * weights).sum().backward();
    let mut collected = Collected { gradients: &gradients, found: vec![logits.into_data()] };
    network.trunk.visit(&mut collected);
    if let Some(routing) = &network.routing {
        routing.policy.visit(&mut collected);
    }
    collected.found
}

/// The norm of the difference, relative to the norm of what is expected. Single values may differ more: where an input
/// of a ReLU is next to zero, rounding decides.
pub(crate) fn distance(found: &TensorData, expected: &TensorData) -> f64 {
    assert_eq!(found.shape(), expected.shape());
    let (found, expected) = (found.as_slice::<f32>().unwrap(), expected.as_slice::<f32>().unwrap());
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>().sqrt();
    let pairs = found.iter().zip(expected);
    let difference = norm(&mut pairs.map(|(found, expected)| f64::from(found - expected)));
    difference / norm(&mut expected.iter().map(|&x| x.into())).max(f64::MIN_POSITIVE)
}

/// A third of the gates are zero. Ours skip the backward pass of the paths that were not taken, and theirs compute it.
#[test]
fn kernels_compute_what_burns_operations_compute() {
    // Not the deep network with batch statistics: over the few voxels of its last maps they magnify rounding from layer
    // to layer, until gradients differ by a per cent and more. PyTorch's in 32 and in 64 bits do, too.
    for (depth, norm) in
        [(Depth::D10, NormMode::Batch), (Depth::D10, NormMode::Fixed), (Depth::D50, NormMode::Fixed)]
    {
        for arm in Arm::ALL {
            let [kernels, reference] = [ComputeDevice::cpu(), ComputeDevice::reference()]
                .map(|device| computed(depth, arm, norm, &device, Precision::F32));
            assert_eq!(kernels.len(), reference.len());
            for (ours, theirs) in kernels.iter().zip(&reference) {
                let error = distance(ours, theirs);
                assert!(error < TOLERANCE, "{error} in {depth:?} {arm} under {norm:?}, {:?}", ours.shape());
            }
        }
    }
}

/// The factors of a product are rounded to eight binary digits.
#[test]
fn bfloat16_moves_gradients_a_little() {
    let device = ComputeDevice::cpu();
    let [exact, rounded] = [Precision::F32, Precision::Bf16]
        .map(|precision| computed(Depth::D10, Arm::Medicalnet, NormMode::Fixed, &device, precision));
    let errors: Vec<f64> =
        exact.iter().zip(&rounded).map(|(exact, rounded)| distance(rounded, exact)).collect();
    assert!(errors.iter().all(|&error| error < 0.05), "{errors:?}");
    assert!(errors.iter().any(|&error| error > 0.0), "nothing was rounded");
}

/// Products of 16-bit floats, as on a graphics card: eleven binary digits, so closer than bfloat16.
#[test]
fn mixed_precision_moves_gradients_less_than_bfloat16() {
    for norm in [NormMode::Batch, NormMode::Fixed] {
        let [mixed, bfloat16] = [ComputeDevice::reference(), ComputeDevice::cpu()].map(|device| {
            let [exact, rounded] = [Precision::F32, Precision::Bf16]
                .map(|precision| computed(Depth::D10, Arm::Spottune, norm, &device, precision));
            exact.iter().zip(&rounded).map(|(exact, rounded)| distance(rounded, exact)).collect::<Vec<f64>>()
        });
        assert!(mixed.iter().all(|&error| error < 0.1), "{mixed:?}");
        assert!(mixed.iter().any(|&error| error > 1e-6), "nothing was rounded");
        let sum = |errors: &[f64]| errors.iter().sum::<f64>();
        assert!(sum(&mixed) < sum(&bfloat16) / 2.0, "{mixed:?} and {bfloat16:?}");
    }
}
