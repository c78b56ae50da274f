//! What comes before the first residual block.

use burn::module::Module;

use crate::features::{Features, Finish};
use crate::layer::{Folded, Layer, Trained};

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
    pub(crate) fn forward(&self, input: Features) -> Features {
        let features = match self {
            Self::Frozen(layer) => layer.forward(input, Finish::relu()),
            Self::Tuned(layer) => layer.forward(input, Finish::relu()),
        };
        features.max_pool()
    }
}

impl Stem<Trained> {
    /// The same stem, the running statistics of which are not those of this one.
    pub(crate) fn with_own_statistics(&self) -> Self {
        match self {
            Self::Frozen(layer) => Self::Frozen(layer.clone()),
            Self::Tuned(layer) => Self::Tuned(layer.with_own_statistics()),
        }
    }

    /// The stem for prediction.
    pub(crate) fn fold(&self) -> Stem<Folded> {
        match self {
            Self::Frozen(layer) => Stem::Frozen(layer.unrecorded()),
            Self::Tuned(layer) => Stem::Tuned(layer.fold()),
        }
    }
}
