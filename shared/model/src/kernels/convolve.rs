//! The derivative of a convolution, with and without what is done to its output in the same sweep.

use burn::backend::tensor::FloatTensor;
use burn::backend::{AutodiffBackend, Backend, TensorMetadata};
use burn::tensor::Shape;
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
struct Saved<B: Derivatives> {
    input: Input<B>,
    kernel: FloatTensor<B>,
    /// If a ReLU followed.
    mask: Option<B::Mask>,
    how: Convolution,
}

/// What is kept of an input.
#[derive(Debug, Clone)]
enum Input<B: Backend> {
    /// All of it, for the gradient of the kernel.
    Values(FloatTensor<B>),
    /// For a kernel that is not learned: the gradient of the input depends on the kernel alone.
    Shape(Shape),
}

impl<B: Derivatives> Input<B> {
    fn of<C: CheckpointStrategy>(input: FloatTensor<B>, kernel: &FloatTensor<Autodiff<B, C>>) -> Self {
        // An operation with this one parent is recorded if the parent needs a gradient. It is never finished.
        let probe = Backward::<B, 1>::prepare::<C>(Convolve, [kernel.node()]);
        match probe.compute_bound().stateful() {
            OpsKind::Tracked(_) => Self::Values(input),
            OpsKind::UnTracked(_) => Self::Shape(input.shape()),
        }
    }

    fn shape(&self) -> Shape {
        match self {
            Self::Values(input) => input.shape(),
            Self::Shape(shape) => shape.clone(),
        }
    }

    fn into_values(self) -> FloatTensor<B> {
        match self {
            Self::Values(input) => input,
            Self::Shape(_) => unreachable!("a kernel with a gradient had one when it was recorded"),
        }
    }
}

impl<B: Derivatives, const N: usize> Backward<B, N> for Convolve {
    type State = Saved<B>;

    fn backward(self, ops: Ops<Saved<B>, N>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let gradient = gradients.consume::<B>(&ops.node);
        let Saved { input, kernel, mask, how } = ops.state;
        let (channels, instructions) = (kernel.shape()[0], how.arithmetic.instructions);
        let mut sums = None;
        let gradient = match mask {
            Some(mask) => {
                let (masked, summed) = B::relu_gradient(mask, gradient, channels, instructions);
                sums = Some(summed);
                masked
            }
            None => gradient,
        };
        let parent = |index: usize| ops.parents.get(index).and_then(Option::as_ref);
        if let Some(bias) = parent(2) {
            let sums = sums.unwrap_or_else(|| B::channel_sums(gradient.clone(), channels, instructions));
            gradients.register::<B>(bias.id, sums);
        }
        if let Some(residual) = parent(3) {
            gradients.register::<B>(residual.id, gradient.clone());
        }
        let shape = input.shape();
        if let Some(node) = parent(1) {
            let found = B::kernel_gradient(input.into_values(), gradient.clone(), kernel.shape(), how);
            gradients.register::<B>(node.id, found);
        }
        if let Some(node) = parent(0) {
            gradients.register::<B>(node.id, B::input_gradient(gradient, kernel, shape, how));
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
            let found = B::kernel_gradient(input.into_values(), gradient.clone(), kernel_shape, how);
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
    let kept = Input::of::<C>(input.primitive().clone(), &kernel);
    let [(input, to_input), (kernel, to_kernel), (bias, to_bias)] =
        [input, kernel, bias].map(|tensor| tensor.into_parts());
    let saved = Saved { input: kept, kernel: kernel.clone(), mask: None, how };
    match residual {
        Residual::None => {
            let output = B::convolve(input, kernel, bias, Residual::None, how, relu);
            record::<B, C, 3>([to_input, to_kernel, to_bias], saved, output, relu)
        }
        Residual::Add(residual) => {
            let (residual, to_residual) = residual.into_parts();
            let output = B::convolve(input, kernel, bias, Residual::Add(residual), how, relu);
            record::<B, C, 4>([to_input, to_kernel, to_bias, to_residual], saved, output, relu)
        }
    }
}

fn record<B: Derivatives, C: CheckpointStrategy, const N: usize>(
    nodes: [NodeGuard; N],
    mut saved: Saved<B>,
    output: FloatTensor<B>,
    relu: bool,
) -> FloatTensor<Autodiff<B, C>> {
    match Backward::<B, N>::prepare::<C>(Convolve, nodes).compute_bound().stateful() {
        OpsKind::Tracked(operation) => {
            saved.mask = relu.then(|| B::relu_mask(output.clone(), saved.how.arithmetic.instructions));
            operation.finish(saved, output)
        }
        OpsKind::UnTracked(operation) => operation.finish(output),
    }
}

/// Records [`super::Kernels::convolve_with_moments`].
#[allow(clippy::type_complexity, reason = "three tensors; an alias would hide what they are")]
pub(super) fn convolve_with_moments<B: Derivatives, C: CheckpointStrategy>(
    input: FloatTensor<Autodiff<B, C>>,
    kernel: FloatTensor<Autodiff<B, C>>,
    how: Convolution,
) -> (FloatTensor<Autodiff<B, C>>, FloatTensor<Autodiff<B, C>>, FloatTensor<Autodiff<B, C>>) {
    let kept = Input::of::<C>(input.primitive().clone(), &kernel);
    let [(input, to_input), (kernel, to_kernel)] = [input, kernel].map(|tensor| tensor.into_parts());
    let (output, mean, variance) = B::convolve_with_moments(input, kernel.clone(), how);
    let output = match Plain.prepare::<C>([to_input, to_kernel]).compute_bound().stateful() {
        OpsKind::Tracked(operation) => {
            operation.finish(Saved { input: kept, kernel, mask: None, how }, output)
        }
        OpsKind::UnTracked(operation) => operation.finish(output),
    };
    let constant = <Autodiff<B, C> as AutodiffBackend>::from_inner;
    (output, constant(mean), constant(variance))
}

#[cfg(test)]
mod tests {
    use burn::backend::ops::FloatTensorOps;
    use burn::tensor::TensorData;
    use burn_autodiff::checkpoint::strategy::NoCheckpointing;
    use burn_flex::{Flex, FlexTensor};

    use super::*;

    #[test]
    fn an_input_is_kept_only_for_a_kernel_that_is_learned() {
        type Recording = Autodiff<Flex, NoCheckpointing>;
        let tensor = || FlexTensor::from_data(TensorData::from([[1.0f32, 2.0]]));
        let frozen = <Recording as AutodiffBackend>::from_inner(tensor());
        let learned = Recording::float_set_require_grad(frozen.clone(), true);
        assert!(matches!(Input::<Flex>::of::<NoCheckpointing>(tensor(), &learned), Input::Values(_)));
        let kept = Input::<Flex>::of::<NoCheckpointing>(tensor(), &frozen);
        assert!(matches!(&kept, Input::Shape(shape) if *shape == Shape::new([1, 2])), "{kept:?}");
    }
}
