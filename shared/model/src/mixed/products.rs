//! A convolution and its two gradients as products of matrices.
//!
//! Factors lie within -1 and 1, and no product sums more than [`MAX_TERMS`] terms: a 16-bit result cannot overflow.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, TensorMetadata};
use burn::tensor::{FloatDType, Shape, Slice};

use super::scaled::Scaled;
use super::taps::{Taps, range};
use crate::convolution::Geometry;

/// Most terms of a sum before it is carried on in 32 bits; the largest 16-bit float is 65,504.
const MAX_TERMS: usize = 32_768;
/// Most bytes of voxels gathered for one product. More is faster and takes memory for longer.
const MAX_GATHERED_BYTES: usize = 256 << 20;
const BYTES: usize = 2;

/// `input` convolved with `kernel`, in 32 bits.
pub(super) fn forward<B: Backend>(input: Scaled<B>, kernel: Scaled<B>, geometry: Geometry) -> FloatTensor<B> {
    let gathering = Gathering::of::<B>(&input.values, geometry);
    let out = kernel.values.shape()[0];
    let matrix = matrix::<B>(kernel.values.clone(), &gathering.taps);
    let padded = gathering.padded::<B>(input.values.clone());
    let sum = sum::<B>(gathering.groups().map(|(taps, columns)| {
        let voxels = gathering.columns::<B>(&padded, taps);
        let weights = B::float_slice(matrix.clone(), &[Slice::full(), Slice::full(), columns]);
        B::float_cast(B::float_matmul(weights, voxels), FloatDType::F32)
    }));
    let [depth, height, width] = gathering.taps.outputs();
    let sum = B::float_reshape(sum, Shape::new([gathering.batch, out, depth, height, width]));
    input.unscaled(&kernel, sum)
}

/// The gradient of the kernel, of `shape`.
pub(super) fn kernel_gradient<B: Backend>(
    input: Scaled<B>,
    gradient: Scaled<B>,
    shape: &Shape,
    geometry: Geometry,
) -> FloatTensor<B> {
    let gathering = Gathering::of::<B>(&input.values, geometry);
    let (out, voxels) = (shape[0], gathering.voxels());
    let rows = B::float_reshape(gradient.values.clone(), Shape::new([gathering.batch, out, voxels]));
    let padded = gathering.padded::<B>(input.values.clone());
    let groups = gathering.groups().map(|(taps, _)| {
        let columns = B::float_swap_dims(gathering.columns::<B>(&padded, taps), 1, 2);
        let found = sum::<B>((0..voxels).step_by(MAX_TERMS).map(|from| {
            let piece = range(from, voxels.min(from + MAX_TERMS));
            let rows = B::float_slice(rows.clone(), &[Slice::full(), Slice::full(), piece]);
            let columns = B::float_slice(columns.clone(), &[Slice::full(), piece, Slice::full()]);
            B::float_cast(B::float_matmul(rows, columns), FloatDType::F32)
        }));
        B::float_sum_dim(found, 0)
    });
    let found = B::float_cat(groups.collect(), 2);
    let [deep, high, wide] = gathering.taps.sides();
    let found = B::float_reshape(found, Shape::new([out, deep, high, wide, gathering.channels]));
    let found = input.unscaled(&gradient, B::float_permute(found, &[0, 4, 1, 2, 3]));
    if found.shape() == *shape {
        return found;
    }
    let zeros = B::float_zeros(shape.clone(), &found.device(), FloatDType::F32);
    B::float_slice_assign(zeros, &gathering.taps.of_kernel(), found)
}

