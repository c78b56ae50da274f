//! What of the backbone an arm trains; the rest of it stays as it was pretrained.

use serde::{Deserialize, Serialize};

use super::{NetworkSpec, TensorSpec};
use crate::Arm;

/// Which residual blocks the arm `medicalnet` fine-tunes. The other arms train all of theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transfer {
    /// All four stages.
    #[default]
    All,
    /// The last stage, as the paper did; everything before it stays as pretrained.
    Layer4,
}

/// What the pretrained arms do with the layers before the first block. The arm `random` always trains them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StemMode {
    /// They stay as pretrained, as in the paper.
    #[default]
    Frozen,
    /// They are fine-tuned. In `spottune` both paths begin with the same fine-tuned stem.
    Tuned,
}

/// What the arms train of the backbone, as the study says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tuning {
    /// The blocks of the arm `medicalnet`.
    pub transfer: Transfer,
    /// The stem of the pretrained arms.
    pub stem: StemMode,
}

impl Tuning {
    /// Whether `arm` trains the stem (`conv1`, `bn1`).
    pub const fn trains_stem(self, arm: Arm) -> bool {
        match arm {
            Arm::Random => true,
            Arm::Medicalnet => matches!(self.stem, StemMode::Tuned) && matches!(self.transfer, Transfer::All),
            Arm::Spottune => matches!(self.stem, StemMode::Tuned),
        }
    }

    /// Whether `arm` trains the blocks of `stage`, 1 to 4.
    pub const fn trains_stage(self, arm: Arm, stage: usize) -> bool {
        match (arm, self.transfer) {
            (Arm::Medicalnet, Transfer::Layer4) => stage == 4,
            _ => true,
        }
    }
}

impl NetworkSpec {
    /// The tensors of the backbone that `arm` trains, under their names in the base and in its order. Every tensor
    /// of [`Self::backbone_tensors`] that is not among them stays as the base has it, statistics included; of those
    /// that are, `spottune` keeps the base's too, as the frozen path (a tuned stem aside, which both paths share).
    pub fn tuned_tensors(self, arm: Arm, tuning: Tuning) -> Vec<TensorSpec> {
        let mut tensors = if tuning.trains_stem(arm) { self.stem_tensors() } else { Vec::new() };
        let blocks = self.blocks();
        let tuned = blocks.iter().filter(|block| tuning.trains_stage(arm, block.stage));
        tensors.extend(tuned.flat_map(|block| block.tensors()));
        tensors
    }
}

#[cfg(test)]
mod tests {
    use super::super::Depth;
    use super::*;

    const PAPER: NetworkSpec = NetworkSpec { depth: Depth::D50, width: 64 };

    const ALL: [Tuning; 4] = [
        Tuning { transfer: Transfer::All, stem: StemMode::Frozen },
        Tuning { transfer: Transfer::All, stem: StemMode::Tuned },
        Tuning { transfer: Transfer::Layer4, stem: StemMode::Frozen },
        Tuning { transfer: Transfer::Layer4, stem: StemMode::Tuned },
    ];

    /// The layers that train: the first part of the names, each once.
    fn layers(arm: Arm, tuning: Tuning) -> Vec<String> {
        let mut layers: Vec<String> = PAPER
            .tuned_tensors(arm, tuning)
            .iter()
            .map(|tensor| tensor.name.split('.').next().unwrap().to_owned())
            .collect();
        layers.dedup();
        layers
    }

    #[test]
    fn each_arm_trains_the_layers_that_the_study_says() {
        let all = ["layer1", "layer2", "layer3", "layer4"];
        let with_stem = ["conv1", "bn1", "layer1", "layer2", "layer3", "layer4"];
        for tuning in ALL {
            assert_eq!(layers(Arm::Random, tuning), with_stem, "{tuning:?}");
        }
        let [frozen, tuned, layer4, _] = ALL;
        assert_eq!(Tuning::default(), frozen);
        for arm in [Arm::Spottune, Arm::Medicalnet] {
            assert_eq!(layers(arm, frozen), all, "{arm}");
            assert_eq!(layers(arm, tuned), with_stem, "{arm}");
        }
        assert_eq!(layers(Arm::Medicalnet, layer4), ["layer4"]);
        assert_eq!(layers(Arm::Spottune, layer4), all, "only the arm medicalnet transfers");
    }

    #[test]
    fn what_trains_is_a_part_of_the_backbone_in_its_order() {
        let backbone = PAPER.backbone_tensors();
        for (arm, tuning) in Arm::ALL.into_iter().flat_map(|arm| ALL.map(|tuning| (arm, tuning))) {
            let mut rest = backbone.iter();
            for tensor in PAPER.tuned_tensors(arm, tuning) {
                assert!(rest.any(|other| *other == tensor), "{} of {arm} with {tuning:?}", tensor.name);
            }
        }
    }
}
