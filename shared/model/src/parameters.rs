//! Between flat weights and tensors on a device.
//!
//! Layers read and write their tensors one after the other in the manifest's order. Every read states the kind it
//! expects, so a network that walks in another order than the manifest fails at once and not in its accuracy.

use std::sync::Arc;

use burn::module::Param;
use burn::tensor::{Device, Tensor, TensorData};
use consilium_domain::network::{TensorKind, TensorSpec};
use consilium_weights::{Weights, WeightsError};

use crate::ModelError;

/// Checks that `weights` have exactly the tensors of `manifest`.
pub(crate) fn check_manifest(
    what: &'static str,
    weights: &Weights,
    manifest: &[TensorSpec],
) -> Result<(), ModelError> {
    let found = weights.manifest();
    let length = found.len().max(manifest.len());
    match (0..length).find(|&i| found.get(i) != manifest.get(i)) {
        None => Ok(()),
        Some(i) => {
            let odd = manifest.get(i).or(found.get(i)).expect("below the longer length");
            Err(ModelError::Manifest { what, tensor: odd.name.clone() })
        }
    }
}

/// Takes tensors off weights in manifest order.
pub(crate) struct Reader<'a> {
    tensors: Box<dyn Iterator<Item = (&'a TensorSpec, &'a [f32])> + 'a>,
    device: Device,
}

impl<'a> Reader<'a> {
    /// Starts at the first tensor; tensors are made on `device`.
    pub(crate) fn new(weights: &'a Weights, device: Device) -> Self {
        Self { tensors: Box::new(weights.iter()), device }
    }

    /// The next tensor.
    ///
    /// # Panics
    /// When the manifest's next tensor is not of `kind` or rank `D`: the network and the manifest disagree.
    pub(crate) fn take<const D: usize>(&mut self, kind: TensorKind) -> Tensor<D> {
        let (spec, values) = self.tensors.next().expect("the manifest has a tensor for every layer");
        assert_eq!(spec.kind, kind, "{} is read in the wrong place", spec.name);
        let data = TensorData::new(values.to_vec(), spec.shape.clone());
        Tensor::from_data(data, &self.device)
    }

    /// The next tensor, to be trained.
    pub(crate) fn take_trained<const D: usize>(&mut self, kind: TensorKind) -> Param<Tensor<D>> {
        Param::from_tensor(self.take(kind))
    }
}

/// Collects tensors in manifest order.
#[derive(Default)]
pub(crate) struct Writer(Vec<f32>);

impl Writer {
    /// Appends a tensor's values.
    pub(crate) fn put<const D: usize>(&mut self, tensor: Tensor<D>) {
        let data = tensor.into_data();
        self.0.extend(data.as_slice::<f32>().expect("networks compute in 32-bit floats"));
    }

    /// The weights, unless a value is not finite.
    pub(crate) fn finish(self, manifest: Arc<[TensorSpec]>) -> Result<Weights, WeightsError> {
        Weights::new(manifest, self.0)
    }
}
