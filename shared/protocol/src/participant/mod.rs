//! A site's side of the session.
//!
//! ```text
//! Offline -> Greeting -> Judging -> Preparing -> Enlisting -> Idle -> Fetching -> Working -> Uploading -> Reporting
//!    ^                      |          ^                       ^                                             |
//!    |                      +> Comparing, if the study         +---------------------------------------------+
//!    |                         excludes duplicates
//!    +---- from everywhere, on disconnection
//!
//! from everywhere, when the hospital says so -> Withdrawing -> Over
//! before anything that leaves the hospital, while it may not -> Held
//! ```
//!
//! Nothing but a greeting is said before the hospital has agreed to the study.
//!
//! Work survives the connection: what is under way goes on while the site is offline, and a finished result
//! waits in the outbox until the coordinator has accepted or rejected it. Where the shell has kept such a result through
//! the client's own end, it is reported before new work is asked for.

mod comparing;
mod consent;
mod input;

use std::collections::VecDeque;

use consilium_domain::{BlobRef, OrderId, SiteId, Study, StudyHash, WorkOrder};

pub use input::{Action, Input};

use crate::{
    Features, Outcome, PROGRESS_SINCE, Progress, Rejection, Standing, ToCoordinator, ToSite, VersionRange,
    bounded_reason,
};
use comparing::Comparing;
use consent::Consent;

/// What the site does right now.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Step {
    Offline,
    Greeting,
    Judging,
    Held,
    Withdrawing,
    Comparing,
    Preparing,
    Enlisting,
    Idle,
    Fetching(BlobRef),
    Working,
    Uploading,
    Reporting,
    Over,
}

/// The agreed plan as the coordinator told it, and who the site is in it.
#[derive(Debug, Clone, PartialEq)]
struct Session {
    version: u16,
    study: Study,
    hash: StudyHash,
    base: Option<BlobRef>,
    standing: Standing,
}

/// A result, or the reason why there is none.
type Reply = Result<Outcome, String>;

/// A site's session, with its work in hand.
#[derive(Debug, Clone, PartialEq)]
pub struct Participant {
    site: SiteId,
    software: String,
    step: Step,
    session: Option<Session>,
    consent: Consent,
    held: bool,
    comparing: Comparing,
    prepared: bool,
    cohort: Option<consilium_domain::CohortSummary>,
    base_cached: bool,
    order: Option<WorkOrder>,
    working: bool,
    outbox: Option<(OrderId, Reply)>,
    uploaded: Option<Uploaded>,
    /// Answers of before the client was killed, which go into the outbox one after the other.
    recovered: VecDeque<(OrderId, Outcome)>,
}

/// The blob of the answer in the outbox is with the coordinator, as far as is known.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Uploaded {
    /// It was brought there over this connection. Else it was once, or perhaps never: the answer is tried first.
    now: bool,
}

impl Participant {
    /// A site that is not connected yet. `software` is its program's name and version.
    pub const fn new(site: SiteId, software: String) -> Self {
        Self {
            site,
            software,
            step: Step::Offline,
            session: None,
            consent: Consent::Unasked,
            held: false,
            comparing: Comparing::new(),
            prepared: false,
            cohort: None,
            base_cached: false,
            order: None,
            working: false,
            outbox: None,
            uploaded: None,
            recovered: VecDeque::new(),
        }
    }

    /// Whether nothing more will happen.
    pub const fn is_over(&self) -> bool {
        matches!(self.step, Step::Over)
    }

    /// The order that is being worked on or reported.
    pub const fn order(&self) -> Option<&WorkOrder> {
        self.order.as_ref()
    }

    /// The study's pretrained backbone, if it has one.
    pub fn base(&self) -> Option<BlobRef> {
        self.session.as_ref()?.base
    }

