//! Preprocessed inputs on the site's disk: made once, found again after a restart, made anew when a file changes.
//!
//! An input is addressed by the digests of its image and mask and by all that turns them into numbers (see
//! `handle::key`), so a changed file simply has another address, and there is nothing to invalidate. Entries have
//! a checksum; the folder has a cap, and what was not used for longest goes first.
//!
//! Deliberately not: a memory cache (the system's page cache is one), encryption (the folder is as confidential
//! as the scans beside it, and as private: mode 0700), or a place for anything that cannot be made again.

mod entry;
mod error;
mod handle;
mod private;
mod shelf;
mod sources;
mod stats;

#[cfg(test)]
mod tests;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use consilium_domain::{Modality, Preprocessing};
use serde::{Deserialize, Serialize};

pub use error::CacheError;
pub use handle::InputHandle;
pub use stats::CacheStats;

use crate::load::load_and_look;
use crate::{Case, LoadError, ReadVolumeError, Volume};
use entry::{Entry, Reading};
use shelf::Shelf;
use sources::{Sighting, Sources, Way};
use stats::Counters;

/// Most bytes of a sketch: it is read with every input, and must cost little beside it.
pub const MAX_SKETCH_BYTES: usize = 16 * 1024;

/// The index of the sources, beside the entries.
const SOURCES: &str = "sources.index";

/// How values are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CachePrecision {
    /// IEEE binary16: half the space; a value is off by at most 2^-11 of itself (2^-25 below 6e-5). An input with
    /// a value beyond ±65,504 is kept in 32 bits and counted in [`CacheStats::wide`].
    F16,
    /// As computed.
    #[default]
    F32,
}

impl CachePrecision {
    const fn name(self) -> &'static str {
        match self {
            Self::F16 => "f16",
            Self::F32 => "f32",
        }
    }
}

/// How much is kept, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheSettings {
    /// Most bytes of all entries together. The index of the sources (some 150 bytes a file) is not counted.
    pub max_bytes: u64,
    /// How values are kept. Each site chooses for itself: it is no part of the agreed study.
    pub precision: CachePrecision,
}

/// Some bytes to keep beside an input, made of the image and its mask whenever the input is built.
#[derive(Debug, Clone, Copy)]
pub struct Sketcher {
    /// Name and version: another name is another sketch, and inputs are built again for it.
    pub name: &'static str,
    /// Makes the sketch of an image and its mask; at most [`MAX_SKETCH_BYTES`].
    pub make: fn(&Volume, &Volume) -> Vec<u8>,
}

/// An input and what was kept with it.
#[derive(Clone, PartialEq)]
pub struct CachedInput {
    /// Fills a buffer with the same values later.
    pub handle: InputHandle,
    /// The input in (z, y, x) order, x fastest, of shape `handle.shape()`; rounded as the cache keeps it, also
    /// when it was built just now.
    pub values: Vec<f32>,
    /// What the cache's [`Sketcher`] made of the image; empty without one.
    pub sketch: Vec<u8>,
}

/// Shows which input it is, never a patient's voxels.
impl fmt::Debug for CachedInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedInput").field("handle", &self.handle).finish_non_exhaustive()
    }
}

/// A folder of preprocessed inputs.
///
/// Threads share it freely. Several processes may use one folder too: each holds to the cap within a sixteenth.
pub struct InputCache {
    folder: PathBuf,
    precision: CachePrecision,
    sketcher: Option<Sketcher>,
    shelf: Shelf,
    sources: Sources,
    counters: Counters,
}

impl InputCache {
    /// Opens the cache in `folder`, which is made where absent (mode 0700); evicts what exceeds the cap.
    ///
    /// # Errors
    /// [`CacheError::NotACache`] where the folder holds other files, [`CacheError::Io`] where it cannot be used.
    pub fn open(folder: &Path, settings: CacheSettings) -> Result<Self, CacheError> {
        check_own(folder)?;
        private::make_folder(folder).map_err(CacheError::io("made", folder))?;
        let (shelf, room) = Shelf::open(folder, settings.max_bytes)?;
        let counters = Counters::default();
        counters.evicted.add(room.evicted);
        Ok(Self {
            folder: folder.to_owned(),
            precision: settings.precision,
            sketcher: None,
            shelf,
            sources: Sources::open(folder.join(SOURCES)),
            counters,
        })
    }

