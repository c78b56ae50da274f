//! Random changes of training inputs: mirrored, turned, deformed, of another contrast, noisy.
//!
//! The changes are made in this order, which is that of the causes: where a head lies, then how a scanner saw
//! it. Rotation and deformation share one interpolation. Every draw depends on the seed, the case and the epoch
//! alone, each kind of change on its own stream, and the arithmetic is the same on every platform: a training
//! that starts again sees the same samples. `docs/preprocessing.md` describes the settings.

mod elastic;
mod flip;
mod intensity;
mod rotation;
mod series;
mod warp;

#[cfg(test)]
mod golden_tests;

use consilium_domain::{AugmentationSpec, Flip, Seed};

use elastic::ElasticField;
pub use flip::flip;
use rotation::Rotation;

/// The random changes to training inputs that a study asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Augmentation(AugmentationSpec);

impl Augmentation {
    /// The changes of a checked study.
    pub const fn new(spec: AugmentationSpec) -> Self {
        Self(spec)
    }

    /// Changes an input of `shape` (z, y, x; x fastest) in place, as case number `case` is changed in `epoch`.
    ///
    /// Finite values stay finite. What is switched off leaves every bit as it was.
    ///
    /// # Panics
    /// Where `values` does not have the shape's size.
    pub fn apply(&self, values: &mut [f32], shape: [usize; 3], seed: &Seed, case: usize, epoch: u64) {
        assert_eq!(values.len(), shape.iter().product::<usize>(), "the shape must fit the values");
        let seed = seed.derive(&format!("augmentation/{epoch}/{case}"));
        let spread = if self.changes_intensity() { intensity::spread(values) } else { 0.0 };
        flip(values, shape, &self.draw_flips(&seed));
        self.warp(values, shape, &seed);
        self.change_intensity(values, spread, &seed);
    }

    fn draw_flips(&self, seed: &Seed) -> Vec<Flip> {
        let mut stream = seed.derive("flips").stream();
        self.0.flips.iter().copied().filter(|_| stream.next_u64() & 1 == 1).collect()
    }

    fn warp(&self, values: &mut [f32], shape: [usize; 3], seed: &Seed) {
        let turns = self.0.rotation_degrees > 0.0;
        if !turns && self.0.elastic.is_none() {
            return;
        }
        let rotation = if turns {
            Rotation::draw(self.0.rotation_degrees, &mut seed.derive("rotation").stream())
        } else {
            Rotation::NONE
        };
        let draw = |elastic| ElasticField::draw(elastic, shape, &mut seed.derive("elastic").stream());
        warp::warp(values, shape, &rotation, self.0.elastic.map(draw).as_mut());
    }

    fn changes_intensity(&self) -> bool {
        self.0.intensity_scale > 0.0 || self.0.intensity_shift > 0.0 || self.0.noise > 0.0
    }

    /// `spread` is the standard deviation of the input's non-zero voxels before any change.
    fn change_intensity(&self, values: &mut [f32], spread: f64, seed: &Seed) {
        let AugmentationSpec { intensity_scale: scale, intensity_shift: shift, noise, .. } = self.0;
        let mut stream = seed.derive("intensity").stream();
        let factor = 1.0 + scale * stream.between(-1.0, 1.0);
        let offset = spread * shift * stream.between(-1.0, 1.0);
        if factor != 1.0 || offset != 0.0 {
            intensity::rescale(values, factor as f32, offset as f32);
        }
        if noise > 0.0 {
            let mut stream = seed.derive("noise").stream();
            let deviation = spread * noise * stream.uniform();
            intensity::add_noise(values, deviation as f32, &mut stream);
        }
    }
}

#[cfg(test)]
mod tests {
    use consilium_domain::Elastic;
    use proptest::prelude::*;

    use super::*;

    const SHAPE: [usize; 3] = [10, 12, 14];

    /// A ball of uneven tissue in empty space.
    fn ball() -> Vec<f32> {
        let [depth, height, width] = SHAPE;
        let voxels =
            (0..depth * height * width).map(|i| (i / (height * width), i / width % height, i % width));
        voxels
            .map(|(z, y, x)| {
                let inside = z.abs_diff(5).pow(2) + y.abs_diff(6).pow(2) + x.abs_diff(7).pow(2) <= 16;
                if inside { 1.0 + ((z * 7 + y * 3 + x) % 5) as f32 } else { 0.0 }
            })
            .collect()
    }

    fn everything() -> AugmentationSpec {
        AugmentationSpec {
            flips: vec![Flip::Depth, Flip::Height, Flip::Width],
            rotation_degrees: 30.0,
            noise: 0.2,
            intensity_scale: 0.2,
            intensity_shift: 0.2,
            elastic: Some(Elastic { sigma: 5.0, amplitude: 1.0 }),
        }
    }

    fn sample(spec: &AugmentationSpec, number: u64, case: usize, epoch: u64) -> Vec<f32> {
        let mut values = ball();
        let seed = Seed::from_number(number);
        Augmentation::new(spec.clone()).apply(&mut values, SHAPE, &seed, case, epoch);
        values
    }

    /// Each change alone.
    fn each() -> [AugmentationSpec; 6] {
        let all = everything();
        let off = AugmentationSpec::default;
        [
            AugmentationSpec { flips: all.flips, ..off() },
            AugmentationSpec { rotation_degrees: all.rotation_degrees, ..off() },
            AugmentationSpec { noise: all.noise, ..off() },
            AugmentationSpec { intensity_scale: all.intensity_scale, ..off() },
            AugmentationSpec { intensity_shift: all.intensity_shift, ..off() },
            AugmentationSpec { elastic: all.elastic, ..off() },
        ]
    }

