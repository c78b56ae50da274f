//! What a check is asked to do.

use consilium_domain::{ClinicalBaseline, Design, Evaluation, Modality, Selection};

/// The folds a study may have.
const FOLDS: std::ops::RangeInclusive<u8> = 2..=20;

/// The largest share that a study may set aside.
const MOST_HOLDOUT: f64 = 0.9;

/// Score bins play no part in dealing; any valid number does.
const ANY_BINS: u16 = 64;

/// What to check, and for which study.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckOptions {
    evaluation: Evaluation,
    /// The modalities to look at; all where empty.
    pub modalities: Vec<Modality>,
    /// Whether to leave the voxels unread: faster, and blind to everything but headers.
    pub headers_only: bool,
}

/// A study that cannot be.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum InvalidOptions {
    /// Too few or too many folds.
    #[error("{0} folds are not possible: choose 2 to 20")]
    Folds(u8),
    /// A share out of range.
    #[error("a hold-out of {0} is not possible: choose a share above 0 and up to 0.9")]
    Holdout(f64),
}

impl CheckOptions {
    /// All modalities, voxels included, for a study of that many folds which sets aside that share of each
    /// class.
    ///
    /// # Errors
    /// [`InvalidOptions`] where no study has such numbers.
    pub fn new(folds: u8, holdout_fraction: f64) -> Result<Self, InvalidOptions> {
        if !FOLDS.contains(&folds) {
            return Err(InvalidOptions::Folds(folds));
        }
        if !(holdout_fraction > 0.0 && holdout_fraction <= MOST_HOLDOUT) {
            return Err(InvalidOptions::Holdout(holdout_fraction));
        }
        let evaluation = Evaluation {
            folds,
            holdout_fraction,
            bins: ANY_BINS,
            selection: Selection::default(),
            route_samples: 0,
            design: Design::KFold,
            baseline: ClinicalBaseline::None,
        };
        Ok(Self { evaluation, modalities: Vec::new(), headers_only: false })
    }

    /// The same for a study of that design. Where it leaves sites out, all that a site does not set aside is one fold.
    #[must_use]
    pub fn with_design(mut self, design: Design) -> Self {
        self.evaluation.design = design;
        if design == Design::LeaveOneSiteOut {
            self.evaluation.folds = 1;
        }
        self
    }

    /// How the study divides its cohort.
    pub const fn evaluation(&self) -> &Evaluation {
        &self.evaluation
    }

    /// Whether `modality` is looked at.
    pub(super) fn wants(&self, modality: Modality) -> bool {
        self.modalities.is_empty() || self.modalities.contains(&modality)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_possible_studies_are_accepted() {
        assert!(CheckOptions::new(2, 0.9).is_ok() && CheckOptions::new(20, 1e-9).is_ok());
        for folds in [0, 1, 21] {
            assert_eq!(CheckOptions::new(folds, 0.3), Err(InvalidOptions::Folds(folds)));
        }
        for share in [0.0, -0.1, 0.91, f64::NAN] {
            assert!(matches!(CheckOptions::new(5, share), Err(InvalidOptions::Holdout(_))), "{share}");
        }
    }
}
