//! What a checkpoint may ask for. Every size it states is compared with one of these or with the file's length
//! before memory is taken.
//!
//! The largest honest file is a 200-layer training checkpoint: 1,218 tensors and as many of the optimiser's, one
//! gibibyte, a pickle of 400 kB.

/// Bytes of a file: twice the largest honest one.
pub const MAX_FILE_BYTES: u64 = 2 << 30;

/// Bytes of a pickle that has to be inflated first: forty times the largest honest one.
pub(super) const MAX_PICKLE_BYTES: u64 = 16 << 20;

/// Instructions of a pickle: ten times those of the largest honest one.
pub(super) const MAX_STEPS: usize = 1 << 20;

/// Values that a pickle makes: numbers, texts, tuples, tensors. Five times the largest honest one.
pub(super) const MAX_VALUES: usize = 1 << 18;

/// Values on the stack: Python writes dictionaries in batches of 1,000 pairs.
pub(super) const MAX_STACK: usize = 1 << 14;

/// Open marks, that is, containers under construction inside one another: an honest file has four.
pub(super) const MAX_MARKS: usize = 64;

/// Bytes of a text: names of tensors have some 40, storage keys 20.
pub(super) const MAX_TEXT_BYTES: usize = 1 << 14;

/// Bytes of a module's or class's name: the longest that is known has 20.
pub(super) const MAX_LINE_BYTES: usize = 128;

/// Bytes of a whole number: the format's own mark has ten.
pub(super) const MAX_NUMBER_BYTES: usize = 15;

/// Extents of a tensor: kernels have five.
pub(super) const MAX_RANK: usize = 8;

/// Files in a zip archive: one for each storage and a few more.
pub(super) const MAX_ARCHIVE_FILES: usize = 1 << 14;

/// Bytes of a file's name in a zip archive.
pub(super) const MAX_NAME_BYTES: usize = 256;

/// Bytes of the small texts of a zip archive (`byteorder`, `version`).
pub(super) const MAX_NOTE_BYTES: u64 = 64;

/// A storage that is read may be this many times as large as the whole network: room for a head beside the
/// backbone in one block of memory.
pub(super) const STORAGE_PER_NETWORK: u64 = 2;
