//! Outputs that nobody needs any more are room for the next ones.
//!
//! The maps of a training step are dozens of megabytes each. An allocator gives such memory back to the system when it
//! is freed, and having its pages cleared for the next step takes longer than most of the kernels here. So who holds
//! an output hands it in when done, and every step after the first finds its memory ready.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::block::Block;

/// Vectors nobody uses at present, from small to large.
static FREE: Mutex<Vec<Vec<Block>>> = Mutex::new(Vec::new());

/// A vector may have this much more capacity than was asked for, as a divisor of the request.
const SPARE: usize = 4;

fn free() -> MutexGuard<'static, Vec<Vec<Block>>> {
    // The list is changed by single calls, so a panic elsewhere cannot have left half a change.
    FREE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes in an output that is not needed any more.
pub fn recycle(output: Vec<Block>) {
    if output.capacity() > 0 {
        let mut free = free();
        let place = free.partition_point(|other| other.capacity() < output.capacity());
        free.insert(place, output);
    }
}

/// Gives all vectors that were taken in back to the system: after a training, before a pause.
pub fn release() {
    free().clear();
}

/// An empty vector with room for `len` blocks.
pub(crate) fn room(len: usize) -> Vec<Block> {
    let mut free = free();
    let place = free.partition_point(|vector| vector.capacity() < len);
    let fits = free.get(place).is_some_and(|vector| vector.capacity() <= len + len / SPARE);
    let mut vector = if fits { free.remove(place) } else { Vec::new() };
    drop(free);
    vector.clear();
    vector.reserve_exact(len);
    vector
}

/// What fresh vectors hold, and where their memory comes from.
pub(crate) trait Room: Copy {
    /// An empty vector with room for `len`.
    fn room(len: usize) -> Vec<Self> {
        Vec::with_capacity(len)
    }
}

impl Room for Block {
    fn room(len: usize) -> Vec<Self> {
        room(len)
    }
}

impl Room for f32 {}
impl<const N: usize> Room for [u8; N] {}
impl Room for u8 {}
impl Room for u16 {}
impl Room for usize {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again_where_it_fits() {
        let vector = room(100_003);
        let address = vector.as_ptr();
        recycle(vector);
        let larger = room(200_000);
        assert!(larger.is_empty() && larger.capacity() >= 200_000);
        let same = room(100_000);
        assert_eq!((same.as_ptr(), same.len()), (address, 0));
    }
}
