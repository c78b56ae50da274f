//! A hospital: the participant machine, and a stand-in for the client's shell around it.

use std::collections::{BTreeSet, VecDeque};

use consilium_domain::{BlobRef, OrderId, SiteId, WorkOrder};
use consilium_protocol::coordinator::Phase;
use consilium_protocol::participant::{Action, Input, Participant};
use consilium_protocol::{
    Features, Outcome, Progress, ToCoordinator, ToSite, VersionRange, WITHDRAWALS_SINCE,
};

use crate::invariants::must;
use crate::violation::{Checked, Violation};
use crate::work;
use crate::world::World;

/// Work off the session's thread.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Job {
    /// The hospital thinks about the study.
    Judge,
    /// Fingerprinting the cases.
    Fingerprint,
    /// Reading and preprocessing the cohort without these cases.
    Prepare(Vec<u32>),
    /// A work order.
    Execute(WorkOrder),
}

/// A blob on its way.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Transfer {
    /// To the site.
    Fetch(BlobRef),
    /// To the coordinator.
    Upload(OrderId, BlobRef),
}

/// One site.
pub(crate) struct Site {
    pub(crate) id: SiteId,
    pub(crate) index: u8,
    pub(crate) participant: Participant,
    /// What its program speaks.
    pub(crate) release: (VersionRange, Features),
    /// Its end of the current connection.
    pub(crate) session: Option<usize>,
    pub(crate) jobs: VecDeque<Job>,
    /// Steps that its worker did since the client last started.
    steps: u32,
    pub(crate) transfers: VecDeque<Transfer>,
    /// What it ever answered, for faults that repeat it.
    pub(crate) sent: Vec<ToCoordinator>,
    /// Patients it has beyond those it enlisted.
    pub(crate) growth: u32,
    /// Cases it leaves out because another site has them.
    excluded: u32,
    /// Never to be seen again.
    pub(crate) vanished: bool,
    /// A fault gave it a reason to give up.
    pub(crate) excused: bool,
    /// Its hospital takes no part any more, and remembers that.
    pub(crate) left: bool,
    /// Nothing may leave its hospital.
    pub(crate) held: bool,
    /// Orders executed since the client last started, and those whose answers are on its disk.
    executed: BTreeSet<OrderId>,
    /// Answers on its disk, which nobody has acknowledged.
    outbox: Vec<(OrderId, Outcome)>,
    /// Orders that were in it when the client last started.
    pub(crate) recovered: BTreeSet<OrderId>,
}

impl Site {
    pub(crate) fn new(id: SiteId, index: u8, release: (VersionRange, Features)) -> Self {
        Self {
            participant: Participant::new(id.clone(), "simulated 1".into()),
            id,
            index,
            release,
            session: None,
            jobs: VecDeque::new(),
            steps: 0,
            transfers: VecDeque::new(),
            sent: Vec::new(),
            growth: 0,
            excluded: 0,
            vanished: false,
            excused: false,
            left: false,
            held: false,
            executed: BTreeSet::new(),
            outbox: Vec::new(),
            recovered: BTreeSet::new(),
        }
    }

    /// The client starts anew. One that gave up is not started again.
    fn forget(&mut self) {
        if !self.participant.is_over() {
            self.participant = Participant::new(self.id.clone(), "simulated 1".into());
            self.jobs.clear();
            self.steps = 0;
            self.executed = self.outbox.iter().map(|(order, _)| *order).collect();
            self.recovered = self.executed.clone();
            for (order, outcome) in self.outbox.clone() {
                self.participant.handle(Input::Recovered { order, outcome });
            }
            if self.held {
                self.participant.handle(Input::Held);
            }
        }
    }

    /// What is accepted or refused is not kept on the disk.
    fn settle(&mut self, message: &ToSite) {
        let settled = match message {
            ToSite::Accepted { order } => *order,
            ToSite::Rejected { order: Some(order), rejection } if !rejection.blames_the_answer() => *order,
            _ => return,
        };
        self.outbox.retain(|(order, _)| *order != settled);
    }

    /// Whether it can still take part.
    pub(crate) fn is_active(&self) -> bool {
        !self.vanished && !self.participant.is_over()
    }
}

impl World {
    /// Something happens to the participant, and its shell carries out what it says.
    pub(crate) fn input(&mut self, site: usize, input: Input) -> Checked {
        if let Input::Received(message) = &input {
            self.sites[site].settle(message);
        }
        for action in self.sites[site].participant.handle(input) {
            self.act(site, action)?;
        }
        Ok(())
    }

