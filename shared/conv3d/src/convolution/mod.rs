//! 3D convolution over blocked activations: forward, input gradient and weight gradient.
//!
//! Results depend on the shapes, the arithmetic and the numbers only, never on how many threads there are: work is
//! split by shape, and partial sums are added in a fixed order.

mod finish;
mod forward;
mod gather;
mod input_gradient;
mod moments;
mod pack_kernel;
mod parts;
pub mod planar;
mod round;
mod sweep;
mod weight_gradient;
mod weight_sums;

pub use finish::Finish;
pub use forward::{forward, forward_with_moments};
pub use input_gradient::input_gradient;
pub use moments::Moments;
pub use weight_gradient::weight_gradient;

use crate::block::{CHANNELS, blocks};
use crate::geometry::Problem;
use crate::instructions::InstructionSet;

/// How numbers are multiplied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Arithmetic {
    /// The instructions to use, which must be available.
    pub instructions: InstructionSet,
    /// What the factors are rounded to.
    pub precision: Precision,
}

/// What the factors of a product are rounded to. Sums are always of single precision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Precision {
    /// Single precision: not rounded.
    F32,
    /// bf16, to nearest and to even between two. A processor without instructions for it multiplies the rounded
    /// numbers in single precision, which takes as long as [`Precision::F32`].
    Bf16,
}

impl Precision {
    /// Whether `instructions` have a faster multiplication for it.
    pub fn is_available(self, instructions: InstructionSet) -> bool {
        match self {
            Self::F32 => true,
            Self::Bf16 => instructions == InstructionSet::Avx512 && multiplies_bf16(),
        }
    }
}

#[cfg(all(target_arch = "x86_64", not(miri)))]
fn multiplies_bf16() -> bool {
    is_x86_feature_detected!("avx512bf16")
}

#[cfg(not(all(target_arch = "x86_64", not(miri))))]
fn multiplies_bf16() -> bool {
    false
}

impl Arithmetic {
    /// Single precision with the best instructions of this processor.
    pub fn best() -> Self {
        Self { instructions: InstructionSet::best(), precision: Precision::F32 }
    }

    /// Itself, once it is certain that the processor has the instructions: every kernel relies on it.
    fn checked(self) -> Self {
        assert!(
            self.instructions.is_available(),
            "this processor lacks the instructions {:?}",
            self.instructions
        );
        self
    }

    /// The precision of the instructions that multiply: that of the factors, or single where there are none for it.
    fn native(self) -> Precision {
        if self.precision.is_available(self.instructions) { self.precision } else { Precision::F32 }
    }

    /// Whether factors are rounded to bf16 but multiplied as floats.
    fn emulated(self) -> bool {
        self.precision != self.native()
    }
}

/// Floats of a blocked activation of `channels` channels of `extents` voxels.
fn blocked_len(batch: usize, channels: usize, extents: [usize; 3]) -> usize {
    batch * blocks(channels) * extents.iter().product::<usize>() * CHANNELS
}

/// A 1x1x1 kernel without stride and padding sees no neighbours: its volumes are one long row each.
fn flattened(problem: &Problem) -> Problem {
    let mut flat = *problem;
    let g = &problem.geometry;
    if g.kernel == [1; 3] && g.stride == [1; 3] && g.padding == [0; 3] {
        flat.extents = [1, 1, problem.extents.iter().product()];
    }
    flat
}

/// # Panics
/// When a slice has not the length that the problem says.
fn expect_len(what: &str, slice: &[f32], expected: usize) {
    assert_eq!(slice.len(), expected, "{what} has {} floats, the problem asks for {expected}", slice.len());
}
