//! The derivatives of what makes maps smaller: pooling, averaging, subsampling.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, TensorMetadata};
use burn::tensor::Shape;
use burn_autodiff::Autodiff;
use burn_autodiff::checkpoint::base::Checkpointer;
use burn_autodiff::checkpoint::strategy::CheckpointStrategy;
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops, OpsKind, unary};
use consilium_conv3d::InstructionSet;

use super::Derivatives;

#[derive(Debug)]
struct MaxPool;
#[derive(Debug)]
struct Average;
#[derive(Debug)]
struct Subsample;

impl<B: Derivatives> Backward<B, 1> for MaxPool {
    /// The input: which voxel won is found again, which costs less than keeping it.
    type State = (FloatTensor<B>, InstructionSet);

    fn backward(self, ops: Ops<Self::State, 1>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let (input, instructions) = ops.state;
        unary::<B, _>(ops.parents, ops.node, gradients, |gradient| {
            B::max_pool_gradient(input, gradient, instructions)
        });
    }
}

impl<B: Derivatives> Backward<B, 1> for Average {
    type State = Shape;

    fn backward(self, ops: Ops<Shape, 1>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let shape = ops.state;
        unary::<B, _>(ops.parents, ops.node, gradients, |gradient| B::average_gradient(gradient, shape));
    }
}

impl<B: Derivatives> Backward<B, 1> for Subsample {
    type State = (usize, Shape);

    fn backward(self, ops: Ops<Self::State, 1>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let (stride, shape) = ops.state;
        unary::<B, _>(ops.parents, ops.node, gradients, |gradient| {
            B::subsample_gradient(gradient, stride, shape)
        });
    }
}

/// Records an operation with one parent and a state.
fn record<B: Backend, C: CheckpointStrategy, O: Backward<B, 1>>(
    operation: O,
    input: FloatTensor<Autodiff<B, C>>,
    state: impl FnOnce(&FloatTensor<B>) -> O::State,
    forward: impl FnOnce(FloatTensor<B>) -> FloatTensor<B>,
) -> FloatTensor<Autodiff<B, C>> {
    let (input, node) = input.into_parts();
    match operation.prepare::<C>([node]).compute_bound().stateful() {
        OpsKind::Tracked(operation) => operation.finish(state(&input), forward(input)),
        OpsKind::UnTracked(operation) => operation.finish(forward(input)),
    }
}

/// Records [`super::Kernels::max_pool`].
pub(super) fn max_pool<B: Derivatives, C: CheckpointStrategy>(
    input: FloatTensor<Autodiff<B, C>>,
    instructions: InstructionSet,
) -> FloatTensor<Autodiff<B, C>> {
    let state = |input: &FloatTensor<B>| (input.clone(), instructions);
    record::<B, C, _>(MaxPool, input, state, |input| B::max_pool(input, instructions))
}

/// Records [`super::Kernels::average`].
pub(super) fn average<B: Derivatives, C: CheckpointStrategy>(
    input: FloatTensor<Autodiff<B, C>>,
    channels: usize,
    instructions: InstructionSet,
) -> FloatTensor<Autodiff<B, C>> {
    record::<B, C, _>(Average, input, TensorMetadata::shape, |input| {
        B::average(input, channels, instructions)
    })
}

/// Records [`super::Kernels::subsample`].
pub(super) fn subsample<B: Derivatives, C: CheckpointStrategy>(
    input: FloatTensor<Autodiff<B, C>>,
    stride: usize,
    blocks: usize,
) -> FloatTensor<Autodiff<B, C>> {
    let state = |input: &FloatTensor<B>| (stride, input.shape());
    record::<B, C, _>(Subsample, input, state, |input| B::subsample(input, stride, blocks))
}
