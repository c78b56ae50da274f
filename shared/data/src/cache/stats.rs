//! What a cache did since it was opened.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a cache did since it was opened. Numbers only: fit for a log or a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CacheStats {
    /// Inputs read from an entry.
    pub hits: u64,
    /// Inputs made from image and mask.
    pub built: u64,
    /// Images and masks that were read to learn their digests.
    pub hashed: u64,
    /// Of these, the ones whose content is not what it was when they were last read.
    pub changed: u64,
    /// Entries that were damaged; each was removed and built anew.
    pub damaged: u64,
    /// Entries removed to make room.
    pub evicted: u64,
    /// Inputs that were not kept, because they exceed the cap or could not be written.
    pub not_kept: u64,
    /// Inputs kept in 32 bits although 16 were asked for, because a value exceeds ±65,504.
    pub wide: u64,
}

/// The same, counted by many threads.
#[derive(Default)]
pub(super) struct Counters {
    pub(super) hits: Counter,
    pub(super) built: Counter,
    pub(super) hashed: Counter,
    pub(super) changed: Counter,
    pub(super) damaged: Counter,
    pub(super) evicted: Counter,
    pub(super) not_kept: Counter,
    pub(super) wide: Counter,
}

#[derive(Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, number: u64) {
        self.0.fetch_add(number, Ordering::Relaxed);
    }

    pub(super) fn one(&self) {
        self.add(1);
    }
}

impl Counters {
    pub(super) fn read(&self) -> CacheStats {
        let read = |counter: &Counter| counter.0.load(Ordering::Relaxed);
        CacheStats {
            hits: read(&self.hits),
            built: read(&self.built),
            hashed: read(&self.hashed),
            changed: read(&self.changed),
            damaged: read(&self.damaged),
            evicted: read(&self.evicted),
            not_kept: read(&self.not_kept),
            wide: read(&self.wide),
        }
    }
}
