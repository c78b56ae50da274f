//! Which tensors an arm trains, and therefore sends.

use super::{NetworkSpec, TensorKind, TensorSpec, Tuning};
use crate::Arm;

/// Prefix of the fine-tuned copies of backbone tensors.
pub const TUNED_PREFIX: &str = "tuned.";
/// Prefix of the policy network's tensors.
pub const POLICY_PREFIX: &str = "policy.";

impl NetworkSpec {
    /// Every tensor of an arm that changes in training, in the order it travels.
    ///
    /// First [`Self::tuned_tensors`] with [`TUNED_PREFIX`], then `spottune`'s policy network with
    /// [`POLICY_PREFIX`], then the classifier.
    pub fn trainable_tensors(self, arm: Arm, tuning: Tuning) -> Vec<TensorSpec> {
        let mut tensors: Vec<_> = prefixed(TUNED_PREFIX, self.tuned_tensors(arm, tuning)).collect();
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
    use super::super::{Depth, Transfer};
    use super::*;

    const PAPER: NetworkSpec = NetworkSpec { depth: Depth::D50, width: 64 };

    fn parameters(tensors: &[TensorSpec]) -> usize {
        tensors.iter().filter(|t| t.kind.is_parameter()).map(TensorSpec::values).sum()
    }

    #[test]
    fn the_papers_network_has_its_published_size() {
        let trainable = PAPER.trainable_tensors(Arm::Spottune, Tuning::default());
        let (policy, tuned): (Vec<_>, Vec<_>) =
            trainable.into_iter().partition(|t| t.name.starts_with(POLICY_PREFIX));
        assert_eq!(parameters(&policy), 14_371_936);
        assert_eq!(parameters(&PAPER.backbone_tensors()) + parameters(&tuned), 92_290_113);
    }

    #[test]
    fn the_papers_transfer_sends_the_last_stage_and_the_classifier() {
        let tuning = Tuning { transfer: Transfer::Layer4, ..Tuning::default() };
        let tensors = PAPER.trainable_tensors(Arm::Medicalnet, tuning);
        let (head, stage): (Vec<_>, Vec<_>) =
            tensors.into_iter().partition(|tensor| tensor.name.starts_with("head."));
        assert!(stage.iter().all(|tensor| tensor.name.starts_with("tuned.layer4.")));
        assert_eq!((parameters(&stage), parameters(&head)), (29_120_512, 2_049));
    }

    #[test]
    fn names_are_unique() {
        for arm in Arm::ALL {
            let tensors = PAPER.trainable_tensors(arm, Tuning::default());
            let names: std::collections::BTreeSet<_> = tensors.iter().map(|t| &t.name).collect();
            assert_eq!(names.len(), tensors.len());
        }
    }
}
