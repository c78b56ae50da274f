//! The healthy brain around a tumour: an ellipsoid of white matter in a folded grey cortex, with ventricles.
//!
//! There is no skull: public data sets are skull-stripped, and so are phantoms. Outside the brain is nothing.

use consilium_domain::Seed;

use super::contrast::Contrast;
use super::grain::SmoothNoise;
use super::range::Range;

/// Half axes of the brain (z, y, x) in millimetres, each times a size near 1. All fit the windows of both
/// grids.
const HALF_AXES_MM: [f32; 3] = [62.0, 79.0, 68.0];
const SIZE: Range = Range::new(0.94, 1.04);

/// Half axes and distance from the midline of each ventricle in millimetres.
const VENTRICLE_MM: [f32; 3] = [10.0, 26.0, 6.0];
const VENTRICLE_OFFSET_MM: f32 = 9.0;

/// Grey matter begins at this share of the radius, give or take the folds.
const CORTEX: f32 = 0.85;
const FOLD_DEPTH: f32 = 0.07;
const FOLD_MM: f32 = 12.0;

/// Brightness varies this much within a tissue, in blobs of this width.
const TISSUE_VARIATION: f32 = 0.05;
const TISSUE_MM: f32 = 9.0;

/// One patient's brain. Places are in millimetres (z, y, x) from its middle.
#[derive(Debug, Clone)]
pub(super) struct Head {
    half_axes: [f32; 3],
    folds: SmoothNoise,
    variation: SmoothNoise,
}

/// Healthy tissue at a place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tissue {
    kind: TissueKind,
    variation: f32,
}

#[derive(Debug, Clone, Copy)]
enum TissueKind {
    Fluid,
    Grey,
    White,
}

impl Head {
    pub(super) fn draw(seed: &Seed) -> Self {
        let mut stream = seed.derive("size").stream();
        Self {
            half_axes: HALF_AXES_MM.map(|mm| mm * SIZE.draw(&mut stream)),
            folds: SmoothNoise::new(&seed.derive("folds"), FOLD_MM),
            variation: SmoothNoise::new(&seed.derive("variation"), TISSUE_MM),
        }
    }

    /// The half axes in millimetres, (z, y, x).
    pub(super) const fn half_axes(&self) -> [f32; 3] {
        self.half_axes
    }

    /// The tissue at a place; `None` outside the brain.
    pub(super) fn tissue(&self, place: [f32; 3]) -> Option<Tissue> {
        let radius = ellipsoid_radius(place, self.half_axes);
        if radius >= 1.0 {
            return None;
        }
        let [z, y, x] = place;
        let kind = if ellipsoid_radius([z, y, x.abs() - VENTRICLE_OFFSET_MM], VENTRICLE_MM) < 1.0 {
            TissueKind::Fluid
        } else if radius + FOLD_DEPTH * self.folds.at(place) > CORTEX {
            TissueKind::Grey
        } else {
            TissueKind::White
        };
        Some(Tissue { kind, variation: 1.0 + TISSUE_VARIATION * self.variation.at(place) })
    }
}

impl Tissue {
    /// Relative brightness in an image of this contrast.
    pub(super) fn brightness(self, contrast: &Contrast) -> f32 {
        self.variation
            * match self.kind {
                TissueKind::Fluid => contrast.fluid,
                TissueKind::Grey => contrast.grey,
                TissueKind::White => contrast.white,
            }
    }
}

/// The distance from the middle in units of the ellipsoid's radius in that direction.
pub(super) fn ellipsoid_radius(place: [f32; 3], half_axes: [f32; 3]) -> f32 {
    place.iter().zip(half_axes).map(|(mm, axis)| (mm / axis).powi(2)).sum::<f32>().sqrt()
}
