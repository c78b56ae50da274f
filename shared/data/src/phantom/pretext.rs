//! A task without labels, to pretrain a stand-in for MedicalNet: read a tumour's attributes off its image.
//!
//! Patients come from their own seed, scanners differ from case to case, and no methylation is drawn: the two
//! cues are independent of each other here, so nothing about the label can leak into the backbone.

use consilium_domain::{Modality, Preprocessing, Seed};

use super::range::Range;
use super::scanner::Scanner;
use super::tumour::{Cues, ELONGATION, OEDEMA_EXTENT, RIM_MM};
use super::{Grid, PhantomPatient};
use crate::preprocess;

/// Regression targets of an example, in order: core radius share, elongation, grain of the core, rim
/// thickness, rim brightness, extent of the oedema.
pub const PRETEXT_TARGETS: usize = 6;

/// Spread of the cues: wide enough to cover any signal that a study would use.
const CUE_SPREAD: f64 = 1.6;

/// The share follows from radius and rim; its range as observed over many tumours.
const CORE_SHARE: Range = Range::new(0.643, 0.831);

/// An input and what to read off it.
#[derive(Debug, Clone, PartialEq)]
pub struct PretextExample {
    /// A tumour crop of `side` cubed voxels, (z, y, x), x fastest.
    pub input: Vec<f32>,
    /// The attributes, each with a mean near 0 and a variance near 1 over many examples.
    pub targets: [f32; PRETEXT_TARGETS],
}

/// Makes `count` examples of one modality, as the profile `tumour-crop` with this `side` would show them.
pub fn pretext_examples(count: usize, side: u16, seed: &Seed, modality: Modality) -> Vec<PretextExample> {
    let seed = seed.derive("pretext");
    (0..count).map(|index| example(&seed.derive(&format!("case/{index}")), side, modality)).collect()
}

fn example(seed: &Seed, side: u16, modality: Modality) -> PretextExample {
    let mut stream = seed.derive("cues").stream();
    let cues = Cues::clipped(CUE_SPREAD * stream.normal(), CUE_SPREAD * stream.normal());
    let patient = PhantomPatient::with_cues(seed, cues, 0.0, &Scanner::draw(seed));
    let scene = patient.scene(Grid::Small);
    let input = preprocess(&scene.image(modality), &scene.mask(), Preprocessing::TumourCrop { side })
        .expect("a phantom's tumour lies in its brain and is not constant");
    let tumour = &patient.tumour;
    let targets = [
        CORE_SHARE.standardise(tumour.core_share()),
        ELONGATION.standardise(tumour.elongation),
        cues.grain / CUE_SPREAD as f32,
        RIM_MM.standardise(tumour.rim_mm),
        cues.rim / CUE_SPREAD as f32,
        OEDEMA_EXTENT.standardise(tumour.oedema_extent),
    ];
    PretextExample { input, targets }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_standardised_and_examples_repeat() {
        let seed = Seed::from_number(4);
        let examples = pretext_examples(200, 12, &seed, Modality::Flair);
        for target in 0..PRETEXT_TARGETS {
            let mean = examples.iter().map(|e| e.targets[target]).sum::<f32>() / 200.0;
            let variance = examples.iter().map(|e| (e.targets[target] - mean).powi(2)).sum::<f32>() / 200.0;
            assert!(mean.abs() < 0.3 && (0.6..1.5).contains(&variance), "{target}: {mean} {variance}");
        }
        assert!(examples.iter().all(|example| example.input.len() == 12 * 12 * 12));
        assert_eq!(examples[..3], pretext_examples(3, 12, &seed, Modality::Flair));
    }
}
