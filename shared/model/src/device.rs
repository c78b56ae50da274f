//! Where tensors live and are computed.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::str::FromStr;
use std::sync::Arc;

use burn::tensor::Device;
#[cfg(any(test, feature = "gpu"))]
use burn::tensor::FloatDType;
use consilium_conv3d::{Arithmetic, InstructionSet};
use consilium_domain::Precision;

use crate::ModelError;
use crate::features::Method;
#[cfg(feature = "gpu")]
use crate::gpu;

/// A processor or graphics card that trains and predicts. Its text says which.
#[derive(Debug, Clone)]
pub struct ComputeDevice {
    tensors: Device,
    /// What the processor's own kernels are made of; `None` where burn's operations are used.
    instructions: Option<InstructionSet>,
    /// It computes with 16-bit floats.
    halves: bool,
    checkpointing: bool,
    description: Arc<str>,
    /// Most bytes of one tensor, where the driver sets a limit.
    tensor_bytes: Option<u64>,
}

/// A text that names no usable device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ComputeDeviceError {
    /// A graphics card, in a build that can use none.
    #[error(
        "device `{0}` needs the GPU backend, and this build has none: use `cpu` or `auto`, or build with \
         `--features gpu` (docs/gpu.md)"
    )]
    NoBackend(String),
    /// No adapter that fits.
    #[error(
        "device `{asked}`: there is no such graphics card. Vulkan, Metal and DirectX 12 show {found}. Use `cpu`, install \
         the card's Vulkan driver, or name an adapter that is there (docs/gpu.md)"
    )]
    NoAdapter {
        /// As it was written.
        asked: String,
        /// Every adapter of this machine.
        found: String,
    },
    /// An adapter that does not work.
    #[error("{adapter} cannot be opened: {cause}; use `cpu`, or look to the driver (docs/gpu.md)")]
    NotOpened {
        /// Which.
        adapter: String,
        /// What its driver says.
        cause: String,
    },
    /// No device at all.
    #[error(
        "`{0}` is not a device: use `cpu`, `auto`, or, in a build with the GPU backend, `wgpu` or `wgpu:INDEX`"
    )]
    Unknown(String),
}

impl ComputeDevice {
    /// The processor's cores. The number of threads is that of the process's rayon pool.
    pub fn cpu() -> Self {
        Self::processor(Some(InstructionSet::best()), "cpu")
    }

    /// The processor without its own kernels: what they are compared with.
    #[cfg(test)]
    pub(crate) fn reference() -> Self {
        let reference = Self::processor(None, "cpu without its own kernels");
        Self { halves: reference.tensors.supports_dtype(FloatDType::F16), ..reference }
    }

    fn processor(instructions: Option<InstructionSet>, description: &str) -> Self {
        let (tensors, description) = (Device::flex(), description.into());
        Self { tensors, instructions, halves: false, checkpointing: false, description, tensor_bytes: None }
    }

    /// A graphics card where there is one, else the processor.
    #[cfg(feature = "gpu")]
    fn auto() -> Result<Self, ComputeDeviceError> {
        match gpu::best() {
            Ok(index) => Self::adapter(index),
            Err(found) => {
                let description =
                    format!("cpu (no graphics card: Vulkan, Metal and DirectX 12 show {found})");
                Ok(Self::processor(Some(InstructionSet::best()), &description))
            }
        }
    }

    /// The processor: this build knows no other.
    #[cfg(not(feature = "gpu"))]
    fn auto() -> Result<Self, ComputeDeviceError> {
        Ok(Self::processor(Some(InstructionSet::best()), "cpu (this build has no GPU backend)"))
    }

    /// The graphics adapter `wgpu` or `wgpu:INDEX`.
    #[cfg(feature = "gpu")]
    fn wgpu(asked: &str, index: Option<usize>) -> Result<Self, ComputeDeviceError> {
        let none = |found| ComputeDeviceError::NoAdapter { asked: asked.to_owned(), found };
        Self::adapter(index.map_or_else(gpu::best, Ok).map_err(none)?)
    }

