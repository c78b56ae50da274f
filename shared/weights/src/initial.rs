//! The model of round 0: pretrained where the arm says so, seeded elsewhere.

use std::sync::Arc;

use consilium_domain::network::{NetworkSpec, TUNED_PREFIX, TensorSpec, Tuning, initial_values};
use consilium_domain::{Arm, Seed};

use crate::Weights;

/// Why a lane has no first model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InitialError {
    /// A pretrained arm without weights.
    #[error("arm {0} starts from pretrained weights, and none were given")]
    NoBase(Arm),
    /// The weights lack a tensor of the arm.
    #[error("the pretrained weights lack tensor {0}")]
    MissingTensor(String),
}

/// The trainable weights of `arm` before its first round.
///
/// What is fine-tuned (`tuning` says what) starts as a copy of `base`; policy, classifier and everything of the `random` arm start from
/// `seed` alone, so every lane of an arm starts from the same model.
///
/// # Errors
/// When the arm is pretrained and `base` is absent or of another network.
pub fn initial_trainable(
    spec: NetworkSpec,
    arm: Arm,
    tuning: Tuning,
    seed: &Seed,
    base: Option<&Weights>,
) -> Result<Weights, InitialError> {
    let seed = seed.derive(&format!("initial/{arm}"));
    let manifest: Arc<[TensorSpec]> = spec.trainable_tensors(arm, tuning).into();
    let mut values = Vec::with_capacity(manifest.iter().map(TensorSpec::values).sum());
    for tensor in manifest.iter() {
        match tensor.name.strip_prefix(TUNED_PREFIX).filter(|_| arm.is_pretrained()) {
            Some(name) => {
                let base = base.ok_or(InitialError::NoBase(arm))?;
                let pretrained = base.tensor(name).filter(|found| found.len() == tensor.values());
                values.extend(pretrained.ok_or_else(|| InitialError::MissingTensor(name.to_owned()))?);
            }
            None => values.extend(initial_values(tensor, &seed)),
        }
    }
    Ok(Weights::new(manifest, values).expect("one finite value for every place of the manifest"))
}

#[cfg(test)]
mod tests {
    use consilium_domain::network::{Depth, StemMode, Transfer};

    use super::*;

    const SPEC: NetworkSpec = NetworkSpec { depth: Depth::D10, width: 2 };

    fn base() -> Weights {
        let manifest: Arc<[TensorSpec]> = SPEC.backbone_tensors().into();
        let values = manifest.iter().flat_map(|t| initial_values(t, &Seed::from_number(9))).collect();
        Weights::new(manifest, values).unwrap()
    }

    #[test]
    fn tuned_blocks_are_copies_and_the_policy_is_seeded() {
        let base = base();
        let weights =
            initial_trainable(SPEC, Arm::Spottune, Tuning::default(), &Seed::from_number(1), Some(&base))
                .unwrap();
        let kernel = "layer3.0.conv2.weight";
        assert_eq!(weights.tensor(&format!("tuned.{kernel}")), base.tensor(kernel));
        assert_ne!(weights.tensor(&format!("policy.{kernel}")), base.tensor(kernel));
    }

    #[test]
    fn whatever_is_tuned_starts_as_a_copy() {
        let base = base();
        let all = Tuning { transfer: Transfer::All, stem: StemMode::Tuned };
        let last = Tuning { transfer: Transfer::Layer4, stem: StemMode::Frozen };
        for (tuning, stem) in [(all, base.tensor("conv1.weight")), (last, None)] {
            let seed = Seed::from_number(1);
            let weights = initial_trainable(SPEC, Arm::Medicalnet, tuning, &seed, Some(&base)).unwrap();
            assert_eq!(weights.tensor("tuned.conv1.weight"), stem);
            let last = "layer4.0.conv1.weight";
            assert_eq!(weights.tensor(&format!("tuned.{last}")), base.tensor(last));
        }
    }

    #[test]
    fn a_pretrained_arm_refuses_to_start_without_weights() {
        let seed = Seed::from_number(1);
        assert_eq!(
            initial_trainable(SPEC, Arm::Medicalnet, Tuning::default(), &seed, None),
            Err(InitialError::NoBase(Arm::Medicalnet))
        );
        assert!(initial_trainable(SPEC, Arm::Random, Tuning::default(), &seed, None).is_ok());
    }
}
