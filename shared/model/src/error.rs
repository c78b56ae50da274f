//! Why a network cannot be built, trained or asked.

use consilium_domain::Arm;
use consilium_weights::WeightsError;

use crate::inputs::InputError;

/// Why a network cannot be built, trained or asked.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ModelError {
    /// A pretrained arm without pretrained weights.
    #[error("arm {0} needs the pretrained backbone: import MedicalNet weights first")]
    BaseMissing(Arm),
    /// Weights whose tensors are not those of the network.
    #[error(
        "the {what} weights do not fit the network at tensor {tensor}: use weights of the study's network"
    )]
    Manifest {
        /// Which weights: `base` or `trainable`.
        what: &'static str,
        /// The first tensor that is missing, unexpected or misshapen.
        tensor: String,
    },
    /// A volume that is not to be had.
    #[error("the input of case {case} cannot be read: {cause}")]
    Input {
        /// Position of the case among the given ones.
        case: usize,
        /// Why. May name a file.
        cause: InputError,
    },
    /// Pretext targets that do not pair with the inputs.
    #[error("case {case} has {found} targets where {expected} are needed")]
    Targets {
        /// Position of the case.
        case: usize,
        /// Targets given.
        found: usize,
        /// Targets expected.
        expected: usize,
    },
    /// Nothing to train on.
    #[error("there are no training cases: a site without cases of a fold must not train it")]
    NoCases,
    /// The loss is no longer finite.
    #[error("training diverged in epoch {epoch}, step {step}: lower training.learning_rate")]
    Diverged {
        /// Epoch, from 0.
        epoch: u16,
        /// Step within the call, from 0.
        step: u32,
    },
    /// A network that answers with NaN or infinity.
    #[error("the prediction for case {case} is not finite: the weights or the input are damaged")]
    NotFinite {
        /// Position of the case.
        case: usize,
    },
    /// A trained tensor is no longer finite.
    #[error("training diverged, {0}: lower training.learning_rate")]
    Weights(#[from] WeightsError),
    /// A graphics card or its driver gave up.
    #[error(
        "{device} failed: {cause}\nIf it is out of memory, lower training.batch_size or set `checkpointing` (one tensor \
         may take {tensor_mib} MiB there); if it is lost, start again; or use `cpu`"
    )]
    Device {
        /// Which.
        device: String,
        /// What burn or the driver says.
        cause: String,
        /// Most of one tensor.
        tensor_mib: u64,
    },
    /// What was kept between two epochs is not of this training.
    #[error("the kept training is of another network or device: begin it anew")]
    OtherTraining,
    /// The observer asked to stop. The weights are those after the last step.
    #[error("training was stopped in epoch {epoch}")]
    Stopped {
        /// Epoch, from 0.
        epoch: u16,
    },
}
