//! MedicalNet and SpotTune on burn: the only crate that knows tensors with gradients.
//!
//! The networks are those of Tencent/MedicalNet (arXiv:1904.00625), routed by SpotTune (arXiv:1811.08737) in three
//! dimensions (arXiv:2310.12373). [`Classifier`] is the whole surface: weights in, training, prediction, weights
//! out. Which tensors exist and what they are called is decided by `consilium_domain::network`, not here; reading
//! scans, augmentation and choosing cases happen above.

mod architecture;
mod backbone;
mod batches;
mod between_epochs;
mod block;
mod checkpointing;
mod classifier;
mod convolution;
mod device;
mod error;
mod features;
#[cfg(feature = "gpu")]
mod gpu;
mod gumbel;
mod inputs;
mod kernels;
mod layer;
mod linear;
mod loss;
mod mixed;
mod network;
mod norm;
mod optimiser;
mod parameters;
mod policy;
mod pool;
mod pooling;
mod prediction;
mod pretext;
mod read_ahead;
mod stem;
mod training;
mod volumes;

#[cfg(test)]
mod equivalence;
#[cfg(test)]
mod golden;
#[cfg(all(test, feature = "gpu"))]
mod on_gpu;
#[cfg(test)]
mod routing;
#[cfg(test)]
mod sample;

pub use architecture::Architecture;
pub use batches::TrainingCases;
pub use between_epochs::{BetweenEpochs, KeepError, TrainingState, TrainingStateError};
pub use classifier::{Classifier, LossAndGradients};
pub use device::{ComputeDevice, ComputeDeviceError};
pub use error::ModelError;
pub use inputs::{InMemory, InputError, Inputs};
pub use prediction::{Prediction, Routes};
pub use pretext::{Pretext, pretrain_backbone};
pub use training::{TrainingProgress, TrainingSummary};
