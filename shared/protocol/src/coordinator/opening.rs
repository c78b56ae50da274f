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
        let round = RoundState {
            round,
            start,
            classes,
            reductions,
            training,
            model: None,
            movement: None,
            delta: None,
            validation: None,
        };
        let task = state.training_task(&round);
        state.rounds.push(round);
        self.issue(task);
    }

    pub(super) fn open_validation(&mut self, lane: &Lane, round: Round) {
        let validation = self.evaluation(|site, cohort| {
            self.study.trains(site) && cohort.counts(lane.modality).validation(lane.fold).total() > 0
        });
        let Some(state) = self.lane_mut(lane) else { return };
        let Some(round) = state.round_mut(round) else { return };
        round.validation = Some(validation);
        let number = round.round;
        if let Some(task) = state.round(number).and_then(|round| state.validation_task(round)) {
            self.issue(task);
        }
    }

    pub(super) fn open_fusion(&mut self, arm: Arm) {
        let fusion = self.evaluation(|_, _| true);
        self.fusions.insert(arm, fusion);
        let models = self.chosen_models(arm);
        self.issue(Task::Fuse { arm, models });
    }

    /// Asks the sites that have patients for an evaluation. It needs the quorum too, as far as that many sites have
    /// some; those that have left count as having, or each that leaves would lower what is needed.
    pub(super) fn evaluation<T>(
        &self,
        has_patients: impl Fn(&SiteId, &CohortSummary) -> bool,
    ) -> Gathering<T> {
        let with_patients =
            self.roster.enlisted().filter(|(site, cohort)| has_patients(site, cohort)).count();
        let needed = with_patients.min(usize::from(self.study.federation.quorum));
        Gathering::open(self.now, self.enlisted_where(has_patients), needed)
    }

    pub(super) fn trainers(&self, lane: &Lane) -> BTreeSet<SiteId> {
        self.enlisted_where(|site, cohort| {
            let cases = cohort.counts(lane.modality).training(lane.fold).total();
            self.study.trains(site) && cases >= FEWEST_TRAINING_CASES
        })
    }

    /// The sites that take part, have not left, and are wanted.
    pub(super) fn enlisted_where(
        &self,
        wanted: impl Fn(&SiteId, &CohortSummary) -> bool,
    ) -> BTreeSet<SiteId> {
        self.roster
            .enlisted()
            .filter(|(site, cohort)| !self.roster.has_withdrawn(site) && wanted(site, cohort))
            .map(|(site, _)| site.clone())
            .collect()
    }
}

#[cfg(test)]
mod tests;
