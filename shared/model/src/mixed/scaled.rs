//! A tensor in 16-bit floats that cannot overflow: divided by its largest absolute value.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, TensorMetadata};
use burn::tensor::{FloatDType, Shape};

/// What stands for zero as the largest value, so that a tensor of zeros stays one.
const LEAST: f32 = 1e-30;

/// Values of -1 to 1 in 16 bits, and what they were divided by.
#[derive(Debug, Clone)]
pub(super) struct Scaled<B: Backend> {
    /// In 16 bits.
    pub(super) values: FloatTensor<B>,
    /// One value in 32 bits.
    peak: FloatTensor<B>,
}

impl<B: Backend> Scaled<B> {
    /// Divides and rounds `tensor`. What is not finite makes all of it not finite.
    pub(super) fn of(tensor: FloatTensor<B>) -> Self {
        let peak = B::float_clamp_min(B::float_max_abs(tensor.clone()), LEAST.into());
        let values = B::float_div(tensor.clone(), spread::<B>(peak.clone(), tensor.shape().num_dims()));
        Self { values: B::float_cast(values, FloatDType::F16), peak }
    }

    /// The same divisor for other values.
    pub(super) fn map(self, change: impl FnOnce(FloatTensor<B>) -> FloatTensor<B>) -> Self {
        Self { values: change(self.values), ..self }
    }

    /// Undoes the divisions behind `products` of these values and of those of `other`.
    pub(super) fn unscaled(&self, other: &Self, products: FloatTensor<B>) -> FloatTensor<B> {
        let peaks = B::float_mul(self.peak.clone(), other.peak.clone());
        let rank = products.shape().num_dims();
        B::float_mul(products, spread::<B>(peaks, rank))
    }
}

/// One value as a tensor of rank `rank`.
fn spread<B: Backend>(value: FloatTensor<B>, rank: usize) -> FloatTensor<B> {
    B::float_reshape(value, Shape::from(vec![1; rank]))
}
