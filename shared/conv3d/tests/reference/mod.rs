//! A plain convolution to compare with: one loop an axis, sums in double precision, and the sum of magnitudes beside
//! them, which says how large a rounding error may be.

use consilium_conv3d::{Arithmetic, CHANNELS, Geometry, InstructionSet, Precision, Problem, blocks};
use proptest::prelude::*;

/// A sum and the sum of its terms' magnitudes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sum {
    pub(crate) value: f64,
    pub(crate) magnitude: f64,
}

impl Sum {
    pub(crate) fn add(&mut self, term: f64) {
        self.value += term;
        self.magnitude += term.abs();
    }
}

/// Calls `visit(volume, output channel, output voxel, input channel, input voxel, tap)` for every product.
pub(crate) fn products(p: &Problem, mut visit: impl FnMut(usize, usize, usize, usize, usize, usize)) {
    let (g, out) = (p.geometry, p.output());
    for (od, oh, ow) in voxels(out) {
        for (kd, kh, kw) in voxels(g.kernel) {
            let input = |axis: usize, output: usize, tap: usize| {
                let padded = output * g.stride[axis] + tap * g.dilation[axis];
                padded.checked_sub(g.padding[axis]).filter(|&input| input < p.extents[axis])
            };
            let (Some(d), Some(h), Some(w)) = (input(0, od, kd), input(1, oh, kh), input(2, ow, kw)) else {
                continue;
            };
            let output = (od * out[1] + oh) * out[2] + ow;
            let source = (d * p.extents[1] + h) * p.extents[2] + w;
            let tap = (kd * g.kernel[1] + kh) * g.kernel[2] + kw;
            for n in 0..p.batch {
                for co in 0..p.outputs {
                    for ci in 0..p.inputs {
                        visit(n, co, output, ci, source, tap);
                    }
                }
            }
        }
    }
}

fn voxels(extents: [usize; 3]) -> impl Iterator<Item = (usize, usize, usize)> {
    let [depth, height, width] = extents;
    (0..depth).flat_map(move |d| (0..height).flat_map(move |h| (0..width).map(move |w| (d, h, w))))
}

pub(crate) fn count(extents: [usize; 3]) -> usize {
    extents.iter().product()
}

/// Numbers `[batch][channel][voxel]`.
pub(crate) fn numbers(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    (0..len).map(|_| next()).collect()
}

/// `[batch][channel][voxel]` in blocks, at an address that is not a multiple of 64.
pub(crate) struct Unaligned(Vec<f32>);

impl Unaligned {
    pub(crate) fn blocked(planar: &[f32], batch: usize, channels: usize, voxels: usize) -> Self {
        let mut floats = vec![0.0; 1 + batch * blocks(channels) * voxels * CHANNELS];
        for (i, &value) in planar.iter().enumerate() {
            let (n, channel, voxel) = (i / voxels / channels, i / voxels % channels, i % voxels);
            floats[1 + blocked_index(channels, voxels, n, channel, voxel)] = value;
        }
        Self(floats)
    }

    pub(crate) fn floats(&self) -> &[f32] {
        &self.0[1..]
    }
}

pub(crate) fn blocked_index(channels: usize, voxels: usize, n: usize, channel: usize, voxel: usize) -> usize {
    ((n * blocks(channels) + channel / CHANNELS) * voxels + voxel) * CHANNELS + channel % CHANNELS
}

/// What bf16 does to a number.
pub(crate) fn round(value: f32, precision: Precision) -> f32 {
    let bits = value.to_bits();
    match precision {
        Precision::F32 => value,
        Precision::Bf16 => f32::from_bits((bits + 0x7fff + (bits >> 16 & 1)) & 0xffff_0000),
    }
}

/// Everything this processor can do.
pub(crate) fn arithmetics() -> Vec<Arithmetic> {
    let precisions = [Precision::F32, Precision::Bf16];
    InstructionSet::available()
        .into_iter()
        .flat_map(|instructions| precisions.map(|precision| Arithmetic { instructions, precision }))
        .collect()
}

/// Asserts that a blocked result equals `expected`, `[batch][channel][voxel]`, and is zero in the lanes beyond the
/// channels.
pub(crate) fn assert_blocked(
    found: &[f32],
    expected: &[Sum],
    batch: usize,
    channels: usize,
    voxels: usize,
    what: &str,
) {
    assert_eq!(found.len(), batch * blocks(channels) * voxels * CHANNELS, "{what}");
    for (i, &value) in found.iter().enumerate() {
        let (lane, voxel) = (i % CHANNELS, i / CHANNELS % voxels);
        let (block, n) = (i / CHANNELS / voxels % blocks(channels), i / CHANNELS / voxels / blocks(channels));
        let channel = block * CHANNELS + lane;
        if channel >= channels {
            assert_eq!(value, 0.0, "{what}: lane of channel {channel}, voxel {voxel}");
        } else {
            assert_close(value, expected[(n * channels + channel) * voxels + voxel], || {
                format!("{what}: volume {n}, channel {channel}, voxel {voxel}")
            });
        }
    }
}

pub(crate) fn assert_close(found: f32, expected: Sum, place: impl Fn() -> String) {
    let error = (f64::from(found) - expected.value).abs();
    assert!(error <= 1e-5 * expected.magnitude + 1e-7, "{}: {found} is not {}", place(), expected.value);
}

/// Random shapes with at most `most` input channels, small enough for the plain loops, and smaller still for Miri.
pub(crate) fn problems(most: usize) -> impl Strategy<Value = Problem> {
    let (most, outputs, side) =
        if cfg!(miri) { (most.min(17), 16usize..=18, 3usize) } else { (most, 30..=50, 12) };
    let axis = (1..=side.min(3), 1usize..=3, 0usize..=side.min(4), 1..=side.min(4), 1..=side);
    let inputs = prop_oneof![1..=most.min(17), 1..=most];
    let outputs = prop_oneof![1..=17usize, outputs];
    let axes = [axis.clone(), axis.clone(), axis];
    (1usize..=3, inputs, outputs, axes).prop_map(|(batch, inputs, outputs, axes)| {
        let geometry = Geometry {
            kernel: axes.map(|axis| axis.0),
            stride: axes.map(|axis| axis.1),
            padding: axes.map(|axis| axis.2),
            dilation: axes.map(|axis| axis.3),
        };
        // Extents into which the kernel fits.
        let extents = axes.map(|(kernel, _, padding, dilation, extent): (usize, _, usize, usize, usize)| {
            extent.max((dilation * (kernel - 1) + 1).saturating_sub(2 * padding))
        });
        Problem { batch, inputs, outputs, extents, geometry }
    })
}

/// Cases of a property: few under Miri, which is slow.
pub(crate) fn config(cases: u32) -> ProptestConfig {
    let cases = if cfg!(miri) { 2 } else { cases };
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}
