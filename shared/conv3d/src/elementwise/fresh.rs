//! Vectors that are written once, by many threads, without being zeroed before.
//!
//! An [`Unwritten`] part of the vector turns into a [`Written`] count when it is filled. Nothing can be
//! filled twice, so a vector whose counts add up to its length is full: no caller needs `unsafe`.

use std::{iter::Sum, marker::PhantomData, mem::MaybeUninit};

use crate::recycling::Room;
use crate::{Block, CHANNELS};

/// Ties parts and counts to the one vector they come from: no two vectors have the same `'vector`.
type Brand<'vector> = PhantomData<fn(&'vector ()) -> &'vector ()>;

/// A part of a fresh vector.
pub(crate) struct Unwritten<'vector, T> {
    slots: &'vector mut [MaybeUninit<T>],
    brand: Brand<'vector>,
}

/// How many elements of a fresh vector were filled.
#[must_use]
pub(crate) struct Written<'vector> {
    elements: usize,
    brand: Brand<'vector>,
}

/// A vector of `len` elements that `fill` fills.
///
/// # Panics
/// When `fill` leaves elements out.
pub(crate) fn fresh<T: Room>(
    len: usize,
    fill: impl for<'vector> FnOnce(Unwritten<'vector, T>) -> Written<'vector>,
) -> Vec<T> {
    fresh_with(len, |out| (fill(out), ())).0
}

/// A vector of `len` elements that `fill` fills, and what else `fill` found.
///
/// # Panics
/// When `fill` leaves elements out.
pub(crate) fn fresh_with<T: Room, R>(
    len: usize,
    fill: impl for<'vector> FnOnce(Unwritten<'vector, T>) -> (Written<'vector>, R),
) -> (Vec<T>, R) {
    let mut vector = T::room(len);
    let slots = &mut vector.spare_capacity_mut()[..len];
    let (written, found) = fill(Unwritten { slots, brand: PhantomData });
    assert_eq!(written.elements, len, "elements of an output were left out");
    // SAFETY: each element counted by `written` was initialised by the method that counted it.
    // The lifetime is invariant and `fill` must do with any, so only parts of this vector were counted; parts
    // do not overlap and are consumed when written, so `len` counted elements are all of them.
    unsafe { vector.set_len(len) };
    (vector, found)
}

impl<'vector, T: Copy> Unwritten<'vector, T> {
    /// The first `elements`, and what follows.
    fn split(self, elements: usize) -> (Self, Self) {
        let (head, tail) = self.slots.split_at_mut(elements);
        (Self { slots: head, brand: PhantomData }, Self { slots: tail, brand: PhantomData })
    }

    /// Parts of these lengths, one after the other.
    pub(crate) fn cut(self, lengths: impl Iterator<Item = usize>) -> Vec<Self> {
        let mut rest = self;
        let mut parts = Vec::with_capacity(lengths.size_hint().0);
        for length in lengths {
            let (part, after) = rest.split(length);
            parts.push(part);
            rest = after;
        }
        parts
    }

    /// Fills the part with `values`, as far as they go.
    #[inline(always)]
    pub(crate) fn write(self, values: impl Iterator<Item = T>) -> Written<'vector> {
        let mut elements = 0;
        for (slot, value) in self.slots.iter_mut().zip(values) {
            slot.write(value);
            elements += 1;
            one_by_one();
        }
        Written { elements, brand: PhantomData }
    }

    /// Fills this part and another at the same time.
    #[inline(always)]
    pub(crate) fn write_pairs<'other, U: Copy>(
        self,
        other: Unwritten<'other, U>,
        values: impl Iterator<Item = (T, U)>,
    ) -> (Written<'vector>, Written<'other>) {
        let mut elements = 0;
        for ((slot, other), (value, other_value)) in self.slots.iter_mut().zip(other.slots).zip(values) {
            slot.write(value);
            other.write(other_value);
            elements += 1;
            one_by_one();
        }
        (Written { elements, brand: PhantomData }, Written { elements, brand: PhantomData })
    }
}

impl<'vector> Unwritten<'vector, Block> {
    /// Fills the part with copies of `source`, as far as they go.
    pub(crate) fn copy(self, source: &[[f32; CHANNELS]]) -> Written<'vector> {
        let elements = source.len().min(self.slots.len());
        // SAFETY: both have `elements` elements of the same size and layout, the target is aligned for more
        // than it needs, and it is borrowed for writing, so it does not overlap the source.
        unsafe { source.as_ptr().copy_to_nonoverlapping(self.slots.as_mut_ptr().cast(), elements) };
        Written { elements, brand: PhantomData }
    }
}

/// Keeps the compiler from computing one lane of sixteen voxels together instead of sixteen lanes of one
/// voxel: with AVX-512 it would gather and scatter, which takes eight times as long. No instruction comes of
/// it.
#[inline(always)]
fn one_by_one() {
    std::hint::black_box(());
}

impl Sum for Written<'_> {
    fn sum<I: Iterator<Item = Self>>(parts: I) -> Self {
        Written { elements: parts.map(|part| part.elements).sum(), brand: PhantomData }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_written_where_they_lie() {
        let vector = fresh(5, |out| {
            let parts = out.cut([2, 0, 3].into_iter());
            parts.into_iter().enumerate().map(|(part, out)| out.write(std::iter::repeat(part))).sum()
        });
        assert_eq!(vector, [0, 0, 2, 2, 2]);
    }

    #[test]
    #[should_panic(expected = "left out")]
    fn a_part_that_runs_short_is_refused() {
        fresh(3, |out: Unwritten<u8>| out.write([1, 2].into_iter()));
    }

    #[test]
    #[should_panic(expected = "left out")]
    fn a_part_that_is_dropped_is_refused() {
        fresh(4, |out: Unwritten<u8>| {
            out.cut([2, 2].into_iter()).pop().expect("there are two").write(std::iter::repeat(0))
        });
    }
}
