//! A tumour whose core and rim carry the methylation signal.
//!
//! A latent score s drives two cues. The grain of the core: fine grain grows with `s + n`, coarse grain
//! shrinks. The rim: its brightness, and the sharpness of the oedema's border, grow with `s - n`. The
//! nuisance n is the patient's own, so that each cue alone is a blurred view of s and only both together give
//! it: a network has to look at texture and at the rim. Size, place, shape, rim thickness and the brightness
//! of core and oedema vary independently of s.

use consilium_domain::{RandomStream, Seed};

use super::contrast::Contrast;
use super::grain::SmoothNoise;
use super::head::{Head, ellipsoid_radius};
use super::range::Range;

/// Outer radius of the enhancing rim in millimetres.
const RADIUS_MM: Range = Range::new(16.0, 26.0);
/// The middle of the tumour, as a share of the brain's radius in that direction.
const ECCENTRIC_PLACE: Range = Range::new(0.2, 0.55);
/// How much longer than wide: the half axes are multiplied by e, 1 and 1/e in random order.
pub(super) const ELONGATION: Range = Range::new(1.0, 1.3);
/// Depth of the bulges as a share of the radius, and their width.
const IRREGULARITY: Range = Range::new(0.06, 0.16);
const BULGE_MM: f32 = 15.0;
/// Thickness of the rim in millimetres: never thinner than a voxel of the small grid.
pub(super) const RIM_MM: Range = Range::new(4.0, 7.0);
/// Outer border of the oedema in units of the rim's outer radius.
pub(super) const OEDEMA_EXTENT: Range = Range::new(1.35, 1.8);
/// Brightness of core and oedema relative to the table, drawn for each patient.
const LEVEL: Range = Range::new(0.9, 1.1);

/// Width of grains in millimetres: the fine grain is about a voxel of the small grid.
const FINE_MM: f32 = 6.0;
const COARSE_MM: f32 = 14.0;
/// One unit of the grain cue multiplies the fine grain by e to the first and divides the coarse by e to the
/// second.
const FINE_RATE: f32 = 0.4;
const COARSE_RATE: f32 = 0.15;

/// Width of the oedema's border in millimetres when the rim cue is 0, and the cue's logarithmic effect on it.
const EDGE_MM: f32 = 6.0;
const EDGE_RATE: f32 = 0.3;

/// Standard deviation of the nuisance that separates the two cues.
const CUE_NUISANCE: f64 = 0.8;
/// Cues are clipped here, five standard deviations out, so that no image leaves its plausible range.
const CUE_LIMIT: f64 = 5.0;

/// What a segmentation says of a voxel, with the numbers of UPENN-GBM and BraTS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compartment {
    Core = 1,
    Oedema = 2,
    Rim = 4,
}

/// What methylation changes: in units of the latent score's standard deviation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cues {
    pub(super) grain: f32,
    pub(super) rim: f32,
}

impl Cues {
    /// The two blurred views of a latent score.
    pub(super) fn of_latent(latent: f64, stream: &mut RandomStream) -> Self {
        let nuisance = CUE_NUISANCE * stream.normal();
        Self::clipped(latent + nuisance, latent - nuisance)
    }

    pub(super) fn clipped(grain: f64, rim: f64) -> Self {
        let clip = |cue: f64| cue.clamp(-CUE_LIMIT, CUE_LIMIT) as f32;
        Self { grain: clip(grain), rim: clip(rim) }
    }
}

/// One patient's tumour.
#[derive(Debug, Clone)]
pub(super) struct Tumour {
    pub(super) cues: Cues,
    pub(super) radius_mm: f32,
    pub(super) elongation: f32,
    pub(super) rim_mm: f32,
    pub(super) oedema_extent: f32,
    centre: [f32; 3],
    half_axes: [f32; 3],
    irregularity: f32,
    core_level: f32,
    oedema_level: f32,
    bulges: SmoothNoise,
}

/// The grain of one image of the core: each kind of image shows its own.
pub(super) struct CoreGrain {
    fine: SmoothNoise,
    coarse: SmoothNoise,
}