    fn bits(values: &[f32]) -> Vec<u32> {
        values.iter().map(|value| value.to_bits()).collect()
    }

    #[test]
    fn nothing_asked_for_changes_no_bit() {
        let mut values = ball();
        values[3] = -0.0;
        values[4] = f32::MIN_POSITIVE / 2.0;
        let before = bits(&values);
        Augmentation::new(AugmentationSpec::default()).apply(&mut values, SHAPE, &Seed::from_number(1), 2, 3);
        assert_eq!(bits(&values), before);
    }

    #[test]
    fn the_same_sample_comes_again_and_every_other_is_another() {
        for spec in each().iter().chain([&everything()]) {
            let several = |number, case: usize, epoch: u64| -> Vec<Vec<u32>> {
                // Mirroring has eight outcomes only, so several samples are compared.
                (0..6).map(|i| bits(&sample(spec, number, case + i, epoch))).collect()
            };
            assert_eq!(several(1, 2, 3), several(1, 2, 3));
            assert_ne!(several(1, 2, 3), several(1, 2, 4), "{spec:?}");
            assert_ne!(several(1, 2, 3), several(1, 3, 3), "{spec:?}");
            assert_ne!(several(1, 2, 3), several(2, 2, 3), "{spec:?}");
        }
    }

    #[test]
    fn one_change_does_not_alter_the_draws_of_another() {
        let flips = AugmentationSpec { flips: vec![Flip::Depth, Flip::Width], ..AugmentationSpec::default() };
        let both = AugmentationSpec { intensity_scale: 0.5, ..flips.clone() };
        for case in 0..8 {
            let (mirrored, brighter) = (sample(&flips, 1, case, 0), sample(&both, 1, case, 0));
            let factor = brighter.iter().sum::<f32>() / mirrored.iter().sum::<f32>();
            assert!((0.5..1.5).contains(&factor) && factor != 1.0);
            for (a, b) in mirrored.iter().zip(&brighter) {
                assert!((a * factor - b).abs() < 1e-4, "{a} {b}");
            }
        }
    }

    #[test]
    fn every_axis_is_mirrored_about_half_the_time_and_independently() {
        let augmentation = Augmentation::new(AugmentationSpec {
            flips: vec![Flip::Depth, Flip::Width],
            ..AugmentationSpec::default()
        });
        let draw = |case: u64| augmentation.draw_flips(&Seed::from_number(case));
        for count in [0, 2] {
            let share = (0..1000).filter(|&case| draw(case).len() == count).count();
            assert!((200..300).contains(&share), "{share} of 1000 with {count} axes");
        }
    }

    #[test]
    fn empty_space_stays_exactly_empty() {
        let original = ball();
        for spec in &each()[2..5] {
            for (before, after) in original.iter().zip(sample(spec, 1, 0, 0)) {
                assert_eq!(*before == 0.0, after == 0.0, "{spec:?}");
            }
        }
        let moved = sample(&everything(), 1, 0, 0);
        let empty = |values: &[f32]| values.iter().filter(|&&value| value == 0.0).count();
        assert!(empty(&moved) > empty(&original) / 2, "noise fills no background after a warp");
        assert_eq!(moved[0], 0.0);
    }

    #[test]
    fn intensities_change_within_their_limits_and_use_them() {
        let original = ball();
        let deviation = intensity::spread(&original);
        let middle = SHAPE[1] * SHAPE[2] * 5 + SHAPE[2] * 6 + 7;
        let (mut factors, mut shifts, mut noises) = (vec![], vec![], vec![]);
        for case in 0..300 {
            let [_, _, noise, scale, shift, _] = each();
            factors.push(f64::from(sample(&scale, 1, case, 0)[middle] / original[middle]));
            shifts.push(f64::from(sample(&shift, 1, case, 0)[middle] - original[middle]) / deviation);
            let noisy = sample(&noise, 1, case, 0);
            let inside = || noisy.iter().zip(&original).filter(|(_, before)| **before != 0.0);
            let squares = inside().map(|(after, before)| f64::from(after - before).powi(2)).sum::<f64>();
            noises.push((squares / inside().count() as f64).sqrt() / deviation);
        }
        let ends = |drawn: &[f64]| drawn.iter().fold((f64::MAX, f64::MIN), |(a, b), &v| (a.min(v), b.max(v)));
        let close = |(low, high): (f64, f64), (from, to): (f64, f64)| {
            assert!((low - from).abs() < 0.02 && (high - to).abs() < 0.02, "{low} to {high}");
        };
        close(ends(&factors), (0.8, 1.2));
        close(ends(&shifts), (-0.2, 0.2));
        close(ends(&noises), (0.0, 0.2));
    }

    proptest! {
        #[test]
        fn what_comes_out_is_finite_and_of_the_same_shape(
            shape in prop::array::uniform3(1usize..12),
            degrees in 0.0f64..180.0,
            sigma in 2.0f64..64.0,
            stretch in 0.01f64..0.5,
            largest in 0.1f32..1e6,
            number: u64,
        ) {
            let mut stream = Seed::from_number(number).stream();
            let mut values: Vec<f32> =
                (0..shape.iter().product()).map(|_| largest * stream.between(-1.0, 1.0) as f32).collect();
            let spec = AugmentationSpec {
                rotation_degrees: degrees,
                elastic: Some(Elastic { sigma, amplitude: stretch * sigma }),
                ..everything()
            };
            Augmentation::new(spec).apply(&mut values, shape, &Seed::from_number(number), 1, 2);
            prop_assert!(values.iter().all(|value| value.is_finite()));
            // Interpolation and each intensity change are bounded: 1.2 x, + .2 sd, + .2 * 4.9 sd.
            prop_assert!(values.iter().all(|value| value.abs() <= 2.5 * largest));
        }
    }
}
