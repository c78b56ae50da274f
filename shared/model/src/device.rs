//! Where tensors live and are computed.

use std::str::FromStr;

use burn::tensor::Device;
use consilium_conv3d::{Arithmetic, InstructionSet};
use consilium_domain::Precision;

/// A processor that trains and predicts.
#[derive(Debug, Clone)]
pub struct ComputeDevice {
    tensors: Device,
    /// What the processor's own kernels are made of; `None` where burn's operations are used.
    instructions: Option<InstructionSet>,
    checkpointing: bool,
}

/// A text that names no usable processor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ComputeDeviceError {
    /// A processor this build has no backend for.
    #[error("device `{0}` needs a GPU backend, and this build has none: use `cpu` or `auto`")]
    NoBackend(String),
    /// No processor at all.
    #[error("`{0}` is not a device: use `cpu` or `auto`")]
    Unknown(String),
}

impl ComputeDevice {
    /// The processor's cores. The number of threads is that of the process's rayon pool.
    pub fn cpu() -> Self {
        let instructions = Some(InstructionSet::best());
        Self { tensors: Device::flex(), instructions, checkpointing: false }
    }

    /// The processor without its own kernels: what they are compared with.
    #[cfg(test)]
    pub(crate) fn reference() -> Self {
        Self { tensors: Device::flex(), instructions: None, checkpointing: false }
    }

    /// The same device, training with less memory and more time: the maps within a residual block are computed
    /// again in the backward pass instead of being kept. The result is the same.
    pub fn with_checkpointing(self, checkpointing: bool) -> Self {
        Self { checkpointing, ..self }
    }

    /// Whether maps within a block are computed again.
    pub(crate) const fn checkpointing(&self) -> bool {
        self.checkpointing
    }

    /// What the processor's own kernels are made of.
    pub(crate) const fn instructions(&self) -> Option<InstructionSet> {
        self.instructions
    }

    /// How the processor's own kernels compute feature maps; `None` where burn's operations are used.
    pub(crate) fn arithmetic(&self, precision: Precision) -> Option<Arithmetic> {
        let precision = match precision {
            Precision::F32 => consilium_conv3d::Precision::F32,
            Precision::Bf16 => consilium_conv3d::Precision::Bf16,
        };
        self.instructions.map(|instructions| Arithmetic { instructions, precision })
    }

    /// For tensors that are only computed forward.
    pub(crate) fn plain(&self) -> Device {
        self.tensors.clone()
    }

    /// For tensors whose operations are recorded for the backward pass.
    pub(crate) fn recording(&self) -> Device {
        self.tensors.clone().autodiff()
    }
}

impl FromStr for ComputeDevice {
    type Err = ComputeDeviceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "cpu" | "auto" => Ok(Self::cpu()),
            gpu if ["wgpu", "vulkan", "cuda", "metal"].iter().any(|name| gpu.starts_with(name)) => {
                Err(ComputeDeviceError::NoBackend(gpu.to_owned()))
            }
            other => Err(ComputeDeviceError::Unknown(other.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_processor_is_available() {
        assert!("cpu".parse::<ComputeDevice>().is_ok());
        assert!("auto".parse::<ComputeDevice>().is_ok());
        let gpu = "wgpu:0".parse::<ComputeDevice>().unwrap_err();
        assert_eq!(gpu, ComputeDeviceError::NoBackend("wgpu:0".into()));
        assert!(matches!("abacus".parse::<ComputeDevice>(), Err(ComputeDeviceError::Unknown(_))));
    }
}
