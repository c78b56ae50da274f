//! Hard routing decisions with a soft gradient: straight-through Gumbel-softmax (arXiv:1611.01144) over two choices.
//!
//! With two choices the softmax is the logistic function of the difference, so the noise enters as a difference
//! too. The decision follows the noisy logits whatever the temperature; the temperature shapes the gradient only.

use burn::tensor::Tensor;
use burn::tensor::activation::sigmoid;
use consilium_domain::RandomStream;

/// Keeps the logarithms finite at 0 and 1, as in SpotTune (arXiv:1811.08737).
const TINY: f64 = 1e-20;

/// A standard Gumbel variate from a uniform one.
fn gumbel(uniform: f64) -> f64 {
    -(-(uniform + TINY).ln() + TINY).ln()
}

/// Gumbel noise of choice 1 minus that of choice 0, for `count` decisions.
pub(crate) fn noise_differences(stream: &mut RandomStream, count: usize) -> Vec<f32> {
    let mut pair = || {
        let (zero, one) = (stream.uniform(), stream.uniform());
        (gumbel(one) - gumbel(zero)) as f32
    };
    (0..count).map(|_| pair()).collect()
}

/// Decides for choice 1 (exactly 1.0) or choice 0 (exactly 0.0).
///
/// `preference` is logit 1 minus logit 0 and `noise` a difference from [`noise_differences`], both
/// `[batch, decisions]`. Backward, the decision behaves like `sigmoid((preference + noise) / temperature)`.
pub(crate) fn decide(preference: Tensor<2>, noise: Tensor<2>, temperature: f64) -> Tensor<2> {
    let noisy = preference + noise;
    let hard = noisy.clone().greater_scalar(0.0).float();
    let soft = sigmoid(noisy.div_scalar(temperature));
    // `soft - soft` is exactly zero, so only the gradient of `soft` remains.
    hard + (soft.clone() - soft.detach())
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use consilium_domain::Seed;

    use super::*;

    const LOGITS: [[f64; 2]; 3] = [[1.0, 0.0], [0.2, -0.3], [-2.0, 1.5]];
    const UNIFORMS: [[f64; 2]; 3] = [[0.3, 0.8], [0.9, 0.1], [0.5, 0.5]];
    const UPSTREAM: [f32; 3] = [1.0, -2.0, 0.5];

    fn assert_near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
    }

    #[test]
    fn noise_equals_the_reference() {
        let expected = [
            [-0.185626758862, 1.499939986760],
            [2.250367327312, -0.834032445248],
            [0.366512920582, 0.366512920582],
        ];
        for (uniforms, expected) in UNIFORMS.iter().zip(expected) {
            assert_near(gumbel(uniforms[0]), expected[0]);
            assert_near(gumbel(uniforms[1]), expected[1]);
        }
        assert!(gumbel(0.0).is_finite() && gumbel(1.0).is_finite());
    }

    #[test]
    fn decisions_and_gradients_equal_the_reference() {
        let device = Device::flex().autodiff();
        for (temperature, expected) in [
            (1.0, [0.222781598707, -0.052549329127, 0.014226511940]),
            (5.0, [0.049765733501, -0.088177461537, 0.022171287329]),
            (100.0, [0.002499970625, -0.004998394354, 0.001249617266]),
        ] {
            let logits = Tensor::<2>::from_data(LOGITS, &device).require_grad();
            let [zero, one] = [0, 1].map(|choice| logits.clone().narrow(1, choice, 1));
            let noise = UNIFORMS.map(|[zero, one]| [(gumbel(one) - gumbel(zero)) as f32]);
            let decisions = decide(one - zero, Tensor::from_data(noise, &device), temperature);
            assert_eq!(decisions.to_data().as_slice::<f32>().unwrap(), [1.0, 0.0, 1.0]);
            let upstream = Tensor::<1>::from_data(UPSTREAM, &device).reshape([3, 1]);
            let loss = (decisions * upstream).sum();
            assert_near(loss.clone().into_scalar::<f32>().into(), 1.5);
            let gradient = logits.grad(&loss.backward()).unwrap().into_data();
            let gradient = gradient.as_slice::<f32>().unwrap();
            for (pair, expected) in gradient.chunks(2).zip(expected) {
                assert_near(pair[1].into(), expected);
                assert_near(pair[0].into(), -expected);
            }
        }
    }

    /// P(choice 1) is the logistic function of the preference, whatever the temperature.
    #[test]
    fn frequencies_follow_the_logits() {
        let count = 20_000;
        let noise = noise_differences(&mut Seed::from_number(5).stream(), count);
        let ones = noise.iter().filter(|noise| 1.0 + **noise > 0.0).count();
        let expected = 1.0 / (1.0 + (-1.0f64).exp());
        assert!((ones as f64 / count as f64 - expected).abs() < 0.01);
    }
}
