//! Plain code for any processor: arrays of four floats, which compilers turn into vectors wherever there are some.

use super::gather::gather;
use super::outer::outer;
use super::{GatherKernel, OuterKernel, Product, Tile, Vector, gather_instances, outer_instances};

/// Eight sums of four floats: what the 16 registers of SSE2 and NEON's 32 hold without spilling.
pub(crate) const TILE: Tile = Tile { blocks: 1, voxels: 2, lanes: 4, rows: 2 };

impl Vector for [f32; 4] {
    const LANES: usize = 4;

    #[inline(always)]
    unsafe fn zero() -> Self {
        [0.0; 4]
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the trait's promise, see `Vector`.
        unsafe { from.cast::<Self>().read() }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the trait's promise, see `Vector`.
        unsafe { to.cast::<Self>().write(self) }
    }

    #[inline(always)]
    unsafe fn interleave(a: Self, b: Self) -> (Self, Self) {
        ([a[0], b[0], a[1], b[1]], [a[2], b[2], a[3], b[3]])
    }
}

/// Floats, multiplied and then added: a fused operation would be a function call on a processor that lacks it.
pub(crate) struct Single;

impl Product for Single {
    type Sum = [f32; 4];
    type Factor = [f32; 4];

    #[inline(always)]
    unsafe fn splat(from: *const f32) -> [f32; 4] {
        // SAFETY: the trait's promise, see `Vector`.
        [unsafe { *from }; 4]
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> [f32; 4] {
        // SAFETY: the trait's promise, see `Vector`.
        unsafe { <[f32; 4] as Vector>::load(from) }
    }

    #[inline(always)]
    unsafe fn add(sum: [f32; 4], left: [f32; 4], right: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|lane| sum[lane] + left[lane] * right[lane])
    }
}

macro_rules! instances {
    ($step:expr, $length:expr, $rows:expr, $voxels:expr) => {
        gather_instances!(gather, Single, 4, $step, $length, $rows, $voxels, [(1, 1), (1, 2), (2, 1)])
    };
}

pub(crate) fn gather_kernel(rows: usize, voxels: usize, step: usize, length: usize) -> GatherKernel {
    match (length, step) {
        (16, 16) => instances!(16, 16, rows, voxels),
        (16, _) => instances!(0, 16, rows, voxels),
        _ => instances!(0, 0, rows, voxels),
    }
}

pub(crate) fn outer_kernel(rows: usize, step: usize, across: usize) -> OuterKernel {
    match (rows, step, across) {
        (2, 16, 1) => outer_instances!(outer, Single, 4, 16, 1, rows, [2]),
        _ => outer_instances!(outer, Single, 4, 0, 0, rows, [1, 2]),
    }
}
