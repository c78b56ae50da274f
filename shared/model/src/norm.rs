//! Batch normalisation (arXiv:1502.03167) with its two ways of training told apart.
//!
//! Not burn's layer: there, whether the stored statistics or the batch's are used depends on the device and on a
//! flag that freezing changes together with scale and shift. Here the study's `NormMode` decides and nothing else.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use consilium_domain::NormMode;
use consilium_domain::network::TensorKind;

use crate::convolution::Geometry;
use crate::features::{Features, Finish, Normalised};
use crate::parameters::{Reader, Writer};

/// Added to the variance, as in MedicalNet.
pub(crate) const EPSILON: f64 = 1e-5;
/// Share of a batch in the running statistics, as in MedicalNet.
const MOMENTUM: f64 = 0.1;

/// `(x - mean) / sqrt(variance + epsilon) * scale + shift` for each channel.
#[derive(Module, Debug)]
pub(crate) struct Norm {
    scale: Param<Tensor<1>>,
    shift: Param<Tensor<1>>,
    /// Shared by clones, because an optimiser works on one. Not burn's `RunningState`: that keeps an update for each
    /// thread, and another thread than the one that trained reads old statistics.
    #[module(skip)]
    statistics: Arc<Mutex<Statistics>>,
    #[module(skip)]
    mode: NormMode,
}

/// Running statistics of a batch-norm, `[channels]` each.
#[derive(Debug, Clone)]
struct Statistics {
    mean: Tensor<1>,
    /// The biased variance, also of what a batch adds.
    variance: Tensor<1>,
}

/// Normalisation with stored statistics as one multiplication and one addition for each channel.
pub(crate) struct Affine {
    /// Factor, `[channels]`.
    pub(crate) factor: Tensor<1>,
    /// Summand, `[channels]`.
    pub(crate) summand: Tensor<1>,
}

impl Affine {
    /// From scale, shift, mean and variance.
    pub(crate) fn new(scale: Tensor<1>, shift: Tensor<1>, mean: Tensor<1>, variance: Tensor<1>) -> Self {
        let factor = scale / variance.add_scalar(EPSILON).sqrt();
        let summand = shift - mean * factor.clone();
        Self { factor, summand }
    }

    /// The normalisation behind a convolution as one convolution: its kernel `[out, in, ..]` and bias `[out]`.
    pub(crate) fn fold(self, kernel: Tensor<5>) -> (Tensor<5>, Tensor<1>) {
        let out = kernel.dims()[0];
        (kernel * self.factor.reshape([out, 1, 1, 1, 1]), self.summand)
    }

    /// The next four tensors of a manifest, as a normalisation that never changes.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Self {
        let [scale, shift, mean, variance] =
            [TensorKind::NormScale, TensorKind::NormShift, TensorKind::NormMean, TensorKind::NormVariance]
                .map(|kind| reader.take::<1>(kind));
        Self::new(scale, shift, mean, variance)
    }
}

impl Norm {
    pub(crate) fn read(reader: &mut Reader<'_>, mode: NormMode) -> Self {
        let scale = reader.take_trained(TensorKind::NormScale);
        let shift = reader.take_trained(TensorKind::NormShift);
        let mean = reader.take(TensorKind::NormMean);
        let variance = reader.take(TensorKind::NormVariance);
        Self { scale, shift, statistics: Arc::new(Mutex::new(Statistics { mean, variance })), mode }
    }

    pub(crate) fn write(&self, writer: &mut Writer<'_>) {
        writer.put_learned(&self.scale, |scale| scale);
        writer.put_learned(&self.shift, |shift| shift);
        let Statistics { mean, variance } = self.statistics().clone();
        writer.put(mean);
        writer.put(variance);
    }

    /// Convolves `input` with `kernel` and normalises the result as in training.
    pub(crate) fn forward(
        &self,
        input: Features,
        kernel: Tensor<5>,
        geometry: Geometry,
        finish: Finish,
    ) -> Features {
        match self.mode {
            NormMode::Batch => {
                let (scale, shift) = (self.scale.val(), self.shift.val());
                let Normalised { features, mean, variance } =
                    input.convolve_and_normalise(kernel, scale, shift, geometry, finish);
                self.blend(mean, variance);
                features
            }
            NormMode::Fixed => {
                let (kernel, bias) = self.affine().fold(kernel);
                input.convolve(kernel, bias, geometry, finish)
            }
        }
    }

