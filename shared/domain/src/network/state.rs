//! Which tensors an arm trains (and therefore sends), and what it takes from the frozen backbone.

use super::{NetworkSpec, TensorKind, TensorSpec};
use crate::Arm;

/// Prefix of the fine-tuned copies of backbone tensors.
pub const TUNED_PREFIX: &str = "tuned.";
/// Prefix of the policy network's tensors.
pub const POLICY_PREFIX: &str = "policy.";

impl NetworkSpec {
    /// Every tensor of an arm that changes in training, in the order it travels.
    ///
    /// `spottune`: fine-tuned blocks, policy network, classifier. `medicalnet`: blocks and classifier (the stem
    /// stays pretrained). `random`: stem, blocks and classifier.
    pub fn trainable_tensors(self, arm: Arm) -> Vec<TensorSpec> {
        let mut tensors = Vec::new();
        if arm == Arm::Random {
            tensors.extend(prefixed(TUNED_PREFIX, self.stem_tensors()));
        }
        tensors.extend(prefixed(TUNED_PREFIX, self.blocks().iter().flat_map(|block| block.tensors())));
        if arm == Arm::Spottune {
            let policy = self.policy_backbone();
            tensors.extend(prefixed(POLICY_PREFIX, policy.backbone_tensors()));
            tensors.extend(linear("policy.fc", 2 * self.blocks().len(), policy.features()));
        }
        tensors.extend(linear("head", 1, self.features()));
        tensors
    }
}

fn prefixed(prefix: &str, tensors: impl IntoIterator<Item = TensorSpec>) -> impl Iterator<Item = TensorSpec> {
    tensors.into_iter().map(move |t| TensorSpec { name: format!("{prefix}{}", t.name), ..t })
}

fn linear(name: &str, out: usize, into: usize) -> [TensorSpec; 2] {
    [
        TensorSpec { name: format!("{name}.weight"), shape: vec![out, into], kind: TensorKind::LinearWeight },
        TensorSpec { name: format!("{name}.bias"), shape: vec![out], kind: TensorKind::LinearBias },
    ]
}

#[cfg(test)]
mod tests {
    use super::super::Depth;
    use super::*;

    const PAPER: NetworkSpec = NetworkSpec { depth: Depth::D50, width: 64 };

    fn parameters(tensors: &[TensorSpec]) -> usize {
        tensors.iter().filter(|t| t.kind.is_parameter()).map(TensorSpec::values).sum()
    }

    #[test]
    fn the_papers_network_has_its_published_size() {
        let trainable = PAPER.trainable_tensors(Arm::Spottune);
        let (policy, tuned): (Vec<_>, Vec<_>) =
            trainable.into_iter().partition(|t| t.name.starts_with(POLICY_PREFIX));
        assert_eq!(parameters(&policy), 14_371_936);
        assert_eq!(parameters(&PAPER.backbone_tensors()) + parameters(&tuned), 92_290_113);
    }

    #[test]
    fn only_the_random_arm_trains_the_stem() {
        for arm in Arm::ALL {
            let stem = PAPER.trainable_tensors(arm).iter().any(|t| t.name == "tuned.conv1.weight");
            assert_eq!(stem, arm == Arm::Random, "{arm}");
        }
    }

    #[test]
    fn names_are_unique() {
        for arm in Arm::ALL {
            let tensors = PAPER.trainable_tensors(arm);
            let names: std::collections::BTreeSet<_> = tensors.iter().map(|t| &t.name).collect();
            assert_eq!(names.len(), tensors.len());
        }
    }
}
