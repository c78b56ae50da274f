//! What of an image survives its next export, and differs between patients.
//!
//! Brains on one atlas look alike, and no site knows what they have in common. So each place is compared with
//! its mirror image on the other side of the same brain: what all brains have in common is symmetric, and what
//! differs from the other side is the patient's own folds, vessels and tumour. A bit of the sketch says which of
//! the two stands out more from its surroundings. Differences and their signs do not change when the scale or
//! the zero of the brain's intensities does.
//!
//! Bits are dealt at random into [`IMAGE_BANDS`] bands of 16. A scan and its export differ in few bits, so many
//! bands are equal; of two patients about half the bits differ, and hardly any band is. This is locality-sensitive
//! hashing by bit sampling (Indyk and Motwani 1998, doi:10.1145/276698.276876).

use std::sync::OnceLock;

use consilium_domain::{IMAGE_BANDS, Seed};

use super::frame::{Lattice, NODES, PITCH_MM};
use crate::Volume;

/// Bits of a band.
const BAND_BITS: usize = 16;
/// Half axes in millimetres (right-left, front-back, up-down) of the ellipsoid of compared places: inside any
/// adult's brain, away from the surface, which another skull-stripping moves.
const HALF_AXES_MM: [f32; 3] = [52.0, 66.0, 44.0];
/// Nearer to the middle plane a place and its mirror image share their tissue.
const OFF_MIDDLE_MM: f32 = 8.0;
/// Chooses and orders the compared places, for ever: sketches of different sites must agree on them.
const PLACES_SEED: u64 = 1;
/// An image that fills fewer than this share of the compared places is no whole brain, and says too little.
const LEAST_FILLED: f64 = 0.8;

/// 512 bits of an image, in bands. `Debug` does not show them: they are a patient's.
#[derive(Clone, PartialEq, Eq)]
pub struct ImageSketch([u16; IMAGE_BANDS]);

/// Why an image has no sketch. Two images without one must not be taken for the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SketchError {
    /// Every voxel has the background's value.
    #[error("the image is all background: export it again")]
    Empty,
    /// A slab, a fragment, or no brain.
    #[error(
        "the image has contrast at {filled} of {compared} places of a brain: it is too small a part of one for a \
         fingerprint, or flat"
    )]
    TooLittle {
        /// Pairs of places with a difference.
        filled: usize,
        /// Pairs of places there are.
        compared: usize,
    },
}

impl ImageSketch {
    /// Sketches a skull-stripped image: tissue is what differs from the background's value.
    ///
    /// Axes are read by the volume's orientation, LPS where that is unknown.
    ///
    /// # Errors
    /// [`SketchError`] where there is too little to tell one patient from another.
    pub fn of(volume: &Volume) -> Result<Self, SketchError> {
        let lattice = Lattice::of(volume)?;
        let mut bands = [0u16; IMAGE_BANDS];
        let mut filled = 0;
        for (bit, &place) in places().iter().enumerate() {
            let difference = asymmetry(&lattice, place);
            filled += usize::from(difference != 0.0);
            bands[bit / BAND_BITS] |= u16::from(difference > 0.0) << (bit % BAND_BITS);
        }
        let compared = places().len();
        if (filled as f64) < LEAST_FILLED * compared as f64 {
            return Err(SketchError::TooLittle { filled, compared });
        }
        Ok(Self(bands))
    }

    /// The bands as bytes, for the site's own cache.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|band| band.to_le_bytes()).collect()
    }

    /// From [`ImageSketch::to_bytes`]; `None` for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (bands, []) = bytes.as_chunks() else { return None };
        let bands: Vec<u16> = bands.iter().map(|&band| u16::from_le_bytes(band)).collect();
        bands.try_into().map(Self).ok()
    }

    /// The bands, in their order.
    pub(super) const fn bands(&self) -> &[u16; IMAGE_BANDS] {
        &self.0
    }

    /// Bits in which two sketches differ, 0 to 512.
    pub fn distance(&self, other: &Self) -> u32 {
        self.0.iter().zip(&other.0).map(|(a, b)| (a ^ b).count_ones()).sum()
    }
}

impl std::fmt::Debug for ImageSketch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ImageSketch").finish_non_exhaustive()
    }
}

/// How much more a place stands out than its mirror image; 0 where one of them is not in the brain.
fn asymmetry(lattice: &Lattice, [right, front, up]: [usize; 3]) -> f32 {
    let here = lattice.contrast([right, front, up]);
    let there = lattice.contrast([NODES[0] - 1 - right, front, up]);
    here.zip(there).map_or(0.0, |(here, there)| here - there)
}

/// The compared places, one a bit.
fn places() -> &'static [[usize; 3]] {
    static PLACES: OnceLock<Vec<[usize; 3]>> = OnceLock::new();
    PLACES.get_or_init(|| {
        let mut all = Vec::new();
        for right in NODES[0] / 2..NODES[0] {
            for front in 0..NODES[1] {
                for up in 0..NODES[2] {
                    all.extend(is_compared([right, front, up]).then_some([right, front, up]));
                }
            }
        }
        Seed::from_number(PLACES_SEED).derive("fingerprint places").stream().shuffle(&mut all);
        all.truncate(IMAGE_BANDS * BAND_BITS);
        all
    })
}

fn is_compared(node: [usize; 3]) -> bool {
    let mm: [f32; 3] =
        std::array::from_fn(|axis| (node[axis] as f32 - (NODES[axis] - 1) as f32 / 2.0) * PITCH_MM);
    let radius: f32 = mm.iter().zip(HALF_AXES_MM).map(|(mm, half)| (mm / half).powi(2)).sum();
    radius < 1.0 && mm[0] > OFF_MIDDLE_MM
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn bytes_come_back() {
        let sketch = ImageSketch(std::array::from_fn(|band| 0x0102 + 31 * band as u16));
        assert_eq!(ImageSketch::from_bytes(&sketch.to_bytes()), Some(sketch));
        assert_eq!(ImageSketch::from_bytes(&[]), None);
        assert_eq!(ImageSketch::from_bytes(&[0; 2 * IMAGE_BANDS + 1]), None);
    }

    #[test]
    fn there_are_as_many_different_places_as_bits() {
        assert_eq!(places().len(), IMAGE_BANDS * BAND_BITS);
        assert_eq!(places().iter().collect::<BTreeSet<_>>().len(), places().len());
        // Pinned: another choice would make sketches of two releases strangers to each other.
        assert_eq!(places()[..2], [[15, 17, 11], [14, 7, 9]]);
    }

    #[test]
    fn what_is_no_brain_has_no_sketch() {
        let of = |values: Vec<f32>| ImageSketch::of(&Volume::new([60, 80, 70], [2.0; 3], values).unwrap());
        assert_eq!(of(vec![0.0; 60 * 80 * 70]), Err(SketchError::Empty));
        let flat = |z: usize| {
            let slice = |index: usize| index / (80 * 70);
            let inside = |index: usize| index % 70 > 3 && index % 70 < 66;
            (0..60 * 80 * 70).map(|i| f32::from(u8::from(slice(i) < z && inside(i)))).collect::<Vec<_>>()
        };
        assert!(matches!(of(flat(60)), Err(SketchError::TooLittle { filled: 0, .. })), "flat");
        let mut slab = flat(8);
        slab.iter_mut().enumerate().for_each(|(i, value)| *value *= (i * 2_654_435_761 % 1000) as f32 + 1.0);
        assert!(matches!(of(slab), Err(SketchError::TooLittle { .. })));
    }
}
