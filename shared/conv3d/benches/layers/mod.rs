//! The convolutions of MedicalNet-10 and -50 at 64x64x64 and 70x86x86 voxels, batch 2, filled with made-up numbers.

use std::hint::black_box;

use consilium_conv3d::{
    Arithmetic, Block, Finish, Geometry, Problem, blocks, forward, input_gradient, planar, weight_gradient,
};

/// Volumes of the batch.
const BATCH: usize = 2;

/// A convolution of a network.
#[derive(Debug, Clone)]
pub(crate) struct Layer {
    /// Network's layer, kernel and channels.
    pub(crate) name: String,
    /// Its shape.
    pub(crate) problem: Problem,
    /// Whether the input is planar: the first layer.
    pub(crate) planar: bool,
}

/// What is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pass {
    /// The output.
    Forward,
    /// The input's gradient.
    InputGradient,
    /// The kernel's gradient.
    WeightGradient,
}

impl Pass {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Forward, Self::InputGradient, Self::WeightGradient];
}

/// Every shape once.
pub(crate) fn layers() -> Vec<Layer> {
    [[64, 64, 64], [70, 86, 86]].into_iter().flat_map(layers_of).collect()
}

fn layers_of(extents: [usize; 3]) -> Vec<Layer> {
    let half = |extents: [usize; 3]| extents.map(|extent| extent.div_ceil(2));
    let quarter = half(half(extents));
    let eighth = half(quarter);
    let side = format!("{}x{}x{}", extents[0], extents[1], extents[2]);
    let layer = |name: &str, inputs, outputs, kernel, stride, dilation, extents| Layer {
        name: format!("{side} {name} {kernel}^3 {inputs}-{outputs}"),
        problem: Problem {
            batch: BATCH,
            inputs,
            outputs,
            extents,
            geometry: Geometry::same(kernel, stride, dilation),
        },
        planar: inputs == 1,
    };
    vec![
        layer("conv1 /2", 1, 64, 7, 2, 1, extents),
        layer("layer1", 64, 64, 3, 1, 1, quarter),
        layer("layer1", 64, 64, 1, 1, 1, quarter),
        layer("layer1", 64, 256, 1, 1, 1, quarter),
        layer("layer1", 256, 64, 1, 1, 1, quarter),
        layer("layer2 /2", 64, 128, 3, 2, 1, quarter),
        layer("layer2 /2", 64, 128, 1, 2, 1, quarter),
        layer("layer2", 256, 128, 1, 1, 1, quarter),
        layer("layer2 /2", 128, 128, 3, 2, 1, quarter),
        layer("layer2 /2", 256, 512, 1, 2, 1, quarter),
        layer("layer2", 128, 128, 3, 1, 1, eighth),
        layer("layer2", 128, 512, 1, 1, 1, eighth),
        layer("layer2", 512, 128, 1, 1, 1, eighth),
        layer("layer3", 128, 256, 3, 1, 2, eighth),
        layer("layer3", 128, 256, 1, 1, 1, eighth),
        layer("layer3", 512, 256, 1, 1, 1, eighth),
        layer("layer3", 256, 256, 3, 1, 2, eighth),
        layer("layer3", 256, 1024, 1, 1, 1, eighth),
        layer("layer3", 512, 1024, 1, 1, 1, eighth),
        layer("layer3", 1024, 256, 1, 1, 1, eighth),
        layer("layer4", 256, 512, 3, 1, 4, eighth),
        layer("layer4", 256, 512, 1, 1, 1, eighth),
        layer("layer4", 1024, 512, 1, 1, 1, eighth),
        layer("layer4", 512, 512, 3, 1, 4, eighth),
        layer("layer4", 512, 2048, 1, 1, 1, eighth),
        layer("layer4", 1024, 2048, 1, 1, 1, eighth),
        layer("layer4", 2048, 512, 1, 1, 1, eighth),
    ]
}

impl Layer {
    /// The share of the operations that do not touch padding.
    #[allow(dead_code, reason = "the benchmark prints no table")]
    pub(crate) fn useful(&self) -> f64 {
        let p = &self.problem;
        let all = 2 * p.batch * p.kernel_len() * p.output().iter().product::<usize>();
        p.useful_flops() / all as f64
    }

    /// Its operands.
    pub(crate) fn case(&self) -> Case {
        let p = &self.problem;
        let (inside, outside) = (p.extents.iter().product::<usize>(), p.output().iter().product::<usize>());
        let input =
            if self.planar { p.batch * p.inputs * inside } else { p.batch * blocks(p.inputs) * 16 * inside };
        Case {
            layer: self.clone(),
            input: numbers(input, 1),
            gradient: numbers(p.batch * blocks(p.outputs) * 16 * outside, 2),
            kernel: numbers(p.kernel_len(), 3),
        }
    }
}

/// A layer's operands.
pub(crate) struct Case {
    layer: Layer,
    input: Vec<Block>,
    gradient: Vec<Block>,
    kernel: Vec<Block>,
}

impl Case {
    /// Computes a pass.
    pub(crate) fn run(&self, arithmetic: Arithmetic, pass: Pass) {
        let (p, rows) = (&self.layer.problem, [true; BATCH]);
        let floats = |blocks, len| &bytemuck::cast_slice::<Block, f32>(blocks)[..len];
        let inside = p.extents.iter().product::<usize>();
        let input = if self.layer.planar { p.batch * p.inputs * inside } else { self.input.len() * 16 };
        let (input, kernel) = (floats(&self.input, input), floats(&self.kernel, p.kernel_len()));
        let gradient = floats(&self.gradient, self.gradient.len() * 16);
        let finish = Finish::default();
        match (pass, self.layer.planar) {
            (Pass::Forward, false) => {
                black_box(forward(arithmetic, p, input, kernel, finish));
            }
            (Pass::Forward, true) => {
                black_box(planar::forward(arithmetic, p, input, kernel, finish));
            }
            (Pass::InputGradient, _) => {
                black_box(input_gradient(arithmetic, p, gradient, kernel, &rows));
            }
            (Pass::WeightGradient, false) => {
                black_box(weight_gradient(arithmetic, p, input, gradient, &rows));
            }
            (Pass::WeightGradient, true) => {
                black_box(planar::weight_gradient(arithmetic, p, input, gradient, &rows));
            }
        }
    }
}

/// Numbers in -0.5..0.5, a different one everywhere.
fn numbers(len: usize, seed: u32) -> Vec<Block> {
    let mut state = seed.wrapping_mul(0x9e37_79b9) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 8) as f32 / (1 << 24) as f32 - 0.5
    };
    (0..len.div_ceil(16)).map(|_| Block(std::array::from_fn(|_| next()))).collect()
}