    fn act(&mut self, site: usize, action: Action) -> Checked {
        match action {
            Action::Send(message) => return self.send(site, message),
            Action::Judge(_) if self.sites[site].left => return self.leave(site),
            Action::Judge(_) => self.sites[site].jobs.push_back(Job::Judge),
            Action::Withdrawn => {
                let known = self.coordinator.roster().has_withdrawn(&self.sites[site].id);
                must(known && self.sites[site].left, || Violation::ActsAfterTheEnd)?;
            }
            Action::Fingerprint(_) => self.sites[site].jobs.push_back(Job::Fingerprint),
            Action::Prepare { exclude, .. } => self.sites[site].jobs.push_back(Job::Prepare(exclude)),
            Action::Fetch(blob) => self.sites[site].transfers.push_back(Transfer::Fetch(blob)),
            Action::Upload { order, blob } => {
                self.sites[site].transfers.push_back(Transfer::Upload(order, blob));
            }
            Action::Execute(order) => {
                let site = &mut self.sites[site];
                let repeated = Violation::WorkRepeated { site: site.id.clone(), order: order.id };
                must(site.executed.insert(order.id), || repeated)?;
                site.jobs.push_back(Job::Execute(order));
            }
            Action::Note(_) => {}
            Action::Finish => {
                let finished = matches!(self.coordinator.phase(), Phase::Finished { .. });
                must(finished, || Violation::ActsAfterTheEnd)?;
            }
            Action::Stop { reason } => return self.stopped(site, reason),
        }
        Ok(())
    }

    fn send(&mut self, site: usize, mut message: ToCoordinator) -> Checked {
        let site = &mut self.sites[site];
        if let ToCoordinator::Hello { versions, features, .. } = &mut message {
            (*versions, *features) = site.release;
        }
        let session = site.session.map(|session| &mut self.sessions[session]);
        let out_of_turn = || Violation::OutOfTurn { site: site.id.clone(), message: format!("{message:?}") };
        let Some(session) = session else { return Err(out_of_turn()) };
        let hello = matches!(message, ToCoordinator::Hello { .. });
        must(hello != session.welcomed, out_of_turn)?;
        let silent = matches!(message, ToCoordinator::Hello { .. } | ToCoordinator::Withdraw { .. });
        let spoke = || Violation::SpokeWhileHeld { site: site.id.clone(), message: format!("{message:?}") };
        must(silent || !site.held, spoke)?;
        if message == ToCoordinator::Ready {
            must(!std::mem::replace(&mut session.asked, true), out_of_turn)?;
        }
        if matches!(message, ToCoordinator::Answer { .. } | ToCoordinator::Failed { .. }) {
            site.sent.push(message.clone());
        }
        session.up.push_back(message);
        Ok(())
    }

    /// A client may only give up when the study is over, has begun without it, compared other patients than it
    /// now has, or a fault told it to.
    fn stopped(&self, site: usize, reason: String) -> Checked {
        let site = &self.sites[site];
        let enlisted = self.coordinator.roster().member(&site.id).is_some_and(|m| m.cohort.is_some());
        let compared = self.coordinator.exclusion(&site.id).is_some();
        let compared_without = self.coordinator.has_compared() && !compared;
        let began = *self.coordinator.phase() != Phase::Enrolling || compared_without;
        let began_without = !enlisted && began;
        let changed = compared && site.growth > 0;
        // Nobody can be told of a withdrawal in a version that has no word for it.
        let untellable = site.left && site.release.0.newest < WITHDRAWALS_SINCE;
        let understood = self.coordinator.is_over() || began_without || changed || untellable || site.excused;
        must(understood, || Violation::HonestSiteStopped { site: site.id.clone(), reason })
    }

