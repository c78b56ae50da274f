//! How far the worker is with its order, for the session to look at while it works.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Steps done, and of how many. Clones share it. A look between two writes may see the one of them only: the next look
/// sees both.
#[derive(Debug, Clone, Default)]
pub(crate) struct Meter(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    steps: AtomicU32,
    of: AtomicU32,
}

impl Meter {
    /// An order begins; `of` is 0 where its length is not known yet.
    pub(crate) fn begin(&self, of: usize) {
        self.set(0, u32::try_from(of).unwrap_or(u32::MAX));
    }

    /// So many steps of so many are done.
    pub(crate) fn set(&self, steps: u32, of: u32) {
        self.0.of.store(of, Ordering::Relaxed);
        self.0.steps.store(steps, Ordering::Relaxed);
    }

    /// One more step is done.
    pub(crate) fn step(&self) {
        self.0.steps.fetch_add(1, Ordering::Relaxed);
    }

    /// Steps done, and of how many.
    pub(crate) fn seen(&self) -> (u32, u32) {
        (self.0.steps.load(Ordering::Relaxed), self.0.of.load(Ordering::Relaxed))
    }
}
