//! Which network of which arm, and what of it trains.

use consilium_domain::network::{NetworkSpec, TensorSpec, Tuning};
use consilium_domain::{Arm, NormMode, Study};

/// Everything that decides a network's tensors and how they are used, but their values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Architecture {
    /// The backbone.
    pub spec: NetworkSpec,
    /// The arm.
    pub arm: Arm,
    /// What of the backbone trains.
    pub tuning: Tuning,
    /// How trained layers normalise.
    pub norm: NormMode,
}

impl Architecture {
    /// The network of an arm of a study.
    pub fn of_study(study: &Study, arm: Arm) -> Self {
        Self { spec: study.network, arm, tuning: study.training.tuning(), norm: study.training.norm }
    }

    /// The tensors that train, with their running statistics, in the order of files.
    pub fn trainable_tensors(self) -> Vec<TensorSpec> {
        self.spec.trainable_tensors(self.arm, self.tuning)
    }
}
