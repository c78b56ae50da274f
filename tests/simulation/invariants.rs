//! What must hold after every event, whatever happened before.
//!
//! The checker holds the study as it was agreed. The machine under test may run another one (that is what a
//! mutant is), so nothing is taken from the machine that can be known without it. A second machine, the
//! *shadow*, is replayed from the log's text event by event: it proves that the log gives the state, and the
//! same effects.

use std::collections::{BTreeMap, BTreeSet};

use consilium_domain::{Lane, OrderId, Round, SiteId, Study};
use consilium_protocol::Timestamp;
use consilium_protocol::coordinator::{Coordinator, Effect, Event, Gathering, Phase, RoundState};

use crate::rates::Rates;
use crate::violation::{Checked, Violation};

/// One line of the log: a time and an event, as the coordinator's store keeps them.
pub(crate) fn log_line(at: Timestamp, event: &Event) -> String {
    serde_json::to_string(&(at, event)).expect("events have only text keys")
}

/// The state that `log` gives.
pub(crate) fn replayed(log: &[String]) -> Option<Coordinator> {
    let lines: Option<Vec<(Timestamp, Event)>> =
        log.iter().map(|line| serde_json::from_str(line).ok()).collect();
    Coordinator::replay(lines?)
}

/// Watches one study from its opening to its end.
pub(crate) struct Checker {
    study: Study,
    /// Looks for patients who are at several sites.
    copies: Box<dyn Fn(&Coordinator) -> Checked>,
    shadow: Coordinator,
    aggregated: BTreeMap<Lane, Round>,
    pinned: Option<BTreeSet<SiteId>>,
    replies: BTreeSet<(SiteId, OrderId)>,
    pub(crate) withdrawn: BTreeSet<SiteId>,
    rates: Rates,
    told: usize,
    over: bool,
}

impl Checker {
    /// For the agreed `study`; `first` is the log's first line. `copies` looks for patients who are at several sites.
    pub(crate) fn new(study: Study, copies: Box<dyn Fn(&Coordinator) -> Checked>, first: &str) -> Self {
        let shadow = replayed(&[first.to_owned()]).expect("a log begins with the opening");
        Self {
            study,
            copies,
            shadow,
            aggregated: BTreeMap::new(),
            pinned: None,
            replies: BTreeSet::new(),
            withdrawn: BTreeSet::new(),
            rates: Rates::default(),
            told: 0,
            over: false,
        }
    }

    /// After an event was refused.
    pub(crate) fn rejected(&self, event: &Event, before: &Coordinator, after: &Coordinator) -> Checked {
        must(before == after, || Violation::RejectionChangedState(Box::new(event.clone())))
    }

    /// After an event was accepted at `now` and written as `line`.
    pub(crate) fn accepted(
        &mut self,
        now: Timestamp,
        line: &str,
        state: &Coordinator,
        effects: &[Effect],
    ) -> Checked {
        let (at, event): (Timestamp, Event) = serde_json::from_str(line).expect("the log can be read");
        let again = self.shadow.handle(at, event.clone());
        must(again.as_deref() == Ok(effects), || Violation::NotDeterministic(Box::new(event.clone())))?;
        must(self.shadow == *state, || Violation::ReplayDiffers)?;
        self.withdrawals(&event, state)?;
        self.reply(event)?;
        self.roster(state)?;
        self.effects(state, effects)?;
        self.gatherings(state)?;
        self.rates.check(&self.study, state)?;
        self.waiting(now, state)
    }

    /// That `log` as a whole gives `state`.
    pub(crate) fn replay(log: &[String], state: &Coordinator) -> Checked {
        must(replayed(log).as_ref() == Some(state), || Violation::ReplayDiffers)
    }

