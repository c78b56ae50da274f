//! Memory of the kernels: scratch that is used again, and outputs that are written exactly once.

use std::sync::{Mutex, PoisonError};

use bytemuck::Pod;

use crate::block::{Block, CHANNELS};
use crate::recycling::Room;

/// Bytes of scratch that are kept for the next call. The largest layers of a ResNet-50 need a packed kernel of 28 MB
/// and a rounded input besides; more than this is given back to the system.
const KEPT_BYTES: usize = 128 << 20;

/// A kept buffer may be this many times too large for a request before a new one is made instead.
const SLACK: usize = 4;

/// Buffers nobody uses at present, the one given back longest ago first.
static FREE: Mutex<Vec<Vec<Block>>> = Mutex::new(Vec::new());

/// Aligned floats with unspecified contents, given back for the next call when dropped.
#[derive(Debug)]
pub(crate) struct Scratch {
    blocks: Vec<Block>,
    floats: usize,
}

impl Scratch {
    /// `floats` of unspecified value.
    pub(crate) fn new(floats: usize) -> Self {
        let needed = floats.div_ceil(CHANNELS);
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        let fitting = |buffer: &Vec<Block>| buffer.len() >= needed && buffer.len() / SLACK <= needed;
        let best = (0..free.len()).filter(|&i| fitting(&free[i])).min_by_key(|&i| free[i].len());
        let found = best.map(|i| free.remove(i));
        drop(free);
        let blocks = found.unwrap_or_else(|| vec![Block([0.0; CHANNELS]); needed]);
        let mut scratch = Self { blocks, floats };
        if cfg!(debug_assertions) {
            scratch.floats_mut().fill(f32::NAN);
        }
        scratch
    }

    /// `floats` zeros.
    pub(crate) fn zeroed(floats: usize) -> Self {
        let mut scratch = Self::new(floats);
        scratch.floats_mut().fill(0.0);
        scratch
    }

    pub(crate) fn floats(&self) -> &[f32] {
        &bytemuck::cast_slice(&self.blocks)[..self.floats]
    }

    pub(crate) fn floats_mut(&mut self) -> &mut [f32] {
        &mut bytemuck::cast_slice_mut(&mut self.blocks)[..self.floats]
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let blocks = std::mem::take(&mut self.blocks);
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        free.push(blocks);
        let mut kept: usize = free.iter().map(|buffer| size_of_val(&buffer[..])).sum();
        while kept > KEPT_BYTES {
            kept -= size_of_val(&free.remove(0)[..]);
        }
    }
}

/// An output, floats or blocks of them, whose tasks write every element once, each its own part.
#[derive(Debug)]
pub(crate) struct Fresh<T> {
    elements: Vec<T>,
    len: usize,
}

impl<T: Pod + Room> Fresh<T> {
    /// Room for `len` elements. Where debug assertions are on it is filled with NaN, so that an element which no task
    /// writes shows in every test; Miri sees for itself what is read before it is written.
    pub(crate) fn new(len: usize) -> Self {
        let mut elements = T::room(len);
        if cfg!(debug_assertions) && !cfg!(miri) {
            elements.resize(len, T::zeroed());
            bytemuck::cast_slice_mut::<T, f32>(&mut elements).fill(f32::NAN);
            elements.clear();
        }
        Self { elements, len }
    }

    pub(crate) fn target(&mut self) -> Target {
        Target(self.elements.as_mut_ptr().cast())
    }

    /// The output.
    ///
    /// # Safety
    /// Every element has been written.
    pub(crate) unsafe fn written(mut self) -> Vec<T> {
        // SAFETY: the capacity was reserved in `new`, and the caller has written all of it.
        unsafe { self.elements.set_len(self.len) };
        self.elements
    }
}

/// Where tasks on several threads write, each to places of its own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target(*mut f32);

// SAFETY: a mere address. Whoever writes through it argues that no other task touches the same floats.
unsafe impl Send for Target {}
// SAFETY: as for `Send`.
unsafe impl Sync for Target {}

impl Target {
    /// The address of float number `offset`.
    ///
    /// # Safety
    /// `offset` lies in the buffer or just behind it.
    pub(crate) unsafe fn at(self, offset: usize) -> *mut f32 {
        // SAFETY: the caller's promise.
        unsafe { self.0.add(offset) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scratch_is_used_again_and_never_shared() {
        let mut first = Scratch::zeroed(1000);
        let second = Scratch::zeroed(1000);
        first.floats_mut().fill(1.0);
        assert!(second.floats().iter().all(|&x| x == 0.0));
        assert_eq!(second.floats().len(), 1000);
        assert_eq!(first.floats().as_ptr().align_offset(64), 0);
    }

    #[test]
    fn fresh_output_holds_what_was_written() {
        let mut fresh = Fresh::<Block>::new(2);
        let target = fresh.target();
        for i in 0..32 {
            // SAFETY: two blocks are 32 floats.
            unsafe { target.at(i).write(i as f32) };
        }
        // SAFETY: all 32 floats were written.
        let blocks = unsafe { fresh.written() };
        assert_eq!(blocks[1].0[15], 31.0);
    }
}
