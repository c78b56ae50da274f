//! The derivative of SpotTune's choice between two paths (arXiv:1811.08737).

use burn::backend::tensor::FloatTensor;
use burn_autodiff::Autodiff;
use burn_autodiff::checkpoint::base::Checkpointer;
use burn_autodiff::checkpoint::strategy::CheckpointStrategy;
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops, OpsKind};
use consilium_conv3d::InstructionSet;

use super::Derivatives;

/// Parents: tuned path, frozen path, gates.
#[derive(Debug)]
struct Route;

impl<B: Derivatives> Backward<B, 3> for Route {
    /// Both paths and the gates.
    type State = ([FloatTensor<B>; 3], InstructionSet);

    fn backward(self, ops: Ops<Self::State, 3>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let gradient = gradients.consume::<B>(&ops.node);
        let ([tuned, frozen, gates], instructions) = ops.state;
        let (tuned, frozen, gates) = B::route_gradient(tuned, frozen, gates, gradient, instructions);
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
        OpsKind::Tracked(operation) => operation.finish(([tuned, frozen, gates], instructions), output),
        OpsKind::UnTracked(operation) => operation.finish(output),
    }
}
