//! Checkpoints whose values are a formula, the one that the golden numbers of the upstream network were made with.

use consilium_domain::network::{NetworkSpec, TensorKind, TensorSpec};

use super::Model;

/// The values of `tensor`, which has the running index `t` in its state dictionary, counters included.
pub(crate) fn values(tensor: &TensorSpec, t: u32) -> Vec<f32> {
    let fan_in: usize = tensor.shape.iter().skip(1).product();
    let (scale, t) = ((6.0 / fan_in as f64).sqrt(), f64::from(t));
    let value = |i: f64| match tensor.kind {
        TensorKind::ConvKernel => scale * (0.7 * t + 1.3 * i).sin(),
        TensorKind::NormScale => 1.0 + 0.1 * (0.37 * i + t).sin(),
        TensorKind::NormShift => 0.1 * (0.29 * i + t).cos(),
        TensorKind::NormMean => 0.05 * (0.11 * i + t).sin(),
        TensorKind::NormVariance => 1.0 + 0.2 * (0.17 * i + t).sin().abs(),
        TensorKind::LinearWeight | TensorKind::LinearBias => unreachable!("a backbone has no linear layer"),
    };
    (0..tensor.values()).map(|i| value(i as f64) as f32).collect()
}

/// The tensors of a backbone with their running indices.
pub(crate) fn indexed(network: NetworkSpec) -> impl Iterator<Item = (TensorSpec, u32)> {
    let mut next = 0;
    network.backbone_tensors().into_iter().map(move |tensor| {
        let t = next;
        // A counter follows each variance.
        next += if tensor.kind == TensorKind::NormVariance { 2 } else { 1 };
        (tensor, t)
    })
}

/// The checkpoint of `network` as it was released: wrapped, prefixed, with counters.
pub(crate) fn model(network: NetworkSpec) -> Model {
    let mut model = Model { wrapped: true, prefixed: true, ..Model::default() };
    for (tensor, t) in indexed(network) {
        let shape: Vec<u64> = tensor.shape.iter().map(|&extent| extent as u64).collect();
        model.push_floats(&tensor.name, &shape, &values(&tensor, t));
        if tensor.kind == TensorKind::NormVariance {
            model.push_counter(&tensor.name.replace("running_var", "num_batches_tracked"));
        }
    }
    model
}
