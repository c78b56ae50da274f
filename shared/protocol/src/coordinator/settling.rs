//! What follows from an event, until nothing more does: gatherings close, rounds end, lanes choose, arms
//! fuse, and the baseline is fitted.

use consilium_domain::{Federation, Round};

use super::gathering::Verdict;
use super::opening::FEWEST_TRAINING_CASES;
use super::{Coordinator, Effect, Gathering, LaneState, Phase, Roster, RoundState};
use crate::Timestamp;

impl Coordinator {
    /// Carries the state forward until nothing more follows. Nothing does in a pause: what came meanwhile is settled
    /// when the study continues.
    pub(super) fn settle(&mut self) -> Vec<Effect> {
        let mut effects = Vec::new();
        if self.pause().is_some() {
            return effects;
        }
        let ended = match self.phase {
            Phase::Enrolling => self.settle_enrolment(),
            Phase::Running { .. } => Ok(()),
            Phase::Finished { .. } | Phase::Halted { .. } => return effects,
        };
        match ended
            .and_then(|()| self.settle_lanes(&mut effects))
            .and_then(|()| self.settle_fusions(&mut effects))
        {
            Ok(()) => {}
            Err(reason) => effects.push(self.halt(reason)),
        }
        effects
    }

    pub(super) fn halt(&mut self, reason: String) -> Effect {
        self.phase = Phase::Halted { at: self.now, reason: reason.clone() };
        Effect::Halt { reason }
    }

    /// When the study compares what came, and then starts with those who came. After the coordinator was away
    /// and after the comparison, sites have as long as for a piece of work.
    pub(super) fn enrolment_end(&self) -> Timestamp {
        let Federation { enrolment_secs, deadline_secs, .. } = self.study.federation;
        let since = self.compared_at().max(Some(self.roster.listening_since()));
        let again = since.map(|since| since.plus_secs(deadline_secs.min(enrolment_secs)));
        self.opened.plus_secs(enrolment_secs).max(again.unwrap_or_default())
    }

    fn settle_enrolment(&mut self) -> Result<(), String> {
        self.check_willing()?;
        if !self.settle_comparison()? || (self.now < self.enrolment_end() && !self.enrolment_is_complete()) {
            return Ok(());
        }
        self.phase = Phase::Running { since: self.now };
        for lane in self.study.lanes() {
            let trainers = self.trainers(&lane);
            let quorum = usize::from(self.study.federation.quorum);
            if trainers.len() < quorum {
                return Err(format!(
                    "lane {lane}: {} site(s) enlisted with at least {FEWEST_TRAINING_CASES} training cases, the \
                     quorum is {quorum}; invite more sites, wait longer for them or lower the quorum",
                    trainers.len()
                ));
            }
            let models = &self.models;
            if !models.initial.contains_key(&lane.arm) || !models.update_bytes.contains_key(&lane.arm) {
                return Err(format!("lane {lane}: the study was opened without a first model of its arm"));
            }
            self.lanes.push(LaneState { lane, rounds: Vec::new(), chosen: None, holdout: None });
            self.open_round(&lane, Round(1));
        }
        Ok(())
    }

    fn settle_lanes(&mut self, effects: &mut Vec<Effect>) -> Result<(), String> {
        for index in 0..self.lanes.len() {
            self.close_rounds(index, effects)?;
            self.open_next_round(index);
            self.choose(index);
            let (roster, rules, now) = (&self.roster, &self.study.federation, self.now);
            let lane = &mut self.lanes[index];
            if let Some(holdout) = &mut lane.holdout {
                let work = || format!("hold-out of {}", lane.lane);
                close(holdout, roster, rules, now, work, effects)?;
            }
        }
        Ok(())
    }

    fn close_rounds(&mut self, index: usize, effects: &mut Vec<Effect>) -> Result<(), String> {
        let (roster, rules, now) = (&self.roster, &self.study.federation, self.now);
        let lane = &mut self.lanes[index];
        for round in &mut lane.rounds {
            let (lane, number) = (lane.lane, round.round);
            let work = || format!("training of {lane} round {number}");
            if close(&mut round.training, roster, rules, now, work, effects)? {
                effects.push(round.aggregation(lane));
            }
            if let Some(validation) = &mut round.validation {
                let work = || format!("validation of {lane} round {number}");
                close(validation, roster, rules, now, work, effects)?;
            }
        }
        Ok(())
    }

    /// Opens the lane's next round once the one before has its model and, where the schedule looks at the
    /// validation, that is over: a round's rates must not depend on who was faster.
    fn open_next_round(&mut self, index: usize) {
        let state = &self.lanes[index];
        let Some(last) = state.rounds.last().filter(|last| last.model.is_some()) else { return };
        if last.is_validated() || !self.study.training.schedule.needs_validation() {
            let (lane, next) = (state.lane, last.round.next());
            self.open_round(&lane, next);
        }
    }

    /// Chooses the lane's round once all rounds are validated, and asks for the hold-out.
    fn choose(&mut self, index: usize) {
        let lane = &self.lanes[index];
        let complete = lane.rounds.len() == usize::from(self.study.training.rounds);
        if lane.chosen.is_some() || !complete || !lane.rounds.iter().all(RoundState::is_validated) {
            return;
        }
        let (round, _) = lane.best_round(self.study.evaluation.selection);
        let modality = lane.lane.modality;
        let holdout = self.evaluation(|_, cohort| cohort.counts(modality).holdout.total() > 0);
        let lane = &mut self.lanes[index];
        lane.chosen = Some(round);
        lane.holdout = Some(holdout);
        if let Some(task) = lane.holdout_task() {
            self.issue(task);
        }
    }

    fn settle_fusions(&mut self, effects: &mut Vec<Effect>) -> Result<(), String> {
        let Phase::Running { since: began } = self.phase else { return Ok(()) };
        for arm in self.study.arms.clone() {
            let complete = self.lanes.iter().filter(|lane| lane.lane.arm == arm).all(LaneState::is_complete);
            if complete && !self.fusions.contains_key(&arm) {
                self.open_fusion(arm);
            }
        }
        for (arm, fusion) in &mut self.fusions {
            let work = || format!("fusion of {arm}");
            close(fusion, &self.roster, &self.study.federation, self.now, work, effects)?;
        }
        let fused = |arm| self.fusions.get(arm).is_some_and(|fusion| fusion.closing().is_some());
        if self.study.arms.iter().all(fused) && self.settle_baseline(effects) {
            self.phase = Phase::Finished { began, at: self.now };
            effects.push(Effect::Finish);
        }
        Ok(())
    }
}

/// Closes `gathering` if its time has come; whether it did. An error halts the study.
///
/// Every event asks this of every gathering there ever was, so nothing is spent on the closed ones.
pub(super) fn close<T>(
    gathering: &mut Gathering<T>,
    roster: &Roster,
    rules: &Federation,
    now: Timestamp,
    work: impl Fn() -> String,
    effects: &mut Vec<Effect>,
) -> Result<bool, String> {
    if gathering.closing().is_some() {
        return Ok(false);
    }
    match gathering.verdict(roster, rules, now) {
        Verdict::Wait(_) => Ok(false),
        Verdict::Hopeless(shortage) => Err(format!("{}: {shortage}", work())),
        Verdict::Close { missing } => {
            if !missing.is_empty() {
                effects.push(Effect::WentOnWithout { work: work(), missing: missing.clone() });
            }
            gathering.close(now, missing);
            Ok(true)
        }
    }
}
