//! The whole consortium in one value: a coordinator, its sites, and everything that is on its way between
//! them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use consilium_domain::{Digest, Lane, Round, Study};
use consilium_protocol::Timestamp;
use consilium_protocol::coordinator::{Coordinator, Effect, Event};

use crate::duplicates::copies;
use crate::invariants::{Checker, log_line};
use crate::scene::{START, Scene};
use crate::schedule::{Op, Schedule};
use crate::shell::Session;
use crate::site::Site;
use crate::violation::{Checked, Violation};
use crate::work::{self, Store};

/// A consortium at one moment.
pub(crate) struct World {
    pub(crate) scene: Scene,
    pub(crate) now: Timestamp,
    pub(crate) coordinator: Coordinator,
    pub(crate) checker: Checker,
    pub(crate) log: Vec<String>,
    pub(crate) effects: Vec<Effect>,
    pub(crate) sites: Vec<Site>,
    pub(crate) sessions: Vec<Session>,
    /// The connection by which the coordinator knows each site to be present.
    pub(crate) present: Vec<Option<usize>>,
    /// Aggregations under way.
    pub(crate) aggregations: VecDeque<Effect>,
    /// The model of every round.
    pub(crate) aggregates: BTreeMap<(Lane, Round), Digest>,
    pub(crate) store: Store,
    /// Blobs that the coordinator has.
    pub(crate) uploaded: BTreeSet<Digest>,
    /// When each update came, counted from the first.
    pub(crate) arrivals: BTreeMap<Digest, usize>,
}

/// Something under way.
#[derive(Debug, Clone, Copy)]
enum Arrival {
    AtCoordinator(usize),
    AtSite(usize),
    CutNoticed(usize),
    Transferred(usize),
    Aggregated,
}

impl World {
    /// The study of `scene` has just been opened and nobody is connected.
    pub(crate) fn open(scene: &Scene) -> Self {
        Self::running(scene, scene.study())
    }

    /// As [`Self::open`], but the coordinator runs `study`: a mutant, if it is not the scene's.
    pub(crate) fn running(scene: &Scene, study: Study) -> Self {
        let mut store = Store::default();
        let opening = work::opening(study, &mut store);
        let line = log_line(START, &Event::Opened(Box::new(opening.clone())));
        Self {
            scene: scene.clone(),
            now: START,
            checker: Checker::new(scene.study(), copies_of(scene), &line),
            coordinator: Coordinator::open(START, opening),
            log: vec![line],
            effects: Vec::new(),
            sites: (0..scene.sites)
                .map(|index| Site::new(scene.site(index), index, scene.release(index)))
                .collect(),
            sessions: Vec::new(),
            present: vec![None; usize::from(scene.sites)],
            aggregations: VecDeque::new(),
            aggregates: BTreeMap::new(),
            store,
            uploaded: BTreeSet::new(),
            arrivals: BTreeMap::new(),
        }
    }

    /// Plays a schedule and the calm after it.
    pub(crate) fn play(schedule: &Schedule) -> Result<Self, Violation> {
        let mut world = Self::open(&schedule.scene);
        world.suffer(&schedule.ops)?;
        world.end()?;
        Ok(world)
    }

    /// Plays `ops` only.
    pub(crate) fn suffer(&mut self, ops: &[Op]) -> Checked {
        ops.iter().try_for_each(|op| {
            self.apply(op)?;
            self.fire_timer()
        })
    }

