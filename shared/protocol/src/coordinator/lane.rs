//! The rounds of one lane.

use consilium_domain::{BlobRef, ChosenModel, ClassCounts, Lane, Round};

use super::{Contribution, Effect, Gathering, Movement};
use crate::{ScoringOutcome, TrainingOutcome};

/// One round: training, the new model, its validation.
#[derive(Debug, Clone, PartialEq)]
pub struct RoundState {
    /// Its number, from 1.
    pub round: Round,
    /// The model it started from.
    pub start: BlobRef,
    /// The patients of each class whom the sites train on, where the study weights classes by them.
    pub classes: Option<ClassCounts>,
    /// How often its learning rates were reduced: fixed when it was opened.
    pub reductions: u16,
    /// The sites' updates.
    pub training: Gathering<TrainingOutcome>,
    /// The aggregated model.
    pub model: Option<BlobRef>,
    /// How the updates lay to their mean, where that was measured.
    pub movement: Option<Movement>,
    /// What makes that model of the one the round started from, where it was written.
    pub delta: Option<BlobRef>,
    /// Scores of that model on the lane's fold. `None` until the model is there.
    pub validation: Option<Gathering<ScoringOutcome>>,
}

impl RoundState {
    /// Whether nobody's scores of the round's model are waited for any longer.
    pub fn is_validated(&self) -> bool {
        self.validation.as_ref().is_some_and(|validation| validation.closing().is_some())
    }

    /// The sum of the round's updates, in site order.
    pub(super) fn aggregation(&self, lane: Lane) -> Effect {
        let contributions = self.training.answers().iter().map(|(site, answer)| Contribution {
            site: site.clone(),
            update: answer.value.update,
            cases: answer.value.cases,
        });
        Effect::Aggregate {
            lane,
            round: self.round,
            start: self.start,
            contributions: contributions.collect(),
        }
    }
}

/// One lane.
#[derive(Debug, Clone, PartialEq)]
pub struct LaneState {
    /// Which lane.
    pub lane: Lane,
    /// The rounds so far, in order.
    pub rounds: Vec<RoundState>,
    /// The round whose model represents the lane, once all rounds are validated.
    pub chosen: Option<Round>,
    /// The hold-out's scores by that model.
    pub holdout: Option<Gathering<ScoringOutcome>>,
}

impl LaneState {
    /// The round numbered `round`.
    pub fn round(&self, round: Round) -> Option<&RoundState> {
        self.rounds.get(usize::from(round.0).checked_sub(1)?)
    }

    pub(super) fn round_mut(&mut self, round: Round) -> Option<&mut RoundState> {
        self.rounds.get_mut(usize::from(round.0).checked_sub(1)?)
    }

    /// The model that represents the lane.
    pub fn chosen_model(&self) -> Option<(ChosenModel, BlobRef)> {
        let round = self.chosen?;
        let model = self.round(round)?.model?;
        Some((ChosenModel { lane: self.lane, round }, model))
    }

    /// The mean losses of the validated rounds, in their order. A round without validation patients has none.
    pub fn validation_losses(&self) -> impl Iterator<Item = f64> {
        self.rounds.iter().filter_map(|round| round.pooled_validation()?.mean_loss)
    }

    /// Whether nothing more happens in this lane.
    pub fn is_complete(&self) -> bool {
        self.holdout.as_ref().is_some_and(|holdout| holdout.closing().is_some())
    }
}