    /// Takes in what happened and says what to do.
    pub fn handle(&mut self, input: Input) -> Vec<Action> {
        if self.is_over() {
            return Vec::new();
        }
        match input {
            Input::Connected => self.greet(),
            Input::Disconnected => {
                self.step = Step::Offline;
                Vec::new()
            }
            Input::Received(message) => self.receive(message),
            // Whatever ends now is of no use any more.
            _ if self.is_withdrawing() => Vec::new(),
            Input::Approved => self.approved(),
            Input::Declined { reason } => self.declined(&reason),
            Input::Held => {
                self.held = true;
                Vec::new()
            }
            Input::Released => self.released(),
            Input::Refused { order, reason } => self.refuse(order, reason),
            Input::Fingerprinted(Ok(fingerprints)) => self.fingerprinted(fingerprints),
            Input::Fingerprinted(Err(reason)) => {
                self.stop(format!("the cases cannot be fingerprinted here: {reason}"))
            }
            Input::Prepared(Ok(cohort)) => {
                self.cohort = Some(cohort);
                self.go_on()
            }
            Input::Prepared(Err(reason)) => self.stop(format!("the study cannot be prepared here: {reason}")),
            Input::Fetched(blob) => self.fetched(blob),
            Input::FetchFailed { blob, reason } => self.fetch_failed(blob, reason),
            Input::WorkDone { order, result } => self.work_done(order, result),
            Input::Progressed(progress) => self.progressed(progress),
            Input::Recovered { order, outcome } => {
                self.recovered.push_back((order, outcome));
                Vec::new()
            }
            Input::Uploaded(order) => self.uploaded(order),
            Input::UploadFailed { order, reason } => self.upload_failed(order, reason),
        }
    }

    fn greet(&mut self) -> Vec<Action> {
        self.step = Step::Greeting;
        self.uploaded = self.uploaded.map(|_| Uploaded { now: false });
        let software = self.software.clone();
        vec![Action::Send(ToCoordinator::Hello {
            versions: VersionRange::OURS,
            features: Features::OURS,
            software,
        })]
    }

    fn receive(&mut self, message: ToSite) -> Vec<Action> {
        match message {
            ToSite::Welcome { version, site, study, base, standing, .. } => {
                self.welcomed(version, &site, &study, base, standing)
            }
            ToSite::Withdrawn => self.withdrawn(),
            ToSite::Finished => {
                self.step = Step::Over;
                vec![Action::Finish]
            }
            ToSite::Halted { reason } => self.stop(format!("the coordinator halted the study: {reason}")),
            // Certificates are the shell's: the study is the same before and after.
            ToSite::Renewed { .. } | ToSite::RenewalRefused { .. } => Vec::new(),
            ToSite::Waiting => self.not_needed(),
            // The daemon's affair: a study neither waits for the audit logs nor looks at them.
            ToSite::AuditHead(_) | ToSite::Countersigned(_) => Vec::new(),
            // How a blob comes here is the shell's affair.
            ToSite::Delta(_) => Vec::new(),
            // What was on its way when the site withdrew is of no interest any more; a refused greeting is.
            _ if self.is_withdrawing() && self.step != Step::Greeting => Vec::new(),
            ToSite::Duplicates { of, exclude } => self.compared(of, exclude),
            ToSite::Enlisted => self.enlisted(),
            ToSite::Work(order) => self.take(order),
            ToSite::Accepted { order } => self.settled(order),
            ToSite::Rejected { order: Some(order), rejection } => {
                let mut actions = vec![Action::Note(format!("order {order} was refused: {rejection}"))];
                actions.extend(self.answer_refused(order, &rejection));
                actions
            }
            ToSite::Rejected { order: None, rejection } => self.refused(&rejection),
        }
    }

    /// No study needs the site now. Where it came back to one, that has ended meanwhile, or has taken note of its
    /// withdrawal.
    fn not_needed(&mut self) -> Vec<Action> {
        if self.is_withdrawing() {
            return self.withdrawn();
        }
        if self.session.is_some() {
            return self.stop("the study ended while this site was away; its admin knows how".into());
        }
        vec![Action::Note("connected; no study needs this site yet".into())]
    }

    fn welcomed(
        &mut self,
        version: u16,
        site: &SiteId,
        study: &str,
        base: Option<BlobRef>,
        standing: Standing,
    ) -> Vec<Action> {
        if *site != self.site {
            return self.stop(format!("the certificate is of site {site}, this is {}", self.site));
        }
        let study = match Study::from_json(study) {
            Ok(study) => study,
            Err(error) => return self.stop(error.to_string()),
        };
        let hash = study.hash();
        if self.session.as_ref().is_some_and(|session| session.hash != hash) {
            return self.stop("the coordinator now runs another study; start the client anew for it".into());
        }
        self.session = Some(Session { version, study, hash, base, standing });
        self.comparing.sent = false;
        self.step = Step::Judging;
        self.go_on()
    }

