//! Where a ReLU let values pass: one bit for each, all that its gradient needs of an output.

use rayon::prelude::*;

use super::{Unwritten, Written, fresh, lanes, multiversion, voxels};
use crate::{BlockedShape, CHANNELS, InstructionSet};

/// Whether the channels of each voxel of `z`, the output of a ReLU, are above zero: channel `c` of a block is bit
/// `c`. NaN is not above zero.
///
/// # Shapes
/// `z` are blocked activations, the result has one mask for each voxel of each block.
///
/// # Panics
/// When `z` is not whole voxels.
pub fn relu_mask(instructions: InstructionSet, z: &[f32]) -> Vec<u16> {
    let shape = BlockedShape::of_rows(1, z.len());
    let z = voxels(z);
    fresh(z.len(), |out| {
        let slabs = shape.cut(out).into_par_iter();
        slabs.map(|(slab, out)| mask_slab(instructions, out, &z[slab.voxels])).sum()
    })
}

/// The bit of each lane, as wide as a float.
static BITS: [u32; CHANNELS] = {
    let mut bits = [1; CHANNELS];
    let mut lane = 1;
    while lane < CHANNELS {
        bits[lane] = bits[lane - 1] << 1;
        lane += 1;
    }
    bits
};

/// [`BITS`], at an address unknown to the compiler. If it knew them it would test the last lane's for a sign and
/// others one by one, which takes three times as long as one comparison of all lanes.
pub(crate) struct Bits(&'static [u32; CHANNELS]);

impl Bits {
    #[inline(always)]
    pub(crate) fn new() -> Self {
        Self(std::hint::black_box(&BITS))
    }

    /// The mask of one voxel of a ReLU's output.
    #[inline(always)]
    fn above_zero(&self, z: &[f32; CHANNELS]) -> u16 {
        let bits = lanes(|lane| self.0[lane] & all_or_none(z[lane] > 0.0));
        bits.iter().fold(0, |mask, bit| mask | bit) as u16
    }

    /// `dz` where the bits of `mask` are set, the gradient before ReLU.
    #[inline(always)]
    pub(crate) fn masked(&self, mask: u16, dz: &[f32; CHANNELS]) -> [f32; CHANNELS] {
        lanes(|lane| {
            let keep = all_or_none(u32::from(mask) & self.0[lane] != 0);
            f32::from_bits(dz[lane].to_bits() & keep)
        })
    }
}

/// What to merge with, so that no lane is left to a branch.
#[inline(always)]
fn all_or_none(condition: bool) -> u32 {
    if condition { u32::MAX } else { 0 }
}

impl BlockedShape {
    /// Asserts that `mask` is one of activations of this shape.
    pub(crate) fn assert_mask(&self, mask: &[u16]) {
        assert_eq!(mask.len(), self.total_voxels(), "the mask does not have the voxels of {self:?}");
    }
}

multiversion! {
    fn mask_slab<'out>(out: Unwritten<'out, u16>, z: &[[f32; CHANNELS]]) -> Written<'out> {
        let bits = Bits::new();
        out.write(z.iter().map(|z| bits.above_zero(z)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::trial;
    use super::*;

    #[test]
    fn bits_tell_what_is_above_zero() {
        let shape = BlockedShape { batch: 3, channels: 37, voxels: 611 };
        let mut z = trial::activations(shape, 1);
        z[..4].copy_from_slice(&[f32::NAN, f32::INFINITY, -0.0, f32::MIN_POSITIVE / 4.0]);
        trial::each_way(
            |instructions| relu_mask(instructions, &z),
            |mask| {
                assert_eq!((mask.len(), mask[0] & 0b1111), (z.len() / CHANNELS, 0b1010));
                for (index, value) in z.iter().enumerate() {
                    let bit = mask[index / CHANNELS] >> (index % CHANNELS) & 1;
                    assert_eq!(bit == 1, *value > 0.0, "value {index}");
                }
            },
        );
        assert_eq!(relu_mask(InstructionSet::best(), &[]), []);
    }

    #[test]
    fn a_bit_lets_its_lane_pass() {
        let dz = lanes(|lane| lane as f32 + 1.0);
        let passed = Bits::new().masked(0b1000_0000_0000_0101, &dz);
        assert_eq!(passed, lanes(|lane| if [0, 2, 15].contains(&lane) { dz[lane] } else { 0.0 }));
    }

    #[test]
    #[should_panic(expected = "not whole blocks")]
    fn half_a_voxel_is_refused() {
        relu_mask(InstructionSet::best(), &[1.0; 24]);
    }
}