    /// The first job of a site ends well.
    pub(crate) fn finish_work(&mut self, site: usize) -> Checked {
        let Some(job) = self.sites[site].jobs.pop_front() else { return Ok(()) };
        if let Job::Prepare(exclude) = &job {
            self.sites[site].excluded = u32::try_from(exclude.len()).expect("few cases");
        }
        let Site { id, index, growth, excluded, .. } = &self.sites[site];
        let cohort = self.scene.cohort(*index, *growth, *excluded);
        match job {
            Job::Judge => self.input(site, Input::Approved),
            Job::Fingerprint => {
                let fingerprints = self.scene.fingerprints(*index, *growth);
                self.input(site, Input::Fingerprinted(Ok(fingerprints)))
            }
            Job::Prepare(_) => self.input(site, Input::Prepared(Ok(cohort))),
            Job::Execute(_) if self.scene.crash_looper == Some(*index) => self.crash(site),
            Job::Execute(order) => {
                let study = self.coordinator.study();
                let outcome = work::outcome(study, id, &cohort, &order.task, &mut self.store);
                self.sites[site].outbox.push((order.id, outcome.clone()));
                self.input(site, Input::WorkDone { order: order.id, result: Ok(outcome) })
            }
        }
    }

    /// The worker of a site is a step further, and the session takes note of it.
    pub(crate) fn progress(&mut self, site: usize) -> Checked {
        self.sites[site].steps += 1;
        let progress = Progress { steps: self.sites[site].steps, of: 0, mebibytes: 0 };
        self.input(site, Input::Progressed(progress))
    }

    /// The first job of a site fails.
    pub(crate) fn fail_work(&mut self, site: usize) -> Checked {
        let Some(job) = self.sites[site].jobs.pop_front() else { return Ok(()) };
        match job {
            Job::Judge => self.leave(site),
            Job::Fingerprint => {
                self.sites[site].excused = true;
                self.input(site, Input::Fingerprinted(Err("a scan cannot be read".into())))
            }
            Job::Prepare(_) => {
                self.sites[site].excused = true;
                self.input(site, Input::Prepared(Err("no scans in the folder".into())))
            }
            Job::Execute(order) => {
                self.input(site, Input::WorkDone { order: order.id, result: Err("no memory left".into()) })
            }
        }
    }

    /// The hospital of a site declines the study, or leaves it.
    pub(crate) fn leave(&mut self, site: usize) -> Checked {
        self.sites[site].left = true;
        self.sites[site].jobs.clear();
        self.input(site, Input::Declined { reason: "we have had enough".into() })
    }

    /// From here on something may leave the hospital, or nothing may.
    pub(crate) fn hold(&mut self, site: usize, held: bool) -> Checked {
        self.sites[site].held = held;
        self.input(site, if held { Input::Held } else { Input::Released })
    }

    /// The first transfer of a site arrives.
    pub(crate) fn transferred(&mut self, site: usize) -> Checked {
        match self.sites[site].transfers.pop_front() {
            None => Ok(()),
            Some(Transfer::Fetch(blob)) => self.input(site, Input::Fetched(blob)),
            Some(Transfer::Upload(order, blob))
                if !self.coordinator.awaits_update(&self.sites[site].id, blob.bytes) =>
            {
                self.input(site, Input::UploadFailed { order, reason: "no round waits for it".into() })
            }
            Some(Transfer::Upload(order, blob)) => {
                self.uploaded.insert(blob.digest);
                self.input(site, Input::Uploaded(order))
            }
        }
    }

    /// The first transfer of a site fails although the connection stands.
    pub(crate) fn fail_transfer(&mut self, site: usize) -> Checked {
        let reason = "the disk is full".to_owned();
        match self.sites[site].transfers.pop_front() {
            None => Ok(()),
            Some(Transfer::Fetch(blob)) => {
                self.sites[site].excused |= self.sites[site].participant.order().is_none();
                self.input(site, Input::FetchFailed { blob, reason })
            }
            Some(Transfer::Upload(order, _)) => self.input(site, Input::UploadFailed { order, reason }),
        }
    }

    /// The client starts, or tries again.
    pub(crate) fn connect(&mut self, site: usize) -> Checked {
        self.disconnect(site)?;
        if !self.sites[site].is_active() {
            return Ok(());
        }
        self.sites[site].session = Some(self.open_session(site));
        self.input(site, Input::Connected)
    }

    /// The client loses its connection; the coordinator does not know yet.
    pub(crate) fn disconnect(&mut self, site: usize) -> Checked {
        let Some(session) = self.sites[site].session.take() else { return Ok(()) };
        self.sessions[session].client_end = false;
        self.sites[site].transfers.clear();
        self.input(site, Input::Disconnected)
    }

    /// The client dies. What it knew is gone.
    pub(crate) fn crash(&mut self, site: usize) -> Checked {
        self.disconnect(site)?;
        self.sites[site].forget();
        Ok(())
    }
}
