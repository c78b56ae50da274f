//! A stand-in for the coordinator's shell: it greets, records, answers, serves those that wait, aggregates.

use std::collections::VecDeque;

use consilium_domain::SiteId;
use consilium_protocol::coordinator::{Effect, Event, Phase};
use consilium_protocol::participant::Input;
use consilium_protocol::{Features, Rejection, ToCoordinator, ToSite, VersionRange};

use crate::invariants::{log_line, must, replayed};
use crate::violation::{Checked, Violation};
use crate::work;
use crate::world::World;

/// A connection, with what is on its way in either direction.
pub(crate) struct Session {
    pub(crate) site: usize,
    /// Whether the client still holds it.
    pub(crate) client_end: bool,
    /// Whether the coordinator still holds it.
    pub(crate) server_end: bool,
    /// Whether the client was told who it is.
    pub(crate) welcomed: bool,
    /// Whether the client waits for work.
    pub(crate) asked: bool,
    pub(crate) up: VecDeque<ToCoordinator>,
    pub(crate) down: VecDeque<ToSite>,
    /// Whether the coordinator has heard the greeting.
    greeted: bool,
    /// Whether the coordinator has sent its welcome.
    introduced: bool,
    /// Whether the coordinator has told it what to leave out.
    told: bool,
    /// Whether the coordinator owes it work.
    waiting: bool,
    /// Whether the coordinator said that the study is over, or over for this site.
    dismissed: bool,
}

impl World {
    /// A new connection of a site.
    pub(crate) fn open_session(&mut self, site: usize) -> usize {
        self.sessions.push(Session {
            site,
            client_end: true,
            server_end: true,
            welcomed: false,
            asked: false,
            up: VecDeque::new(),
            down: VecDeque::new(),
            greeted: false,
            introduced: false,
            told: false,
            waiting: false,
            dismissed: false,
        });
        self.sessions.len() - 1
    }

    /// An event is put to the machine; the outer result is the checker's, the inner one the peer's.
    pub(crate) fn happen(&mut self, event: Event) -> Result<Result<(), Rejection>, Violation> {
        let before = self.coordinator.clone();
        match self.coordinator.handle(self.now, event.clone()) {
            Err(rejection) => {
                self.checker.rejected(&event, &before, &self.coordinator)?;
                Ok(Err(rejection))
            }
            Ok(effects) => {
                let line = log_line(self.now, &event);
                self.checker.accepted(self.now, &line, &self.coordinator, &effects)?;
                self.log.push(line);
                self.carry_out(&effects)?;
                self.effects.extend(effects);
                self.serve();
                Ok(Ok(()))
            }
        }
    }

    /// A message of a site reaches the coordinator.
    pub(crate) fn hear(&mut self, session: usize) -> Checked {
        let Some(message) = self.sessions[session].up.pop_front() else { return Ok(()) };
        let site = self.sites[self.sessions[session].site].id.clone();
        match message {
            ToCoordinator::Hello { versions, features, .. } => {
                self.greet(session, site, (versions, features))
            }
            ToCoordinator::Fingerprints { .. }
                if self.present[self.sessions[session].site] != Some(session) =>
            {
                // What an older connection still carries would break into the sequence of the newer one's parts.
                Ok(())
            }
            ToCoordinator::Fingerprints { part, last, cases, .. } => {
                if let Err(rejection) = self.happen(Event::FingerprintsSent { site, part, last, cases })? {
                    self.reply(session, ToSite::Rejected { order: None, rejection });
                }
                Ok(())
            }
            ToCoordinator::Enlist { cohort, .. } => {
                let reply = match self.happen(Event::SiteEnlisted { site, cohort })? {
                    Ok(()) => ToSite::Enlisted,
                    Err(rejection) => ToSite::Rejected { order: None, rejection },
                };
                self.reply(session, reply);
                Ok(())
            }
            ToCoordinator::Withdraw { reason, .. } => {
                // Recorded now or before: what is served confirms it.
                self.happen(Event::SiteWithdrew { site, reason })?.ok();
                self.serve();
                Ok(())
            }
            // Participants know nothing of certificates: the daemons renew them.
            ToCoordinator::Renew { .. } => Ok(()),
            ToCoordinator::Ready => {
                self.sessions[session].waiting = true;
                self.serve();
                Ok(())
            }
            ToCoordinator::Answer { order, outcome } => {
                let there = outcome.blob().is_none_or(|blob| self.uploaded.contains(&blob.digest));
                // Who was killed does not know what has arrived.
                let recovered =
                    self.sites.iter().any(|known| known.id == site && known.recovered.contains(&order));
                must(there || recovered, || Violation::AnswerBeforeBlob { site: site.clone(), order })?;
                let blob = outcome.blob();
                let event = Event::OrderAnswered { site, order, outcome };
                let result = match self.coordinator.admit(self.now, &event) {
                    Ok(()) if !there => Err(Rejection::Update("it is not here".into())),
                    _ => self.happen(event)?,
                };
                if let (Ok(()), Some(blob)) = (&result, blob) {
                    self.arrivals.insert(blob.digest, self.arrivals.len());
                }
                self.reply(session, acknowledgement(order, result));
                Ok(())
            }
            ToCoordinator::Failed { order, reason } => {
                let result = self.happen(Event::OrderFailed { site, order, reason })?;
                self.reply(session, acknowledgement(order, result));
                Ok(())
            }
            ToCoordinator::Progress { order, progress } => {
                self.happen(Event::OrderProgressed { site, order, progress })?.ok();
                Ok(())
            }
            // Audit logs are the daemons': no site says this here.
            ToCoordinator::AuditHead(_) | ToCoordinator::Countersigned(_) => Ok(()),
        }
    }

