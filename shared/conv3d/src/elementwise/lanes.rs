//! Sixteen channels at a time, in plain arrays that the compiler keeps in vector registers.

use crate::CHANNELS;

/// The sixteen values of `value`.
#[inline(always)]
pub(crate) fn lanes<T: Copy + Default>(mut value: impl FnMut(usize) -> T) -> [T; CHANNELS] {
    let mut lanes = [T::default(); CHANNELS];
    for (lane, slot) in lanes.iter_mut().enumerate() {
        *slot = value(lane);
    }
    lanes
}

/// The voxels of a blocked array; they need not be aligned.
///
/// # Panics
/// When the floats are not whole voxels.
pub(crate) fn voxels(floats: &[f32]) -> &[[f32; CHANNELS]] {
    let (voxels, rest) = floats.as_chunks();
    assert!(rest.is_empty(), "{} floats are not whole blocks of {CHANNELS} channels", floats.len());
    voxels
}

/// The values of the channels of `block`, zero beyond the last.
pub(crate) fn of_block<T: Copy + Default>(channels: &[T], block: usize) -> [T; CHANNELS] {
    lanes(|lane| channels.get(block * CHANNELS + lane).copied().unwrap_or_default())
}
