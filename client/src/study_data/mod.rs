//! A study's data at this site: the cohort, preprocessed into the cache and dealt into folds.

mod intake;
mod lane_cases;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use consilium_data::{InputHandle, PatientId, Placement};
use consilium_domain::{CohortSummary, Label, Lane, Modality};

pub(crate) use intake::{Intake, IntakeError};
pub(crate) use lane_cases::{LaneCases, LaneInputs};

/// A case's input to the network of one modality.
pub(crate) struct Input {
    pub(crate) patient: PatientId,
    pub(crate) label: Label,
    placement: Placement,
    handle: InputHandle,
}

/// Everything work orders need to know of the patients.
pub(crate) struct StudyData {
    inputs: BTreeMap<Modality, Vec<Input>>,
    summary: CohortSummary,
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
