//! A batch of single-channel volumes, and the stem's convolution over them.
//!
//! With one input channel a convolution is a product of small patches with the kernels. Flex's general convolution
//! would spend more time on the stems of a small network than on all of its blocks, most of it for the kernel's
//! gradient. So the patches are laid out once, and both stems of SpotTune read them.

use burn::tensor::{Device, Tensor, TensorData};

use crate::convolution::Geometry;

/// The stem's convolution: 7x7x7 with stride 2.
pub(crate) const STEM: Geometry = Geometry { side: SIDE, stride: 2, dilation: 1 };

const SIDE: usize = 7;
const TAPS: usize = SIDE * SIDE * SIDE;

/// Most patches of a batch. They take 43 times the memory of the volumes: a batch of eight 48-voxel cubes is laid
/// out, whole-head windows are convolved the general way, where memory matters more than the stem's time.
const PATCHES_BYTES_LIMIT: usize = 256 << 20;
/// Patches in one matrix, unless one volume has more. glibc gives blocks from 32 MiB on back to the kernel whenever
/// they are freed, and having their pages cleared for the next step takes as long as the convolution.
const MATRIX_BYTES: usize = 31 << 20;

/// A batch of single-channel volumes.
pub(crate) enum Volumes {
    /// As voxels, `[batch, 1, depth, height, width]`.
    Voxels(Tensor<5>),
    /// As the patches around every output of the stem.
    Patches {
        /// For a few volumes each, `[volumes * outputs, taps]`.
        matrices: Vec<Tensor<2>>,
        /// Number of volumes.
        rows: usize,
        /// Depth, height and width of the stem's output.
        outputs: [usize; 3],
    },
}

impl Volumes {
    /// A batch of `rows` volumes of `shape`, the values of which `fill` writes one volume at a time.
    pub(crate) fn new(
        rows: usize,
        shape: [usize; 3],
        device: &Device,
        mut fill: impl FnMut(usize, &mut [f32]),
    ) -> Self {
        let outputs = shape.map(|extent| extent.div_ceil(STEM.stride));
        let volume: usize = shape.iter().product();
        let patches: usize = outputs.iter().product::<usize>() * TAPS;
        if rows * patches * size_of::<f32>() > PATCHES_BYTES_LIMIT {
            let mut values = vec![0.0; rows * volume];
            values.chunks_exact_mut(volume).enumerate().for_each(|(row, out)| fill(row, out));
            let [depth, height, width] = shape;
            let data = TensorData::new(values, [rows, 1, depth, height, width]);
            return Self::Voxels(Tensor::from_data(data, device));
        }
        let mut voxels = vec![0.0; volume];
        let together = (MATRIX_BYTES / size_of::<f32>() / patches).max(1);
        let matrices = (0..rows).step_by(together).map(|first| {
            let count = together.min(rows - first);
            let mut values = Vec::with_capacity(count * patches);
            for row in first..first + count {
                fill(row, &mut voxels);
                lay_out(&voxels, shape, outputs, &mut values);
            }
            Tensor::from_data(TensorData::new(values, [count * patches / TAPS, TAPS]), device)
        });
        Self::Patches { matrices: matrices.collect(), rows, outputs }
    }

    /// Number of volumes.
    pub(crate) fn rows(&self) -> usize {
        match self {
            Self::Voxels(voxels) => voxels.dims()[0],
            Self::Patches { rows, .. } => *rows,
        }
    }

    /// Convolves with a stem's `kernel`, `[width, 1, 7, 7, 7]`, to `[batch, width, ..]`.
    pub(crate) fn convolve(&self, kernel: Tensor<5>, bias: Option<Tensor<1>>) -> Tensor<5> {
        match self {
            Self::Voxels(voxels) => STEM.convolve(voxels.clone(), kernel, bias),
            Self::Patches { matrices, rows, outputs: [depth, height, width] } => {
                let channels = kernel.dims()[0];
                let kernel = kernel.reshape([channels, TAPS]).transpose();
                let products = matrices.iter().map(|patches| patches.clone().matmul(kernel.clone()));
                let product = Tensor::cat(products.collect(), 0);
                let product = match bias {
                    Some(bias) => product + bias.unsqueeze(),
                    None => product,
                };
                let product = product.reshape([*rows, depth * height * width, channels]).swap_dims(1, 2);
                product.reshape([*rows, channels, *depth, *height, *width])
            }
        }
    }
}

/// Appends the patch around every output of the stem, zero outside the volume.
fn lay_out(
    voxels: &[f32],
    [depth, height, width]: [usize; 3],
    [deep, high, wide]: [usize; 3],
    out: &mut Vec<f32>,
) {
    let margin = SIDE / 2;
    let [rows, columns] = [height + 2 * margin, width + 2 * margin];
    let mut padded = vec![0.0; (depth + 2 * margin) * rows * columns];
    for (line, source) in voxels.chunks_exact(width).enumerate() {
        let (z, y) = (line / height + margin, line % height + margin);
        let start = (z * rows + y) * columns + margin;
        padded[start..start + width].copy_from_slice(source);
    }
    for output in 0..deep * high * wide {
        let [z, y, x] =
            [output / (high * wide), output / wide % high, output % wide].map(|o| STEM.stride * o);
        for plane in z..z + SIDE {
            let source = &padded[(plane * rows + y) * columns + x..];
            for row in 0..SIDE {
                // A run of known length: the compiler copies it with two vector moves.
                let run: &[f32; SIDE] =
                    source[row * columns..].first_chunk().expect("the margin holds the whole kernel");
                out.extend_from_slice(run);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn patches_and_voxels_give_the_same_output_and_kernel_gradient() {
        let device = Device::flex().autodiff();
        for shape in [[8, 9, 11], [5, 16, 3]] {
            let count = shape.iter().product::<usize>();
            let values = sample::wave(2 * count, 0.41);
            let patches = Volumes::new(2, shape, &device, |row, out| {
                out.copy_from_slice(&values[row * count..][..count]);
            });
            assert!(matches!(patches, Volumes::Patches { .. }));
            let [depth, height, width] = shape;
            let data = TensorData::new(values.clone(), [2, 1, depth, height, width]);
            let voxels = Volumes::Voxels(Tensor::from_data(data, &device));
            let kernel = TensorData::new(sample::wave(3 * TAPS, 0.77), [3, 1, SIDE, SIDE, SIDE]);
            let kernel = Tensor::<5>::from_data(kernel, &device).require_grad();
            let bias = Tensor::<1>::from_data([0.5, -1.0, 2.0], &device);
            let [ours, reference] = [patches, voxels].map(|volumes| {
                let output = volumes.convolve(kernel.clone(), Some(bias.clone()));
                let weights = sample::wave(output.shape().num_elements(), 0.53);
                let weights = Tensor::from_data(TensorData::new(weights, output.shape()), &device);
                let gradients = (output.clone() * weights).sum().backward();
                [output.into_data(), kernel.grad(&gradients).unwrap().into_data()]
            });
            sample::assert_close(&ours[0], &reference[0], 1e-5);
            sample::assert_close(&ours[1], &reference[1], 1e-5);
        }
    }
}
