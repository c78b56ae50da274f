//! The three arms as one network: a trunk that every arm trains, and SpotTune's routing around it.

use burn::module::Module;
use burn::tensor::Tensor;
use consilium_domain::network::NetworkSpec;
use consilium_domain::{Arm, NormMode};
use consilium_weights::Weights;

use crate::ModelError;
use crate::block::Block;
use crate::convolution::Geometry;
use crate::device::ComputeDevice;
use crate::layer::{Folded, Layer, Trained};
use crate::linear::Linear;
use crate::parameters::{Reader, Writer, check_manifest};
use crate::policy::Policy;
use crate::pooling::global_average;
use crate::stem::Stem;
use crate::volumes::{STEM, Volumes};

/// Stem, fine-tuned blocks and classifier: what trains at the network's step size.
#[derive(Module, Debug)]
pub(crate) struct Trunk<L> {
    pub(crate) stem: Stem<L>,
    pub(crate) blocks: Vec<Block<L>>,
    head: Linear,
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
    /// Logits `[batch]` from the last block's output.
    pub(crate) fn classify(&self, features: Tensor<5>) -> Tensor<1> {
        self.head.forward(global_average(features)).squeeze_dim(1)
    }
}

impl<L: Layer> Network<L> {
    /// Computes both paths of every block for every row, as training needs it.
    ///
    /// `decide` turns the policy's preferences `[batch, blocks]` into
    /// gates of the same shape, 1 for the fine-tuned path. Returns the logits `[batch]` and the gates.
    pub(crate) fn forward_dense(
        &self,
        input: &Volumes,
        decide: impl FnOnce(Tensor<2>) -> Tensor<2>,
    ) -> (Tensor<1>, Option<Tensor<2>>) {
        let gates = self.routing.as_ref().map(|routing| decide(routing.policy.preferences(input)));
        let mut x = self.trunk.stem.forward(input);
        match (&self.routing, &gates) {
            (Some(routing), Some(gates)) => {
                for (position, (tuned, frozen)) in self.trunk.blocks.iter().zip(&routing.frozen).enumerate() {
                    let gate = gates.clone().narrow(1, position, 1).reshape([-1, 1, 1, 1, 1]);
                    let frozen = frozen.forward(x.clone()) * gate.clone().neg().add_scalar(1.0);
                    x = tuned.forward(x) * gate + frozen;
                }
            }
            _ => x = self.trunk.blocks.iter().fold(x, |x, block| block.forward(x)),
        }
        (self.trunk.classify(x), gates)
    }
}

impl Network<Trained> {
    /// Builds the network of an arm for training on `device`. `base` is not read for the arm `random`.
    pub(crate) fn read(
        spec: NetworkSpec,
        arm: Arm,
        norm: NormMode,
        base: Option<&Weights>,
        trainable: &Weights,
        device: &ComputeDevice,
    ) -> Result<Self, ModelError> {
        check_manifest("trainable", trainable, &spec.trainable_tensors(arm))?;
        let mut reader = Reader::new(trainable, device.recording());
        let mut layer = |geometry| Trained::read(&mut reader, geometry, norm);
        let (stem, frozen) = if arm.is_pretrained() {
            let base = base.ok_or(ModelError::BaseMissing(arm))?;
            check_manifest("base", base, &spec.backbone_tensors())?;
            let mut reader = Reader::new(base, device.recording());
            let mut layer = |geometry: Geometry| Folded::read(&mut reader, geometry);
            let stem = layer(STEM);
            let frozen = (arm == Arm::Spottune)
                .then(|| spec.blocks().iter().map(|block| Block::new(block, &mut layer)).collect());
            (Stem::Frozen(stem), frozen)
        } else {
            (Stem::Tuned(layer(STEM)), None)
        };
        let blocks = spec.blocks().iter().map(|block| Block::new(block, &mut layer)).collect();
        let routing = frozen.map(|frozen| Routing { frozen, policy: Policy::read(&mut reader, spec, norm) });
        let head = Linear::read(&mut reader);
        Ok(Self { trunk: Trunk { stem, blocks, head }, routing })
    }

    /// Writes the trainable tensors in manifest order.
    pub(crate) fn write(&self, writer: &mut Writer) {
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
            blocks: self.trunk.blocks.iter().map(Block::fold).collect(),
            head: self.trunk.head.valid(),
        };
        let routing = self.routing.as_ref().map(|routing| Routing {
            frozen: routing.frozen.iter().map(|block| block.map(Folded::unrecorded)).collect(),
            policy: routing.policy.fold(),
        });
        Network { trunk, routing }
    }
}
