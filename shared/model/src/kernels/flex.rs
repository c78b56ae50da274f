//! Between burn's CPU tensors and slices, and the operations on them without derivatives.

use std::sync::Arc;

use burn::backend::TensorMetadata;
use burn::tensor::{AllocationProperty, Bytes, DType, Shape};
use burn_flex::{Flex, FlexTensor, Layout};
use consilium_conv3d::{
    Block, BlockedShape, CHANNELS, Finish, InstructionSet, Normalisation, Problem, RoutedPaths, are_choices,
    average, average_gradient, channel_sums, forward, forward_with_moments, input_gradient, max_pool,
    max_pool_gradient, max_pool_with_winners, normalise, normalise_gradient, planar, recycle, relu_gradient,
    relu_mask, route, route_gradient, rows_with_gradient, subsample, subsample_gradient, weight_gradient,
};

use super::{Convolution, Derivatives, Kernels, NormGradient, Paths, Residual};

impl Kernels for Flex {
    fn convolve(
        input: FlexTensor,
        kernel: FlexTensor,
        bias: FlexTensor,
        residual: Residual<Self>,
        how: Convolution,
        relu: bool,
    ) -> FlexTensor {
        let problem = problem(&input.shape(), &kernel.shape(), how);
        let (input, kernel, bias) = (dense(input), dense(kernel), dense(bias));
        let residual = residual.into_option().map(dense);
        let finish = Finish { bias: Some(floats(&bias)), residual: residual.as_ref().map(floats), relu };
        let output = if how.planar {
            planar::forward(how.arithmetic, &problem, floats(&input), floats(&kernel), finish)
        } else {
            forward(how.arithmetic, &problem, floats(&input), floats(&kernel), finish)
        };
        output_tensor(output, &problem)
    }

    fn convolve_with_moments(
        input: FlexTensor,
        kernel: FlexTensor,
        how: Convolution,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let problem = problem(&input.shape(), &kernel.shape(), how);
        let (input, kernel) = (dense(input), dense(kernel));
        let (output, moments) = if how.planar {
            planar::forward_with_moments(how.arithmetic, &problem, floats(&input), floats(&kernel))
        } else {
            forward_with_moments(how.arithmetic, &problem, floats(&input), floats(&kernel))
        };
        (output_tensor(output, &problem), vector(moments.mean), vector(moments.variance))
    }

    fn normalise(
        input: FlexTensor,
        mean: FlexTensor,
        variance: FlexTensor,
        scale: FlexTensor,
        shift: FlexTensor,
        residual: Residual<Self>,
        instructions: InstructionSet,
        epsilon: f32,
        relu: bool,
    ) -> FlexTensor {
        let (shape, input) = (input.shape(), dense(input));
        let [mean, variance, scale, shift] = [mean, variance, scale, shift].map(dense);
        let blocked = blocked_shape(&shape, floats(&mean).len());
        let residual = residual.into_option().map(dense);
        let normalisation = Normalisation {
            mean: floats(&mean),
            variance: floats(&variance),
            epsilon,
            scale: floats(&scale),
            shift: floats(&shift),
        };
        let residual = residual.as_ref().map(floats);
        let output = normalise(instructions, blocked, floats(&input), &normalisation, residual, relu);
        blocked_tensor(output, shape)
    }

    fn max_pool(input: FlexTensor, instructions: InstructionSet) -> FlexTensor {
        let (shape, input) = (input.shape(), dense(input));
        let output = max_pool(instructions, all_channels(&shape), extents(&shape), floats(&input));
        let [deep, high, wide] = extents(&shape).map(|extent| extent.div_ceil(2));
        blocked_tensor(output, Shape::new([shape[0], shape[1], deep, high, wide, CHANNELS]))
    }

    fn average(input: FlexTensor, channels: usize, instructions: InstructionSet) -> FlexTensor {
        let (shape, input) = (input.shape(), dense(input));
        let means = average(instructions, blocked_shape(&shape, channels), floats(&input));
        tensor(means, Shape::new([shape[0], channels]))
    }

    fn subsample(input: FlexTensor, stride: usize, blocks: usize) -> FlexTensor {
        let (shape, input) = (input.shape(), dense(input));
        let channels = blocks * CHANNELS;
        let output = subsample(floats(&input), all_channels(&shape), extents(&shape), stride, channels);
        let [deep, high, wide] = extents(&shape).map(|extent| extent.div_ceil(stride));
        blocked_tensor(output, Shape::new([shape[0], blocks, deep, high, wide, CHANNELS]))
    }

