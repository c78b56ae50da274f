//! The derivative of a batch normalisation with its shortcut and ReLU (arXiv:1502.03167).

use burn::backend::tensor::FloatTensor;
use burn_autodiff::Autodiff;
use burn_autodiff::checkpoint::base::Checkpointer;
use burn_autodiff::checkpoint::strategy::CheckpointStrategy;
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, NodeGuard, Ops, OpsKind};
use consilium_conv3d::InstructionSet;

use super::{Derivatives, Residual};

/// Parents: input, scale, shift and, if there is one, the residual.
#[derive(Debug)]
struct Normalise;

/// What the backward pass needs.
#[derive(Debug, Clone)]
struct Saved<B: Derivatives> {
    input: FloatTensor<B>,
    mean: FloatTensor<B>,
    variance: FloatTensor<B>,
    scale: FloatTensor<B>,
    /// If a ReLU followed.
    mask: Option<B::Mask>,
    instructions: InstructionSet,
    epsilon: f32,
}

impl<B: Derivatives, const N: usize> Backward<B, N> for Normalise {
    type State = Saved<B>;

    fn backward(self, ops: Ops<Saved<B>, N>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let gradient = gradients.consume::<B>(&ops.node);
        let Saved { input, mean, variance, scale, mask, instructions, epsilon } = ops.state;
        let parent = |index: usize| ops.parents.get(index).and_then(Option::as_ref);
        let residual = parent(3).is_some();
        let found = B::normalise_gradient(
            input,
            mask,
            gradient,
            mean,
            variance,
            scale,
            instructions,
            epsilon,
            residual,
        );
        let shares = [found.input, found.scale, found.shift, found.residual];
        for (index, share) in shares.into_iter().enumerate() {
            if let Some(node) = parent(index) {
                gradients.register::<B>(node.id, share);
            }
        }
    }
}

/// Records [`super::Kernels::normalise`].
#[allow(clippy::too_many_arguments, reason = "a batch normalisation has that many")]
pub(super) fn normalise<B: Derivatives, C: CheckpointStrategy>(
    input: FloatTensor<Autodiff<B, C>>,
    mean: FloatTensor<Autodiff<B, C>>,
    variance: FloatTensor<Autodiff<B, C>>,
    scale: FloatTensor<Autodiff<B, C>>,
    shift: FloatTensor<Autodiff<B, C>>,
    residual: Residual<Autodiff<B, C>>,
    instructions: InstructionSet,
    epsilon: f32,
    relu: bool,
) -> FloatTensor<Autodiff<B, C>> {
    let [(input, to_input), (scale, to_scale), (shift, to_shift)] =
        [input, scale, shift].map(|tensor| tensor.into_parts());
    let [mean, variance] = [mean, variance].map(|moment| moment.into_primitive());
    let saved = Saved { input, mean, variance, scale, mask: None, instructions, epsilon };
    match residual {
        Residual::None => {
            let nodes = [to_input, to_scale, to_shift];
            record::<B, C, 3>(nodes, saved, relu, |saved| forward(saved, shift, Residual::None, relu))
        }
        Residual::Add(residual) => {
            let (residual, to_residual) = residual.into_parts();
            let nodes = [to_input, to_scale, to_shift, to_residual];
            record::<B, C, 4>(nodes, saved, relu, |saved| {
                forward(saved, shift, Residual::Add(residual), relu)
            })
        }
    }
}

fn forward<B: Derivatives>(
    saved: &Saved<B>,
    shift: FloatTensor<B>,
    residual: Residual<B>,
    relu: bool,
) -> FloatTensor<B> {
    let Saved { input, mean, variance, scale, .. } = saved.clone();
    B::normalise(input, mean, variance, scale, shift, residual, saved.instructions, saved.epsilon, relu)
}

fn record<B: Derivatives, C: CheckpointStrategy, const N: usize>(
    nodes: [NodeGuard; N],
    mut saved: Saved<B>,
    relu: bool,
    forward: impl FnOnce(&Saved<B>) -> FloatTensor<B>,
) -> FloatTensor<Autodiff<B, C>> {
    match Backward::<B, N>::prepare::<C>(Normalise, nodes).compute_bound().stateful() {
        OpsKind::Tracked(operation) => {
            let output = forward(&saved);
            saved.mask = relu.then(|| B::relu_mask(output.clone(), saved.instructions));
            operation.finish(saved, output)
        }
        OpsKind::UnTracked(operation) => operation.finish(forward(&saved)),
    }
}