    fn enlisted(&mut self) -> Vec<Action> {
        self.session.iter_mut().for_each(|session| session.standing = Standing::Enlisted);
        self.go_on()
    }

    /// The next step of a welcomed session: get the hospital's consent, compare, prepare, enlist, get the backbone, empty the outbox, ask for
    /// work.
    ///
    /// What ends between the connection and its welcome waits for the welcome: saying it at once and again
    /// then would ask twice, and the second piece of work would come unasked.
    fn go_on(&mut self) -> Vec<Action> {
        let welcomed = !matches!(self.step, Step::Offline | Step::Greeting);
        let Some(session) = self.session.clone().filter(|_| welcomed) else { return Vec::new() };
        if let Some(actions) = self.await_consent(&session) {
            return actions;
        }
        let Some(cohort) = &self.cohort else {
            let Some(exclude) = self.to_leave_out(&session.study) else { return self.compare(session) };
            self.step = Step::Preparing;
            let first = !std::mem::replace(&mut self.prepared, true);
            let prepare = first.then(|| Action::Prepare { study: Box::new(session.study), exclude });
            return prepare.into_iter().collect();
        };
        if session.standing != Standing::Enlisted {
            self.step = Step::Enlisting;
            let enlist = ToCoordinator::Enlist { study: session.hash, cohort: cohort.clone() };
            return vec![Action::Send(enlist)];
        }
        if let Some(base) = session.base.filter(|_| !self.base_cached) {
            self.step = Step::Fetching(base);
            return vec![Action::Fetch(base)];
        }
        match (&self.outbox, &self.order) {
            (Some((order, reply)), _) => {
                let order = *order;
                match reply.as_ref().ok().and_then(Outcome::blob) {
                    // What was uploaded once is there, or counts already and is not needed any more.
                    Some(blob) if self.uploaded.is_none() => {
                        self.step = Step::Uploading;
                        vec![Action::Upload { order, blob }]
                    }
                    _ => self.report(),
                }
            }
            (None, Some(_)) if self.working => {
                self.step = Step::Working;
                Vec::new()
            }
            (None, Some(order)) => self.start(order.clone()),
            (None, None) => match self.recovered.pop_front() {
                // Its blob may have come there, and may have been used up, before the client was killed: answered first,
                // and uploaded where the coordinator says that it is missing.
                Some((order, outcome)) => {
                    self.outbox = Some((order, Ok(outcome)));
                    self.uploaded = Some(Uploaded { now: false });
                    self.go_on()
                }
                None => {
                    self.step = Step::Idle;
                    vec![Action::Send(ToCoordinator::Ready)]
                }
            },
        }
    }

    fn take(&mut self, order: WorkOrder) -> Vec<Action> {
        let ours = self.session.as_ref().is_some_and(|session| session.hash == order.study);
        if self.step != Step::Idle || !ours {
            return self.stop("the coordinator sent work that was not asked for".into());
        }
        self.start(order)
    }

    fn start(&mut self, order: WorkOrder) -> Vec<Action> {
        let model = order.task.model();
        self.order = Some(order.clone());
        if self.held {
            self.step = Step::Held;
            return Vec::new();
        }
        match model {
            Some(model) => {
                self.step = Step::Fetching(model);
                vec![Action::Fetch(model)]
            }
            None => self.execute(order),
        }
    }

    fn execute(&mut self, order: WorkOrder) -> Vec<Action> {
        self.step = Step::Working;
        self.working = true;
        vec![Action::Execute(order)]
    }

    fn fetched(&mut self, blob: BlobRef) -> Vec<Action> {
        if self.step != Step::Fetching(blob) {
            return Vec::new();
        }
        let base = self.session.as_ref().and_then(|session| session.base);
        if base == Some(blob) && !self.base_cached {
            self.base_cached = true;
            return self.go_on();
        }
        match self.order.clone() {
            Some(order) => self.execute(order),
            None => self.go_on(),
        }
    }

    fn fetch_failed(&mut self, blob: BlobRef, reason: String) -> Vec<Action> {
        if self.step != Step::Fetching(blob) {
            return Vec::new();
        }
        match self.order.take() {
            Some(order) => self.finished(order.id, Err(format!("its model could not be fetched: {reason}"))),
            None => self.stop(format!("the pretrained backbone could not be fetched: {reason}")),
        }
    }

