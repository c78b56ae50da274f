//! What a workload is.

use std::path::PathBuf;

use consilium_domain::network::{NetworkSpec, StemMode, Transfer};
use consilium_domain::{Arm, AugmentationSpec, ClassBalance, Schedule, Training};
use consilium_model::Architecture;
use serde_json::{Value, json};

use crate::Failure;

/// A network, its data and its recipe.
pub(crate) struct Plan {
    pub(crate) spec: NetworkSpec,
    pub(crate) arm: Arm,
    pub(crate) recipe: Training,
    /// Depth, height and width of an input, in voxels.
    pub(crate) shape: [usize; 3],
    /// Cases of the one batch there is.
    pub(crate) batch: u16,
    /// Whether maps within a block are computed twice.
    pub(crate) checkpointing: bool,
    /// Folder of the files that both sides read.
    pub(crate) folder: PathBuf,
}

impl Plan {
    /// Reads the request of `prepare` or `build`.
    pub(crate) fn read(request: &Value) -> Result<Self, Failure> {
        let field = |name: &str| request[name].clone();
        let batch = serde_json::from_value(field("batch"))?;
        let recipe = Training {
            rounds: 1,
            // One batch an epoch: training goes on for as long as the other side asks for steps.
            local_epochs: u16::MAX,
            batch_size: batch,
            learning_rate: serde_json::from_value(field("learning_rate"))?,
            policy_learning_rate: serde_json::from_value(field("policy_learning_rate"))?,
            weight_decay: serde_json::from_value(field("weight_decay"))?,
            temperature: serde_json::from_value(field("temperature"))?,
            norm: serde_json::from_value(field("norm"))?,
            precision: serde_json::from_value(field("precision"))?,
            schedule: Schedule::Constant,
            transfer: Transfer::All,
            stem: StemMode::Frozen,
            class_balance: ClassBalance::None,
            augmentation: AugmentationSpec::default(),
        };
        let spec = json!({ "depth": request["depth"], "width": request["width"] });
        Ok(Self {
            spec: serde_json::from_value(spec)?,
            arm: serde_json::from_value(field("arm"))?,
            recipe,
            shape: serde_json::from_value(field("shape"))?,
            batch,
            checkpointing: serde_json::from_value(field("checkpointing"))?,
            folder: serde_json::from_value(field("weights"))?,
        })
    }

    /// The network.
    pub(crate) fn architecture(&self) -> Architecture {
        let (spec, arm, recipe) = (self.spec, self.arm, &self.recipe);
        Architecture { spec, arm, tuning: recipe.tuning(), norm: recipe.norm }
    }

    /// The file of `part`: `base`, `trainable` or `cases`.
    pub(crate) fn file(&self, part: &str) -> PathBuf {
        self.folder.join(format!("{part}.safetensors"))
    }
}
