//! Stem and residual blocks: MedicalNet without a head (arXiv:1904.00625).

use burn::module::Module;
use burn::tensor::Tensor;
use consilium_domain::network::NetworkSpec;

use crate::block::Block;
use crate::convolution::Geometry;
use crate::features::Features;
use crate::layer::{Folded, Layer, Trained};
use crate::parameters::Writer;
use crate::stem::Stem;
use crate::volumes::STEM;

/// A network from a single-channel volume to features.
#[derive(Module, Debug)]
pub(crate) struct Backbone<L> {
    pub(crate) stem: Stem<L>,
    pub(crate) blocks: Vec<Block<L>>,
}

impl<L: Layer> Backbone<L> {
    /// Builds the network from its layers in manifest order.
    pub(crate) fn new(spec: NetworkSpec, mut layer: impl FnMut(Geometry) -> L) -> Self {
        let stem = Stem::Tuned(layer(STEM));
        let blocks = spec.blocks().iter().map(|block| Block::new(block, &mut layer)).collect();
        Self { stem, blocks }
    }

    /// Computes volumes to pooled features `[batch, spec.features()]`.
    pub(crate) fn features(&self, input: Features) -> Tensor<2> {
        self.blocks.iter().fold(self.stem.forward(input), |x, block| block.forward(x)).average()
    }
}

impl Backbone<Trained> {
    pub(crate) fn write(&self, writer: &mut Writer<'_>) {
        if let Stem::Tuned(layer) = &self.stem {
            layer.write(writer);
        }
        self.blocks.iter().flat_map(Block::layers).for_each(|layer| layer.write(writer));
    }

    /// The network for prediction.
    pub(crate) fn fold(&self) -> Backbone<Folded> {
        Backbone { stem: self.stem.fold(), blocks: self.blocks.iter().map(Block::fold).collect() }
    }
}
