//! The one batch of a workload, as training reads it.

use std::sync::Arc;

use consilium_domain::Label;
use consilium_domain::network::{TensorKind, TensorSpec};
use consilium_model::{InputError, Inputs, TrainingCases};
use consilium_weights::Weights;

use crate::Failure;
use crate::plan::Plan;

/// Volumes and labels.
pub(crate) struct Cases {
    shape: [usize; 3],
    /// One volume after the other.
    voxels: Vec<f32>,
    labels: Vec<Label>,
}

/// What the file of cases holds: `input` `[cases, 1, depth, height, width]` and `targets` `[cases]` of 0 and 1.
pub(crate) fn manifest(plan: &Plan) -> Arc<[TensorSpec]> {
    let (cases, [depth, height, width]) = (plan.batch.into(), plan.shape);
    // A file of cases is a file of weights as far as its format goes; the kinds mean nothing here.
    let tensor = |name: &str, shape| TensorSpec { name: name.into(), shape, kind: TensorKind::LinearBias };
    [tensor("input", vec![cases, 1, depth, height, width]), tensor("targets", vec![cases])].into()
}

impl Cases {
    /// Reads the cases of a workload.
    pub(crate) fn read(plan: &Plan) -> Result<Self, Failure> {
        let file = Weights::from_safetensors(&std::fs::read(plan.file("cases"))?, manifest(plan))?;
        let tensor = |name| file.tensor(name).ok_or("the manifest has the tensor");
        let label = |target: &f32| if *target > 0.5 { Label::Methylated } else { Label::Unmethylated };
        Ok(Self {
            shape: plan.shape,
            voxels: tensor("input")?.to_vec(),
            labels: tensor("targets")?.iter().map(label).collect(),
        })
    }

    /// Every volume.
    fn inputs(&self) -> Vec<&[f32]> {
        self.voxels.chunks_exact(self.shape.iter().product()).collect()
    }
}

impl Inputs for Cases {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn shape(&self) -> [usize; 3] {
        self.shape
    }

    fn read(&self, index: usize, out: &mut [f32]) -> Result<(), InputError> {
        out.copy_from_slice(self.inputs()[index]);
        Ok(())
    }
}

impl TrainingCases for Cases {
    fn label(&self, index: usize) -> Label {
        self.labels[index]
    }
}
