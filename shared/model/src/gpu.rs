//! Graphics adapters through wgpu: which there are, and opening one.
//!
//! OpenGL is not asked: what only it reaches is too limited for these networks. A *software* adapter (Mesa's
//! llvmpipe) computes on the processor, much slower than the processor's own kernels, so it is only used by index.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, OnceLock, PoisonError};

use burn::tensor::wgpu::{WgpuBackend, wgpu};
use burn::tensor::{Device, DeviceKind, read_sync};

use crate::device::ComputeDeviceError;

/// What wgpu calls the graphics interfaces that are asked, and what burn calls them.
const INTERFACES: [(wgpu::Backend, WgpuBackend); 3] = [
    (wgpu::Backend::Vulkan, WgpuBackend::Vulkan),
    (wgpu::Backend::Metal, WgpuBackend::Metal),
    (wgpu::Backend::Dx12, WgpuBackend::Dx12),
];

/// A graphics adapter as its driver describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Adapter {
    /// Its place among all that were found: INDEX of `wgpu:INDEX`.
    index: usize,
    name: String,
    interface: WgpuBackend,
    /// How burn names it: the n-th of its kind.
    kind: DeviceKind,
    /// Most bytes of one tensor.
    tensor_bytes: u64,
}

/// An adapter that tensors can live on.
pub(crate) struct Opened {
    pub(crate) tensors: Device,
    /// Index, name and kind.
    pub(crate) description: String,
    /// Most bytes of one tensor.
    pub(crate) tensor_bytes: u64,
}

/// The adapter to use where none is named: discrete before integrated before virtual, never a software adapter.
/// `Err` describes what was found instead.
pub(crate) fn best() -> Result<usize, String> {
    best_of(adapters()).ok_or_else(|| listing(adapters()))
}

/// Opens the adapter `index`; opened twice it is the same one.
///
/// # Errors
/// When there is none of that index, or its driver refuses.
pub(crate) fn open(index: usize) -> Result<Opened, ComputeDeviceError> {
    /// Burn opens each adapter of a process once. Held while opening: drivers dislike company.
    static OPEN: Mutex<BTreeMap<usize, Device>> = Mutex::new(BTreeMap::new());

    let adapter = adapters().get(index).ok_or_else(|| ComputeDeviceError::NoAdapter {
        asked: format!("wgpu:{index}"),
        found: listing(adapters()),
    })?;
    let refused = |cause: String| ComputeDeviceError::NotOpened { adapter: adapter.to_string(), cause };
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    let tensors = match open.get(&index) {
        Some(tensors) => tensors.clone(),
        None => {
            let options = Device::wgpu_options().device_kind(adapter.kind.clone());
            let options = options.graphics_api(adapter.interface);
            let tensors = options.init().map_err(|error| refused(error.to_string()))?;
            // Burn finds adapters itself, by kind and number: two of one kind could have changed places.
            let found = tensors.identity().map(|identity| identity.name);
            if found.as_deref() != Some(&*adapter.name) {
                return Err(refused(format!("{found:?} answered in its place")));
            }
            open.insert(index, tensors.clone());
            tensors
        }
    };
    Ok(Opened { tensors, description: adapter.to_string(), tensor_bytes: adapter.tensor_bytes })
}

/// Every adapter of this machine, asked for once a process.
fn adapters() -> &'static [Adapter] {
    static ADAPTERS: OnceLock<Vec<Adapter>> = OnceLock::new();

    ADAPTERS.get_or_init(|| {
        let backends = INTERFACES.iter().map(|(backend, _)| wgpu::Backends::from(*backend)).collect();
        let descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor { backends, ..descriptor });
        let found = read_sync(instance.enumerate_adapters(backends));
        numbered(found.iter().map(|adapter| (adapter.get_info(), adapter.limits())))
    })
}

