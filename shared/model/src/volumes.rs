//! A batch of single-channel volumes as a network's input.

use burn::tensor::{Device, Tensor, TensorData};
use consilium_conv3d::Arithmetic;

use crate::convolution::Geometry;
use crate::features::Features;

/// The stem's convolution: 7x7x7 with stride 2.
pub(crate) const STEM: Geometry = Geometry { side: 7, stride: 2, dilation: 1 };

/// A batch of `rows` volumes of `shape` on `device`, the values of which `fill` writes one volume at a time.
///
/// With an `arithmetic` the network computes by the processor's own kernels.
pub(crate) fn volumes(
    rows: usize,
    shape: [usize; 3],
    device: &Device,
    arithmetic: Option<Arithmetic>,
    mut fill: impl FnMut(usize, &mut [f32]),
) -> Features {
    let volume: usize = shape.iter().product();
    let mut values = vec![0.0; rows * volume];
    values.chunks_exact_mut(volume).enumerate().for_each(|(row, out)| fill(row, out));
    let [depth, height, width] = shape;
    let data = TensorData::new(values, [rows, 1, depth, height, width]);
    Features::Planar(Tensor::from_data(data, device), arithmetic)
}
