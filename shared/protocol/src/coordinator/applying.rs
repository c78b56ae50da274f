//! Making an admitted event part of the state.

use consilium_domain::{BlobRef, Lane, SiteId, Task};

use super::{Coordinator, Effect, Event, Gathering, LaneState};
use crate::{ModelDelta, Outcome, ScoringOutcome, Timestamp, bounded_reason};

impl Coordinator {
    /// Makes an admitted event part of the state. Calling it with an event that [`Self::admit`] refuses is a bug.
    pub fn apply(&mut self, at: Timestamp, event: Event) -> Vec<Effect> {
        self.now = self.now.max(at);
        let at = self.now;
        match event {
            Event::Opened(_) | Event::TimePassed => {}
            Event::Resumed => self.roster.resume(at),
            Event::SiteConnected { site, software } => self.roster.connected(&site, software, at),
            Event::SiteGone { site, reason } => self.roster.gone(&site, bounded_reason(&reason), at),
            Event::FingerprintsSent { site, part, last, cases } => {
                self.roster.heard(&site, at);
                self.comparison.take(site, part, last, cases);
            }
            Event::SiteEnlisted { site, cohort } => self.roster.enlist(&site, cohort, at),
            Event::OrderAnswered { site, order, outcome } => {
                if let Some(task) = self.orders.get(&order).cloned() {
                    self.roster.replied(&site, order, self.asked(&task), at);
                    self.record(&task, site, outcome);
                }
            }
            Event::OrderFailed { site, order, reason } => {
                if let Some(task) = self.orders.get(&order).cloned() {
                    self.roster.replied(&site, order, self.asked(&task), at);
                    self.record_failure(&task, site, bounded_reason(&reason));
                }
            }
            Event::RoundAggregated { lane, round, model, movement, delta } => {
                if let Some(state) = self.lane_mut(&lane).and_then(|lane| lane.round_mut(round)) {
                    state.model = Some(model);
                    state.movement = movement;
                    state.delta = delta;
                }
                self.open_validation(&lane, round);
            }
            Event::OrderProgressed { site, order, progress } => {
                self.roster.progressed(&site, order, progress, at);
            }
            Event::SiteWithdrew { site, reason } => return self.withdraw(site, bounded_reason(&reason)),
            Event::Paused { by } => self.pause_for(by),
            Event::Continued { .. } => self.continue_after_pause(),
            Event::Aborted { reason } => {
                self.aborted = true;
                return vec![self.halt(reason)];
            }
        }
        self.settle()
    }

    /// The state of `lane`.
    pub fn lane(&self, lane: &Lane) -> Option<&LaneState> {
        self.lanes.iter().find(|state| state.lane == *lane)
    }

    /// The shorter way to `model`, where it is the latest of a lane: nobody is asked for a delta of before any more, except
    /// whoever comes back to a round that closes without them.
    pub fn delta_to(&self, model: &BlobRef) -> Option<ModelDelta> {
        self.shorter_ways().find(|delta| delta.to == *model)
    }

    /// The deltas that sites may be offered.
    pub fn deltas(&self) -> impl Iterator<Item = BlobRef> {
        self.shorter_ways().map(|offer| offer.delta)
    }

    /// Of them, that of `lane`.
    pub fn delta_of(&self, lane: &Lane) -> Option<BlobRef> {
        self.shorter_ways().find(|offer| offer.lane == *lane).map(|offer| offer.delta)
    }

    fn shorter_ways(&self) -> impl Iterator<Item = ModelDelta> {
        let running = self.lanes.iter().filter(|_| !self.is_over());
        running.filter_map(|state| {
            let latest = state.rounds.iter().rev().find(|round| round.model.is_some())?;
            let (to, delta) = latest.model.zip(latest.delta)?;
            Some(ModelDelta { lane: state.lane, from: latest.start, to, delta })
        })
    }

    pub(super) fn lane_mut(&mut self, lane: &Lane) -> Option<&mut LaneState> {
        self.lanes.iter_mut().find(|state| state.lane == *lane)
    }

    /// When `task` was first wanted of anybody.
    fn asked(&self, task: &Task) -> Timestamp {
        let opened = match task {
            Task::Train { .. } => self.training(task).map(Gathering::opened),
            Task::Validate { .. } | Task::PredictHoldout { .. } => self.scoring(task).map(Gathering::opened),
            Task::Fuse { arm, .. } => self.fusions.get(arm).map(Gathering::opened),
            Task::FitBaseline { step, .. } => self.fitting(*step).map(Gathering::opened),
            Task::ScoreBaseline { .. } => self.baseline_scoring().map(Gathering::opened),
        };
        opened.unwrap_or(self.now)
    }

    fn record(&mut self, task: &Task, site: SiteId, outcome: Outcome) {
        let at = self.now;
        match (task, outcome) {
            (Task::Train { lane, round, .. }, Outcome::Trained(value)) => {
                if let Some(round) = self.lane_mut(lane).and_then(|lane| lane.round_mut(*round)) {
                    round.training.answer(site, at, value);
                }
            }
            (Task::Validate { .. } | Task::PredictHoldout { .. }, Outcome::Scored(value)) => {
                if let Some(scoring) = self.scoring_mut(task) {
                    scoring.answer(site, at, value);
                }
            }
            (Task::Fuse { arm, .. }, Outcome::Fused(value)) => {
                if let Some(fusion) = self.fusions.get_mut(arm) {
                    fusion.answer(site, at, value);
                }
            }
            (Task::FitBaseline { .. } | Task::ScoreBaseline { .. }, outcome) => {
                self.record_baseline(site, outcome);
            }
            (Task::Validate { .. } | Task::PredictHoldout { .. }, Outcome::ScoredInDetail(value, detail)) => {
                self.details.keep_scoring(task, site.clone(), detail);
                self.record(task, site, Outcome::Scored(value));
            }
            (Task::Fuse { arm, .. }, Outcome::FusedInDetail(value, detail)) => {
                self.details.keep_fusion(*arm, site.clone(), detail);
                self.record(task, site, Outcome::Fused(value));
            }
            _ => {}
        }
    }

    fn record_failure(&mut self, task: &Task, site: SiteId, reason: String) {
        match task {
            Task::Train { lane, round, .. } => {
                if let Some(round) = self.lane_mut(lane).and_then(|lane| lane.round_mut(*round)) {
                    round.training.fail(site, reason);
                }
            }
            Task::Validate { .. } | Task::PredictHoldout { .. } => {
                if let Some(scoring) = self.scoring_mut(task) {
                    scoring.fail(site, reason);
                }
            }
            Task::Fuse { arm, .. } => {
                if let Some(fusion) = self.fusions.get_mut(arm) {
                    fusion.fail(site, reason);
                }
            }
            Task::FitBaseline { .. } | Task::ScoreBaseline { .. } => {
                self.record_baseline_failure(site, reason);
            }
        }
    }

    fn scoring_mut(&mut self, task: &Task) -> Option<&mut Gathering<ScoringOutcome>> {
        match task {
            Task::Validate { lane, round, .. } => self.lane_mut(lane)?.round_mut(*round)?.validation.as_mut(),
            Task::PredictHoldout { lane, .. } => self.lane_mut(lane)?.holdout.as_mut(),
            Task::Train { .. } | Task::Fuse { .. } => None,
            Task::FitBaseline { .. } | Task::ScoreBaseline { .. } => None,
        }
    }
}
