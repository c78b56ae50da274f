//! A study's data at this site: the cohort, preprocessed into the cache and dealt into folds.

mod intake;
mod lane_cases;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use consilium_data::{InputHandle, PatientId, Placement};
use consilium_domain::{CohortSummary, Fold, Label, Lane, Modality, SiteId};

pub(crate) use intake::{Intake, IntakeError};
pub(crate) use lane_cases::{LaneCases, LaneInputs};

/// A case's input to the network of one modality.
pub(crate) struct Input {
    pub(crate) patient: PatientId,
    pub(crate) label: Label,
    placement: Placement,
    handle: InputHandle,
}

/// What the clinical baseline sees of a case. It has no `Debug` and no `Serialize`: it stays here.
pub(crate) struct ClinicalCase {
    pub(crate) patient: PatientId,
    pub(crate) label: Label,
    placement: Placement,
    pub(crate) features: [f64; 2],
}

impl ClinicalCase {
    /// The fold it is validated in; `None` in the hold-out.
    pub(crate) const fn fold(&self) -> Option<Fold> {
        match self.placement {
            Placement::Holdout => None,
            Placement::Fold(fold) => Some(fold),
        }
    }

    /// Whether the baseline of fold number `fold` is fitted on it.
    pub(crate) fn trains_but_in(&self, fold: u8) -> bool {
        self.fold().is_some_and(|own| own.0 != fold)
    }
}

/// Everything work orders need to know of the patients.
pub(crate) struct StudyData {
    inputs: BTreeMap<Modality, Vec<Input>>,
    clinical: Vec<ClinicalCase>,
    summary: CohortSummary,
    pub(crate) site: SiteId,
}

/// Which of a lane's patients are scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CaseSet {
    /// The lane's fold.
    Validation,
    /// The final evaluation's patients.
    Holdout,
}

impl StudyData {
    /// The cohort in numbers.
    pub(crate) const fn summary(&self) -> &CohortSummary {
        &self.summary
    }

    /// The patients whose age and sex are known.
    pub(crate) fn clinical(&self) -> &[ClinicalCase] {
        &self.clinical
    }

    /// The patients a lane trains on.
    pub(crate) fn training(&self, lane: &Lane) -> Vec<&Input> {
        self.select(lane, |place| matches!(place, Placement::Fold(fold) if fold != lane.fold))
    }

    /// The patients of a set of a lane.
    pub(crate) fn set(&self, lane: &Lane, set: CaseSet) -> Vec<&Input> {
        let place = match set {
            CaseSet::Validation => Placement::Fold(lane.fold),
            CaseSet::Holdout => Placement::Holdout,
        };
        self.select(lane, |other| other == place)
    }

    fn select(&self, lane: &Lane, wanted: impl Fn(Placement) -> bool) -> Vec<&Input> {
        let inputs = self.inputs.get(&lane.modality).into_iter().flatten();
        inputs.filter(|input| wanted(input.placement)).collect()
    }
}
