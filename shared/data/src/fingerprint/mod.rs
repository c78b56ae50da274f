//! Fingerprints of cases: how two sites that hold the same patient can be told so without naming anybody.
//!
//! An image becomes an [`ImageSketch`] that survives another export of the same scan; sketches and known names
//! become keyed hashes under the study's [`StudyFingerprintKey`]. Deliberately absent: comparing (that is
//! `shared/protocol`'s, which sees tokens only) and registration: a scan that was moved onto another atlas is
//! another image to a sketch, and is found by its names or not at all. What the method tells whom stands in
//! `docs/threat-model.md`.

mod frame;
mod key;
mod sketch;

#[cfg(test)]
mod error_rates;
#[cfg(test)]
mod exports;

pub use key::{FingerprintKey, StudyFingerprintKey, TooManyAliases};
pub use sketch::{ImageSketch, SketchError};