    fn greet(&mut self, session: usize, site: SiteId, release: (VersionRange, Features)) -> Checked {
        let index = self.sessions[session].site;
        if self.present[index].is_some_and(|newer| newer > session) {
            // The greeting of a connection that the site has given up already.
            self.sessions[session].server_end = false;
            return Ok(());
        }
        self.sessions[session].greeted = true;
        if self.coordinator.is_over() {
            self.serve();
            return Ok(());
        }
        // From here on the news that an older connection is dead is no news.
        self.present[index] = Some(session);
        let connected =
            self.happen(Event::SiteConnected { site: site.clone(), software: "simulated 1".into() })?;
        must(connected.is_ok(), || Violation::OutOfTurn { site: site.clone(), message: "Hello".into() })?;
        let standing = self.coordinator.standing(&site);
        let version = VersionRange::OURS.common(release.0);
        let none = || Violation::NoCommonVersion { site: site.clone() };
        let welcome = ToSite::Welcome {
            version: version.ok_or_else(none)?,
            features: Features::OURS.common(release.1),
            site,
            study: self.coordinator.study().to_json(),
            base: self.coordinator.first_models().base,
            standing,
        };
        self.reply(session, welcome);
        self.sessions[session].introduced = true;
        self.serve();
        Ok(())
    }

    fn reply(&mut self, session: usize, message: ToSite) {
        self.sessions[session].down.push_back(message);
    }

    /// What to leave out and work for those that wait, and the news for everybody when the study is over.
    fn serve(&mut self) {
        let end = match self.coordinator.phase() {
            Phase::Finished { .. } => Some(ToSite::Finished),
            Phase::Halted { reason, .. } => Some(ToSite::Halted { reason: reason.clone() }),
            Phase::Enrolling | Phase::Running { .. } => None,
        };
        for session in self.sessions.iter_mut().filter(|session| session.server_end && session.greeted) {
            if let Some(end) = &end {
                if !std::mem::replace(&mut session.dismissed, true) {
                    session.down.push_back(end.clone());
                }
                continue;
            }
            let site = &self.sites[session.site].id;
            if self.coordinator.roster().has_withdrawn(site) {
                if session.introduced && !std::mem::replace(&mut session.dismissed, true) {
                    session.down.push_back(ToSite::Withdrawn);
                }
                continue;
            }
            if let Some(exclusion) = self.coordinator.exclusion(site)
                && session.introduced
                && !std::mem::replace(&mut session.told, true)
            {
                let (of, exclude) = (exclusion.of, exclusion.cases.clone());
                session.down.push_back(ToSite::Duplicates { of, exclude });
            }
            if session.waiting
                && let Some(order) = self.coordinator.next_order(site)
            {
                session.waiting = false;
                session.down.push_back(ToSite::Work(order));
            }
        }
    }

