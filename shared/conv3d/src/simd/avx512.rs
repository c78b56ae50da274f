//! 512-bit registers: 32 of them, a block of channels in each.

use std::arch::x86_64::*;

use super::gather::gather;
use super::outer::outer;
use super::transpose::transpose;
use super::{
    Gather, GatherKernel, Outer, OuterKernel, Product, Tile, Transpose, Vector, gather_instances,
    outer_instances,
};
use crate::convolution::Precision;

/// 28 sums of 32 registers; the others hold two weights and what the processor broadcasts.
pub(crate) const TILE: Tile = Tile { blocks: 2, voxels: 14, lanes: 16, rows: 8 };

impl Vector for __m512 {
    const LANES: usize = 16;

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: the trait's promise, see `Vector`.
        unsafe { _mm512_setzero_ps() }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the trait's promise, see `Vector`.
        unsafe { _mm512_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the trait's promise, see `Vector`.
        unsafe { _mm512_storeu_ps(to, self) }
    }

    #[inline(always)]
    unsafe fn interleave(a: Self, b: Self) -> (Self, Self) {
        // SAFETY: the trait's promise, see `Vector`.
        unsafe {
            let lower = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
            let upper = _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
            (_mm512_permutex2var_ps(a, lower, b), _mm512_permutex2var_ps(a, upper, b))
        }
    }
}

/// Floats.
pub(crate) struct Single;

impl Product for Single {
    type Sum = __m512;
    type Factor = __m512;

    #[inline(always)]
    unsafe fn splat(from: *const f32) -> __m512 {
        // SAFETY: the trait's promise, see `Vector`.
        unsafe { _mm512_set1_ps(*from) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> __m512 {
        // SAFETY: the trait's promise, see `Vector`.
        unsafe { _mm512_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn add(sum: __m512, left: __m512, right: __m512) -> __m512 {
        // SAFETY: the trait's promise, see `Vector`.
        unsafe { _mm512_fmadd_ps(left, right, sum) }
    }
}

/// Pairs of bf16.
pub(crate) struct Brain;

impl Product for Brain {
    type Sum = __m512;
    type Factor = __m512i;

    #[inline(always)]
    unsafe fn splat(from: *const f32) -> __m512i {
        // SAFETY: the trait's promise, see `Vector`.
        unsafe { _mm512_set1_epi32(*from.cast::<i32>()) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> __m512i {
        // SAFETY: the trait's promise, see `Vector`.
        unsafe { _mm512_loadu_si512(from.cast()) }
    }

    #[inline(always)]
    unsafe fn add(sum: __m512, left: __m512i, right: __m512i) -> __m512 {
        // SAFETY: the trait's promise, see `Vector`; `__m512bh` and `__m512i` are both any 512 bits.
        unsafe {
            let (left, right) = (
                std::mem::transmute::<__m512i, __m512bh>(left),
                std::mem::transmute::<__m512i, __m512bh>(right),
            );
            _mm512_dpbf16_ps(sum, left, right)
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
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

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
unsafe fn gather_brain<
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

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
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

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
unsafe fn outer_brain<
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

/// The tiles that fit: one row of up to 14 voxels, or two or three short ones.
macro_rules! instances {
    ($wrapper:ident, $product:ty, $vectors:literal, $step:expr, $length:expr, $rows:expr, $voxels:expr) => {
        gather_instances!(
            $wrapper,
            $product,
            $vectors,
            $step,
            $length,
            $rows,
            $voxels,
            [
                (1, 1),
                (1, 2),
                (1, 3),
                (1, 4),
                (1, 5),
                (1, 6),
                (1, 7),
                (1, 8),
                (1, 9),
                (1, 10),
                (1, 11),
                (1, 12),
                (1, 13),
                (1, 14),
                (2, 1),
                (2, 2),
                (2, 3),
                (2, 4),
                (2, 5),
                (2, 6),
                (2, 7),
                (3, 1),
                (3, 2),
                (3, 3),
                (3, 4)
            ]
        )
    };
}

macro_rules! blocked {
    ($wrapper:ident, $product:ty, $vectors:literal, $voxel:literal, $step:expr, $rows:expr, $voxels:expr) => {
        match $step {
            $voxel => instances!($wrapper, $product, $vectors, $voxel, $voxel, $rows, $voxels),
            step if step == 2 * $voxel => {
                instances!($wrapper, $product, $vectors, 2 * $voxel, $voxel, $rows, $voxels)
            }
            _ => instances!($wrapper, $product, $vectors, 0, $voxel, $rows, $voxels),
        }
    };
}

macro_rules! planar {
    ($wrapper:ident, $product:ty, $vectors:literal, $step:expr, $rows:expr, $voxels:expr) => {
        match $step {
            1 => instances!($wrapper, $product, $vectors, 1, 0, $rows, $voxels),
            2 => instances!($wrapper, $product, $vectors, 2, 0, $rows, $voxels),
            _ => instances!($wrapper, $product, $vectors, 0, 0, $rows, $voxels),
        }
    };
}

pub(crate) fn gather_kernel(
    precision: Precision,
    blocks: usize,
    rows: usize,
    voxels: usize,
    step: usize,
    length: usize,
) -> GatherKernel {
    match (precision, blocks, length) {
        (Precision::F32, 1, 16) => blocked!(gather_single, Single, 1, 16, step, rows, voxels),
        (Precision::F32, _, 16) => blocked!(gather_single, Single, 2, 16, step, rows, voxels),
        (Precision::F32, 1, _) => planar!(gather_single, Single, 1, step, rows, voxels),
        (Precision::F32, _, _) => planar!(gather_single, Single, 2, step, rows, voxels),
        (Precision::Bf16, 1, _) => blocked!(gather_brain, Brain, 1, 8, step, rows, voxels),
        (Precision::Bf16, _, _) => blocked!(gather_brain, Brain, 2, 8, step, rows, voxels),
    }
}

macro_rules! outer_any {
    ($wrapper:ident, $product:ty, $vectors:literal, $rows:expr, $step:expr, $across:expr) => {
        match ($rows, $step, $across) {
            (8, 16, 1) => outer_instances!($wrapper, $product, $vectors, 16, 1, $rows, [8]),
            (8, 32, 1) => outer_instances!($wrapper, $product, $vectors, 32, 1, $rows, [8]),
            (_, 2, 1) => {
                outer_instances!($wrapper, $product, $vectors, 2, 1, $rows, [1, 2, 3, 4, 5, 6, 7, 8])
            }
            _ => outer_instances!($wrapper, $product, $vectors, 0, 0, $rows, [1, 2, 3, 4, 5, 6, 7, 8]),
        }
    };
}

pub(crate) fn outer_kernel(
    precision: Precision,
    blocks: usize,
    rows: usize,
    step: usize,
    across: usize,
) -> OuterKernel {
    match (precision, blocks) {
        (Precision::F32, 1) => outer_any!(outer_single, Single, 1, rows, step, across),
        (Precision::F32, _) => outer_any!(outer_single, Single, 2, rows, step, across),
        (Precision::Bf16, 1) => outer_any!(outer_brain, Brain, 1, rows, step, across),
        (Precision::Bf16, _) => outer_any!(outer_brain, Brain, 2, rows, step, across),
    }
}

/// # Safety
/// See [`super::transpose_rows`].
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub(crate) unsafe fn transpose_rows(job: &Transpose) {
    // SAFETY: the caller's promise.
    unsafe { transpose::<__m512>(job) }
}
