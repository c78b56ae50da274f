//! Sums of outer products: a few inputs of a voxel times a few vectors of its output gradients, over rows of voxels.

use super::{Product, Vector};

/// Where a row of voxels begins, in elements.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowPair {
    pub(crate) input: usize,
    pub(crate) gradient: usize,
}

/// Rows of voxels and the sums they are added to; how many sums is fixed by the kernel.
#[derive(Debug)]
pub(crate) struct Outer<'a> {
    pub(crate) input: *const f32,
    /// Elements from a voxel to the next, and from the input of one sum to that of the next.
    pub(crate) input_step: usize,
    pub(crate) input_across: usize,
    pub(crate) gradient: *const f32,
    /// Elements from a voxel to the next, and from a vector of a voxel to the next.
    pub(crate) gradient_step: usize,
    pub(crate) gradient_vector: usize,
    pub(crate) rows: &'a [RowPair],
    /// Voxels of each row.
    pub(crate) voxels: usize,
    pub(crate) sum: *mut f32,
    /// Floats from one input's sums to the next.
    pub(crate) sum_row: usize,
}

/// An instance of [`outer`].
///
/// # Safety
/// The instruction set is available, and all that the tile describes lies within its buffers; nobody else touches the
/// sums.
pub(crate) type OuterKernel = unsafe fn(&Outer<'_>);

/// `sums += input x gradient` for `ROWS` inputs and `N` vectors of gradients. `STEP` and `ACROSS` are the tile's
/// `input_step` and `input_across` where they are known beforehand, or 0.
///
/// # Safety
/// See [`OuterKernel`].
#[inline(always)]
#[expect(
    clippy::needless_range_loop,
    reason = "indices of one tile, which stays in registers if all loops unroll"
)]
pub(crate) unsafe fn outer<
    P: Product,
    const N: usize,
    const ROWS: usize,
    const STEP: usize,
    const ACROSS: usize,
>(
    tile: &Outer<'_>,
) {
    let step = if STEP == 0 { tile.input_step } else { STEP };
    let across = if ACROSS == 0 { tile.input_across } else { ACROSS };
    // SAFETY: every address is one that the caller vouches for, see `OuterKernel`.
    unsafe {
        let at = |row: usize, n: usize| tile.sum.add(row * tile.sum_row + n * P::Sum::LANES);
        let mut sums = [[P::Sum::zero(); N]; ROWS];
        for row in 0..ROWS {
            for n in 0..N {
                sums[row][n] = P::Sum::load(at(row, n));
            }
        }
        for pair in tile.rows {
            let mut input = tile.input.add(pair.input);
            let mut gradient = tile.gradient.add(pair.gradient);
            for _ in 0..tile.voxels {
                let mut factors = [P::load(gradient); N];
                for n in 1..N {
                    factors[n] = P::load(gradient.add(n * tile.gradient_vector));
                }
                for row in 0..ROWS {
                    let value = P::splat(input.add(row * across));
                    for n in 0..N {
                        sums[row][n] = P::add(sums[row][n], value, factors[n]);
                    }
                }
                // One voxel behind the last may lie outside: `wrapping_add` makes no claim about it.
                input = input.wrapping_add(step);
                gradient = gradient.wrapping_add(tile.gradient_step);
            }
        }
        for row in 0..ROWS {
            for n in 0..N {
                sums[row][n].store(at(row, n));
            }
        }
    }
}