    fn route(
        tuned: FlexTensor,
        frozen: FlexTensor,
        gates: FlexTensor,
        instructions: InstructionSet,
    ) -> FlexTensor {
        let shape = tuned.shape();
        let [tuned, frozen, gates] = [tuned, frozen, gates].map(dense);
        let (batch, volume) = volumes(&shape);
        if let Some(gate) = only_choice(floats(&gates)) {
            return if gate { tuned } else { frozen };
        }
        let output = route(instructions, batch, volume, floats(&tuned), floats(&frozen), floats(&gates));
        blocked_tensor(output, shape)
    }
}

impl Derivatives for Flex {
    type Mask = Arc<Vec<u16>>;

    fn relu_mask(output: FlexTensor, instructions: InstructionSet) -> Self::Mask {
        Arc::new(relu_mask(instructions, floats(&dense(output))))
    }

    fn relu_gradient(
        mask: Self::Mask,
        gradient: FlexTensor,
        channels: usize,
        instructions: InstructionSet,
    ) -> (FlexTensor, FlexTensor) {
        let (shape, gradient) = (gradient.shape(), dense(gradient));
        let blocked = blocked_shape(&shape, channels);
        let (masked, sums) = relu_gradient(instructions, blocked, &mask, floats(&gradient));
        (blocked_tensor(masked, shape), vector(sums))
    }

    fn channel_sums(gradient: FlexTensor, channels: usize, instructions: InstructionSet) -> FlexTensor {
        let (shape, gradient) = (gradient.shape(), dense(gradient));
        vector(channel_sums(instructions, blocked_shape(&shape, channels), floats(&gradient)))
    }

    fn input_gradient(
        gradient: FlexTensor,
        kernel: FlexTensor,
        input: Shape,
        how: Convolution,
    ) -> FlexTensor {
        assert!(!how.planar, "a planar input has no gradient");
        let problem = problem(&input, &kernel.shape(), how);
        let (gradient, kernel) = (dense(gradient), dense(kernel));
        let gradient = floats(&gradient);
        let rows = rows_with_gradient(gradient, problem.batch);
        blocked_tensor(input_gradient(how.arithmetic, &problem, gradient, floats(&kernel), &rows), input)
    }

    fn kernel_gradient(
        input: FlexTensor,
        gradient: FlexTensor,
        kernel: Shape,
        how: Convolution,
    ) -> FlexTensor {
        let problem = problem(&input.shape(), &kernel, how);
        let (input, gradient) = (dense(input), dense(gradient));
        let (input, gradient) = (floats(&input), floats(&gradient));
        let rows = rows_with_gradient(gradient, problem.batch);
        let found = if how.planar {
            planar::weight_gradient(how.arithmetic, &problem, input, gradient, &rows)
        } else {
            weight_gradient(how.arithmetic, &problem, input, gradient, &rows)
        };
        tensor(found, kernel)
    }

    fn normalise_gradient(
        input: FlexTensor,
        mask: Option<Self::Mask>,
        gradient: FlexTensor,
        mean: FlexTensor,
        variance: FlexTensor,
        scale: FlexTensor,
        instructions: InstructionSet,
        epsilon: f32,
        residual: bool,
    ) -> NormGradient<Self> {
        let shape = input.shape();
        let [input, gradient, mean, variance, scale] = [input, gradient, mean, variance, scale].map(dense);
        let blocked = blocked_shape(&shape, floats(&mean).len());
        let normalisation = Normalisation {
            mean: floats(&mean),
            variance: floats(&variance),
            epsilon,
            scale: floats(&scale),
            // The gradient does not depend on it.
            shift: floats(&scale),
        };
        let found = normalise_gradient(
            instructions,
            blocked,
            floats(&input),
            mask.as_ref().map(|mask| mask.as_slice()),
            floats(&gradient),
            &normalisation,
            residual && mask.is_some(),
        );
        let residual = match found.dresidual {
            Some(masked) => blocked_tensor(masked, shape.clone()),
            None => gradient,
        };
        NormGradient {
            input: blocked_tensor(found.dy, shape),
            scale: vector(found.dscale),
            shift: vector(found.dshift),
            residual,
        }
    }

    fn max_pool_gradient(
        input: FlexTensor,
        gradient: FlexTensor,
        instructions: InstructionSet,
    ) -> FlexTensor {
        let shape = input.shape();
        let [input, gradient] = [input, gradient].map(dense);
        let (blocked, extents) = (all_channels(&shape), extents(&shape));
        let (_, winners) = max_pool_with_winners(instructions, blocked, extents, floats(&input));
        let found = max_pool_gradient(instructions, blocked, extents, &winners, floats(&gradient));
        blocked_tensor(found, shape)
    }

    fn average_gradient(gradient: FlexTensor, input: Shape) -> FlexTensor {
        let channels = gradient.shape()[1];
        let gradient = dense(gradient);
        blocked_tensor(average_gradient(blocked_shape(&input, channels), floats(&gradient)), input)
    }

