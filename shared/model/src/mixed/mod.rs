//! Mixed precision (arXiv:1710.03740) for devices without kernels of ours: convolutions as products of matrices of 16-bit
//! floats, summed in 32 bits.
//!
//! Not burn's convolution on 16-bit tensors: where a card has no matrix units that burn can reach, it also *sums* in 16 bits,
//! and a sum over the voxels of a batch is then nonsense. Not loss scaling either: every factor is divided by its own largest
//! value, so nothing overflows, and no step is lost ([ADR 24](../../../../docs/adr/0024-mixed-precision-on-cards.md)).

mod derivative;
mod products;
mod scaled;
mod taps;

#[cfg(feature = "gpu")]
use burn::backend::Cube;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::Tensor;
use burn_flex::Flex;

use crate::convolution::Geometry;
use products::forward;
use scaled::Scaled;

/// Convolves `input` `[batch, in, depth, height, width]` with `kernel` `[out, in, side, side, side]`; the factors of every
/// product are rounded to 16-bit floats.
pub(crate) fn convolve(input: Tensor<5>, kernel: Tensor<5>, geometry: Geometry) -> Tensor<5> {
    let output = Dispatch::convolve_mixed(input.into_dispatch(), kernel.into_dispatch(), geometry);
    Tensor::from_dispatch(output)
}

/// What backends are extended by.
#[backend_extension(Flex, Cube: cfg(feature = "gpu"), Autodiff)]
pub(crate) trait MixedPrecision: Backend {
    /// See [`convolve`].
    fn convolve_mixed(
        input: FloatTensor<Self>,
        kernel: FloatTensor<Self>,
        geometry: Geometry,
    ) -> FloatTensor<Self> {
        forward::<Self>(Scaled::of(input), Scaled::of(kernel), geometry)
    }
}

/// The processor has better; this is for tests.
impl MixedPrecision for Flex {}

#[cfg(feature = "gpu")]
impl MixedPrecision for Cube {}

#[cfg(test)]
mod tests {
    use burn::tensor::module::conv3d;
    use burn::tensor::ops::ConvOptions;
    use burn::tensor::{Device, TensorData};

    use super::*;
    use crate::equivalence::distance;
    use crate::sample;

    /// Output, gradient of the input and gradient of the kernel; the input and the loss are multiplied by `scale`.
    fn results(
        convolve: impl Fn(Tensor<5>, Tensor<5>) -> Tensor<5>,
        shapes: [[usize; 5]; 2],
        scale: f32,
    ) -> [TensorData; 3] {
        let device = Device::flex().autodiff();
        let wave = |shape: [usize; 5], step: f64| {
            let values = sample::wave(shape.iter().product(), step);
            Tensor::<5>::from_data(TensorData::new(values, shape), &device)
        };
        let input = wave(shapes[0], 0.37).mul_scalar(scale).require_grad();
        let kernel = wave(shapes[1], 0.81).require_grad();
        let output = convolve(input.clone(), kernel.clone());
        let weights = wave(output.dims(), 0.53).mul_scalar(scale);
        let gradients = (output.clone() * weights).sum().backward();
        let [dx, dw] = [&input, &kernel].map(|tensor| tensor.grad(&gradients).unwrap().into_data());
        [output.into_data(), dx, dw]
    }

    /// Far beyond what 16-bit floats hold, too: 1e-12 would be zero there, and 1e9 infinite.
    #[test]
    fn products_of_halves_are_the_convolution_and_its_gradients() {
        for (side, stride, dilation) in [(3, 1, 1), (3, 1, 2), (3, 1, 4), (3, 2, 1), (1, 2, 1), (7, 2, 1)] {
            let geometry = Geometry { side, stride, dilation };
            let padding = dilation * (side - 1) / 2;
            let options = || ConvOptions::new([stride; 3], [padding; 3], [dilation; 3], 1);
            for [z, y, x] in [[1, 2, 3], [3, 3, 3], [4, 5, 9]] {
                let shapes = [[2, 3, z, y, x], [4, 3, side, side, side]];
                for scale in [1.0, 1e-12, 1e9] {
                    let found = results(|x, w| convolve(x, w, geometry), shapes, scale);
                    let expected = results(|x, w| conv3d(x, w, None, options()), shapes, scale);
                    for (found, expected) in found.iter().zip(&expected) {
                        let error = distance(found, expected);
                        assert!(error < 2e-3, "{error} for {geometry:?} over {shapes:?}, scale {scale}");
                    }
                }
            }
        }
    }

    /// Sums of more terms than one product may have, all of the same sign: no other order of magnitude would overflow first.
    #[test]
    fn long_sums_do_not_overflow() {
        let device = Device::flex().autodiff();
        let geometry = Geometry { side: 1, stride: 1, dilation: 1 };
        let ones = |shape: [usize; 5]| Tensor::<5>::ones(shape, &device).require_grad();
        let (input, kernel) = (ones([2, 1, 64, 64, 40]), ones([1, 1, 1, 1, 1]));
        let gradients = convolve(input, kernel.clone(), geometry).sum().backward();
        let found = kernel.grad(&gradients).unwrap().into_scalar::<f32>();
        assert_eq!(found, 2.0 * 64.0 * 64.0 * 40.0);
    }

    #[test]
    fn zeros_stay_zeros_and_what_is_not_finite_does_not_hide() {
        let device = Device::flex();
        let geometry = Geometry { side: 3, stride: 1, dilation: 1 };
        let of = |value: f32, shape: [usize; 5]| Tensor::<5>::full(shape, value, &device);
        let kernel = || of(1.0, [1, 1, 3, 3, 3]);
        let sum = |value| convolve(of(value, [1, 1, 3, 3, 3]), kernel(), geometry).sum().into_scalar::<f32>();
        assert_eq!(sum(0.0), 0.0);
        assert!(!sum(f32::INFINITY).is_finite());
        assert!(!sum(f32::NAN).is_finite());
    }
}
