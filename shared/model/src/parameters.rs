//! Between flat weights and tensors on a device.
//!
//! Layers read and write their tensors one after the other in the manifest's order. Every read states the kind it
//! expects, so a network that walks in another order than the manifest fails at once and not in its accuracy.

use std::sync::Arc;

use burn::module::Param;
use burn::tensor::{Device, Gradients, Tensor, TensorData};
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

/// Collects tensors in manifest order: their values or, given gradients, their gradients.
#[derive(Default)]
pub(crate) struct Writer<'a> {
    values: Vec<f32>,
    gradients: Option<&'a Gradients>,
}

impl<'a> Writer<'a> {
    /// Collects gradients, zeros for what is not learned.
    pub(crate) fn of_gradients(gradients: &'a Gradients) -> Self {
        Self { values: Vec::new(), gradients: Some(gradients) }
    }

    /// Appends a tensor that is not learned.
    pub(crate) fn put<const D: usize>(&mut self, tensor: Tensor<D>) {
        let tensor = if self.gradients.is_some() { tensor.zeros_like() } else { tensor };
        self.append(tensor);
    }

    /// Appends a learned tensor, laid out as in the manifest by `lay_out`.
    pub(crate) fn put_learned<const D: usize>(
        &mut self,
        parameter: &Param<Tensor<D>>,
        lay_out: impl FnOnce(Tensor<D>) -> Tensor<D>,
    ) {
        let value = parameter.val();
        let written = match self.gradients {
            None => value,
            Some(gradients) => value.grad(gradients).unwrap_or_else(|| value.inner().zeros_like()),
        };
        self.append(lay_out(written));
    }

    fn append<const D: usize>(&mut self, tensor: Tensor<D>) {
        let data = tensor.into_data();
        self.values.extend(data.as_slice::<f32>().expect("networks compute in 32-bit floats"));
    }

    /// The weights, unless a value is not finite.
    pub(crate) fn finish(self, manifest: Arc<[TensorSpec]>) -> Result<Weights, WeightsError> {
        Weights::new(manifest, self.values)
    }
}
