//! How far a check has come, for whoever draws it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// A part of the work that goes through all files or cases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pass {
    /// Reading headers.
    Headers,
    /// Reading voxels.
    Voxels,
    /// Drawing the page.
    Page,
}

impl Pass {
    /// `headers`, `voxels` or `page`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Headers => "headers",
            Self::Voxels => "voxels",
            Self::Page => "page",
        }
    }
}

/// One more file is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Of which pass.
    pub pass: Pass,
    /// Files done, this one included. Files finish on several threads: calls may come out of order.
    pub done: usize,
    /// Files in all.
    pub total: usize,
}

/// How long a pass took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PassTiming {
    /// Which.
    pub pass: Pass,
    /// Files it went through.
    pub files: usize,
    /// Time on the wall.
    pub elapsed: Duration,
}

impl PassTiming {
    /// Files a second.
    pub fn files_per_second(&self) -> f64 {
        self.files as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }
}

/// Counts the files of one pass.
pub(super) struct Counter<'a> {
    pass: Pass,
    total: usize,
    done: AtomicUsize,
    started: Instant,
    report: &'a (dyn Fn(Progress) + Sync),
}

impl<'a> Counter<'a> {
    pub(super) fn start(pass: Pass, total: usize, report: &'a (dyn Fn(Progress) + Sync)) -> Self {
        Self { pass, total, done: AtomicUsize::new(0), started: Instant::now(), report }
    }

    /// `files` more are done.
    pub(super) fn add(&self, files: usize) {
        let done = self.done.fetch_add(files, Ordering::Relaxed) + files;
        (self.report)(Progress { pass: self.pass, done, total: self.total });
    }

    pub(super) fn finish(self) -> PassTiming {
        PassTiming { pass: self.pass, files: self.done.into_inner(), elapsed: self.started.elapsed() }
    }
}
