//! How much work a site has left, in seconds, at the speed it was measured at: what it needed for a training and for a
//! scoring on the mean so far, times what is to come of either.
//!
//! The site's own work alone. Waiting for others, pauses and transfers are in the study's expected end and not in this.

use consilium_domain::{Lane, OrderId, SiteId, Task};
use consilium_protocol::Progress;
use consilium_protocol::coordinator::{Coordinator, Gathering, LaneState, Member};

/// Orders of one kind at one site.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Orders {
    answered: u32,
    /// That the answered ones took.
    seconds: f64,
    /// Not answered yet, those of later rounds included.
    left: u32,
}

/// What a site has done and what it has before it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct SiteWork {
    trainings: Orders,
    /// Validations and hold-outs, which are the same work.
    scorings: Orders,
}

impl Orders {
    fn mean(self) -> Option<f64> {
        (self.answered > 0).then(|| self.seconds / f64::from(self.answered))
    }

    fn seconds_left(self) -> Option<f64> {
        if self.left == 0 { Some(0.0) } else { Some(self.mean()? * f64::from(self.left)) }
    }

    /// Counts what `site` has done for a gathering, or is to do.
    fn look<T>(&mut self, gathering: &Gathering<T>, site: &SiteId, seconds: impl Fn(&T) -> f64) {
        match gathering.answers().get(site) {
            Some(answer) => {
                self.answered += 1;
                self.seconds += seconds(&answer.value);
            }
            None => self.left += u32::from(gathering.awaits(site)),
        }
    }
}

impl SiteWork {
    pub(super) fn of(state: &Coordinator, site: &SiteId, member: &Member) -> Self {
        let mut work = Self::default();
        for lane in state.lanes() {
            work.look(lane, site);
            work.expect(state, lane, site, member);
        }
        work
    }

    fn look(&mut self, lane: &LaneState, site: &SiteId) {
        for round in &lane.rounds {
            self.trainings.look(&round.training, site, |told| told.seconds);
            if let Some(validation) = &round.validation {
                self.scorings.look(validation, site, |told| told.seconds);
            }
        }
        if let Some(holdout) = &lane.holdout {
            self.scorings.look(holdout, site, |told| told.seconds);
        }
    }

    /// What of a lane has not been asked for yet. A study that stops early has less.
    fn expect(&mut self, state: &Coordinator, lane: &LaneState, site: &SiteId, member: &Member) {
        let (Some(cohort), study) = (&member.cohort, state.study()) else { return };
        let Lane { modality, fold, .. } = lane.lane;
        let counts = cohort.counts(modality);
        let begun = lane.rounds.len() as u32;
        let later =
            if lane.chosen.is_some() { 0 } else { u32::from(study.training.rounds).saturating_sub(begun) };
        let not_validated = lane.rounds.iter().filter(|round| round.validation.is_none()).count() as u32;
        let trains = study.trains(site) && counts.training(fold).total() > 0;
        let validates = study.trains(site) && counts.validation(fold).total() > 0;
        let scores = lane.holdout.is_none() && counts.holdout.total() > 0;
        self.trainings.left += later * u32::from(trains);
        self.scorings.left += (later + not_validated) * u32::from(validates) + u32::from(scores);
    }

    /// What an order that is as far as `progress` takes yet; `None` where the site was not measured at such an order, or
    /// does not know how long it is.
    pub(super) fn left_of(&self, task: &Task, progress: Progress) -> Option<f64> {
        let mean = match task {
            Task::Train { .. } => self.trainings.mean()?,
            Task::Validate { .. } | Task::PredictHoldout { .. } => self.scorings.mean()?,
            Task::Fuse { .. } | Task::FitBaseline { .. } | Task::ScoreBaseline { .. } => return None,
        };
        let Progress { steps, of, .. } = progress;
        (of > 0).then(|| mean * f64::from(of.saturating_sub(steps)) / f64::from(of))
    }

    /// All that is left, less what is done of the order in hand; `None` where some of it is of a kind at which the site was
    /// not measured.
    pub(super) fn left(&self, state: &Coordinator, in_hand: Option<(OrderId, Progress)>) -> Option<u64> {
        let all = self.trainings.seconds_left()? + self.scorings.seconds_left()?;
        let done = in_hand.and_then(|(order, progress)| {
            let task = state.task(&order)?;
            let whole = self.left_of(task, Progress { steps: 0, ..progress })?;
            Some(whole - self.left_of(task, progress)?)
        });
        Some((all - done.unwrap_or_default()).max(0.0).round() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::{Scene, site};

    fn work(scene: &Scene) -> SiteWork {
        let a = site("a");
        SiteWork::of(&scene.state, &a, scene.state.roster().member(&a).unwrap())
    }

    #[test]
    fn nothing_is_told_before_both_kinds_of_work_were_measured() {
        let mut scene = Scene::running();
        // Two lanes of two rounds, each trained and validated, and a hold-out.
        let before = work(&scene);
        assert_eq!((before.trainings.left, before.scorings.left), (4, 6));
        assert_eq!(before.left(&scene.state, None), None);
        scene.answer("a", |outcome| outcome);
        assert_eq!(work(&scene).trainings.left, 3);
        assert_eq!(work(&scene).left(&scene.state, None), None, "no scoring was measured");
    }

    #[test]
    fn what_is_left_falls_to_nothing_and_is_the_mean_times_what_is_to_come() {
        let mut scene = Scene::running();
        let mut told = Vec::new();
        while scene.step() {
            let work = work(&scene);
            let left = |orders: Orders| orders.seconds / f64::from(orders.answered) * f64::from(orders.left);
            if let Some(seconds) = work.left(&scene.state, None) {
                let expected = [work.trainings, work.scorings]
                    .map(|orders| if orders.left > 0 { left(orders) } else { 0.0 });
                assert_eq!(seconds, expected.iter().sum::<f64>().round() as u64);
                told.push(seconds);
            }
        }
        assert!(told.len() > 3 && told.is_sorted_by(|a, b| a >= b), "{told:?}");
        assert_eq!(told.last(), Some(&0));
    }

    #[test]
    fn half_an_order_is_half_its_mean() {
        let orders = Orders { answered: 4, seconds: 40.0, left: 2 };
        let work = SiteWork { trainings: orders, scorings: Orders::default() };
        let lane = Scene::running().state.lanes()[0].lane;
        let scene = Scene::running();
        let task = scene.state.next_order(&site("a")).unwrap().task;
        assert_eq!(work.left_of(&task, Progress { steps: 5, of: 10, mebibytes: 0 }), Some(5.0), "{lane:?}");
        assert_eq!(work.left_of(&task, Progress { steps: 5, of: 0, mebibytes: 0 }), None);
        assert_eq!(SiteWork::default().left_of(&task, Progress { steps: 5, of: 10, mebibytes: 0 }), None);
        assert_eq!(orders.seconds_left(), Some(20.0));
    }
}
