//! Where tensors live and are computed.

use std::str::FromStr;

use burn::tensor::Device;

/// A processor that trains and predicts.
#[derive(Debug, Clone)]
pub struct ComputeDevice(Device);

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
        Self(Device::flex())
    }

    /// For tensors that are only computed forward.
    pub(crate) fn plain(&self) -> Device {
        self.0.clone()
    }

    /// For tensors whose operations are recorded for the backward pass.
    pub(crate) fn recording(&self) -> Device {
        self.0.clone().autodiff()
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
