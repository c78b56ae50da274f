//! The policy network: which blocks should a patient's scan take?

use burn::module::Module;
use burn::tensor::{Gradients, Tensor};
use consilium_domain::NormMode;
use consilium_domain::network::NetworkSpec;

use crate::backbone::Backbone;
use crate::features::Features;
use crate::layer::{Folded, Layer, Trained};
use crate::linear::Linear;
use crate::optimiser::Optimiser;
use crate::parameters::{Reader, Writer};

/// A small backbone and two logits for each block of the main network.
#[derive(Module, Debug)]
pub(crate) struct Policy<L> {
    backbone: Backbone<L>,
    logits: Linear,
}

impl<L: Layer> Policy<L> {
    /// How much the fine-tuned copy of each block is preferred: logit 1 minus logit 0, `[batch, blocks]`.
    pub(crate) fn preferences(&self, input: Features) -> Tensor<2> {
        let logits = self.logits.forward(self.backbone.features(input));
        let [batch, outputs] = logits.dims();
        let logits = logits.reshape([batch, outputs / 2, 2]);
        let [frozen, tuned] = [0, 1].map(|choice| logits.clone().narrow(2, choice, 1).squeeze_dim::<2>(2));
        tuned - frozen
    }
}

impl Policy<Trained> {
    /// Reads the policy of a network of `spec`.
    pub(crate) fn read(reader: &mut Reader<'_>, spec: NetworkSpec, norm: NormMode) -> Self {
        let backbone =
            Backbone::new(spec.policy_backbone(), |geometry| Trained::read(reader, geometry, norm));
        Self { backbone, logits: Linear::read(reader) }
    }

    pub(crate) fn write(&self, writer: &mut Writer<'_>) {
        self.backbone.write(writer);
        self.logits.write(writer);
    }

    /// Moves the policy against its gradients.
    pub(crate) fn step(&mut self, optimiser: &mut Optimiser, gradients: &mut Gradients) {
        optimiser.step(&mut self.backbone.stem, gradients);
        optimiser.step_each(&mut self.backbone.blocks, gradients);
        optimiser.step(&mut self.logits, gradients);
    }

    /// The policy for prediction.
    pub(crate) fn fold(&self) -> Policy<Folded> {
        Policy { backbone: self.backbone.fold(), logits: self.logits.valid() }
    }
}