impl CoreGrain {
    pub(super) fn draw(seed: &Seed) -> Self {
        Self {
            fine: SmoothNoise::new(&seed.derive("fine grain"), FINE_MM),
            coarse: SmoothNoise::new(&seed.derive("coarse grain"), COARSE_MM),
        }
    }
}

impl Tumour {
    pub(super) fn draw(seed: &Seed, head: &Head, cues: Cues) -> Self {
        let mut stream = seed.derive("attributes").stream();
        let radius_mm = RADIUS_MM.draw(&mut stream);
        let elongation = ELONGATION.draw(&mut stream);
        let mut stretch = [elongation, 1.0, 1.0 / elongation];
        stream.shuffle(&mut stretch);
        Self {
            cues,
            radius_mm,
            elongation,
            rim_mm: RIM_MM.draw(&mut stream),
            oedema_extent: OEDEMA_EXTENT.draw(&mut stream),
            centre: place_in(head, &mut stream),
            half_axes: stretch.map(|factor| factor * radius_mm),
            irregularity: IRREGULARITY.draw(&mut stream),
            core_level: LEVEL.draw(&mut stream),
            oedema_level: LEVEL.draw(&mut stream),
            bulges: SmoothNoise::new(&seed.derive("bulges"), BULGE_MM),
        }
    }

    /// Distance of a place from the tumour's middle, in units of the rim's outer radius there; `None` beyond
    /// the oedema.
    pub(super) fn radius(&self, place: [f32; 3]) -> Option<f32> {
        let offset = std::array::from_fn(|axis| place[axis] - self.centre[axis]);
        let smooth = ellipsoid_radius(offset, self.half_axes);
        // Bulges are at most about four standard deviations: skip them where they cannot matter.
        if smooth * (1.0 - 4.0 * self.irregularity) > self.oedema_extent {
            return None;
        }
        let radius = smooth * (1.0 + self.irregularity * self.bulges.at(offset));
        (radius < self.oedema_extent).then_some(radius)
    }

    /// The compartment at a radius within the tumour.
    pub(super) fn compartment(&self, radius: f32) -> Compartment {
        if radius < self.core_share() {
            Compartment::Core
        } else if radius < 1.0 {
            Compartment::Rim
        } else {
            Compartment::Oedema
        }
    }

    /// Radius of the core in units of the rim's outer radius.
    pub(super) fn core_share(&self) -> f32 {
        1.0 - self.rim_mm / self.radius_mm
    }

    /// Relative brightness at a place within the tumour, where healthy tissue would show `healthy`.
    pub(super) fn brightness(
        &self,
        place: [f32; 3],
        radius: f32,
        healthy: f32,
        contrast: &Contrast,
        grain: &CoreGrain,
    ) -> f32 {
        match self.compartment(radius) {
            Compartment::Core => {
                let fine = (FINE_RATE * self.cues.grain).exp() * grain.fine.at(place);
                let coarse = (-COARSE_RATE * self.cues.grain).exp() * grain.coarse.at(place);
                contrast.core * self.core_level + contrast.grain * (fine + coarse)
            }
            Compartment::Rim => contrast.rim + contrast.rim_step * self.cues.rim,
            Compartment::Oedema => {
                let edge_mm = EDGE_MM * (-EDGE_RATE * contrast.edge_gain * self.cues.rim).exp();
                let inside_mm = (self.oedema_extent - radius) * self.radius_mm;
                let share = (inside_mm / edge_mm).min(1.0);
                healthy + share * (contrast.oedema * self.oedema_level - healthy)
            }
        }
    }
}

/// A place inside the brain, uniform in direction.
fn place_in(head: &Head, stream: &mut RandomStream) -> [f32; 3] {
    let direction = [stream.normal(), stream.normal(), stream.normal()].map(|v| v as f32);
    let length = direction.iter().map(|v| v * v).sum::<f32>().sqrt().max(f32::EPSILON);
    let share = ECCENTRIC_PLACE.draw(stream);
    let half_axes = head.half_axes();
    std::array::from_fn(|axis| direction[axis] / length * share * half_axes[axis])
}
