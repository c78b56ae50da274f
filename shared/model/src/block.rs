//! A residual block (arXiv:1512.03385), basic or bottleneck, with shortcuts of type A or B.

use burn::module::Module;
use consilium_domain::network::{BlockSpec, Shortcut};

use crate::convolution::Geometry;
use crate::features::{Features, Finish};
use crate::layer::{Folded, Layer, Trained};

/// `relu(layers(x) + shortcut(x))`, with a ReLU between the layers.
#[derive(Module, Debug)]
pub(crate) struct Block<L> {
    layers: Vec<L>,
    projection: Option<L>,
    #[module(skip)]
    spec: BlockSpec,
}

impl<L: Layer> Block<L> {
    /// Builds the block from its layers in manifest order.
    pub(crate) fn new(spec: &BlockSpec, mut layer: impl FnMut(Geometry) -> L) -> Self {
        let (stride, dilation) = (spec.stride, spec.dilation);
        let spatial = |stride| Geometry { side: 3, stride, dilation };
        let geometries = if spec.bottleneck {
            vec![Geometry::pointwise(1), spatial(stride), Geometry::pointwise(1)]
        } else {
            vec![spatial(stride), spatial(1)]
        };
        let layers = geometries.into_iter().map(&mut layer).collect();
        let projection = (spec.shortcut == Shortcut::Projection).then(|| layer(Geometry::pointwise(stride)));
        Self { layers, projection, spec: *spec }
    }

    /// Computes `[batch, in_channels, ..]` to `[batch, out_channels, ..]`.
    pub(crate) fn forward(&self, input: Features) -> Features {
        let residual = Some(self.shortcut(input.clone()));
        let (last, before) = self.layers.split_last().expect("a block has layers");
        let inner = before.iter().fold(input, |x, layer| layer.forward(x, Finish::relu()));
        last.forward(inner, Finish { residual, relu: true })
    }

    /// The same block with other layers.
    pub(crate) fn with_layers<M: Layer>(&self, layer: impl FnMut(&L) -> M) -> Block<M> {
        let mut layers: Vec<M> = self.layers().map(layer).collect();
        let projection = self.projection.as_ref().and_then(|_| layers.pop());
        Block { layers, projection, spec: self.spec }
    }

    /// Layers in manifest order.
    pub(crate) fn layers(&self) -> impl Iterator<Item = &L> {
        self.layers.iter().chain(&self.projection)
    }

    /// What the block was built from.
    #[cfg(test)]
    pub(crate) const fn spec(&self) -> &BlockSpec {
        &self.spec
    }

    fn shortcut(&self, input: Features) -> Features {
        match (&self.projection, self.spec.shortcut) {
            (Some(projection), _) => projection.forward(input, Finish::default()),
            (None, Shortcut::ZeroPad) => input.subsample(self.spec.stride, self.spec.out_channels),
            (None, _) => input,
        }
    }
}

impl Block<Trained> {
    /// The block for prediction.
    pub(crate) fn fold(&self) -> Block<Folded> {
        self.with_layers(Trained::fold)
    }
}
