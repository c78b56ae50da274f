//! The derivative of SpotTune's choice between two paths (arXiv:1811.08737).

use burn::backend::Backend;
use burn::backend::tensor::FloatTensor;
use burn_autodiff::Autodiff;
use burn_autodiff::checkpoint::base::Checkpointer;
use burn_autodiff::checkpoint::strategy::CheckpointStrategy;
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops, OpsKind};
use consilium_conv3d::InstructionSet;

use super::{Derivatives, Paths};

/// Parents: tuned path, frozen path, gates.
#[derive(Debug)]
struct Route;

/// What the backward pass needs.
#[derive(Debug, Clone)]
struct Saved<B: Backend> {
    paths: Paths<B>,
    gates: FloatTensor<B>,
    instructions: InstructionSet,
}

impl<B: Derivatives> Backward<B, 3> for Route {
    type State = Saved<B>;

    fn backward(self, ops: Ops<Saved<B>, 3>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let gradient = gradients.consume::<B>(&ops.node);
        let Saved { paths, gates, instructions } = ops.state;
        let (tuned, frozen, gates) = B::route_gradient(paths, gates, gradient, instructions);
        for (node, share) in ops.parents.into_iter().zip([tuned, frozen, gates]) {
            if let Some(node) = node {
                gradients.register::<B>(node.id, share);
            }
        }
    }
}

/// Records [`super::Kernels::route`].
pub(super) fn route<B: Derivatives, C: CheckpointStrategy>(
    tuned: FloatTensor<Autodiff<B, C>>,
    frozen: FloatTensor<Autodiff<B, C>>,
    gates: FloatTensor<Autodiff<B, C>>,
    instructions: InstructionSet,
) -> FloatTensor<Autodiff<B, C>> {
    let [(tuned, to_tuned), (frozen, to_frozen), (gates, to_gates)] =
        [tuned, frozen, gates].map(|tensor| tensor.into_parts());
    let output = B::route(tuned.clone(), frozen.clone(), gates.clone(), instructions);
    match Route.prepare::<C>([to_tuned, to_frozen, to_gates]).compute_bound().stateful() {
        OpsKind::Tracked(operation) => {
            let paths = B::routed_paths(tuned, frozen, gates.clone(), output.clone(), instructions);
            operation.finish(Saved { paths, gates, instructions }, output)
        }
        OpsKind::UnTracked(operation) => operation.finish(output),
    }
}

#[cfg(test)]
mod tests {
    use burn::backend::Dispatch;
    use burn::tensor::{Device, Tensor, TensorData};

    use crate::kernels::{InstructionSet, Kernels};
    use crate::sample;

    const SHAPE: [usize; 6] = [3, 1, 1, 2, 3, 16];

    /// Whatever is kept of the paths, the gradients are those of the formula.
    #[test]
    fn gradients_equal_those_of_burns_operations() {
        let device = Device::flex().autodiff();
        let leaf = |frequency: f64| {
            let values = TensorData::new(sample::wave(SHAPE.iter().product(), frequency), SHAPE);
            Tensor::<6>::from_data(values, &device).require_grad()
        };
        for gates in [[1.0f32, 0.25, 0.0], [0.0, 1.0, 0.0], [1.0; 3], [0.0; 3]] {
            let (tuned, frozen, slope) = (leaf(0.7), leaf(1.3), leaf(2.1).detach());
            let gates = Tensor::<1>::from_data(gates, &device).require_grad();
            let gradients = |output: Tensor<6>| {
                let found = (output * slope.clone()).sum().backward();
                let paths = [&tuned, &frozen].map(|path| path.grad(&found).unwrap().into_data());
                (paths, gates.grad(&found).unwrap().into_data())
            };
            let paths = [&tuned, &frozen].map(|path| path.clone().into_dispatch());
            let [one, two] = paths;
            let routed = Dispatch::route(one, two, gates.clone().into_dispatch(), InstructionSet::best());
            let (found, found_gates) = gradients(Tensor::from_dispatch(routed));
            let shares = gates.clone().reshape([3, 1, 1, 1, 1, 1]);
            let mixed = tuned.clone() * shares.clone() + frozen.clone() * shares.neg().add_scalar(1.0);
            let (expected, expected_gates) = gradients(mixed);
            for (found, expected) in found.iter().zip(&expected) {
                sample::assert_close(found, expected, 1e-6);
            }
            sample::assert_close(&found_gates, &expected_gates, 1e-5);
        }
    }
}
