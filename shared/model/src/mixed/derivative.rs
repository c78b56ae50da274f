//! The derivative of a convolution in mixed precision. What is kept for it is kept in 16 bits.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, TensorMetadata};
use burn_autodiff::Autodiff;
use burn_autodiff::checkpoint::base::Checkpointer;
use burn_autodiff::checkpoint::strategy::CheckpointStrategy;
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops, OpsKind};

use super::MixedPrecision;
use super::products::{forward, input_gradient, kernel_gradient};
use super::scaled::Scaled;
use crate::convolution::Geometry;

/// Parents: input and kernel.
#[derive(Debug)]
struct Convolve;

/// What the backward pass needs.
#[derive(Debug, Clone)]
struct Saved<B: Backend> {
    /// `None` where the kernel is not learned.
    input: Option<Scaled<B>>,
    extents: [usize; 3],
    kernel: Scaled<B>,
    geometry: Geometry,
}

impl<B: Backend> Backward<B, 2> for Convolve {
    type State = Saved<B>;

    fn backward(self, ops: Ops<Saved<B>, 2>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let gradient = Scaled::<B>::of(gradients.consume::<B>(&ops.node));
        let Saved { input, extents, kernel, geometry } = ops.state;
        let [to_input, to_kernel] = ops.parents;
        if let Some(node) = to_kernel {
            let input = input.expect("an input is kept for a kernel that is learned");
            let shape = kernel.values.shape();
            let found = kernel_gradient::<B>(input, gradient.clone(), &shape, geometry);
            gradients.register::<B>(node.id, found);
        }
        if let Some(node) = to_input {
            let found = input_gradient::<B>(gradient, kernel, extents, geometry);
            gradients.register::<B>(node.id, found);
        }
    }
}

impl<B: MixedPrecision, C: CheckpointStrategy> MixedPrecision for Autodiff<B, C> {
    fn convolve_mixed(
        input: FloatTensor<Self>,
        kernel: FloatTensor<Self>,
        geometry: Geometry,
    ) -> FloatTensor<Self> {
        let learned = kernel.is_tracked();
        let [(input, to_input), (kernel, to_kernel)] = [input, kernel].map(|tensor| tensor.into_parts());
        let shape = input.shape();
        let extents = [shape[2], shape[3], shape[4]];
        let (input, kernel) = (Scaled::<B>::of(input), Scaled::<B>::of(kernel));
        let output = forward::<B>(input.clone(), kernel.clone(), geometry);
        match Convolve.prepare::<C>([to_input, to_kernel]).compute_bound().stateful() {
            OpsKind::Tracked(operation) => {
                let input = learned.then_some(input);
                operation.finish(Saved { input, extents, kernel, geometry }, output)
            }
            OpsKind::UnTracked(operation) => operation.finish(output),
        }
    }
}