    fn work_done(&mut self, order: OrderId, result: Reply) -> Vec<Action> {
        if self.order.as_ref().is_none_or(|current| current.id != order) {
            return Vec::new();
        }
        self.finished(order, result)
    }

    /// Said from the order's arrival to its answer, whatever moves: the model, the work or the update.
    fn progressed(&self, progress: Progress) -> Vec<Action> {
        let understood = self.session.as_ref().is_some_and(|session| session.version >= PROGRESS_SINCE);
        if self.held || !understood {
            return Vec::new();
        }
        let order = match (self.step, &self.order, &self.outbox) {
            (Step::Fetching(_) | Step::Working, Some(order), _) => order.id,
            (Step::Uploading, _, Some((order, _))) => *order,
            _ => return Vec::new(),
        };
        vec![Action::Send(ToCoordinator::Progress { order, progress })]
    }

    fn finished(&mut self, order: OrderId, result: Reply) -> Vec<Action> {
        self.working = false;
        (self.order, self.uploaded) = (None, None);
        self.outbox = Some((order, result.map_err(|reason| bounded_reason(&reason))));
        self.go_on()
    }

    fn uploaded(&mut self, order: OrderId) -> Vec<Action> {
        let current = self.outbox.as_ref().is_some_and(|(waiting, _)| *waiting == order);
        if !(self.step == Step::Uploading && current) {
            return Vec::new();
        }
        self.uploaded = Some(Uploaded { now: true });
        self.report()
    }

    /// A refused upload means the order is closed: the answer is replaced by the reason, so that it is told.
    fn upload_failed(&mut self, order: OrderId, reason: String) -> Vec<Action> {
        match &mut self.outbox {
            Some((waiting, reply)) if *waiting == order && self.step == Step::Uploading => {
                *reply = Err(bounded_reason(&format!("the update could not be uploaded: {reason}")));
                self.report()
            }
            _ => Vec::new(),
        }
    }

    fn report(&mut self) -> Vec<Action> {
        let Some((order, reply)) = self.outbox.clone() else { return Vec::new() };
        if self.held {
            self.step = Step::Held;
            return Vec::new();
        }
        self.step = Step::Reporting;
        vec![Action::Send(match reply {
            Ok(outcome) => ToCoordinator::Answer { order, outcome },
            Err(reason) => ToCoordinator::Failed { order, reason },
        })]
    }

    fn settled(&mut self, order: OrderId) -> Vec<Action> {
        if self.outbox.as_ref().is_none_or(|(waiting, _)| *waiting != order) {
            return Vec::new();
        }
        (self.outbox, self.uploaded) = (None, None);
        self.go_on()
    }

    /// An answer that does not fit is replaced by the reason. The order is still open, so dropping the answer
    /// would bring the same order again, and with it the same answer, until its deadline.
    fn answer_refused(&mut self, order: OrderId, rejection: &Rejection) -> Vec<Action> {
        match &mut self.outbox {
            // Of an earlier try: its blob is on its way by now.
            Some((waiting, Ok(_)))
                if *waiting == order
                    && matches!(rejection, Rejection::Update(_))
                    && self.step == Step::Uploading =>
            {
                Vec::new()
            }
            // It was with a coordinator that has lost it since.
            Some((waiting, Ok(_)))
                if *waiting == order
                    && matches!(rejection, Rejection::Update(_))
                    && self.uploaded == Some(Uploaded { now: false }) =>
            {
                self.uploaded = None;
                self.go_on()
            }
            Some((waiting, reply @ Ok(_))) if *waiting == order && rejection.blames_the_answer() => {
                *reply = Err(bounded_reason(&format!("the coordinator refused the answer: {rejection}")));
                self.report()
            }
            _ => self.settled(order),
        }
    }

    fn refused(&mut self, rejection: &Rejection) -> Vec<Action> {
        match rejection {
            Rejection::AlreadyEnlisted => self.enlisted(),
            _ => self.stop(rejection.to_string()),
        }
    }

    fn stop(&mut self, reason: String) -> Vec<Action> {
        self.step = Step::Over;
        vec![Action::Stop { reason }]
    }
}

#[cfg(test)]
mod consent_tests;
#[cfg(test)]
mod tests;
