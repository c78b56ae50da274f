//! Training with less memory: only what enters a residual block is kept, and the backward pass computes what is
//! within the block once more (arXiv:1604.06174). The result is the same; the forward pass of the blocks costs twice.

use burn::module::Module;
use burn::tensor::{Gradients, Tensor};

use crate::features::Features;
use crate::layer::{Folded, Trained};
use crate::network::{Network, forward_block};
use crate::optimiser::Optimiser;
use crate::stem::Stem;

/// A batch between its forward and its backward pass.
pub(crate) struct Checkpointed {
    input: Features,
    /// What entered each block.
    entrances: Vec<Features>,
    /// What left the last block, as the start of a derivative.
    exit: Features,
    /// The policy's decisions `[batch, blocks]`, recorded.
    gates: Option<Tensor<2>>,
}

impl Checkpointed {
    /// Computes the blocks without recording them.
    pub(crate) fn forward(network: &Network<Trained>, input: Features, gates: Option<Tensor<2>>) -> Self {
        let values = gates.clone().map(Tensor::inner);
        let mut x = network.trunk.valid().entrance(input.clone().inner());
        let mut entrances = Vec::with_capacity(network.trunk.blocks.len());
        for (position, block) in network.trunk.blocks.iter().enumerate() {
            let frozen = network
                .routing
                .as_ref()
                .map(|routing| routing.frozen[position].with_layers(Folded::unrecorded));
            entrances.push(x.clone());
            x = forward_block(&block.valid(), frozen.as_ref(), x, values.as_ref(), position);
        }
        Self { input, entrances, exit: x.into_leaf(), gates }
    }

    /// What left the last block, `[batch, channels, ..]`.
    pub(crate) fn exit(&self) -> Features {
        self.exit.clone()
    }

    /// Moves the network against its gradients, from its end to its start. `gradients` are those of the loss behind
    /// the exit.
    pub(crate) fn backward(
        self,
        network: &mut Network<Trained>,
        mut gradients: Gradients,
        trunk: &mut Optimiser,
        policy: &mut Optimiser,
    ) {
        let mut slope = self.exit.slope(&gradients);
        trunk.step(&mut network.trunk.head, &mut gradients);
        let gates = self.gates.as_ref().map(|gates| gates.clone().detach().require_grad());
        let mut gates_slope: Option<Tensor<2>> = None;
        for (position, entrance) in self.entrances.into_iter().enumerate().rev() {
            let entrance = entrance.into_leaf();
            let frozen = network.routing.as_ref().map(|routing| &routing.frozen[position]);
            // Running statistics have had their share of this batch already.
            let block = network.trunk.blocks[position].with_layers(Trained::with_own_statistics);
            let output = forward_block(&block, frozen, entrance.clone(), gates.as_ref(), position);
            let mut gradients = output.backward(slope);
            slope = entrance.slope(&gradients);
            let found = gates.as_ref().and_then(|gates| gates.grad(&gradients));
            gates_slope = match (gates_slope, found) {
                (Some(sum), Some(found)) => Some(sum + found),
                (sum, found) => sum.or(found),
            };
            trunk.step(&mut network.trunk.blocks[position], &mut gradients);
        }
        if let Stem::Tuned(_) = network.trunk.stem {
            let output = network.trunk.stem.with_own_statistics().forward(self.input);
            trunk.step(&mut network.trunk.stem, &mut output.backward(slope));
        }
        if let (Some(routing), Some(gates), Some(slope)) = (&mut network.routing, self.gates, gates_slope) {
            let mut gradients = (gates * Tensor::from_inner(slope)).sum().backward();
            routing.policy.step(policy, &mut gradients);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use consilium_domain::network::Depth;
    use consilium_domain::{Arm, NormMode, Seed};

    use crate::sample::{self, Blobs};
    use crate::{Classifier, ComputeDevice, TrainingSummary};

    #[test]
    fn training_gives_the_same_weights_and_statistics() {
        for (arm, norm) in [
            (Arm::Spottune, NormMode::Batch),
            (Arm::Spottune, NormMode::Fixed),
            (Arm::Medicalnet, NormMode::Batch),
            (Arm::Random, NormMode::Batch),
        ] {
            let [plain, checkpointed] = [false, true].map(|checkpointing| {
                let spec = sample::spec(Depth::D18);
                let base = sample::weights(spec.backbone_tensors(), 1);
                let architecture = sample::architecture(Depth::D18, arm, norm);
                let trainable = sample::weights(architecture.trainable_tensors(), 2);
                let device = ComputeDevice::cpu().with_checkpointing(checkpointing);
                let mut classifier = Classifier::new(architecture, Some(&base), &trainable, &device).unwrap();
                let (recipe, seed) = (sample::recipe(norm), Seed::from_number(9));
                let proceed = &mut |_| ControlFlow::Continue(());
                let summary = classifier.train(&Blobs::new(13), &recipe, seed, proceed).unwrap();
                // The time it takes is not the same.
                let summary = TrainingSummary { waiting_share: 0.0, ..summary };
                (summary, classifier.trainable().unwrap())
            });
            assert_eq!(plain.0, checkpointed.0, "{arm} under {norm:?}");
            assert!(plain.1 == checkpointed.1, "{arm} under {norm:?}");
        }
    }
}
