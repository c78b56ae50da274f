//! The processor's own operations on burn tensors: computed by `consilium-conv3d`, with their derivatives by hand.
//!
//! An extension of burn's CPU backend. Activations are blocked, `[batch, blocks, depth, height, width, 16]`; see
//! [`consilium_conv3d::Block`]. Nothing here knows a network; [`crate::features`] decides when these are used.

mod convolve;
mod flex;
mod normalise;
mod pool;
mod route;

use std::fmt::Debug;

use burn::backend::{Backend, ExtensionType, backend_extension, tensor::FloatTensor};
use burn::tensor::Shape;
use burn_autodiff::Autodiff;
use burn_autodiff::checkpoint::strategy::CheckpointStrategy;
use consilium_conv3d::{Arithmetic, Geometry, InstructionSet};

/// What is added to an output before its ReLU: a residual network's shortcut.
#[derive(Debug, Clone, ExtensionType)]
pub(crate) enum Residual<B: Backend> {
    /// Nothing.
    None,
    /// A tensor of the output's shape.
    Add(FloatTensor<B>),
}

/// How to convolve.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Convolution {
    pub(crate) arithmetic: Arithmetic,
    pub(crate) geometry: Geometry,
    /// The input is planar, `[batch, channels, depth, height, width]`, and needs no gradient.
    pub(crate) planar: bool,
}

/// Operations with a derivative.
#[backend_extension(Flex, Autodiff)]
pub(crate) trait Kernels: Backend {
    /// `relu(convolution of input with kernel + bias + residual)`; the ReLU only if asked for.
    fn convolve(
        input: FloatTensor<Self>,
        kernel: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        #[extension_type] residual: Residual<Self>,
        how: Convolution,
        relu: bool,
    ) -> FloatTensor<Self>;

    /// The convolution, and the mean and biased variance of each of its channels, `[channels]`, which are constants
    /// to the derivative: [`Kernels::normalise`] accounts for them.
    fn convolve_with_moments(
        input: FloatTensor<Self>,
        kernel: FloatTensor<Self>,
        how: Convolution,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// `relu((input - mean) / sqrt(variance + epsilon) * scale + shift + residual)` with the input's own moments.
    #[allow(clippy::too_many_arguments, reason = "a batch normalisation has that many")]
    fn normalise(
        input: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        #[extension_type] residual: Residual<Self>,
        instructions: InstructionSet,
        epsilon: f32,
        relu: bool,
    ) -> FloatTensor<Self>;

    /// Maximum over 3x3x3 voxels with stride 2 and padding 1.
    fn max_pool(input: FloatTensor<Self>, instructions: InstructionSet) -> FloatTensor<Self>;

    /// Mean over all voxels, `[batch, channels]`.
    fn average(input: FloatTensor<Self>, channels: usize, instructions: InstructionSet) -> FloatTensor<Self>;

    /// Every `stride`-th voxel along each axis, with blocks of zeros appended up to `blocks`.
    fn subsample(input: FloatTensor<Self>, stride: usize, blocks: usize) -> FloatTensor<Self>;

    /// `gates * tuned + (1 - gates) * frozen`, with one gate for each volume.
    fn route(
        tuned: FloatTensor<Self>,
        frozen: FloatTensor<Self>,
        gates: FloatTensor<Self>,
        instructions: InstructionSet,
    ) -> FloatTensor<Self>;
}

/// The shares of a normalisation's inputs in a gradient.
#[derive(Debug)]
pub(crate) struct NormGradient<B: Backend> {
    input: FloatTensor<B>,
    scale: FloatTensor<B>,
    shift: FloatTensor<B>,
    /// The gradient behind the ReLU.
    residual: FloatTensor<B>,
}

/// What a route keeps of its paths. The output is the next layer's input and alive anyway, so where each volume took
/// one path it is enough to keep the other.
#[derive(Debug, Clone)]
pub(crate) enum Paths<B: Backend> {
    /// For gates between 0 and 1.
    Both { tuned: FloatTensor<B>, frozen: FloatTensor<B> },
    /// For gates of 0 and 1: of each volume what was taken and what was not.
    Chosen { output: FloatTensor<B>, other: FloatTensor<B> },
}

/// What the backward passes compute. Rows of a gradient that are zero throughout are skipped where that is exact.
pub(crate) trait Derivatives: Kernels {
    /// Where a ReLU's output is positive: a bit for each value, while the output itself takes 32.
    type Mask: Clone + Debug + Send + 'static;