    /// Nothing is asked of a site that has withdrawn, nothing waits for it, and nothing it says is heard.
    fn withdrawals(&mut self, event: &Event, state: &Coordinator) -> Checked {
        let heard = match event {
            Event::SiteEnlisted { site, .. }
            | Event::FingerprintsSent { site, .. }
            | Event::OrderAnswered { site, .. }
            | Event::OrderFailed { site, .. } => self.withdrawn.get(site),
            Event::SiteWithdrew { site, .. } => {
                let again = !self.withdrawn.insert(site.clone());
                Some(site).filter(|_| again)
            }
            _ => None,
        };
        must(heard.is_none(), || Violation::Pursued { site: heard.cloned().expect("somebody was heard") })?;
        for site in &self.withdrawn {
            let lanes = || state.lanes().iter();
            let awaited =
                lanes().flat_map(|lane| &lane.rounds).any(|round| {
                    round.training.awaits(site)
                        || round.validation.as_ref().is_some_and(|validation| validation.awaits(site))
                }) || lanes().filter_map(|lane| lane.holdout.as_ref()).any(|holdout| holdout.awaits(site))
                    || state.fusions().values().any(|fusion| fusion.awaits(site))
                    || state.baseline().is_some_and(|baseline| {
                        let fitting = baseline.fitting.as_ref().is_some_and(|fitting| fitting.awaits(site));
                        fitting || baseline.scoring.as_ref().is_some_and(|scoring| scoring.awaits(site))
                    });
            let pursued = awaited || state.next_order(site).is_some() || !state.roster().has_withdrawn(site);
            must(!pursued, || Violation::Pursued { site: site.clone() })?;
        }
        Ok(())
    }

    /// An order is answered, or failed, once by each site.
    fn reply(&mut self, event: Event) -> Checked {
        let (Event::OrderAnswered { site, order, .. } | Event::OrderFailed { site, order, .. }) = event
        else {
            return Ok(());
        };
        must(self.replies.insert((site.clone(), order)), || Violation::RepliedTwice { site, order })
    }

    fn roster(&mut self, state: &Coordinator) -> Checked {
        if *state.phase() == Phase::Enrolling {
            return Ok(());
        }
        let enlisted: BTreeSet<SiteId> = state.roster().enlisted().map(|(site, _)| site.clone()).collect();
        let pinned = self.pinned.get_or_insert_with(|| enlisted.clone());
        must(*pinned == enlisted, || Violation::RosterChanged)?;
        (self.copies)(state)
    }

    /// The effects of one event, in their order.
    pub(crate) fn effects(&mut self, state: &Coordinator, effects: &[Effect]) -> Checked {
        for effect in effects {
            must(!self.over, || Violation::ActsAfterTheEnd)?;
            match effect {
                Effect::Aggregate { .. } => self.aggregation(state, effect)?,
                Effect::WentOnWithout { .. } => self.told += 1,
                Effect::SiteWithdrew { site, .. } => {
                    let known = self.withdrawn.contains(site);
                    must(known, || Violation::Pursued { site: site.clone() })?;
                }
                Effect::Finish | Effect::Halt { .. } => self.over = true,
            }
        }
        must(self.over == state.is_over(), || Violation::ActsAfterTheEnd)
    }

    fn aggregation(&mut self, state: &Coordinator, effect: &Effect) -> Checked {
        let Effect::Aggregate { lane, round, start, contributions } = effect else { return Ok(()) };
        let (lane, round) = (*lane, *round);
        let quorum = usize::from(self.study.federation.quorum);
        let found = contributions.len();
        must(found >= quorum, || Violation::BelowQuorum { lane, round, contributions: found, quorum })?;
        for pair in contributions.windows(2) {
            let site = pair[1].site.clone();
            must(pair[0].site < pair[1].site, || Violation::CountedTwice { lane, round, site })?;
        }
        for contribution in contributions {
            let site = contribution.site.clone();
            let on_roster = self.pinned.as_ref().is_some_and(|pinned| pinned.contains(&site));
            let cohort = state.roster().member(&site).and_then(|member| member.cohort.as_ref());
            let declared = cohort.map(|cohort| cohort.counts(lane.modality).training(lane.fold).total());
            let fits = on_roster && self.study.trains(&site) && declared == Some(contribution.cases);
            must(fits, || Violation::Uninvited { lane, round, site })?;
        }
        let expected = self.aggregated.get(&lane).map_or(Round(1), |last| last.next());
        must(round == expected, || Violation::RoundOutOfOrder { lane, round, expected })?;
        self.aggregated.insert(lane, round);
        let before = match round {
            Round(1) => state.first_models().initial.get(&lane.arm).copied(),
            Round(n) => {
                state.lane(&lane).and_then(|state| state.round(Round(n - 1))).and_then(|round| round.model)
            }
        };
        must(before == Some(*start), || Violation::WrongStart { lane, round })
    }