    fn subsample_gradient(gradient: FlexTensor, stride: usize, input: Shape) -> FlexTensor {
        let channels = gradient.shape()[1] * CHANNELS;
        let gradient = dense(gradient);
        let (shape, extents) = (all_channels(&input), extents(&input));
        let found = subsample_gradient(floats(&gradient), shape, extents, stride, channels);
        blocked_tensor(found, input)
    }

    fn routed_paths(
        tuned: FlexTensor,
        frozen: FlexTensor,
        gates: FlexTensor,
        output: FlexTensor,
        instructions: InstructionSet,
    ) -> Paths<Self> {
        let gates = dense(gates);
        if are_choices(floats(&gates)) {
            // By exchanged paths each volume takes the other one.
            let other = <Self as Kernels>::route(frozen, tuned, gates, instructions);
            Paths::Chosen { output, other }
        } else {
            Paths::Both { tuned: dense(tuned), frozen: dense(frozen) }
        }
    }

    fn route_gradient(
        paths: Paths<Self>,
        gates: FlexTensor,
        gradient: FlexTensor,
        instructions: InstructionSet,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let (shape, gates_shape) = (gradient.shape(), gates.shape());
        let [gates, gradient] = [gates, gradient].map(dense);
        let (batch, volume) = volumes(&shape);
        let paths = match &paths {
            Paths::Both { tuned, frozen } => {
                RoutedPaths::Both { tuned: floats(tuned), frozen: floats(frozen) }
            }
            Paths::Chosen { output, other } => {
                RoutedPaths::Chosen { output: floats(output), other: floats(other) }
            }
        };
        let found = route_gradient(instructions, batch, volume, paths, floats(&gates), floats(&gradient));
        let tuned = blocked_tensor(found.tuned, shape.clone());
        (tuned, blocked_tensor(found.frozen, shape), tensor(found.gates, gates_shape))
    }
}

/// The convolution of an input of a shape with a kernel of a shape.
fn problem(input: &Shape, kernel: &Shape, how: Convolution) -> Problem {
    Problem {
        batch: input[0],
        inputs: kernel[1],
        outputs: kernel[0],
        extents: extents(input),
        geometry: how.geometry,
    }
}

fn extents(shape: &Shape) -> [usize; 3] {
    [shape[2], shape[3], shape[4]]
}

fn blocked_shape(shape: &Shape, channels: usize) -> BlockedShape {
    BlockedShape { batch: shape[0], channels, voxels: extents(shape).iter().product() }
}

/// Number of volumes, and floats of each.
fn volumes(shape: &Shape) -> (usize, usize) {
    (shape[0], shape.num_elements() / shape[0])
}

/// Whether all volumes take the tuned or all take the frozen path.
fn only_choice(gates: &[f32]) -> Option<bool> {
    let all = |choice: f32| gates.iter().all(|gate| *gate == choice);
    if all(1.0) {
        Some(true)
    } else if all(0.0) {
        Some(false)
    } else {
        None
    }
}

fn all_channels(shape: &Shape) -> BlockedShape {
    blocked_shape(shape, shape[1] * CHANNELS)
}

fn dense(tensor: FlexTensor) -> FlexTensor {
    tensor.to_contiguous()
}

fn floats(tensor: &FlexTensor) -> &[f32] {
    tensor.as_slice().expect("networks compute in dense 32-bit floats")
}

fn vector(values: Vec<f32>) -> FlexTensor {
    let shape = Shape::new([values.len()]);
    tensor(values, shape)
}

fn tensor(values: Vec<f32>, shape: Shape) -> FlexTensor {
    FlexTensor::new(Bytes::from_elems(values), Layout::contiguous(shape), DType::F32)
}

/// Shared bytes, because burn's own have no room for an alignment of 64.
fn blocked_tensor(values: Vec<Block>, shape: Shape) -> FlexTensor {
    let bytes = bytes::Bytes::from_owner(Maps(values));
    let bytes = Bytes::from_shared(bytes, AllocationProperty::Native);
    FlexTensor::new(bytes, Layout::contiguous(shape), DType::F32)
}

/// Feature maps that a tensor holds.
struct Maps(Vec<Block>);

impl Drop for Maps {
    fn drop(&mut self) {
        recycle(std::mem::take(&mut self.0));
    }
}

impl AsRef<[u8]> for Maps {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
}

fn output_tensor(values: Vec<Block>, problem: &Problem) -> FlexTensor {
    let [deep, high, wide] = problem.output();
    let blocks = consilium_conv3d::blocks(problem.outputs);
    blocked_tensor(values, Shape::new([problem.batch, blocks, deep, high, wide, CHANNELS]))
}
