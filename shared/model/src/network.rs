//! The three arms as one network: a trunk that every arm trains, and SpotTune's routing around it.

use burn::module::Module;
use burn::tensor::{Gradients, Tensor};
use consilium_domain::Arm;
use consilium_domain::network::{BlockSpec, NetworkSpec};
use consilium_weights::Weights;

use crate::ModelError;
use crate::architecture::Architecture;
use crate::block::Block;
use crate::convolution::Geometry;
use crate::device::ComputeDevice;
use crate::features::Features;
use crate::layer::{Folded, Layer, Trained};
use crate::linear::Linear;
use crate::optimiser::Optimiser;
use crate::parameters::{Reader, Writer, check_manifest};
use crate::policy::Policy;
use crate::stem::Stem;
use crate::volumes::STEM;

/// Stem, fine-tuned blocks and classifier: what trains at the network's step size.
#[derive(Module, Debug)]
pub(crate) struct Trunk<L> {
    pub(crate) stem: Stem<L>,
    /// Pretrained blocks that stay as they are, before the first that trains.
    pub(crate) fixed: Vec<Block<Folded>>,
    pub(crate) blocks: Vec<Block<L>>,
    pub(crate) head: Linear,
}

/// SpotTune's alternative to every block of the trunk, and who chooses.
pub(crate) struct Routing<L> {
    pub(crate) frozen: Vec<Block<Folded>>,
    pub(crate) policy: Policy<L>,
}

/// A classifier of volumes. Only the arm `spottune` has routing.
pub(crate) struct Network<L> {
    pub(crate) trunk: Trunk<L>,
    pub(crate) routing: Option<Routing<L>>,
}

impl<L: Layer> Trunk<L> {
    /// What enters the first block that trains.
    pub(crate) fn entrance(&self, input: Features) -> Features {
        self.fixed.iter().fold(self.stem.forward(input), |x, block| block.forward(x))
    }

    /// Logits `[batch]` from the last block's output.
    pub(crate) fn classify(&self, features: Features) -> Tensor<1> {
        self.head.forward(features.average()).squeeze_dim(1)
    }
}

/// Computes the block at `position` by both paths, or by the tuned one where there is no other.
pub(crate) fn forward_block<L: Layer>(
    tuned: &Block<L>,
    frozen: Option<&Block<Folded>>,
    input: Features,
    gates: Option<&Tensor<2>>,
    position: usize,
) -> Features {
    match (frozen, gates) {
        (Some(frozen), Some(gates)) => {
            let gates = gates.clone().narrow(1, position, 1).squeeze_dim(1);
            Features::route(tuned.forward(input.clone()), frozen.forward(input), gates)
        }
        _ => tuned.forward(input),
    }
}

impl<L: Layer> Network<L> {
    /// Logits `[batch]`, computing both paths of every block for every row, as training needs it. `gates`
    /// `[batch, blocks]` are 1 for the fine-tuned path.
    pub(crate) fn forward_dense(&self, input: Features, gates: Option<&Tensor<2>>) -> Tensor<1> {
        let mut x = self.trunk.entrance(input);
        for (position, tuned) in self.trunk.blocks.iter().enumerate() {
            let frozen = self.routing.as_ref().map(|routing| &routing.frozen[position]);
            x = forward_block(tuned, frozen, x, gates, position);
        }
        self.trunk.classify(x)
    }
}

impl Trunk<Trained> {
    /// Moves the trunk against its gradients.
    pub(crate) fn step(&mut self, optimiser: &mut Optimiser, gradients: &mut Gradients) {
        optimiser.step(&mut self.stem, gradients);
        optimiser.step_each(&mut self.blocks, gradients);
        optimiser.step(&mut self.head, gradients);
    }
}

/// The beginning of the backbone as it was pretrained.
struct Pretrained {
    stem: Folded,
    blocks: Vec<Block<Folded>>,
}

impl Pretrained {
    /// The stem and the first blocks, those of `kept`.
    fn read(
        spec: NetworkSpec,
        kept: &[BlockSpec],
        base: &Weights,
        device: &ComputeDevice,
    ) -> Result<Self, ModelError> {
        check_manifest("base", base, &spec.backbone_tensors())?;
        let mut reader = Reader::new(base, device.recording());
        let mut layer = |geometry: Geometry| Folded::read(&mut reader, geometry);
        let stem = layer(STEM);
        let blocks = kept.iter().map(|block| Block::new(block, &mut layer)).collect();
        Ok(Self { stem, blocks })
    }
}

impl Network<Trained> {
    /// Builds the network of an arm for training on `device`. `base` is not read for the arm `random`.
    pub(crate) fn read(
        architecture: Architecture,
        base: Option<&Weights>,
        trainable: &Weights,
        device: &ComputeDevice,
    ) -> Result<Self, ModelError> {
        let Architecture { spec, arm, tuning, norm } = architecture;
        check_manifest("trainable", trainable, &architecture.trainable_tensors())?;
        let specs = spec.blocks();
        let trains = |block: &&BlockSpec| tuning.trains_stage(arm, block.stage);
        let stays = specs.iter().take_while(|block| !trains(block)).count();
        let kept = if arm == Arm::Spottune { &specs[..] } else { &specs[..stays] };
        let pretrained = match (arm.is_pretrained(), base) {
            (false, _) => None,
            (true, Some(base)) => Some(Pretrained::read(spec, kept, base, device)?),
            (true, None) => return Err(ModelError::BaseMissing(arm)),
        };
        let mut reader = Reader::new(trainable, device.recording());
        let mut layer = |geometry| Trained::read(&mut reader, geometry, norm);
        let (stem, frozen) = match pretrained {
            Some(Pretrained { stem, blocks }) if !tuning.trains_stem(arm) => (Stem::Frozen(stem), blocks),
            other => (Stem::Tuned(layer(STEM)), other.map_or_else(Vec::new, |pretrained| pretrained.blocks)),
        };
        let tuned = specs.iter().filter(trains).map(|block| Block::new(block, &mut layer)).collect();
        let (fixed, routing) = if arm == Arm::Spottune {
            (Vec::new(), Some(Routing { frozen, policy: Policy::read(&mut reader, spec, norm) }))
        } else {
            (frozen, None)
        };
        let head = Linear::read(&mut reader);
        Ok(Self { trunk: Trunk { stem, fixed, blocks: tuned, head }, routing })
    }

    /// Writes the trainable tensors in manifest order.
    pub(crate) fn write(&self, writer: &mut Writer<'_>) {
        if let Stem::Tuned(layer) = &self.trunk.stem {
            layer.write(writer);
        }
        self.trunk.blocks.iter().flat_map(Block::layers).for_each(|layer| layer.write(writer));
        if let Some(routing) = &self.routing {
            routing.policy.write(writer);
        }
        self.trunk.head.write(writer);
    }

    /// The network for prediction: stored statistics, nothing recorded.
    pub(crate) fn fold(&self) -> Network<Folded> {
        let trunk = Trunk {
            stem: self.trunk.stem.fold(),
            fixed: self.trunk.fixed.iter().map(|block| block.with_layers(Folded::unrecorded)).collect(),
            blocks: self.trunk.blocks.iter().map(Block::fold).collect(),
            head: self.trunk.head.valid(),
        };
        let routing = self.routing.as_ref().map(|routing| Routing {
            frozen: routing.frozen.iter().map(|block| block.with_layers(Folded::unrecorded)).collect(),
            policy: routing.policy.fold(),
        });
        Network { trunk, routing }
    }
}
