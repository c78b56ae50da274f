//! What is timed.

use std::path::Path;

use serde_json::{Value, json};

/// What one measurement repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// Forward, backward and optimiser.
    Train,
    /// Answers for a batch.
    Evaluate,
}

/// The size of networks and volumes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    /// As named.
    Full,
    /// The same depths, narrow, on small volumes.
    Tiny,
}

/// A network, its data, and what is done with them.
#[derive(Debug)]
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    pub(crate) work: Work,
    depth: u16,
    arm: &'static str,
    shape: [usize; 3],
    batch: u16,
    norm: &'static str,
    precision: &'static str,
    /// Ours computes the maps within a block twice, to keep less; PyTorch does as always.
    checkpointing: bool,
}

/// The window of the paper (arXiv:2310.12373).
const WINDOW: [usize; 3] = [70, 86, 86];
const CUBE: [usize; 3] = [64, 64, 64];
/// Uneven, so that an exchanged axis shows; deep enough for a tap of dilation 4. Small: the fewer sums before a ReLU, the
/// fewer of them have a sign that is a matter of rounding.
const TINY_SHAPE: [usize; 3] = [34, 20, 24];
const FULL_WIDTH: u16 = 64;
const TINY_WIDTH: u16 = 4;

/// Every workload.
pub(crate) const ALL: [Workload; 8] = [
    Workload {
        name: "spottune50-train",
        work: Work::Train,
        depth: 50,
        arm: "spottune",
        shape: WINDOW,
        batch: 2,
        norm: "batch",
        precision: "f32",
        checkpointing: false,
    },
    Workload {
        name: "spottune50-train-fixed",
        work: Work::Train,
        depth: 50,
        arm: "spottune",
        shape: WINDOW,
        batch: 2,
        norm: "fixed",
        precision: "f32",
        checkpointing: false,
    },
    Workload {
        name: "spottune50-train-checkpointed",
        work: Work::Train,
        depth: 50,
        arm: "spottune",
        shape: WINDOW,
        batch: 2,
        norm: "batch",
        precision: "f32",
        checkpointing: true,
    },
    Workload {
        name: "resnet10-train",
        work: Work::Train,
        depth: 10,
        arm: "medicalnet",
        shape: CUBE,
        batch: 4,
        norm: "batch",
        precision: "f32",
        checkpointing: false,
    },
    Workload {
        name: "resnet50-train",
        work: Work::Train,
        depth: 50,
        arm: "medicalnet",
        shape: CUBE,
        batch: 2,
        norm: "batch",
        precision: "f32",
        checkpointing: false,
    },
    Workload {
        name: "spottune50-evaluate",
        work: Work::Evaluate,
        depth: 50,
        arm: "spottune",
        shape: WINDOW,
        batch: 2,
        norm: "batch",
        precision: "f32",
        checkpointing: false,
    },
    Workload {
        name: "spottune50-train-bf16",
        work: Work::Train,
        depth: 50,
        arm: "spottune",
        shape: WINDOW,
        batch: 2,
        norm: "batch",
        precision: "bf16",
        checkpointing: false,
    },
    Workload {
        name: "resnet10-train-bf16",
        work: Work::Train,
        depth: 10,
        arm: "medicalnet",
        shape: CUBE,
        batch: 4,
        norm: "batch",
        precision: "bf16",
        checkpointing: false,
    },
];

impl Work {
    /// The command of a worker that does it once.
    pub(crate) const fn command(self) -> &'static str {
        match self {
            Self::Train => "step",
            Self::Evaluate => "evaluate",
        }
    }

    /// Its name in answers and requests.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Evaluate => "evaluate",
        }
    }
}

impl Workload {
    /// What the workers are asked to build; weights and cases lie in `folder`. Step sizes are the paper's.
    pub(crate) fn plan(&self, size: Size, folder: &Path) -> Value {
        let (width, shape) = match size {
            Size::Full => (FULL_WIDTH, self.shape),
            Size::Tiny => (TINY_WIDTH, TINY_SHAPE),
        };
        json!({
            "depth": self.depth,
            "width": width,
            "arm": self.arm,
            "norm": self.norm,
            "checkpointing": self.checkpointing,
            "precision": self.precision,
            "shape": shape,
            "batch": self.batch,
            "weights": folder,
            "learning_rate": 1e-5,
            "policy_learning_rate": 1e-4,
            "weight_decay": 1e-8,
            "temperature": 5.0,
        })
    }
}