    fn apply(&mut self, op: &Op) -> Checked {
        match *op {
            Op::Deliver(nth) => self.deliver(usize::from(nth)).map(|_| ()),
            Op::Calm(steps) => (0..steps).try_for_each(|_| self.calm_step().map(|_| ())),
            Op::DropConnection(site) => self.disconnect(self.index(site)),
            Op::Reconnect(site) => self.connect(self.index(site)),
            Op::CrashClient(site) => self.crash(self.index(site)),
            Op::NewPatients(site) => {
                let site = self.index(site);
                self.sites[site].growth += 1;
                self.crash(site)
            }
            Op::Vanish(site) => {
                let site = self.index(site);
                self.sites[site].vanished = true;
                self.crash(site)
            }
            Op::RestartCoordinator(down_secs) => self.restart(down_secs),
            Op::AdvanceTime(secs) => {
                self.now = self.now.plus_secs(secs);
                Ok(())
            }
            Op::ClockBack(secs) => {
                self.now = Timestamp(self.now.0 - u64::from(secs) * 1000);
                Ok(())
            }
            Op::FinishWork(site) => self.finish_work(self.index(site)),
            Op::Progress(site) => self.progress(self.index(site)),
            Op::FailWork(site) => self.fail_work(self.index(site)),
            Op::Leave(site) => self.leave(self.index(site)),
            Op::Hold(site) => self.hold(self.index(site), true),
            Op::Release(site) => self.hold(self.index(site), false),
            Op::FailTransfer(site) => self.fail_transfer(self.index(site)),
            Op::DuplicateAnswer(site) => {
                self.repeat_answer(self.index(site), usize::MAX);
                Ok(())
            }
            Op::StaleAnswer(site, nth) => {
                self.repeat_answer(self.index(site), usize::from(nth));
                Ok(())
            }
            Op::Tell(site, lie) => self.tell_lie(self.index(site), lie),
            Op::PauseFor(secs) => {
                self.pause()?;
                self.now = self.now.plus_secs(secs);
                self.let_continue()
            }
            Op::Pause => self.pause(),
            Op::Continue => self.let_continue(),
            Op::Abort => self.happen(Event::Aborted { reason: "the admin said so".into() }).map(|_| ()),
        }
    }

    /// Refused when the study is paused or over.
    fn pause(&mut self) -> Checked {
        self.happen(Event::Paused { by: "alice".into() }).map(|_| ())
    }

    /// Refused when the study is not paused.
    pub(crate) fn let_continue(&mut self) -> Checked {
        self.happen(Event::Continued { by: "alice".into() }).map(|_| ())
    }

    fn index(&self, site: u8) -> usize {
        usize::from(site) % self.sites.len()
    }

    /// An answer given before is sent again over the current connection, if there is one: its `nth`, or its
    /// last.
    fn repeat_answer(&mut self, site: usize, nth: usize) {
        let site = &self.sites[site];
        let session = site.session.map(|session| &mut self.sessions[session]);
        let Some(session) = session.filter(|session| session.welcomed) else { return };
        let Some(last) = site.sent.len().checked_sub(1) else { return };
        let nth = if nth == usize::MAX { last } else { nth % site.sent.len() };
        session.up.push_back(site.sent[nth].clone());
    }

    /// The `nth` thing under way arrives; whether there was one.
    pub(crate) fn deliver(&mut self, nth: usize) -> Result<bool, Violation> {
        let under_way = self.under_way();
        let Some(&arrival) = under_way.get(nth.checked_rem(under_way.len()).unwrap_or(0)) else {
            return Ok(false);
        };
        match arrival {
            Arrival::AtCoordinator(session) => self.hear(session),
            Arrival::AtSite(session) => self.tell(session),
            Arrival::CutNoticed(session) => self.notice_cut(session),
            Arrival::Transferred(site) => self.transferred(site),
            Arrival::Aggregated => self.aggregated(),
        }
        .map(|()| true)
    }

    /// What can arrive next. What a lost connection still carries may reach the coordinator, until it
    /// notices.
    fn under_way(&self) -> Vec<Arrival> {
        let mut arrivals = Vec::new();
        for (index, session) in self.sessions.iter().enumerate() {
            if session.server_end && !session.up.is_empty() {
                arrivals.push(Arrival::AtCoordinator(index));
            }
            if session.client_end && !session.down.is_empty() {
                arrivals.push(Arrival::AtSite(index));
            }
            if session.server_end && !session.client_end {
                arrivals.push(Arrival::CutNoticed(index));
            }
        }
        let transferring = (0..self.sites.len()).filter(|&site| !self.sites[site].transfers.is_empty());
        arrivals.extend(transferring.map(Arrival::Transferred));
        arrivals.extend(self.aggregations.front().map(|_| Arrival::Aggregated));
        arrivals
    }
}

/// What is checked of patients that the sites of `scene` share.
fn copies_of(scene: &Scene) -> Box<dyn Fn(&Coordinator) -> Checked> {
    let scene = scene.clone();
    Box::new(move |state| if scene.duplicates { copies(&scene, state) } else { Ok(()) })
}
