//! The losses of classification and of the pretext task.

use burn::tensor::Tensor;
use burn::tensor::activation::log_sigmoid;

/// Mean binary cross-entropy of logits `[batch]` against targets 0 or 1, finite for every finite logit:
/// `-w (y ln s(z) + (1 - y) ln s(-z))` with the logarithm of the logistic function taken in one piece. The weights w
/// `[batch]` do not enter the divisor, as with `pos_weight` in PyTorch's `BCEWithLogitsLoss`.
pub(crate) fn binary_cross_entropy(
    logits: Tensor<1>,
    targets: Tensor<1>,
    weights: Option<Tensor<1>>,
) -> Tensor<1> {
    let positive = log_sigmoid(logits.clone()) * targets.clone();
    let negative = log_sigmoid(logits.neg()) * targets.neg().add_scalar(1.0);
    let terms = positive + negative;
    weights.map_or_else(|| terms.clone(), |weights| terms.clone() * weights).mean().neg()
}

/// Mean squared difference.
pub(crate) fn mean_squared_error(outputs: Tensor<2>, targets: Tensor<2>) -> Tensor<1> {
    let difference = outputs - targets;
    (difference.clone() * difference).mean()
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn cross_entropy_and_its_gradient_are_exact_and_finite() {
        let device = Device::flex().autodiff();
        for (logit, target) in
            [(0.0f32, 1.0f32), (0.0, 0.0), (2.5, 0.0), (-3.0, 1.0), (200.0, 0.0), (-200.0, 1.0)]
        {
            let z = Tensor::<1>::from_data([logit], &device).require_grad();
            let loss = binary_cross_entropy(z.clone(), Tensor::from_data([target], &device), None);
            let (z64, y) = (f64::from(logit), f64::from(target));
            let expected = z64.max(0.0) - z64 * y + (-z64.abs()).exp().ln_1p();
            let slope = 1.0 / (1.0 + (-z64).exp()) - y;
            let found = f64::from(loss.clone().into_scalar::<f32>());
            assert!((found - expected).abs() < 1e-5 * (1.0 + expected), "{found} {expected}");
            let found = f64::from(z.grad(&loss.backward()).unwrap().into_scalar::<f32>());
            assert!((found - slope).abs() < 1e-6, "{found} {slope} at {logit}");
        }
    }

    #[test]
    fn weights_multiply_terms_and_not_the_divisor() {
        let device = Device::flex();
        let [logits, targets, weights] =
            [[0.0f32, 0.0], [1.0, 0.0], [3.0, 1.0]].map(|values| Tensor::<1>::from_data(values, &device));
        let loss = binary_cross_entropy(logits, targets, Some(weights)).into_scalar::<f32>();
        assert!((loss - 2.0 * std::f32::consts::LN_2).abs() < 1e-6, "{loss}");
    }
}