    /// A message of the coordinator reaches a site.
    pub(crate) fn tell(&mut self, session: usize) -> Checked {
        let Some(message) = self.sessions[session].down.pop_front() else { return Ok(()) };
        let site = &self.sites[self.sessions[session].site];
        let known = site.release.0.newest;
        must(message.since() <= known, || Violation::TooNew { site: site.id.clone(), known })?;
        match message {
            ToSite::Welcome { version, features, .. } => {
                let (spoken, can) = site.release;
                let agreed = (spoken.oldest..=spoken.newest).contains(&version) && can.include(features);
                must(agreed, || Violation::TooNew { site: site.id.clone(), known })?;
                self.sessions[session].welcomed = true;
            }
            ToSite::Work(_) => self.sessions[session].asked = false,
            _ => {}
        }
        self.input(self.sessions[session].site, Input::Received(message))
    }

    /// The coordinator notices that a connection is dead.
    pub(crate) fn notice_cut(&mut self, session: usize) -> Checked {
        self.sessions[session].server_end = false;
        let index = self.sessions[session].site;
        if self.present[index] != Some(session) {
            return Ok(());
        }
        self.present[index] = None;
        let site = self.sites[index].id.clone();
        // Once the study is over nobody is missed.
        self.happen(Event::SiteGone { site, reason: "timed out".into() }).map(|_| ())
    }

    fn carry_out(&mut self, effects: &[Effect]) -> Checked {
        for effect in effects {
            let Effect::Aggregate { lane, round, start, contributions } = effect else { continue };
            for contribution in contributions {
                // What would the site answer for exactly this round and model?
                let state = self.coordinator.lane(lane).and_then(|lane| lane.round(*round));
                let task = consilium_domain::Task::Train {
                    lane: *lane,
                    round: *round,
                    model: *start,
                    classes: None,
                    reductions: state.map_or(0, |state| state.reductions),
                };
                let cohort = self.coordinator.roster().member(&contribution.site);
                let cohort = cohort.and_then(|member| member.cohort.clone()).unwrap_or_default();
                let study = self.coordinator.study();
                let fresh = work::outcome(study, &contribution.site, &cohort, &task, &mut self.store);
                must(fresh.blob() == Some(contribution.update), || Violation::ForeignUpdate {
                    lane: *lane,
                    round: *round,
                    site: contribution.site.clone(),
                })?;
            }
            self.aggregations.push_back(effect.clone());
        }
        Ok(())
    }

    /// The oldest aggregation is done. Updates are added in the order in which the answers came.
    pub(crate) fn aggregated(&mut self) -> Checked {
        let Some(Effect::Aggregate { lane, round, start, mut contributions }) = self.aggregations.pop_front()
        else {
            return Ok(());
        };
        contributions.sort_by_key(|contribution| self.arrivals.get(&contribution.update.digest).copied());
        let study = self.coordinator.study();
        let model = work::aggregate(study, start, contributions.iter(), &mut self.store);
        match self.happen(Event::RoundAggregated { lane, round, model, movement: None, delta: None })? {
            Ok(()) => {
                self.aggregates.insert((lane, round), model.digest);
                Ok(())
            }
            Err(Rejection::Over) => Ok(()),
            Err(_) => Err(Violation::RoundOutOfOrder { lane, round, expected: round }),
        }
    }

    /// The machine is told when the time it asked for has come.
    pub(crate) fn fire_timer(&mut self) -> Checked {
        let Some(due) = self.coordinator.next_timeout().filter(|&due| due <= self.now) else { return Ok(()) };
        let passed = self.happen(Event::TimePassed)?;
        must(passed.is_ok(), || Violation::Overdue { due, now: self.now })
    }

    /// The coordinator dies; after `down_secs` another one takes up the log.
    pub(crate) fn restart(&mut self, down_secs: u32) -> Checked {
        self.now = self.now.plus_secs(down_secs);
        self.aggregations.clear();
        for session in &mut self.sessions {
            session.server_end = false;
        }
        for site in 0..self.sites.len() {
            self.disconnect(site)?;
        }
        let state = replayed(&self.log).filter(|state| *state == self.coordinator);
        self.coordinator = state.ok_or(Violation::ReplayDiffers)?;
        self.present.fill(None);
        if self.happen(Event::Resumed)?.is_ok() {
            self.aggregations.extend(self.coordinator.pending_aggregations());
        }
        Ok(())
    }
}

fn acknowledgement(order: consilium_domain::OrderId, result: Result<(), Rejection>) -> ToSite {
    match result {
        Ok(()) => ToSite::Accepted { order },
        Err(rejection) => ToSite::Rejected { order: Some(order), rejection },
    }
}
