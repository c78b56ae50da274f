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

use crate::{Sketcher, Volume};

/// Keeps an [`ImageSketch`] beside every input of the cache; nothing where there is too little to sketch.
pub const IMAGE_SKETCHER: Sketcher = Sketcher { name: "image sketch 1", make: sketch_bytes };

fn sketch_bytes(image: &Volume, _mask: &Volume) -> Vec<u8> {
    ImageSketch::of(image).map_or_else(|_| Vec::new(), |sketch| sketch.to_bytes())
}
