//! The geometry of a 3D convolution, and two exact shortcuts around work that cannot matter.

use burn::tensor::module::conv3d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Tensor, s};

/// A cubic kernel with "same" padding: `dilation * (side - 1) / 2` voxels on either side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Geometry {
    /// Edge of the kernel, odd.
    pub(crate) side: usize,
    /// Step between outputs.
    pub(crate) stride: usize,
    /// Step between taps.
    pub(crate) dilation: usize,
}

impl Geometry {
    /// A 1x1x1 kernel.
    pub(crate) const fn pointwise(stride: usize) -> Self {
        Self { side: 1, stride, dilation: 1 }
    }

    /// Taps on either side of the centre that reach into an input of `extent` voxels for at least one output.
    ///
    /// The outermost tap is `reach * dilation` away from the centre, and no output's centre is further than
    /// `extent - 1` from the border: a tap beyond that always reads padding.
    pub(crate) fn useful_reach(self, extent: usize) -> usize {
        (self.side / 2).min(extent.saturating_sub(1) / self.dilation)
    }

    /// Convolves `input` `[batch, in, depth, height, width]` with `kernel` `[out, in, side, side, side]`.
    ///
    /// Taps that only ever read padding are cut off first: at dilation 4 on a small volume most of them. A
    /// pointwise kernel with a stride skips the voxels that it would not read. Neither changes the result.
    pub(crate) fn convolve(self, input: Tensor<5>, kernel: Tensor<5>, bias: Option<Tensor<1>>) -> Tensor<5> {
        if self.side == 1 && self.stride > 1 {
            let options = ConvOptions::new([1; 3], [0; 3], [1; 3], 1);
            return conv3d(subsample(input, self.stride), kernel, bias, options);
        }
        let [_, _, depth, height, width] = input.dims();
        let reach = [depth, height, width].map(|extent| self.useful_reach(extent));
        let centre = self.side / 2;
        let kernel = if reach == [centre; 3] {
            kernel
        } else {
            let [z, y, x] = reach.map(|reach| centre - reach..centre + reach + 1);
            kernel.slice(s![.., .., z, y, x])
        };
        let padding = reach.map(|reach| reach * self.dilation);
        // Along an axis with one tap left the dilation has no meaning; 1 lets the backend take its fast path.
        let dilation = reach.map(|reach| if reach == 0 { 1 } else { self.dilation });
        conv3d(input, kernel, bias, ConvOptions::new([self.stride; 3], padding, dilation, 1))
    }
}

/// Every `stride`-th voxel along each axis, from the first.
pub(crate) fn subsample(input: Tensor<5>, stride: usize) -> Tensor<5> {
    if stride == 1 {
        return input;
    }
    let step = stride as isize;
    input.slice(s![.., .., ..;step, ..;step, ..;step])
}

/// Appends channels of zeros up to `channels`.
pub(crate) fn pad_channels(input: Tensor<5>, channels: usize) -> Tensor<5> {
    let [batch, present, depth, height, width] = input.dims();
    let zeros = Tensor::zeros([batch, channels - present, depth, height, width], &input.device());
    Tensor::cat(vec![input, zeros], 1)
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;
    use crate::sample;

    fn plain(geometry: Geometry, input: Tensor<5>, kernel: Tensor<5>) -> Tensor<5> {
        let Geometry { side, stride, dilation } = geometry;
        let padding = dilation * (side - 1) / 2;
        conv3d(input, kernel, None, ConvOptions::new([stride; 3], [padding; 3], [dilation; 3], 1))
    }

    #[test]
    fn cutting_useless_taps_changes_neither_result_nor_gradients() {
        let device = Device::flex().autodiff();
        for (side, stride, dilation) in [(3, 1, 1), (3, 1, 2), (3, 1, 4), (3, 2, 1), (1, 2, 1), (7, 2, 1)] {
            let geometry = Geometry { side, stride, dilation };
            for extents in [[1, 2, 3], [3, 3, 3], [4, 5, 9]] {
                let shape = [2, 3, extents[0], extents[1], extents[2]];
                let values = sample::wave(shape.iter().product(), 0.37);
                let input = Tensor::<5>::from_data(TensorData::new(values, shape), &device).require_grad();
                let shape = [4, 3, side, side, side];
                let values = sample::wave(shape.iter().product(), 0.81);
                let kernel = Tensor::<5>::from_data(TensorData::new(values, shape), &device).require_grad();
                let results = [Geometry::convolve_unbiased, plain].map(|convolve| {
                    let output = convolve(geometry, input.clone(), kernel.clone());
                    let weights = Tensor::<5>::from_data(
                        TensorData::new(sample::wave(output.shape().num_elements(), 0.53), output.shape()),
                        &device,
                    );
                    let gradients = (output.clone() * weights).sum().backward();
                    let [dx, dw] = [&input, &kernel].map(|t| t.grad(&gradients).unwrap().into_data());
                    [output.into_data(), dx, dw]
                });
                for (ours, reference) in results[0].iter().zip(&results[1]) {
                    sample::assert_close(ours, reference, 1e-5);
                }
            }
        }
    }

    impl Geometry {
        fn convolve_unbiased(self, input: Tensor<5>, kernel: Tensor<5>) -> Tensor<5> {
            self.convolve(input, kernel, None)
        }
    }
}
