//! What comes before the first residual block.

use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::activation::relu;

use crate::layer::{Folded, Layer, Trained};
use crate::pooling::max_pool;
use crate::volumes::Volumes;

/// The stem: pretrained and fixed, or trained.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant, reason = "a network has one, and modules cannot be boxed")]
pub(crate) enum Stem<L> {
    /// Fixed.
    Frozen(Folded),
    /// Trained, or folded after training.
    Tuned(L),
}

impl<L: Layer> Stem<L> {
    /// Computes volumes to `[batch, width, ..]` at a quarter of the resolution.
    pub(crate) fn forward(&self, input: &Volumes) -> Tensor<5> {
        let convolve = |kernel, bias| input.convolve(kernel, bias);
        let features = match self {
            Self::Frozen(layer) => layer.apply(convolve),
            Self::Tuned(layer) => layer.apply(convolve),
        };
        max_pool(relu(features))
    }
}

impl Stem<Trained> {
    /// The stem for prediction.
    pub(crate) fn fold(&self) -> Stem<Folded> {
        match self {
            Self::Frozen(layer) => Stem::Frozen(layer.unrecorded()),
            Self::Tuned(layer) => Stem::Tuned(layer.fold()),
        }
    }
}
