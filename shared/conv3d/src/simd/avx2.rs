//! 256-bit registers: 16 of them, half a block of channels in each.

use std::arch::x86_64::*;

use super::gather::gather;
use super::outer::outer;
use super::transpose::transpose;
use super::{
    Gather, GatherKernel, Outer, OuterKernel, Product, Tile, Transpose, Vector, gather_instances,
    outer_instances,
};

/// 12 sums of 16 registers; the others hold two weights and a broadcast input.
pub(crate) const TILE: Tile = Tile { blocks: 1, voxels: 6, lanes: 8, rows: 4 };

impl Vector for __m256 {
    const LANES: usize = 8;

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: the trait's promise, see `Vector`.
        unsafe { _mm256_setzero_ps() }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the trait's promise, see `Vector`.
        unsafe { _mm256_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the trait's promise, see `Vector`.
        unsafe { _mm256_storeu_ps(to, self) }
    }

    #[inline(always)]
    unsafe fn interleave(a: Self, b: Self) -> (Self, Self) {
        // SAFETY: the trait's promise, see `Vector`.
        unsafe {
            let (even, odd) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
            (_mm256_permute2f128_ps::<0x20>(even, odd), _mm256_permute2f128_ps::<0x31>(even, odd))
        }
    }
}

/// Floats.
pub(crate) struct Single;

impl Product for Single {
    type Sum = __m256;
    type Factor = __m256;

    #[inline(always)]
    unsafe fn splat(from: *const f32) -> __m256 {
        // SAFETY: the trait's promise, see `Vector`.
        unsafe { _mm256_set1_ps(*from) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> __m256 {
        // SAFETY: the trait's promise, see `Vector`.
        unsafe { _mm256_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn add(sum: __m256, left: __m256, right: __m256) -> __m256 {
        // SAFETY: the trait's promise, see `Vector`.
        unsafe { _mm256_fmadd_ps(left, right, sum) }
    }
}

#[target_feature(enable = "avx2,fma")]
unsafe fn gather_single<
    P: Product,
    const N: usize,
    const ROWS: usize,
    const VOXELS: usize,
    const STEP: usize,
    const LENGTH: usize,
>(
    tile: &Gather<'_>,
) {
    // SAFETY: the caller's promise, see `GatherKernel`.
    unsafe { gather::<P, N, ROWS, VOXELS, STEP, LENGTH>(tile) }
}

#[target_feature(enable = "avx2,fma")]
unsafe fn outer_single<
    P: Product,
    const N: usize,
    const ROWS: usize,
    const STEP: usize,
    const ACROSS: usize,
>(
    tile: &Outer<'_>,
) {
    // SAFETY: the caller's promise, see `OuterKernel`.
    unsafe { outer::<P, N, ROWS, STEP, ACROSS>(tile) }
}

/// The tiles that fit: one row of up to 6 voxels, or two or three short ones.
macro_rules! instances {
    ($step:expr, $length:expr, $rows:expr, $voxels:expr) => {
        gather_instances!(
            gather_single,
            Single,
            2,
            $step,
            $length,
            $rows,
            $voxels,
            [(1, 1), (1, 2), (1, 3), (1, 4), (1, 5), (1, 6), (2, 1), (2, 2), (2, 3), (3, 1), (3, 2)]
        )
    };
}

pub(crate) fn gather_kernel(rows: usize, voxels: usize, step: usize, length: usize) -> GatherKernel {
    match (length, step) {
        (16, 16) => instances!(16, 16, rows, voxels),
        (16, 32) => instances!(32, 16, rows, voxels),
        (16, _) => instances!(0, 16, rows, voxels),
        (_, 2) => instances!(2, 0, rows, voxels),
        _ => instances!(0, 0, rows, voxels),
    }
}

pub(crate) fn outer_kernel(rows: usize, step: usize, across: usize) -> OuterKernel {
    match (rows, step, across) {
        (4, 16, 1) => outer_instances!(outer_single, Single, 2, 16, 1, rows, [4]),
        (4, 32, 1) => outer_instances!(outer_single, Single, 2, 32, 1, rows, [4]),
        _ => outer_instances!(outer_single, Single, 2, 0, 0, rows, [1, 2, 3, 4]),
    }
}

/// # Safety
/// See [`super::transpose_rows`].
#[target_feature(enable = "avx2,fma")]
pub(crate) unsafe fn transpose_rows(job: &Transpose) {
    // SAFETY: the caller's promise.
    unsafe { transpose::<__m256>(job) }
}