    /// The same cache, keeping a sketch with every input.
    #[must_use]
    pub fn with_sketcher(mut self, sketcher: Sketcher) -> Self {
        self.sketcher = Some(sketcher);
        self
    }

    /// The input of a case to the network of `modality`: found, or built and kept.
    ///
    /// Reads image and mask where they are new or changed, otherwise only the entry.
    ///
    /// # Errors
    /// [`CacheError::Case`] or [`CacheError::Busy`] where the case's files give no input; the others are the
    /// cache's failures, whatever the case.
    pub fn load(
        &self,
        case: &Case,
        modality: Modality,
        preprocessing: Preprocessing,
    ) -> Result<CachedInput, CacheError> {
        let handle = self.identify(case, modality, preprocessing)?;
        let mut values = vec![0.0; handle.voxels()];
        if let Some(sketch) = self.find(&handle, &mut values)? {
            return Ok(CachedInput { handle, values, sketch });
        }
        let entry = self.build(&handle)?;
        self.keep(&handle, &entry)?;
        Ok(CachedInput { handle, values: entry.values, sketch: entry.sketch })
    }

    /// Writes the input into `out`, as [`load`](Self::load) gave it. Meant for every sample of every epoch: an
    /// entry that was evicted or damaged is built again, one that is there is read without looking at the scans.
    ///
    /// That the rebuilt entry cannot be written (a full disk) is counted in [`CacheStats::not_kept`] and fails
    /// nothing: the values are right.
    ///
    /// # Errors
    /// [`CacheError::SourceChanged`] where the entry is gone and image or mask are not what they were; otherwise
    /// as `load`, and [`CacheError::Length`] for a buffer of another size. `out` then holds anything.
    pub fn fill(&self, handle: &InputHandle, out: &mut [f32]) -> Result<(), CacheError> {
        if out.len() != handle.voxels() {
            return Err(CacheError::Length { expected: handle.voxels(), found: out.len() });
        }
        if self.find(handle, out)?.is_some() {
            return Ok(());
        }
        let current = self.identify(&handle.case, handle.modality, handle.preprocessing)?;
        let files = [
            (handle.image_path(), current.image, handle.image),
            (&handle.case.mask, current.mask, handle.mask),
        ];
        if let Some((path, ..)) = files.iter().find(|(_, now, then)| now.digest != then.digest) {
            return Err(CacheError::SourceChanged { path: path.to_path_buf() });
        }
        if current.key != handle.key {
            return Err(CacheError::ForeignHandle { key: handle.key.short() });
        }
        let entry = self.build(&current)?;
        if self.keep(&current, &entry).is_err() {
            self.counters.not_kept.one();
        }
        out.copy_from_slice(&entry.values);
        Ok(())
    }

    /// What happened since the cache was opened.
    pub fn stats(&self) -> CacheStats {
        self.counters.read()
    }

    /// Remembers on disk which files were read, so that the next process need not hash them. Also happens every
    /// few files and, without a report of failure, when the cache is dropped.
    ///
    /// # Errors
    /// [`CacheError::Io`] where the index cannot be written.
    pub fn flush(&self) -> Result<(), CacheError> {
        self.sources.save().map_err(CacheError::io("written", &self.folder.join(SOURCES)))
    }

    fn identify(
        &self,
        case: &Case,
        modality: Modality,
        preprocessing: Preprocessing,
    ) -> Result<InputHandle, CacheError> {
        let case = handle::narrowed(case, modality)?;
        let image = self.sight(&case.images[&modality])?;
        let mask = self.sight(&case.mask)?;
        let key = handle::key([image.digest, mask.digest], preprocessing, self.precision, self.sketcher);
        Ok(InputHandle { key, case, modality, preprocessing, image, mask })
    }

