//! What may change at random in a training input, and how much.
//!
//! Only the settings: the mathematics is in `consilium-data` and described in `docs/preprocessing.md`. Every
//! change is off unless the study asks for it.

use serde::{Deserialize, Serialize};

use super::check::{Problems, is_set};

/// An axis along which a training input may be mirrored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the axes of the array")]
pub enum Flip {
    Depth,
    Height,
    Width,
}

/// The random changes to training inputs. The default changes nothing.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AugmentationSpec {
    /// Axes along which an input is mirrored, each with probability one half.
    pub flips: Vec<Flip>,
    /// Largest rotation about a random axis, in degrees, 0 to 180.
    pub rotation_degrees: f64,
    /// Largest standard deviation of Gaussian noise, in standard deviations of the input's own non-zero voxels,
    /// 0 to 1.
    pub noise: f64,
    /// Largest relative change of contrast: non-zero voxels are multiplied by up to 1 ± this, 0 to 0.9.
    pub intensity_scale: f64,
    /// Largest change of brightness, in standard deviations of the input's own non-zero voxels, 0 to 2.
    pub intensity_shift: f64,
    /// A smooth random deformation.
    pub elastic: Option<Elastic>,
}

/// A smooth random deformation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Elastic {
    /// Standard deviation of the Gaussian that smooths the displacements, in voxels of the input, 2 to 64.
    pub sigma: f64,
    /// Root mean square of the displacement along each axis, in voxels of the input, above 0 and at most half
    /// of `sigma`.
    pub amplitude: f64,
}

impl Elastic {
    /// Finest smoothing, in voxels: below it neighbouring voxels move apart and the image is torn.
    const MIN_SIGMA: f64 = 2.0;
    /// Coarsest smoothing, in voxels: above it a whole input moves as one.
    const MAX_SIGMA: f64 = 64.0;
    /// Largest amplitude per sigma: the displacement then changes by 0.35 of a voxel from voxel to voxel (root
    /// mean square), and folds are rare.
    const MAX_STRETCH: f64 = 0.5;
}

impl AugmentationSpec {
    pub(super) fn check(&self, problems: &mut Problems) {
        problems.unless(is_set(&self.flips), "training.augmentation.flips", "must name no axis twice");
        for (key, value, largest, remedy) in [
            ("rotation_degrees", self.rotation_degrees, 180.0, "must be 0 (off) to 180"),
            ("noise", self.noise, 1.0, "must be 0 (off) to 1"),
            ("intensity_scale", self.intensity_scale, 0.9, "must be 0 (off) to 0.9"),
            ("intensity_shift", self.intensity_shift, 2.0, "must be 0 (off) to 2"),
        ] {
            let key = format!("training.augmentation.{key}");
            problems.unless((0.0..=largest).contains(&value), &key, remedy);
        }
        let Some(Elastic { sigma, amplitude }) = self.elastic else { return };
        problems.unless(
            (Elastic::MIN_SIGMA..=Elastic::MAX_SIGMA).contains(&sigma),
            "training.augmentation.elastic.sigma",
            "must be 2 to 64 voxels",
        );
        problems.unless(
            amplitude > 0.0 && amplitude <= Elastic::MAX_STRETCH * sigma,
            "training.augmentation.elastic.amplitude",
            "must be above 0 and at most half of sigma, or the image folds over; leave `elastic` out to turn it off",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Study, sample};
    use super::*;

    fn problems(augmentation: AugmentationSpec) -> String {
        let mut study = sample::study();
        study.training.augmentation = augmentation;
        study.check().map_or_else(|error| error.to_string(), |()| String::new())
    }

    #[test]
    fn what_is_left_out_is_off() {
        let text = sample::study().to_json();
        let start = text.find(",\"augmentation\":").expect("the study says how it augments");
        let end = start + text[start..].find('}').expect("a table ends") + 1;
        let silent = format!("{}{}", &text[..start], &text[end..]);
        assert_eq!(Study::from_json(&silent).unwrap().training.augmentation, AugmentationSpec::default());
        let only: AugmentationSpec = serde_json::from_str(r#"{"rotation_degrees":15.0}"#).unwrap();
        assert_eq!(only, AugmentationSpec { rotation_degrees: 15.0, ..AugmentationSpec::default() });
    }

    #[test]
    fn the_ends_of_every_range_are_allowed() {
        let largest = AugmentationSpec {
            flips: vec![Flip::Width, Flip::Depth, Flip::Height],
            rotation_degrees: 180.0,
            noise: 1.0,
            intensity_scale: 0.9,
            intensity_shift: 2.0,
            elastic: Some(Elastic { sigma: 64.0, amplitude: 32.0 }),
        };
        assert_eq!(problems(largest), "");
        assert_eq!(problems(AugmentationSpec::default()), "");
    }

    #[test]
    fn every_impossible_value_is_named() {
        let text = problems(AugmentationSpec {
            flips: vec![Flip::Width, Flip::Width],
            rotation_degrees: -1.0,
            noise: f64::NAN,
            intensity_scale: 1.0,
            intensity_shift: f64::INFINITY,
            elastic: Some(Elastic { sigma: 1.0, amplitude: 0.0 }),
        });
        for key in [
            "augmentation.flips",
            "augmentation.rotation_degrees",
            "augmentation.noise",
            "augmentation.intensity_scale",
            "augmentation.intensity_shift",
            "augmentation.elastic.sigma",
            "augmentation.elastic.amplitude",
        ] {
            assert!(text.contains(key), "{key} is missing from {text}");
        }
        let folding = Some(Elastic { sigma: 5.0, amplitude: 2.6 });
        let text = problems(AugmentationSpec { elastic: folding, ..AugmentationSpec::default() });
        assert!(text.contains("half of sigma"), "{text}");
    }
}
