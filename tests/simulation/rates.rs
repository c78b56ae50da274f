//! That the learning rates of every round follow from the validations before it, and never change afterwards.

use std::collections::BTreeMap;

use consilium_domain::{Lane, Round, Study, Task};
use consilium_protocol::coordinator::{Coordinator, LaneState};

use crate::invariants::must;
use crate::violation::{Checked, Violation};

/// How often the rates of each round were reduced, as its orders said first.
#[derive(Default)]
pub(crate) struct Rates(BTreeMap<(Lane, Round), u16>);

impl Rates {
    /// After an accepted event. `study` is the agreed one.
    pub(crate) fn check(&mut self, study: &Study, state: &Coordinator) -> Checked {
        for lane in state.lanes() {
            follow(study, lane)?;
            for round in &lane.rounds {
                self.same((lane.lane, round.round), round.reductions)?;
            }
        }
        for (site, _) in state.roster().iter() {
            let order = state.next_order(site).map(|order| order.task);
            if let Some(Task::Train { lane, round, reductions, .. }) = order {
                self.same((lane, round), reductions)?;
            }
        }
        Ok(())
    }

    fn same(&mut self, (lane, round): (Lane, Round), reductions: u16) -> Checked {
        let first = *self.0.entry((lane, round)).or_insert(reductions);
        must(first == reductions, || Violation::RatesChanged { lane, round })
    }
}

/// Without patience every round that is no better reduces the rates of all that follow.
fn follow(study: &Study, state: &LaneState) -> Checked {
    let plateau = study.training.schedule.needs_validation();
    let (mut best, mut expected) = (f64::INFINITY, 0);
    let lane = state.lane;
    for (before, after) in state.rounds.iter().zip(state.rounds.iter().skip(1)) {
        let round = after.round;
        if plateau {
            let validated = before.validation.as_ref().and_then(|validation| validation.closing());
            let waited = validated.is_some_and(|closing| closing.at <= after.training.opened());
            must(waited, || Violation::TooEarly { lane, round })?;
            let answers = before.validation.iter().flat_map(|validation| validation.answers().values());
            let (patients, loss_sum) = answers.fold((0, 0.0), |(patients, sum), answer| {
                let totals = answer.value.scores.totals();
                (patients + totals.positives + totals.negatives, sum + answer.value.loss_sum)
            });
            let loss = loss_sum / f64::from(patients);
            if patients > 0 && loss < best * (1.0 - 1e-4) {
                best = loss;
            } else if patients > 0 {
                expected += 1;
            }
        }
        let reductions = after.reductions;
        must(reductions == expected, || Violation::WrongRates { lane, round, reductions, expected })?;
    }
    let first = state.rounds.first().map_or(0, |first| first.reductions);
    must(first == 0, || Violation::WrongRates { lane, round: Round(1), reductions: first, expected: 0 })
}