/// The gradient of an input of `extents`: the gradient of the output, with zeros between its voxels where there was a
/// stride, convolved with the mirrored kernel.
pub(super) fn input_gradient<B: Backend>(
    gradient: Scaled<B>,
    kernel: Scaled<B>,
    extents: [usize; 3],
    geometry: Geometry,
) -> FloatTensor<B> {
    let gradient = if geometry.stride == 1 {
        gradient
    } else {
        gradient.map(|values| {
            let (shape, [depth, height, width]) = (values.shape(), extents);
            let shape = Shape::new([shape[0], shape[1], depth, height, width]);
            let zeros = B::float_zeros(shape, &values.device(), FloatDType::F16);
            B::float_slice_assign(zeros, &Taps::new(geometry, extents).centres(), values)
        })
    };
    let mirrored = kernel.map(|values| B::float_flip(B::float_permute(values, &[1, 0, 2, 3, 4]), &[2, 3, 4]));
    forward::<B>(gradient, mirrored, Geometry { stride: 1, ..geometry })
}

/// How the voxels that a kernel reads are gathered for a product.
struct Gathering {
    taps: Taps,
    batch: usize,
    channels: usize,
    extents: [usize; 3],
}

impl Gathering {
    /// For an input `[batch, in, depth, height, width]`.
    fn of<B: Backend>(input: &FloatTensor<B>, geometry: Geometry) -> Self {
        let shape = input.shape();
        let extents = [shape[2], shape[3], shape[4]];
        Self { taps: Taps::new(geometry, extents), batch: shape[0], channels: shape[1], extents }
    }

    /// Voxels of an output.
    fn voxels(&self) -> usize {
        self.taps.outputs().iter().product()
    }

    /// Groups of taps that go into one product, and their columns of the kernel's matrix.
    fn groups(&self) -> impl Iterator<Item = (Vec<[Slice; 5]>, Slice)> {
        let bytes = BYTES * self.batch * self.channels * self.voxels();
        let together = (MAX_TERMS / self.channels).min(MAX_GATHERED_BYTES / bytes).max(1);
        let (taps, channels) = (self.taps.of_input(), self.channels);
        let groups: Vec<Vec<_>> = taps.chunks(together).map(<[_]>::to_vec).collect();
        let firsts = (0..).step_by(together * channels);
        groups.into_iter().zip(firsts).map(move |(taps, first)| {
            let columns = range(first, first + taps.len() * channels);
            (taps, columns)
        })
    }

    /// The input with zeros around it.
    fn padded<B: Backend>(&self, input: FloatTensor<B>) -> FloatTensor<B> {
        let padding = self.taps.padding();
        if padding == [0; 3] {
            return input;
        }
        let [depth, height, width] = [0, 1, 2].map(|axis| self.extents[axis] + 2 * padding[axis]);
        let [z, y, x] = [0, 1, 2].map(|axis| range(padding[axis], padding[axis] + self.extents[axis]));
        let shape = Shape::new([self.batch, self.channels, depth, height, width]);
        let zeros = B::float_zeros(shape, &input.device(), FloatDType::F16);
        B::float_slice_assign(zeros, &[Slice::full(), Slice::full(), z, y, x], input)
    }

    /// What `taps` read, `[batch, taps * in, voxels]`.
    fn columns<B: Backend>(&self, padded: &FloatTensor<B>, taps: Vec<[Slice; 5]>) -> FloatTensor<B> {
        let rows = taps.len() * self.channels;
        let read: Vec<_> = taps.iter().map(|tap| B::float_slice(padded.clone(), tap)).collect();
        B::float_reshape(B::float_cat(read, 1), Shape::new([self.batch, rows, self.voxels()]))
    }
}

/// The taps of a kernel that matter as a matrix, `[1, out, taps * in]`.
fn matrix<B: Backend>(kernel: FloatTensor<B>, taps: &Taps) -> FloatTensor<B> {
    let kernel = B::float_permute(B::float_slice(kernel, &taps.of_kernel()), &[0, 2, 3, 4, 1]);
    let shape = kernel.shape();
    let columns = shape.num_elements() / shape[0];
    B::float_reshape(kernel, Shape::new([1, shape[0], columns]))
}

fn sum<B: Backend>(tensors: impl Iterator<Item = FloatTensor<B>>) -> FloatTensor<B> {
    tensors.reduce(B::float_add).expect("a kernel has at least its centre, and an output at least a voxel")
}