    /// The mask of a ReLU's output.
    fn relu_mask(output: FloatTensor<Self>, instructions: InstructionSet) -> Self::Mask;

    /// The gradient where a ReLU's output is positive, and its sum over all voxels of each channel.
    fn relu_gradient(
        mask: Self::Mask,
        gradient: FloatTensor<Self>,
        channels: usize,
        instructions: InstructionSet,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// The sum over all voxels of each channel.
    fn channel_sums(
        gradient: FloatTensor<Self>,
        channels: usize,
        instructions: InstructionSet,
    ) -> FloatTensor<Self>;

    /// The share of a convolution's input.
    fn input_gradient(
        gradient: FloatTensor<Self>,
        kernel: FloatTensor<Self>,
        input: Shape,
        how: Convolution,
    ) -> FloatTensor<Self>;

    /// The share of a convolution's kernel.
    fn kernel_gradient(
        input: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        kernel: Shape,
        how: Convolution,
    ) -> FloatTensor<Self>;

    /// The shares of a normalisation; `mask` is given if a ReLU followed, `residual` says whether it has one.
    #[allow(clippy::too_many_arguments, reason = "a batch normalisation has that many")]
    fn normalise_gradient(
        input: FloatTensor<Self>,
        mask: Option<Self::Mask>,
        gradient: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        instructions: InstructionSet,
        epsilon: f32,
        residual: bool,
    ) -> NormGradient<Self>;

    /// The share of a pooling's input.
    fn max_pool_gradient(
        input: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        instructions: InstructionSet,
    ) -> FloatTensor<Self>;

    /// The share of an average's input.
    fn average_gradient(gradient: FloatTensor<Self>, input: Shape) -> FloatTensor<Self>;

    /// The share of a subsampling's input.
    fn subsample_gradient(gradient: FloatTensor<Self>, stride: usize, input: Shape) -> FloatTensor<Self>;

    /// What [`Derivatives::route_gradient`] needs to know about the paths that `output` was routed from.
    fn routed_paths(
        tuned: FloatTensor<Self>,
        frozen: FloatTensor<Self>,
        gates: FloatTensor<Self>,
        output: FloatTensor<Self>,
        instructions: InstructionSet,
    ) -> Paths<Self>;

    /// The shares of the tuned path, the frozen path and the gates.
    fn route_gradient(
        paths: Paths<Self>,
        gates: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        instructions: InstructionSet,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

impl<B: Backend> Residual<B> {
    fn into_option(self) -> Option<FloatTensor<B>> {
        match self {
            Self::None => None,
            Self::Add(tensor) => Some(tensor),
        }
    }
}

impl<B: Derivatives, C: CheckpointStrategy> Kernels for Autodiff<B, C> {
    fn convolve(
        input: FloatTensor<Self>,
        kernel: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        residual: Residual<Self>,
        how: Convolution,
        relu: bool,
    ) -> FloatTensor<Self> {
        convolve::convolve::<B, C>(input, kernel, bias, residual, how, relu)
    }

    fn convolve_with_moments(
        input: FloatTensor<Self>,
        kernel: FloatTensor<Self>,
        how: Convolution,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        convolve::convolve_with_moments::<B, C>(input, kernel, how)
    }

    fn normalise(
        input: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        residual: Residual<Self>,
        instructions: InstructionSet,
        epsilon: f32,
        relu: bool,
    ) -> FloatTensor<Self> {
        normalise::normalise::<B, C>(
            input,
            mean,
            variance,
            scale,
            shift,
            residual,
            instructions,
            epsilon,
            relu,
        )
    }

    fn max_pool(input: FloatTensor<Self>, instructions: InstructionSet) -> FloatTensor<Self> {
        pool::max_pool::<B, C>(input, instructions)
    }

    fn average(input: FloatTensor<Self>, channels: usize, instructions: InstructionSet) -> FloatTensor<Self> {
        pool::average::<B, C>(input, channels, instructions)
    }

    fn subsample(input: FloatTensor<Self>, stride: usize, blocks: usize) -> FloatTensor<Self> {
        pool::subsample::<B, C>(input, stride, blocks)
    }

    fn route(
        tuned: FloatTensor<Self>,
        frozen: FloatTensor<Self>,
        gates: FloatTensor<Self>,
        instructions: InstructionSet,
    ) -> FloatTensor<Self> {
        route::route::<B, C>(tuned, frozen, gates, instructions)
    }
}
