//! A batch of single-channel volumes as a network's input.

use burn::tensor::{Device, Tensor, TensorData};

use crate::convolution::Geometry;
use crate::features::{Features, Method};

/// The stem's convolution: 7x7x7 with stride 2.
pub(crate) const STEM: Geometry = Geometry { side: 7, stride: 2, dilation: 1 };

/// A batch of volumes of `shape` on `device`, for a network that computes by `method`; `values` holds one volume after the
/// other.
pub(crate) fn volumes(values: Vec<f32>, shape: [usize; 3], device: &Device, method: Method) -> Features {
    let [depth, height, width] = shape;
    let rows = values.len() / (depth * height * width);
    let data = TensorData::new(values, [rows, 1, depth, height, width]);
    Features::Planar(Tensor::from_data(data, device), method)
}
