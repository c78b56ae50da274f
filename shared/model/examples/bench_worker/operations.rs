//! How many multiplications and additions a workload needs: what is left of its convolutions without the taps that
//! lie in the padding.
//!
//! Everything else in the network is less than a hundredth of that. Training counts the backward pass of both paths
//! for every row, so what SpotTune's routing saves shows as speed; evaluation counts one path a row, which is all that
//! the answer depends on.

use consilium_domain::Arm;
use consilium_domain::network::{BlockSpec, NetworkSpec, Shortcut};
use serde_json::{Value, json};

use crate::plan::Plan;

/// A convolution on a map, with "same" padding.
struct Convolution {
    inputs: usize,
    outputs: usize,
    side: usize,
    stride: usize,
    dilation: usize,
}

/// Operations of one case: for the outputs, for the gradient of the input, and for the gradient of the kernel.
#[derive(Clone, Copy, Default)]
struct Passes {
    forward: f64,
    to_input: f64,
    to_kernel: f64,
}

/// Operations of one training step and of one evaluation of the batch.
pub(crate) fn of_workload(plan: &Plan) -> Value {
    let (spec, shape, batch) = (plan.spec, plan.shape, f64::from(plan.batch));
    let stem_trains = plan.arm == Arm::Random;
    let trunk = of_backbone(spec, shape, stem_trains);
    let mut train = trunk.forward + trunk.to_input + trunk.to_kernel;
    let mut evaluate = trunk.forward;
    if plan.arm == Arm::Spottune {
        train += trunk.forward - stem(spec).forward(shape) + trunk.to_input;
        let policy = of_backbone(spec.policy_backbone(), shape, true);
        train += policy.forward + policy.to_input + policy.to_kernel;
        evaluate += policy.forward;
    }
    json!({ "train": batch * train, "evaluate": batch * evaluate })
}

fn stem(spec: NetworkSpec) -> Convolution {
    Convolution { inputs: 1, outputs: spec.width.into(), side: 7, stride: 2, dilation: 1 }
}

/// Operations of a backbone. Gradients reach the stem, and the input of the first block, only if the stem trains.
fn of_backbone(spec: NetworkSpec, shape: [usize; 3], stem_trains: bool) -> Passes {
    let mut sum = Passes { forward: stem(spec).forward(shape), ..Passes::default() };
    if stem_trains {
        sum.to_kernel += sum.forward;
    }
    // The stem and the pooling after it halve each extent, rounding up.
    let mut shape = shape.map(|extent| extent.div_ceil(2).div_ceil(2));
    for (position, block) in spec.blocks().iter().enumerate() {
        let mut at = shape;
        for (number, convolution) in convolutions(block).into_iter().enumerate() {
            let operations = convolution.forward(at);
            sum.forward += operations;
            sum.to_kernel += operations;
            if stem_trains || position > 0 || number > 0 {
                sum.to_input += operations;
            }
            at = convolution.map(at);
        }
        if block.shortcut == Shortcut::Projection {
            let operations = projection(block).forward(shape);
            sum.forward += operations;
            sum.to_kernel += operations;
            if stem_trains || position > 0 {
                sum.to_input += operations;
            }
        }
        shape = at;
    }
    sum
}

fn convolutions(block: &BlockSpec) -> Vec<Convolution> {
    let (inner, outer, dilation) = (block.inner_channels, block.out_channels, block.dilation);
    let pointwise = |inputs, outputs| Convolution { inputs, outputs, side: 1, stride: 1, dilation: 1 };
    let spatial = |inputs, outputs, stride| Convolution { inputs, outputs, side: 3, stride, dilation };
    if block.bottleneck {
        vec![
            pointwise(block.in_channels, inner),
            spatial(inner, inner, block.stride),
            pointwise(inner, outer),
        ]
    } else {
        vec![spatial(block.in_channels, inner, block.stride), spatial(inner, outer, 1)]
    }
}

fn projection(block: &BlockSpec) -> Convolution {
    let (inputs, outputs, stride) = (block.in_channels, block.out_channels, block.stride);
    Convolution { inputs, outputs, side: 1, stride, dilation: 1 }
}

impl Convolution {
    /// Multiplications and additions on a map of `shape` whose factor is not padding.
    fn forward(&self, shape: [usize; 3]) -> f64 {
        let taps: f64 = shape.into_iter().map(|extent| self.taps(extent) as f64).product();
        2.0 * (self.inputs * self.outputs) as f64 * taps
    }

    /// Pairs of an output and a tap along an axis of `extent` that meet in the map.
    fn taps(&self, extent: usize) -> usize {
        let padding = self.dilation * (self.side / 2);
        let meets = |output: usize, tap: usize| {
            let place = output * self.stride + tap * self.dilation;
            (padding..padding + extent).contains(&place)
        };
        (0..extent.div_ceil(self.stride))
            .map(|output| (0..self.side).filter(|&tap| meets(output, tap)).count())
            .sum()
    }

    /// The shape of the outputs.
    fn map(&self, shape: [usize; 3]) -> [usize; 3] {
        shape.map(|extent| extent.div_ceil(self.stride))
    }
}