/// The adapters that burn can open, by number. Burn counts those of each interface and kind on their own.
fn numbered(found: impl Iterator<Item = (wgpu::AdapterInfo, wgpu::Limits)>) -> Vec<Adapter> {
    let mut adapters: Vec<Adapter> = Vec::new();
    for (info, limits) in found {
        let Some(&(_, interface)) = INTERFACES.iter().find(|(backend, _)| *backend == info.backend) else {
            continue;
        };
        let taken = |kind: &DeviceKind| adapters.iter().any(|a| a.interface == interface && a.kind == *kind);
        let number = |kind: fn(usize) -> DeviceKind| (0..).map(kind).find(|kind| !taken(kind));
        let kind = match info.device_type {
            wgpu::DeviceType::DiscreteGpu => number(DeviceKind::DiscreteGpu),
            wgpu::DeviceType::IntegratedGpu => number(DeviceKind::IntegratedGpu),
            wgpu::DeviceType::VirtualGpu => number(DeviceKind::VirtualGpu),
            wgpu::DeviceType::Cpu => Some(DeviceKind::Cpu),
            // Burn has no name for it.
            wgpu::DeviceType::Other => None,
        };
        let tensor_bytes = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size);
        if let Some(kind) = kind {
            adapters.push(Adapter { index: adapters.len(), name: info.name, interface, kind, tensor_bytes });
        }
    }
    adapters
}

fn best_of(adapters: &[Adapter]) -> Option<usize> {
    let rank = |adapter: &&Adapter| match adapter.kind {
        DeviceKind::DiscreteGpu(_) => 0,
        DeviceKind::IntegratedGpu(_) => 1,
        _ => 2,
    };
    let gpus = adapters.iter().filter(|adapter| adapter.kind != DeviceKind::Cpu);
    gpus.min_by_key(rank).map(|adapter| adapter.index)
}

fn listing(adapters: &[Adapter]) -> String {
    if adapters.is_empty() {
        return "no adapter".to_owned();
    }
    adapters.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl fmt::Display for Adapter {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { index, name, interface, .. } = self;
        let kind = match self.kind {
            DeviceKind::DiscreteGpu(_) => "discrete GPU",
            DeviceKind::IntegratedGpu(_) => "integrated GPU",
            DeviceKind::VirtualGpu(_) => "virtual GPU",
            _ => "software",
        };
        write!(out, "wgpu:{index} {name} ({kind}, {interface:?})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(adapters: &[(&str, wgpu::Backend, wgpu::DeviceType)]) -> Vec<Adapter> {
        numbered(adapters.iter().map(|&(name, backend, kind)| {
            let info = wgpu::AdapterInfo { name: name.into(), ..wgpu::AdapterInfo::new(kind, backend) };
            (info, wgpu::Limits::default())
        }))
    }

    #[test]
    fn adapters_are_numbered_as_they_came_and_within_their_kind() {
        use wgpu::{Backend::*, DeviceType::*};
        let adapters = found(&[
            ("first", Vulkan, IntegratedGpu),
            ("second", Vulkan, DiscreteGpu),
            ("oddity", Vulkan, Other),
            ("third", Vulkan, DiscreteGpu),
            ("old", Gl, DiscreteGpu),
            ("fourth", Dx12, DiscreteGpu),
            ("software", Vulkan, Cpu),
        ]);
        let kinds: Vec<_> = adapters.iter().map(|adapter| (adapter.index, adapter.kind.clone())).collect();
        let discrete = DeviceKind::DiscreteGpu;
        let expected = [DeviceKind::IntegratedGpu(0), discrete(0), discrete(1), discrete(0), DeviceKind::Cpu];
        assert_eq!(kinds, (0..).zip(expected).collect::<Vec<_>>());
        assert_eq!(best_of(&adapters), Some(1));
        assert_eq!(adapters[4].to_string(), "wgpu:4 software (software, Vulkan)");
    }

    #[test]
    fn software_is_never_the_best() {
        let software = found(&[("llvmpipe", wgpu::Backend::Vulkan, wgpu::DeviceType::Cpu)]);
        assert_eq!(best_of(&software), None);
        assert_eq!(listing(&software), "wgpu:0 llvmpipe (software, Vulkan)");
        assert_eq!(listing(&[]), "no adapter");
    }
}
