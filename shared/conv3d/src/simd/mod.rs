//! Vectors and the two micro-kernels written over them once: `gather` (outputs from inputs times weights) and `outer`
//! (weight gradients from inputs times output gradients). A file per instruction set says what a vector is and how
//! many fit into its registers; nothing here knows what a convolution is.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod gather;
mod outer;
mod portable;
mod transpose;

pub(crate) use gather::{Gather, GatherKernel, Segment};
pub(crate) use outer::{Outer, OuterKernel, RowPair};
pub(crate) use transpose::Transpose;

use crate::convolution::Precision;
use crate::instructions::InstructionSet;

/// A register of floats.
///
/// # Safety of its functions
/// They may only run where the instruction set is available, and pointers must be good for `LANES` floats, in any
/// alignment.
pub(crate) trait Vector: Copy {
    const LANES: usize;
    unsafe fn zero() -> Self;
    unsafe fn load(from: *const f32) -> Self;
    unsafe fn store(self, to: *mut f32);
    /// `a0 b0 a1 b1 ..`: the lower halves of both, then the upper halves.
    unsafe fn interleave(a: Self, b: Self) -> (Self, Self);
}

/// How factors are multiplied into a sum of floats. A factor's element is 32 bits wide: one float, or two of bf16
/// that are multiplied pair by pair and added.
///
/// # Safety of its functions
/// As for [`Vector`].
pub(crate) trait Product {
    type Sum: Vector;
    type Factor: Copy;
    /// One element in all lanes.
    unsafe fn splat(from: *const f32) -> Self::Factor;
    /// Neighbouring elements.
    unsafe fn load(from: *const f32) -> Self::Factor;
    unsafe fn add(sum: Self::Sum, left: Self::Factor, right: Self::Factor) -> Self::Sum;
}

/// What fits into the registers of an instruction set.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tile {
    /// Blocks of 16 channels of a full tile.
    pub(crate) blocks: usize,
    /// Voxels of a full tile.
    pub(crate) voxels: usize,
    /// Lanes of a vector.
    pub(crate) lanes: usize,
    /// Rows of a weight gradient's tile.
    pub(crate) rows: usize,
}

impl Tile {
    pub(crate) fn of(instructions: InstructionSet) -> Self {
        match instructions {
            InstructionSet::Portable => portable::TILE,
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx2 => avx2::TILE,
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512 => avx512::TILE,
            #[cfg(not(target_arch = "x86_64"))]
            _ => unreachable!("asked for instructions of another architecture"),
        }
    }

    /// Floats from one vector of a voxel to the next, where its blocks are `block` floats apart.
    pub(crate) fn vector_stride(&self, block: usize) -> usize {
        if self.lanes == crate::block::CHANNELS { block } else { self.lanes }
    }
}

/// The kernel for tiles of `blocks` blocks of channels and `rows` rows of `voxels` voxels.
///
/// `step` is the number of elements from one voxel of the source to the next, `length` that of a segment.
pub(crate) fn gather_kernel(
    (instructions, precision): (InstructionSet, Precision),
    blocks: usize,
    rows: usize,
    voxels: usize,
    step: usize,
    length: usize,
) -> GatherKernel {
    match instructions {
        InstructionSet::Portable => portable::gather_kernel(rows, voxels, step, length),
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx2 => avx2::gather_kernel(rows, voxels, step, length),
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx512 => avx512::gather_kernel(precision, blocks, rows, voxels, step, length),
        #[cfg(not(target_arch = "x86_64"))]
        _ => unreachable!("asked for instructions of another architecture"),
    }
}

/// The kernel for `rows` rows of a weight gradient and `blocks` blocks of output channels.
///
/// `step` is the number of elements from one voxel of the input to the next, `across` that from a row to the next.
pub(crate) fn outer_kernel(
    (instructions, precision): (InstructionSet, Precision),
    blocks: usize,
    rows: usize,
    step: usize,
    across: usize,
) -> OuterKernel {
    match instructions {
        InstructionSet::Portable => portable::outer_kernel(rows, step, across),
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx2 => avx2::outer_kernel(rows, step, across),
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx512 => avx512::outer_kernel(precision, blocks, rows, step, across),
        #[cfg(not(target_arch = "x86_64"))]
        _ => unreachable!("asked for instructions of another architecture"),
    }
}

/// Turns rows into columns.
///
/// # Safety
/// The instructions are available, and all that `job` describes lies within its buffers, which nobody else touches.
pub(crate) unsafe fn transpose_rows(instructions: InstructionSet, job: &Transpose) {
    // SAFETY: the caller's promise.
    unsafe {
        match instructions {
            InstructionSet::Portable => transpose::transpose::<[f32; 4]>(job),
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx2 => avx2::transpose_rows(job),
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512 => avx512::transpose_rows(job),
            #[cfg(not(target_arch = "x86_64"))]
            _ => unreachable!("asked for instructions of another architecture"),
        }
    }
}

/// Picks an instance of a kernel for a number of rows and voxels: `pick!(kernel::<P, N, .., STEP, LEN>, rows, voxels)`.
macro_rules! gather_instances {
    ($wrapper:ident, $product:ty, $vectors:literal, $step:expr, $length:expr,
     $rows:expr, $voxels:expr, [$(($r:literal, $v:literal)),*]) => {
        match ($rows, $voxels) {
            $(($r, $v) => $wrapper::<$product, $vectors, $r, $v, { $step }, { $length }>,)*
            other => unreachable!("no kernel for rows and voxels {other:?}"),
        }
    };
}

macro_rules! outer_instances {
    ($wrapper:ident, $product:ty, $vectors:literal, $step:expr, $across:expr, $rows:expr, [$($r:literal),*]) => {
        match $rows {
            $($r => $wrapper::<$product, $vectors, $r, { $step }, { $across }>,)*
            other => unreachable!("no kernel for {other} rows"),
        }
    };
}

pub(crate) use {gather_instances, outer_instances};

/// A function over plain slices that is compiled once for every instruction set, for the compiler to vectorise; the
/// first argument says which to run. Its callers have checked that the set is available.
macro_rules! vectorised {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $type:ty),* $(,)?) $(-> $out:ty)? $body:block) => {
        $(#[$meta])*
        $vis fn $name(instructions: $crate::InstructionSet, $($arg: $type),*) $(-> $out)? {
            #[inline(always)]
            fn plain($($arg: $type),*) $(-> $out)? $body
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2($($arg: $type),*) $(-> $out)? { plain($($arg),*) }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
            fn avx512($($arg: $type),*) $(-> $out)? { plain($($arg),*) }
            match instructions {
                // SAFETY: `Arithmetic::checked` has found the instructions available.
                #[cfg(target_arch = "x86_64")]
                $crate::InstructionSet::Avx2 => unsafe { avx2($($arg),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                $crate::InstructionSet::Avx512 => unsafe { avx512($($arg),*) },
                _ => plain($($arg),*),
            }
        }
    };
}

pub(crate) use vectorised;
