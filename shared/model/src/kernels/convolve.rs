//! The derivative of a convolution, with and without what is done to its output in the same sweep.

use burn::backend::tensor::FloatTensor;
use burn::backend::{AutodiffBackend, Backend, TensorMetadata};
use burn_autodiff::Autodiff;
use burn_autodiff::checkpoint::base::Checkpointer;
use burn_autodiff::checkpoint::strategy::CheckpointStrategy;
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, NodeGuard, Ops, OpsKind};

use super::{Convolution, Derivatives, Residual};

/// Parents: input, kernel, bias and, if there is one, the residual.
#[derive(Debug)]
struct Convolve;

/// Parents: input and kernel.
#[derive(Debug)]
struct Plain;

/// What the backward pass of a convolution needs.
#[derive(Debug, Clone)]
struct Saved<B: Backend> {
    input: FloatTensor<B>,
    kernel: FloatTensor<B>,
    /// The output, if a ReLU made it.
    output: Residual<B>,
    how: Convolution,
}

impl<B: Derivatives, const N: usize> Backward<B, N> for Convolve {
    type State = Saved<B>;

    fn backward(self, ops: Ops<Saved<B>, N>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let gradient = gradients.consume::<B>(&ops.node);
        let Saved { input, kernel, output, how } = ops.state;
        let (channels, instructions) = (kernel.shape()[0], how.arithmetic.instructions);
        let mut sums = None;
        let gradient = match output {
            Residual::Add(output) => {
                let (masked, summed) = B::relu_gradient(output, gradient, channels, instructions);
                sums = Some(summed);
                masked
            }
            Residual::None => gradient,
        };
        let parent = |index: usize| ops.parents.get(index).and_then(Option::as_ref);
        if let Some(bias) = parent(2) {
            let sums = sums.unwrap_or_else(|| B::channel_sums(gradient.clone(), channels, instructions));
            gradients.register::<B>(bias.id, sums);
        }
        if let Some(residual) = parent(3) {
            gradients.register::<B>(residual.id, gradient.clone());
        }
        if let Some(node) = parent(1) {
            let found = B::kernel_gradient(input.clone(), gradient.clone(), kernel.shape(), how);
            gradients.register::<B>(node.id, found);
        }
        if let Some(node) = parent(0) {
            gradients.register::<B>(node.id, B::input_gradient(gradient, kernel, input.shape(), how));
        }
    }
}

impl<B: Derivatives> Backward<B, 2> for Plain {
    type State = Saved<B>;

    fn backward(self, ops: Ops<Saved<B>, 2>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let gradient = gradients.consume::<B>(&ops.node);
        let Saved { input, kernel, how, .. } = ops.state;
        let [to_input, to_kernel] = ops.parents;
        let (shape, kernel_shape) = (input.shape(), kernel.shape());
        if let Some(node) = to_kernel {
            let found = B::kernel_gradient(input, gradient.clone(), kernel_shape, how);
            gradients.register::<B>(node.id, found);
        }
        if let Some(node) = to_input {
            gradients.register::<B>(node.id, B::input_gradient(gradient, kernel, shape, how));
        }
    }
}

/// Records [`super::Kernels::convolve`].
pub(super) fn convolve<B: Derivatives, C: CheckpointStrategy>(
    input: FloatTensor<Autodiff<B, C>>,
    kernel: FloatTensor<Autodiff<B, C>>,
    bias: FloatTensor<Autodiff<B, C>>,
    residual: Residual<Autodiff<B, C>>,
    how: Convolution,
    relu: bool,
) -> FloatTensor<Autodiff<B, C>> {
    let [(input, to_input), (kernel, to_kernel), (bias, to_bias)] =
        [input, kernel, bias].map(|tensor| tensor.into_parts());
    let saved = Saved { input, kernel, output: Residual::None, how };
    match residual {
        Residual::None => {
            let nodes = [to_input, to_kernel, to_bias];
            record::<B, C, 3>(nodes, saved, relu, |saved| forward(saved, bias, Residual::None, relu))
        }
        Residual::Add(residual) => {
            let (residual, to_residual) = residual.into_parts();
            let nodes = [to_input, to_kernel, to_bias, to_residual];
            record::<B, C, 4>(nodes, saved, relu, |saved| forward(saved, bias, Residual::Add(residual), relu))
        }
    }
}

fn forward<B: Derivatives>(
    saved: &Saved<B>,
    bias: FloatTensor<B>,
    residual: Residual<B>,
    relu: bool,
) -> FloatTensor<B> {
    B::convolve(saved.input.clone(), saved.kernel.clone(), bias, residual, saved.how, relu)
}

fn record<B: Derivatives, C: CheckpointStrategy, const N: usize>(
    nodes: [NodeGuard; N],
    mut saved: Saved<B>,
    relu: bool,
    forward: impl FnOnce(&Saved<B>) -> FloatTensor<B>,
) -> FloatTensor<Autodiff<B, C>> {
    match Backward::<B, N>::prepare::<C>(Convolve, nodes).compute_bound().stateful() {
        OpsKind::Tracked(operation) => {
            let output = forward(&saved);
            if relu {
                saved.output = Residual::Add(output.clone());
            }
            operation.finish(saved, output)
        }
        OpsKind::UnTracked(operation) => operation.finish(forward(&saved)),
    }
}

/// Records [`super::Kernels::convolve_with_moments`].
pub(super) fn convolve_with_moments<B: Derivatives, C: CheckpointStrategy>(
    input: FloatTensor<Autodiff<B, C>>,
    kernel: FloatTensor<Autodiff<B, C>>,
    how: Convolution,
) -> (FloatTensor<Autodiff<B, C>>, FloatTensor<Autodiff<B, C>>, FloatTensor<Autodiff<B, C>>) {
    let [(input, to_input), (kernel, to_kernel)] = [input, kernel].map(|tensor| tensor.into_parts());
    let (output, mean, variance) = B::convolve_with_moments(input.clone(), kernel.clone(), how);
    let output = match Plain.prepare::<C>([to_input, to_kernel]).compute_bound().stateful() {
        OpsKind::Tracked(operation) => {
            operation.finish(Saved { input, kernel, output: Residual::None, how }, output)
        }
        OpsKind::UnTracked(operation) => operation.finish(output),
    };
    let constant = <Autodiff<B, C> as AutodiffBackend>::from_inner;
    (output, constant(mean), constant(variance))
}