    /// The normalisation by stored statistics; scale and shift keep their gradients.
    pub(crate) fn affine(&self) -> Affine {
        let Statistics { mean, variance } = self.statistics().clone();
        Affine::new(self.scale.val(), self.shift.val(), mean, variance)
    }

    /// The same normalisation with statistics of its own.
    pub(crate) fn with_own_statistics(&self) -> Self {
        let statistics = Arc::new(Mutex::new(self.statistics().clone()));
        Self { scale: self.scale.clone(), shift: self.shift.clone(), statistics, mode: self.mode }
    }

    /// Gives the running statistics their share of a batch's.
    fn blend(&self, mean: Tensor<1>, variance: Tensor<1>) {
        let share = |running: Tensor<1>, batch: Tensor<1>| {
            running.mul_scalar(1.0 - MOMENTUM) + batch.detach().mul_scalar(MOMENTUM)
        };
        let mut running = self.statistics();
        let Statistics { mean: old_mean, variance: old_variance } = running.clone();
        *running = Statistics { mean: share(old_mean, mean), variance: share(old_variance, variance) };
    }

    fn statistics(&self) -> MutexGuard<'_, Statistics> {
        // Statistics are replaced as a whole, so a panic elsewhere cannot have left half of them.
        self.statistics.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;
    use crate::features::Method;
    use crate::sample;

    fn norm(mode: NormMode, device: &Device) -> Norm {
        let tensor = |values: [f32; 2]| Tensor::<1>::from_data(values, device);
        Norm {
            scale: Param::from_tensor(tensor([2.0, 0.5])),
            shift: Param::from_tensor(tensor([0.1, -0.1])),
            statistics: Arc::new(Mutex::new(Statistics {
                mean: tensor([1.0, 2.0]),
                variance: tensor([4.0, 0.25]),
            })),
            mode,
        }
    }

    /// What `norm` makes of feature maps `[batch, 2, voxels, 1, 1]` behind a convolution that changes nothing.
    fn forward(norm: &Norm, values: &[f32], batch: usize, device: &Device) -> Tensor<5> {
        let data = TensorData::new(values.to_vec(), [batch, 2, values.len() / 2 / batch, 1, 1]);
        let kernel = TensorData::new(vec![1.0f32, 0.0, 0.0, 1.0], [2, 2, 1, 1, 1]);
        let input = Features::Planar(Tensor::from_data(data, device), Method::Burn);
        let kernel = Tensor::from_data(kernel, device);
        norm.forward(input, kernel, Geometry::pointwise(1), Finish::default()).into_planar()
    }

    fn floats<const D: usize>(tensor: &Tensor<D>) -> Vec<f32> {
        tensor.to_data().try_to_vec().unwrap()
    }

    #[test]
    fn running_statistics_take_a_tenth_of_each_batch_with_the_biased_variance() {
        let device = Device::flex().autodiff();
        let norm = norm(NormMode::Batch, &device);
        let values = [1.0, 3.0, 10.0, 10.0, 5.0, 7.0, 10.0, 14.0];
        forward(&norm, &values, 2, &device);
        // Channel 0 holds 1, 3, 5, 7 (mean 4, variance 5), channel 1 10, 10, 10, 14 (mean 11, variance 3).
        sample::assert_close(
            &norm.statistics().mean.clone().into_data(),
            &TensorData::from([1.3f32, 2.9]),
            1e-6,
        );
        sample::assert_close(
            &norm.statistics().variance.clone().into_data(),
            &TensorData::from([4.1f32, 0.525]),
            1e-6,
        );
    }

    #[test]
    fn fixed_statistics_normalise_and_scale_and_shift_still_learn() {
        let device = Device::flex().autodiff();
        let norm = norm(NormMode::Fixed, &device);
        let output = forward(&norm, &[3.0, 2.5], 1, &device);
        let expected = TensorData::new(vec![2.1f32, 0.4], [1, 2, 1, 1, 1]);
        sample::assert_close(&output.to_data(), &expected, 1e-4);
        let gradients = output.sum().backward();
        let expected = TensorData::from([1.0f32, 1.0]);
        sample::assert_close(&norm.scale.val().grad(&gradients).unwrap().into_data(), &expected, 1e-4);
        sample::assert_close(&norm.shift.val().grad(&gradients).unwrap().into_data(), &expected, 1e-6);
        assert_eq!(floats(&norm.statistics().mean.clone()), [1.0, 2.0]);
        assert_eq!(floats(&norm.statistics().variance.clone()), [4.0, 0.25]);
    }
}