    fn sight(&self, path: &Path) -> Result<Sighting, CacheError> {
        let unreadable = |cause| LoadError::Read(ReadVolumeError::Io { path: path.to_owned(), cause });
        let (sighting, way) = self
            .sources
            .sight(path)
            .map_err(unreadable)?
            .ok_or_else(|| CacheError::Busy { path: path.to_owned() })?;
        if way != Way::Remembered {
            self.counters.hashed.one();
        }
        if way == Way::Changed {
            self.counters.changed.one();
        }
        Ok(sighting)
    }

    /// Reads the entry of `handle` into `out`; the sketch, or `None` where there is no sound entry.
    fn find(&self, handle: &InputHandle, out: &mut [f32]) -> Result<Option<Vec<u8>>, CacheError> {
        let path = self.shelf.path(handle.key);
        let reading = entry::read(&path, handle.key, handle.shape(), out);
        match reading.map_err(CacheError::io("read", &path))? {
            Reading::Sound { sketch, bytes } => {
                self.shelf.used(handle.key, bytes);
                self.counters.hits.one();
                Ok(Some(sketch))
            }
            Reading::Absent => {
                self.shelf.gone(handle.key);
                Ok(None)
            }
            Reading::Damaged => {
                self.shelf.discard(handle.key)?;
                self.counters.damaged.one();
                Ok(None)
            }
        }
    }

    /// Makes the input from the files, which must still be the ones of `handle` when all is read.
    fn build(&self, handle: &InputHandle) -> Result<Entry, CacheError> {
        let look = |image: &Volume, mask: &Volume| {
            self.sketcher.map_or_else(Vec::new, |sketcher| (sketcher.make)(image, mask))
        };
        let (values, sketch) = load_and_look(handle.case.pair(handle.modality)?, handle.preprocessing, look)?;
        for (path, sighting) in [(handle.image_path(), handle.image), (&handle.case.mask, handle.mask)] {
            if !sighting.stamp.still_fits(path) {
                return Err(CacheError::Busy { path: path.to_owned() });
            }
        }
        if let Some(sketcher) = self.sketcher.filter(|_| sketch.len() > MAX_SKETCH_BYTES) {
            return Err(CacheError::SketchTooLong { sketcher: sketcher.name, bytes: sketch.len() });
        }
        let entry = Entry::new(values, sketch, self.precision);
        self.counters.built.one();
        if entry.is_wide() && self.precision == CachePrecision::F16 {
            self.counters.wide.one();
        }
        Ok(entry)
    }

    fn keep(&self, handle: &InputHandle, entry: &Entry) -> Result<(), CacheError> {
        let bytes = entry.bytes();
        let room = self.shelf.make_room(bytes)?;
        self.counters.evicted.add(room.evicted);
        if !room.granted {
            self.counters.not_kept.one();
            return Ok(());
        }
        let path = self.shelf.path(handle.key);
        match private::put(&path, |file| entry.write(handle.key, handle.shape(), file)) {
            Ok(()) => {
                self.shelf.stored(handle.key, bytes);
                Ok(())
            }
            Err(cause) => {
                self.shelf.given_up(bytes);
                Err(CacheError::io("written", &path)(cause))
            }
        }
    }
}

impl Drop for InputCache {
    fn drop(&mut self) {
        // Losing the index costs time only; whoever wants to know calls `flush`.
        let _ = self.flush();
    }
}

/// A folder with anything else in it is not taken over: the cache deletes files and changes the folder's mode.
fn check_own(folder: &Path) -> Result<(), CacheError> {
    let failed = CacheError::io("listed", folder);
    if !folder.try_exists().map_err(&failed)? {
        return Ok(());
    }
    for entry in fs::read_dir(folder).map_err(&failed)? {
        let path = entry.map_err(&failed)?.path();
        let is_draft = path.extension().is_some_and(|ending| ending == private::DRAFT);
        let is_index = path.file_name().is_some_and(|name| name == SOURCES);
        if !is_draft && !is_index && shelf::key_of(&path).is_none() {
            let found = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            return Err(CacheError::NotACache { folder: folder.to_owned(), found });
        }
    }
    Ok(())
}