    /// Every closed gathering accounts for everybody, and the log was told of everybody missing.
    fn gatherings(&self, state: &Coordinator) -> Checked {
        let quorum = usize::from(self.study.federation.quorum);
        let mut missed = 0;
        for lane in state.lanes() {
            for RoundState { round, training, validation, .. } in &lane.rounds {
                missed += accounted(&format!("training {} {round}", lane.lane), training, quorum)?;
                if let Some(validation) = validation {
                    missed += accounted(&format!("validation {} {round}", lane.lane), validation, 0)?;
                }
            }
            if let Some(holdout) = &lane.holdout {
                missed += accounted(&format!("hold-out {}", lane.lane), holdout, 0)?;
            }
        }
        for (arm, fusion) in state.fusions() {
            missed += accounted(&format!("fusion {arm}"), fusion, 0)?;
        }
        if let Some(baseline) = state.baseline() {
            missed += usize::from(baseline.incomplete_steps);
            if let Some(scoring) = &baseline.scoring {
                missed += accounted("scoring of the baseline", scoring, 0)?;
            }
        }
        must(missed == self.told, || Violation::NotTold { closed: missed, told: self.told })
    }

    /// Orders are alive, nothing is overdue, and after the end there is neither.
    fn waiting(&self, now: Timestamp, state: &Coordinator) -> Checked {
        if let Some(due) = state.next_timeout() {
            must(!state.is_over(), || Violation::ActsAfterTheEnd)?;
            must(state.pause().is_none(), || Violation::ActsInAPause)?;
            must(due > now, || Violation::Overdue { due, now })?;
        }
        for (site, member) in state.roster().iter() {
            let Some(order) = state.next_order(site) else { continue };
            must(!state.is_over(), || Violation::ActsAfterTheEnd)?;
            must(state.pause().is_none(), || Violation::ActsInAPause)?;
            let reply =
                Event::OrderFailed { site: site.clone(), order: order.id, reason: "would it count?".into() };
            let alive = state.task(&order.id) == Some(&order.task) && state.admit(now, &reply).is_ok();
            let dead = || Violation::DeadOrder { site: site.clone(), order: order.id };
            must(alive && member.cohort.is_some(), dead)?;
        }
        Ok(())
    }
}

/// Whether everybody expected has answered or is named as missing; 1 if somebody is, else 0.
fn accounted<T>(work: &str, gathering: &Gathering<T>, quorum: usize) -> Result<usize, Violation> {
    let Some(closing) = gathering.closing() else { return Ok(0) };
    let expected = gathering.expected();
    let answered: BTreeSet<SiteId> = gathering.answers().keys().cloned().collect();
    let missing: BTreeSet<SiteId> = closing.missing.keys().cloned().collect();
    let accounted: BTreeSet<SiteId> = answered.union(&missing).cloned().collect();
    let enough = answered.len() >= quorum.min(expected.len());
    let whole = accounted == *expected && answered.is_disjoint(&missing) && enough;
    let (opened, closed) = (gathering.opened(), closing.at);
    let late = gathering.answers().values().map(|answer| answer.at).find(|at| *at < opened || *at > closed);
    must(opened <= closed && late.is_none(), || Violation::TimeRanBack { work: work.to_owned() })?;
    let violation =
        || Violation::SilentSubset { work: work.to_owned(), expected: expected.clone(), accounted };
    must(whole, violation)?;
    Ok(usize::from(!missing.is_empty()))
}

/// `Ok` if `holds`.
pub(crate) fn must(holds: bool, violation: impl FnOnce() -> Violation) -> Checked {
    if holds { Ok(()) } else { Err(violation()) }
}
