//! First values of tensors that no checkpoint provides.

use super::{TensorKind, TensorSpec};
use crate::Seed;

/// The first values of `tensor`: He-uniform kernels (arXiv:1502.01852), linear weights uniform in
/// +-1/sqrt(inputs), biases zero, batch-norm the identity.
///
/// Uniform rather than normal, because its arithmetic is exact on every platform: coordinators on different
/// machines make the same model.
pub fn initial_values(tensor: &TensorSpec, seed: &Seed) -> Vec<f32> {
    let inputs: usize = tensor.shape.iter().skip(1).product();
    let uniform = |bound: f64| -> Vec<f32> {
        let mut stream = seed.derive(&tensor.name).stream();
        (0..tensor.values()).map(|_| stream.between(-bound, bound) as f32).collect()
    };
    match tensor.kind {
        TensorKind::ConvKernel => uniform((6.0 / inputs as f64).sqrt()),
        TensorKind::LinearWeight => uniform((1.0 / inputs as f64).sqrt()),
        TensorKind::NormScale | TensorKind::NormVariance => vec![1.0; tensor.values()],
        TensorKind::NormShift | TensorKind::NormMean | TensorKind::LinearBias => vec![0.0; tensor.values()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_keep_the_variance_of_what_flows_through() {
        let tensor =
            TensorSpec { name: "k".into(), shape: vec![64, 16, 3, 3, 3], kind: TensorKind::ConvKernel };
        let values = initial_values(&tensor, &Seed::from_number(1));
        let variance = values.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / values.len() as f64;
        let he = 2.0 / (16.0 * 27.0);
        assert!((variance / he - 1.0).abs() < 0.05, "{variance} against {he}");
        assert_eq!(values, initial_values(&tensor, &Seed::from_number(1)));
    }
}