    #[cfg(not(feature = "gpu"))]
    fn wgpu(asked: &str, _index: Option<usize>) -> Result<Self, ComputeDeviceError> {
        Err(ComputeDeviceError::NoBackend(asked.to_owned()))
    }

    #[cfg(feature = "gpu")]
    fn adapter(index: usize) -> Result<Self, ComputeDeviceError> {
        let gpu::Opened { tensors, description, tensor_bytes } = gpu::open(index)?;
        let halves = tensors.supports_dtype(FloatDType::F16);
        let (description, tensor_bytes) = (description.into(), Some(tensor_bytes));
        Ok(Self { tensors, instructions: None, halves, checkpointing: false, description, tensor_bytes })
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

    /// Whether training on this device rounds factors to 16 bits where `precision` allows it. A graphics card without 16-bit
    /// floats computes in 32 bits, which is slower and loses nothing.
    pub const fn honours(&self, precision: Precision) -> bool {
        self.instructions.is_some() || self.halves || matches!(precision, Precision::F32)
    }

    /// How feature maps are convolved.
    pub(crate) fn method(&self, precision: Precision) -> Method {
        match (self.instructions, precision) {
            (Some(instructions), Precision::F32) => {
                Method::Processor(Arithmetic { instructions, precision: consilium_conv3d::Precision::F32 })
            }
            (Some(instructions), Precision::Bf16) => {
                Method::Processor(Arithmetic { instructions, precision: consilium_conv3d::Precision::Bf16 })
            }
            (None, Precision::Bf16) if self.halves => Method::Mixed,
            (None, _) => Method::Burn,
        }
    }

    /// Does `work` on this device. Burn panics where a graphics card runs out of memory or its driver gives up; that
    /// becomes an error here, and nothing falls back to another device. Whatever `work` was changing is then undefined.
    pub(crate) fn guard<R>(&self, work: impl FnOnce() -> Result<R, ModelError>) -> Result<R, ModelError> {
        let Some(tensor_bytes) = self.tensor_bytes else {
            return work();
        };
        catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let cause =
                text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("no reason given").to_owned();
            Err(ModelError::Device { device: self.to_string(), cause, tensor_mib: tensor_bytes >> 20 })
        })
    }

    /// Most bytes of one tensor, where the driver sets a limit.
    #[cfg(all(test, feature = "gpu"))]
    pub(crate) const fn tensor_bytes(&self) -> Option<u64> {
        self.tensor_bytes
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

impl fmt::Display for ComputeDevice {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.description)
    }
}

impl FromStr for ComputeDevice {
    type Err = ComputeDeviceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unknown = || ComputeDeviceError::Unknown(text.to_owned());
        match text.split_once(':') {
            None if text == "cpu" => Ok(Self::cpu()),
            None if text == "auto" => Self::auto(),
            None if text == "wgpu" => Self::wgpu(text, None),
            Some(("wgpu", index)) => {
                let index = index.parse().map_err(|_| unknown())?;
                Self::wgpu(text, Some(index))
            }
            _ => Err(unknown()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_name_devices() {
        assert_eq!("cpu".parse::<ComputeDevice>().unwrap().to_string(), "cpu");
        for text in ["abacus", "", "cuda", "cpu:0", "wgpu:", "wgpu:-1", "wgpu:first"] {
            assert_eq!(text.parse::<ComputeDevice>().unwrap_err(), ComputeDeviceError::Unknown(text.into()));
        }
    }

    #[cfg(not(feature = "gpu"))]
    #[test]
    fn without_the_backend_only_the_processor_is_available() {
        let auto = "auto".parse::<ComputeDevice>().unwrap();
        assert_eq!(auto.to_string(), "cpu (this build has no GPU backend)");
        for text in ["wgpu", "wgpu:0"] {
            assert_eq!(
                text.parse::<ComputeDevice>().unwrap_err(),
                ComputeDeviceError::NoBackend(text.into())
            );
        }
    }
}
