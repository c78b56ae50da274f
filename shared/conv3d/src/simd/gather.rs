//! Sums of inputs times weights, for a tile of a few voxels by a few vectors of output channels that stay in registers
//! while the kernel runs over all input channels of a tap (or all taps of a planar input).

use super::{Product, Vector};

/// Neighbouring elements of the source and their weights.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Segment {
    /// From the first voxel of the tile, in elements.
    pub(crate) source: usize,
    /// From the first weight, in elements.
    pub(crate) weights: usize,
}

/// A tile: `rows` rows of `voxels` voxels each, fixed by the kernel.
#[derive(Debug)]
pub(crate) struct Gather<'a> {
    /// The first voxel's elements.
    pub(crate) source: *const f32,
    /// Elements from a voxel to the next, and from a row to the next.
    pub(crate) source_step: usize,
    pub(crate) source_row: usize,
    /// The elements to multiply, relative to each voxel, `length` in each.
    pub(crate) segments: &'a [Segment],
    pub(crate) length: usize,
    /// A tile's width of weights for each element.
    pub(crate) weights: *const f32,
    /// The first voxel's sums.
    pub(crate) sum: *mut f32,
    /// Floats from a voxel to the next, from a row to the next, and from a vector of a voxel to the next.
    pub(crate) sum_step: usize,
    pub(crate) sum_row: usize,
    pub(crate) sum_vector: usize,
    /// Whether to begin from zero, not from what the sums hold.
    pub(crate) fresh: bool,
}

/// An instance of [`gather`].
///
/// # Safety
/// The instruction set is available, and all that the tile describes lies within its buffers; nobody else touches the
/// sums.
pub(crate) type GatherKernel = unsafe fn(&Gather<'_>);

/// `sums += source * weights` for `ROWS` times `VOXELS` voxels and `N` vectors. `STEP` and `LENGTH` are the tile's
/// `source_step` and `length` where they are known beforehand, or 0.
///
/// # Safety
/// See [`GatherKernel`].
#[inline(always)]
#[expect(
    clippy::needless_range_loop,
    reason = "indices of one tile, which stays in registers if all loops unroll"
)]
pub(crate) unsafe fn gather<
    P: Product,
    const N: usize,
    const ROWS: usize,
    const VOXELS: usize,
    const STEP: usize,
    const LENGTH: usize,
>(
    tile: &Gather<'_>,
) {
    let step = if STEP == 0 { tile.source_step } else { STEP };
    let length = if LENGTH == 0 { tile.length } else { LENGTH };
    // Unrolled where the length is known; all known lengths are multiples of four.
    let unrolled = if LENGTH == 0 { 1 } else { 4 };
    // SAFETY: every address is one that the caller vouches for, see `GatherKernel`.
    unsafe {
        let at = |row: usize, voxel: usize, n: usize| {
            tile.sum.add(row * tile.sum_row + voxel * tile.sum_step + n * tile.sum_vector)
        };
        let mut sums = [[[P::Sum::zero(); N]; VOXELS]; ROWS];
        if !tile.fresh {
            for row in 0..ROWS {
                for voxel in 0..VOXELS {
                    for n in 0..N {
                        sums[row][voxel][n] = P::Sum::load(at(row, voxel, n));
                    }
                }
            }
        }
        for segment in tile.segments {
            let mut source = tile.source.add(segment.source);
            let mut weights = tile.weights.add(segment.weights);
            for _ in 0..length / unrolled {
                for element in 0..unrolled {
                    let mut factors = [P::load(weights); N];
                    for n in 1..N {
                        factors[n] = P::load(weights.add(n * P::Sum::LANES));
                    }
                    for row in 0..ROWS {
                        for voxel in 0..VOXELS {
                            let value = P::splat(source.add(row * tile.source_row + voxel * step + element));
                            for n in 0..N {
                                sums[row][voxel][n] = P::add(sums[row][voxel][n], value, factors[n]);
                            }
                        }
                    }
                    weights = weights.add(N * P::Sum::LANES);
                }
                source = source.add(unrolled);
            }
        }
        for row in 0..ROWS {
            for voxel in 0..VOXELS {
                for n in 0..N {
                    sums[row][voxel][n].store(at(row, voxel, n));
                }
            }
        }
    }
}
