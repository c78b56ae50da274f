//! Asking the right sites for the next piece of a lane.

use std::collections::BTreeSet;

use consilium_domain::{Arm, ClassBalance, CohortSummary, Lane, Round, SiteId, Task};

use super::{Coordinator, Gathering, RoundState};

/// Batch statistics need two cases; a site with fewer does not train in a lane.
pub(super) const FEWEST_TRAINING_CASES: u32 = 2;

impl Coordinator {
    pub(super) fn open_round(&mut self, lane: &Lane, round: Round) {
        if round.0 > self.study.training.rounds {
            return;
        }
        let expected = self.trainers(lane);
        let weighted = self.study.training.class_balance == ClassBalance::PosWeight;
        let count = |site: &SiteId| self.counts(site, lane).training(lane.fold);
        let classes = weighted.then(|| expected.iter().map(count).sum());
        let quorum = usize::from(self.study.federation.quorum);
        let first = self.models.initial.get(&lane.arm).copied();
        let schedule = self.study.training.schedule;
        let training = Gathering::open(self.now, expected, quorum);
        let Some(state) = self.lane_mut(lane) else { return };
        let Some(start) = state.rounds.last().map_or(first, |before| before.model) else { return };
        let reductions = schedule.reductions(state.validation_losses());
        let round = RoundState { round, start, classes, reductions, training, model: None, validation: None };
        let task = state.training_task(&round);
        state.rounds.push(round);
        self.issue(task);
    }

    pub(super) fn open_validation(&mut self, lane: &Lane, round: Round) {
        let expected = self.enlisted_where(|site, cohort| {
            self.study.trains(site) && cohort.counts(lane.modality).validation(lane.fold).total() > 0
        });
        let needed = self.needed(&expected);
        let validation = Gathering::open(self.now, expected, needed);
        let Some(state) = self.lane_mut(lane) else { return };
        let Some(round) = state.round_mut(round) else { return };
        round.validation = Some(validation);
        let number = round.round;
        if let Some(task) = state.round(number).and_then(|round| state.validation_task(round)) {
            self.issue(task);
        }
    }

    pub(super) fn open_fusion(&mut self, arm: Arm) {
        let expected = self.enlisted_where(|_, _| true);
        let needed = self.needed(&expected);
        self.fusions.insert(arm, Gathering::open(self.now, expected, needed));
        let models = self.chosen_models(arm);
        self.issue(Task::Fuse { arm, models });
    }

    /// Evaluation needs the quorum too, as far as that many sites have patients for it.
    pub(super) fn needed(&self, expected: &BTreeSet<SiteId>) -> usize {
        expected.len().min(usize::from(self.study.federation.quorum))
    }

    pub(super) fn trainers(&self, lane: &Lane) -> BTreeSet<SiteId> {
        self.enlisted_where(|site, cohort| {
            let cases = cohort.counts(lane.modality).training(lane.fold).total();
            self.study.trains(site) && cases >= FEWEST_TRAINING_CASES
        })
    }

    pub(super) fn enlisted_where(
        &self,
        wanted: impl Fn(&SiteId, &CohortSummary) -> bool,
    ) -> BTreeSet<SiteId> {
        self.roster
            .enlisted()
            .filter(|(site, cohort)| wanted(site, cohort))
            .map(|(site, _)| site.clone())
            .collect()
    }
}

#[cfg(test)]
mod tests;
