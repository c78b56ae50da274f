//! Weights and cases from seeds, in files that both sides read.
//!
//! Not the first values of a study: there, scales are one, statistics are those of nothing and every case takes the
//! same route. Errors in what multiplies one or adds zero would go unseen.

use std::sync::Arc;

use consilium_domain::Seed;
use consilium_domain::network::{POLICY_PREFIX, TensorKind, TensorSpec, initial_values};
use consilium_weights::Weights;

use crate::Failure;
use crate::cases::manifest;
use crate::plan::Plan;

/// Factor of the policy's last weights, large enough for preferences of either sign beside the Gumbel noise.
const POLICY_SPREAD: f32 = 8.0;

/// Writes `base`, `trainable` and `cases` of a workload.
pub(crate) fn write(plan: &Plan) -> Result<(), Failure> {
    let seed = Seed::from_number(1);
    let base = weights(plan.spec.backbone_tensors(), &seed.derive("base"))?;
    std::fs::write(plan.file("base"), base.to_safetensors())?;
    let trainable = weights(plan.architecture().trainable_tensors(), &seed.derive("trainable"))?;
    std::fs::write(plan.file("trainable"), trainable.to_safetensors())?;
    std::fs::write(plan.file("cases"), cases(plan, &seed.derive("cases"))?.to_safetensors())?;
    Ok(())
}

fn weights(tensors: Vec<TensorSpec>, seed: &Seed) -> Result<Weights, Failure> {
    let manifest: Arc<[TensorSpec]> = tensors.into();
    let values = manifest.iter().flat_map(|tensor| values(tensor, seed)).collect();
    Ok(Weights::new(manifest, values)?)
}

fn values(tensor: &TensorSpec, seed: &Seed) -> Vec<f32> {
    let uniform = |low, high| {
        let mut stream = seed.derive(&tensor.name).stream();
        (0..tensor.values()).map(|_| stream.between(low, high) as f32).collect()
    };
    match tensor.kind {
        // Below one, so that the sums of many residual blocks stay where a logit still has a gradient.
        TensorKind::NormScale => uniform(0.5, 1.0),
        TensorKind::NormVariance => uniform(0.7, 1.3),
        TensorKind::NormShift | TensorKind::NormMean | TensorKind::LinearBias => uniform(-0.2, 0.2),
        TensorKind::LinearWeight if tensor.name.starts_with(POLICY_PREFIX) => {
            initial_values(tensor, seed).into_iter().map(|value| POLICY_SPREAD * value).collect()
        }
        TensorKind::ConvKernel | TensorKind::LinearWeight => initial_values(tensor, seed),
    }
}

/// Noise, stronger from case to case, so that cases differ in what a global average sees; labels alternate.
fn cases(plan: &Plan, seed: &Seed) -> Result<Weights, Failure> {
    let mut stream = seed.stream();
    let voxels: usize = plan.shape.iter().product();
    let mut values = Vec::with_capacity(usize::from(plan.batch) * (voxels + 1));
    for case in 0..plan.batch {
        let strength = 0.5 + f64::from(case);
        values.extend((0..voxels).map(|_| (strength * stream.normal()) as f32));
    }
    values.extend((0..plan.batch).map(|case| f32::from(case % 2)));
    Ok(Weights::new(manifest(plan), values)?)
}
