//! Named tensors on disk and wire: what a coordinator averages and a network is built from.
//!
//! Every set of weights is verified against a manifest ([`TensorSpec`]s of `consilium_domain::network`): all of its
//! tensors, no other, each of the right shape and finite. Deliberately free of any machine-learning framework:
//! [`checkpoint`] reads PyTorch's files without PyTorch.

pub mod checkpoint;
mod file;
mod initial;
mod layout;
mod stream;

use std::sync::Arc;

use consilium_domain::network::TensorSpec;

pub use initial::{InitialError, initial_trainable};
pub use layout::{FileLayout, Run};
pub use stream::ReadWeightsError;

/// The 32-bit values of every tensor of a manifest, one after the other in its order.
#[derive(Clone, PartialEq)]
pub struct Weights {
    manifest: Arc<[TensorSpec]>,
    values: Vec<f32>,
}

/// Why bytes or values are not the weights a manifest describes.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum WeightsError {
    /// Not a safetensors file.
    #[error("the weights are not a safetensors file: {0}")]
    Format(String),
    /// The names do not match. Each list holds at most the first 20.
    #[error("the weights do not fit the network: missing [{}], unexpected [{}]", missing.join(", "), unexpected.join(", "))]
    Names {
        /// In the manifest, not in the file.
        missing: Vec<String>,
        /// In the file, not in the manifest.
        unexpected: Vec<String>,
    },
    /// A tensor has the wrong shape or type.
    #[error("tensor {name} is {found}, the network needs F32 {expected:?}")]
    Shape {
        /// The tensor.
        name: String,
        /// What the file holds.
        found: String,
        /// What the manifest says.
        expected: Vec<usize>,
    },
    /// A value is NaN or infinite.
    #[error("tensor {name} holds the value {value}, which is not finite")]
    NotFinite {
        /// The tensor.
        name: String,
        /// The value.
        value: f32,
    },
    /// Too few or too many values.
    #[error("{found} values were given for a network of {expected}")]
    Count {
        /// Values given.
        found: usize,
        /// Values the manifest holds.
        expected: usize,
    },
}

impl Weights {
    /// Weights with `values` in the order of `manifest`.
    ///
    /// # Errors
    /// When the count is wrong or a value is not finite.
    pub fn new(manifest: Arc<[TensorSpec]>, values: Vec<f32>) -> Result<Self, WeightsError> {
        let expected = manifest.iter().map(TensorSpec::values).sum();
        if values.len() != expected {
            return Err(WeightsError::Count { found: values.len(), expected });
        }
        let weights = Self { manifest, values };
        // All at once is what a processor does many at a time; which one it is, is asked only when there is one.
        if weights.values.iter().fold(true, |finite, value| finite & value.is_finite()) {
            return Ok(weights);
        }
        let mut broken = weights.iter().filter_map(|(tensor, values)| {
            let value = *values.iter().find(|value| !value.is_finite())?;
            Some(WeightsError::NotFinite { name: tensor.name.clone(), value })
        });
        Err(broken.next().expect("one of them is not finite"))
    }

    /// The manifest.
    pub const fn manifest(&self) -> &Arc<[TensorSpec]> {
        &self.manifest
    }

    /// All values in the order of the manifest.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// All values, in the manifest's order.
    pub fn into_values(self) -> Vec<f32> {
        self.values
    }

    /// Every tensor with its values.
    pub fn iter(&self) -> impl Iterator<Item = (&TensorSpec, &[f32])> {
        let mut rest = self.values.as_slice();
        self.manifest.iter().map(move |tensor| {
            let (values, tail) = rest.split_at(tensor.values());
            rest = tail;
            (tensor, values)
        })
    }

    /// The values of the tensor called `name`.
    pub fn tensor(&self, name: &str) -> Option<&[f32]> {
        self.iter().find(|(tensor, _)| tensor.name == name).map(|(_, values)| values)
    }
}

impl std::fmt::Debug for Weights {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Weights({} tensors, {} values)", self.manifest.len(), self.values.len())
    }
}
