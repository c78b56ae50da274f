//! The work a site should do next, as a pure function of the state.

use consilium_domain::{ChosenModel, OrderId, SiteId, Task, WorkOrder};

use super::{Coordinator, Effect, LaneState, Phase, RoundState};
use crate::Timestamp;

impl Coordinator {
    /// The first piece of work that waits for `site`, if any.
    ///
    /// The order is fixed: lane by lane as the study lists them, and in a lane training before validation,
    /// because the next round of everybody depends on it (with a plateau it is not open before the validation is
    /// over, so that the two never compete). A site that waits for others in one lane works in
    /// the next. Asking twice gives the same order twice: it is answered once.
    pub fn next_order(&self, site: &SiteId) -> Option<WorkOrder> {
        if !matches!(self.phase, Phase::Running { .. }) || self.pause().is_some() {
            return None;
        }
        let task = self.lanes.iter().find_map(|lane| lane.next_task(site)).or_else(|| self.next_fusion(site));
        let task = task.or_else(|| self.next_of_baseline(site))?;
        Some(WorkOrder::new(self.hash, task))
    }

    /// What `order` asks for, if it was ever given.
    pub fn task(&self, order: &OrderId) -> Option<&Task> {
        self.orders.get(order)
    }

    /// When [`super::Event::TimePassed`] is due, unless something else happens before.
    pub fn next_timeout(&self) -> Option<Timestamp> {
        match self.phase {
            _ if self.pause().is_some() => None,
            Phase::Enrolling => Some(self.enrolment_end()),
            Phase::Running { .. } => self.earliest_patience(),
            Phase::Finished { .. } | Phase::Halted { .. } => None,
        }
    }

    /// The sums that closed rounds still wait for. After a restart they are taken again: the same sum of the
    /// same stored updates.
    pub fn pending_aggregations(&self) -> Vec<Effect> {
        if self.is_over() {
            return Vec::new();
        }
        let waiting = |round: &&RoundState| round.training.closing().is_some() && round.model.is_none();
        let rounds =
            self.lanes.iter().flat_map(|lane| lane.rounds.iter().map(move |round| (lane.lane, round)));
        rounds.filter(|(_, round)| waiting(round)).map(|(lane, round)| round.aggregation(lane)).collect()
    }

    /// Whether `site` may still owe an update of `bytes` bytes. Asks every open training and not the site's
    /// next order only: while it trains in one lane, an earlier lane may have gone on and want it next.
    pub fn awaits_update(&self, site: &SiteId, bytes: u64) -> bool {
        let most =
            |lane: &LaneState| self.models.update_bytes.get(&lane.lane.arm).copied().unwrap_or_default();
        let sized = |lane: &&LaneState| bytes <= most(lane);
        let mut rounds = self.lanes.iter().filter(sized).flat_map(|lane| &lane.rounds);
        !self.is_over() && rounds.any(|round| round.training.awaits(site))
    }

    /// The chosen models of an arm, in the study's order.
    pub(super) fn chosen_models(&self, arm: consilium_domain::Arm) -> Vec<ChosenModel> {
        let lanes = self.lanes.iter().filter(|lane| lane.lane.arm == arm);
        lanes.filter_map(|lane| lane.chosen_model().map(|(chosen, _)| chosen)).collect()
    }

    /// Writes down that `task` was given out, so that its answer is recognised.
    pub(super) fn issue(&mut self, task: Task) {
        self.orders.insert(WorkOrder::new(self.hash, task.clone()).id, task);
    }

    fn next_fusion(&self, site: &SiteId) -> Option<Task> {
        let (&arm, _) = self.fusions.iter().find(|(_, fusion)| fusion.awaits(site))?;
        Some(Task::Fuse { arm, models: self.chosen_models(arm) })
    }
}

impl LaneState {
    fn next_task(&self, site: &SiteId) -> Option<Task> {
        let training = self.rounds.iter().find(|round| round.training.awaits(site));
        let validation = || self.rounds.iter().find(|round| awaits_validation(round, site));
        if let Some(round) = training {
            return Some(self.training_task(round));
        }
        if let Some(round) = validation() {
            return self.validation_task(round);
        }
        self.holdout.as_ref().filter(|holdout| holdout.awaits(site)).and_then(|_| self.holdout_task())
    }

    pub(super) fn training_task(&self, round: &RoundState) -> Task {
        let RoundState { round, start: model, classes, reductions, .. } = *round;
        Task::Train { lane: self.lane, round, model, classes, reductions }
    }

    pub(super) fn validation_task(&self, round: &RoundState) -> Option<Task> {
        Some(Task::Validate { lane: self.lane, round: round.round, model: round.model? })
    }

    pub(super) fn holdout_task(&self) -> Option<Task> {
        let (chosen, model) = self.chosen_model()?;
        Some(Task::PredictHoldout { lane: self.lane, round: chosen.round, model })
    }
}

fn awaits_validation(round: &RoundState, site: &SiteId) -> bool {
    round.validation.as_ref().is_some_and(|validation| validation.awaits(site))
}
