//! When somebody's patience ends, unless something else happens before.

use consilium_domain::Federation;

use super::gathering::Verdict;
use super::{Coordinator, Gathering, Roster};
use crate::Timestamp;

impl Coordinator {
    pub(super) fn earliest_patience(&self) -> Option<Timestamp> {
        let mut patience =
            Patience { roster: &self.roster, rules: &self.study.federation, now: self.now, next: None };
        for lane in &self.lanes {
            for round in &lane.rounds {
                patience.consider(&round.training);
                round.validation.iter().for_each(|validation| patience.consider(validation));
            }
            lane.holdout.iter().for_each(|holdout| patience.consider(holdout));
        }
        self.fusions.values().for_each(|fusion| patience.consider(fusion));
        if let Some(baseline) = &self.baseline {
            baseline.fitting.iter().for_each(|fitting| patience.consider(fitting));
            baseline.scoring.iter().for_each(|scoring| patience.consider(scoring));
        }
        patience.next
    }
}

struct Patience<'a> {
    roster: &'a Roster,
    rules: &'a Federation,
    now: Timestamp,
    next: Option<Timestamp>,
}

impl Patience<'_> {
    fn consider<T>(&mut self, gathering: &Gathering<T>) {
        if gathering.closing().is_some() {
            return;
        }
        if let Verdict::Wait(until) = gathering.verdict(self.roster, self.rules, self.now) {
            self.next = Some(self.next.map_or(until, |next| next.min(until)));
        }
    }
}
