//! The two poolings of a 3D ResNet.

use burn::tensor::Tensor;
use burn::tensor::module::{max_pool1d, max_pool2d};
use burn::tensor::ops::MaxPoolOptions;

/// Maximum over 3x3x3 voxels with stride 2 and padding 1, as two poolings one after the other: the maximum over a
/// box is the maximum along depth of the maxima in the planes. burn 0.22 has no pooling in three dimensions.
pub(crate) fn max_pool(input: Tensor<5>) -> Tensor<5> {
    let [batch, channels, depth, height, width] = input.dims();
    let planes = max_pool2d(
        input.reshape([batch, channels * depth, height, width]),
        MaxPoolOptions::new([3, 3]).with_stride([2, 2]).with_padding([1, 1]),
    );
    let [_, _, height, width] = planes.dims();
    let columns = planes.reshape([batch * channels, depth, height * width]).swap_dims(1, 2);
    let columns = max_pool1d(columns, MaxPoolOptions::new([3]).with_stride([2]).with_padding([1]));
    let depth = columns.dims()[2];
    columns.swap_dims(1, 2).reshape([batch, channels, depth, height, width])
}

/// Mean over all voxels: `[batch, channels, ..]` to `[batch, channels]`.
pub(crate) fn global_average(input: Tensor<5>) -> Tensor<2> {
    let [batch, channels, depth, height, width] = input.dims();
    input.reshape([batch, channels, depth * height * width]).mean_dim(2).squeeze_dim(2)
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;
    use crate::sample;

    #[test]
    fn the_maximum_is_that_of_the_box() {
        let (side, half) = (5usize, 3usize);
        let values = sample::wave(2 * side.pow(3), 0.7);
        let input =
            Tensor::from_data(TensorData::new(values.clone(), [1, 2, side, side, side]), &Device::flex());
        let pooled = max_pool(input).into_data();
        let at = |c: usize, z: usize, y: usize, x: usize| values[((c * side + z) * side + y) * side + x];
        let near = |o: usize| (2 * o).saturating_sub(1)..(2 * o + 2).min(side);
        let mut expected = Vec::new();
        for (c, z, y, x) in outputs(half) {
            let mut best = f32::NEG_INFINITY;
            for i in near(z) {
                for j in near(y) {
                    best = near(x).map(|k| at(c, i, j, k)).fold(best, f32::max);
                }
            }
            expected.push(best);
        }
        assert_eq!(pooled.as_slice::<f32>().unwrap(), expected);
    }

    fn outputs(half: usize) -> impl Iterator<Item = (usize, usize, usize, usize)> {
        (0..2 * half.pow(3))
            .map(move |i| (i / half.pow(3), i / half.pow(2) % half, i / half % half, i % half))
    }
}
