//! One study at this site: connect, let the participant machine decide, carry out its actions, reconnect.
//!
//! What is to be said and when is `consilium_protocol::participant`'s to decide, whether it may leave the steward's and
//! the gate's; this file moves bytes.

mod answers;
mod models;
mod pulse;
mod reaching;

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use consilium_domain::{BlobRef, OrderId, Study, StudyHash};
use consilium_protocol::participant::{Action, Input, Participant};
use consilium_protocol::{ModelDelta, ToCoordinator, ToSite};
use consilium_transport::{CloseCode, Connection, ControlError, ControlReceiver};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::at_hand::AtHand;
use crate::connection::Pauses;
use crate::control::Asked;
use crate::daemon::{DaemonError, Ending, House, SOFTWARE};
use crate::deltas::Recipe;
use crate::model_cache::ModelCache;
use crate::outgoing::{Link, LinkError, Outgoing, Passage};
use crate::steward::Word;
use crate::transfer_limits::leaving_within;
use crate::transfers::{Ended, Transfers};
use crate::worker::{Done, Job, Loaded, Worker, Workplace};
use pulse::Pulse;

/// The first version of the protocol whose coordinators read packed updates.
const PACKED_UPDATES_VERSION: u16 = 4;

/// The first version whose coordinators take up uploads that broke off.
const RESUMPTION_VERSION: u16 = 4;

/// How long the last exchange of audit heads may take: two signatures and a few lines on a slow disk.
const LAST_HEADS: Duration = Duration::from_secs(3);

/// A study under way, or the wait for one.
pub(crate) struct Client<'a> {
    house: &'a mut House,
    participant: Participant,
    /// `None` once the hospital has withdrawn: nothing is computed any more.
    worker: Option<Worker>,
    results: mpsc::UnboundedReceiver<Done>,
    transfers: Transfers,
    transferred: mpsc::UnboundedReceiver<Ended>,
    pulse: Pulse,
    models: ModelCache,
    gate: Outgoing,
    /// The study the coordinator offers, once it has.
    offered: Option<Study>,
    /// Its hash, which is asked for at every turn.
    offered_hash: Option<StudyHash>,
    /// What the participant was told of the hospital's word.
    told: Option<Word>,
    held: bool,
    /// The shorter way to the next order's model.
    delta: Option<ModelDelta>,
    /// What the participant is to hear next.
    inputs: VecDeque<Input>,
    /// The pretrained backbone, once fetched.
    base: Option<(BlobRef, Loaded)>,
    at_hand: AtHand,
    /// Whether the coordinator reads packed updates.
    packs: bool,
    /// Whether it reads sums beyond histograms.
    reads_details: bool,
    /// Something was to leave at the wrong moment: it is said again over the next connection.
    cut: bool,
    /// Whether the client is there for one study only.
    once: bool,
    /// Since when the coordinator has not been reached; none while it is.
    away_since: Option<Instant>,
    ending: Option<Ending>,
}

/// What happened at the site.
enum News {
    Done(Done),
    Transferred(Ended),
    Asked(Asked),
    /// The certificate needs its successor.
    RenewalDue,
    /// The coordinator is to hear how far the work is.
    PulseDue,
    /// Time to look at the clock.
    Nothing,
}

impl<'a> Client<'a> {
    pub(crate) fn new(house: &'a mut House, once: bool) -> Self {
        let config = &house.config;
        let workplace = Workplace {
            site: house.site.clone(),
            layout: config.layout,
            folders: config.data.clone(),
            predictions: config.state.join("predictions"),
            residuals: config.state.join("residuals"),
            half_trained: house.half_trained(),
            fingerprint_key: config.identity.join("fingerprint.key"),
            cache: config.state.join("cache"),
            cache_settings: config.cache,
            device: config.device.clone(),
        };
        let (worker, results) = match house.dry_training.clone() {
            None => Worker::start(workplace),
            Some(training) => Worker::start_dry(workplace, training),
        };
        let (transfers, transferred) = Transfers::new(
            house.site.clone(),
            house.store.clone(),
            house.outbox.updates().clone(),
            house.config.transfers.carriage(&house.clock),
            house.config.policy.hours().map(|hours| leaving_within(hours, &house.clock)),
        );
        Self {
            participant: Participant::new(house.site.clone(), SOFTWARE.to_owned()),
            worker: Some(worker),
            results,
            transfers,
            transferred,
            pulse: Pulse::new(),
            models: ModelCache::default(),
            gate: Outgoing::default(),
            offered: None,
            offered_hash: None,
            told: None,
            held: false,
            delta: None,
            inputs: VecDeque::new(),
            base: None,
            at_hand: AtHand::default(),
            packs: false,
            reads_details: false,
            cut: false,
            once,
            away_since: None,
            ending: None,
            house,
        }
    }

    /// Takes part until the study is over for this site, or until `shutdown`.
    pub(crate) async fn live(
        mut self,
        mut shutdown: Pin<&mut impl Future<Output = ()>>,
    ) -> Result<Ending, DaemonError> {
        let mut pauses = Pauses::new(&self.house.site);
        let ending = loop {
            self.is_away();
            let reached = tokio::select! {
                reached = self.reach(&mut pauses) => reached?,
                () = &mut shutdown => break Ending::Interrupted,
            };
            let connection = match reached {
                Ok(connection) => connection,
                Err(ending) => break ending,
            };
            self.house.auditor.connected(&connection, &self.house.identity).await?;
            self.has_reached();
            let ended = tokio::select! {
                ended = self.session(&connection, &mut pauses) => ended,
                () = &mut shutdown => {
                    self.ending = Some(Ending::Interrupted);
                    Ok(Ok(()))
                }
            };
            self.house.steward.now_doing().connected = false;
            self.house.renewal.reconnected();
            // Said whatever happened: without it the coordinator finds out by its idle timeout.
            connection.close(CloseCode::DONE, self.goodbye());
            connection.drained().await;
            self.house.auditor.disconnected(&connection).await?;
            let reason = match ended? {
                Ok(()) => "done".to_owned(),
                Err(LinkError::Control(ControlError::Lost(closed))) if closed.is_revocation() => {
                    break Ending::Stopped { reason: closed.to_string() };
                }
                Err(error) => error.to_string(),
            };
            if let Some(ending) = self.ending.take() {
                break ending;
            }
            tracing::warn!(reason, paused = self.house.steward.is_paused(), "connection ended");
            self.cut = false;
            self.pulse.disconnected();
            self.participant.handle(Input::Disconnected);
            if !self.house.steward.is_paused() && self.house.rest(pauses.next(), shutdown.as_mut()).await? {
                break Ending::Interrupted;
            }
        };
        let doing = self.house.steward.now_doing();
        (doing.study, doing.order) = (None, None);
        Ok(ending)
    }

    fn goodbye(&self) -> &'static str {
        match (&self.ending, self.house.steward.is_paused()) {
            (Some(_), _) => "good-bye",
            (None, true) => "the site is paused by its own people",
            (None, false) => "the site gave the connection up",
        }
    }

    /// What happens at the site itself. Cancel safe.
    async fn news(&mut self) -> Result<News, DaemonError> {
        tokio::select! {
            done = self.results.recv(), if self.worker.is_some() => {
                Ok(News::Done(done.ok_or(DaemonError::WorkerDied)?))
            }
            Some(ended) = self.transferred.recv() => Ok(News::Transferred(ended)),
            Some(asked) = self.house.requests.recv() => Ok(News::Asked(asked)),
            () = self.house.renewal.due() => Ok(News::RenewalDue),
            () = self.pulse.due() => Ok(News::PulseDue),
            () = tokio::time::sleep(self.house.steward.next_look()) => Ok(News::Nothing),
        }
    }

    /// Takes in news; what the participant is to hear of them waits in `inputs`.
    async fn take_in(&mut self, news: News) -> Result<(), DaemonError> {
        match news {
            News::Done(done) => self.finished(done).await?,
            News::Transferred(ended) => {
                for blob in ended.arrived {
                    self.house.auditor.fetched(blob).await?;
                }
                if let Some((model, weights)) = ended.made {
                    self.at_hand.keep(model, Arc::new(weights));
                }
                self.inputs.push_back(ended.input);
            }
            News::Asked(asked) => self.house.attend(asked).await?,
            News::PulseDue => self.pulse.skip(),
            News::RenewalDue | News::Nothing => {}
        }
        self.consider().await
    }

    /// Takes in news while there is nobody to talk to: all that is left to do is to give up.
    async fn offline(&mut self, news: News) -> Result<(), DaemonError> {
        self.take_in(news).await?;
        while let Some(input) = self.inputs.pop_front() {
            for action in self.participant.handle(input) {
                if let Action::Stop { reason } = action {
                    self.ending = Some(Ending::Stopped { reason });
                }
            }
        }
        Ok(())
    }

    /// Serves one connection until it or the study ends. The outer error ends the client, the inner the connection.
    async fn session(
        &mut self,
        connection: &Connection,
        pauses: &mut Pauses,
    ) -> Result<Result<(), LinkError>, DaemonError> {
        let (mut link, mut receiver) = match Link::open(connection).await {
            Ok(halves) => halves,
            Err(error) => return Ok(Err(error.into())),
        };
        self.house.renewal.reconnected();
        self.inputs.push_back(Input::Connected);
        loop {
            self.consider().await?;
            while let Some(input) = self.inputs.pop_front() {
                for action in self.participant.handle(input) {
                    if let Err(error) = self.carry_out(action, &mut link).await? {
                        return Ok(Err(error));
                    }
                }
                self.consider().await?;
            }
            self.house.steward.now_doing().order =
                self.participant.order().map(|order| order.task.to_string());
            if self.cut || self.house.steward.is_paused() {
                return Ok(Ok(()));
            }
            if self.ending.is_some() && !self.house.steward.may_leave() {
                return Ok(Ok(()));
            }
            if self.ending.is_some() {
                let last_heads = self.last_heads(&mut link, &mut receiver);
                return tokio::time::timeout(LAST_HEADS, last_heads).await.unwrap_or(Ok(Ok(())));
            }
            let news = tokio::select! {
                message = receiver.receive::<ToSite>() => match message {
                    Ok(Some(message)) => {
                        pauses.reset();
                        if let Err(error) = self.write_down(&message, &mut link).await? {
                            return Ok(Err(error));
                        }
                        self.hear(message);
                        continue;
                    }
                    Ok(None) => return Ok(Ok(())),
                    Err(error) => return Ok(Err(error.into())),
                },
                news = self.news() => news?,
            };
            if matches!(news, News::RenewalDue)
                && let Err(error) = self.ask_for_certificate(&mut link).await?
            {
                return Ok(Err(error));
            }
            if matches!(news, News::PulseDue)
                && let Some(worker) = &self.worker
                && let Some(progress) = self.pulse.take(worker.meter(), connection.traffic())
            {
                self.inputs.push_back(Input::Progressed(progress));
            }
            self.take_in(news).await?;
        }
    }

    async fn ask_for_certificate(
        &mut self,
        link: &mut Link<'_>,
    ) -> Result<Result<(), LinkError>, DaemonError> {
        match self.house.renewal.ask(SystemTime::now()) {
            Some(question) => self.send(question, link).await,
            None => Ok(Ok(())),
        }
    }

    /// Before the site hangs up at the end of a study, both sides see each other's audit logs once more.
    async fn last_heads(
        &mut self,
        link: &mut Link<'_>,
        receiver: &mut ControlReceiver,
    ) -> Result<Result<(), LinkError>, DaemonError> {
        let mut stated = false;
        loop {
            if !stated && !self.house.auditor.awaits_head() {
                let message = match self.house.auditor.last_head().await? {
                    Ok(messages) => messages.into_iter().next(),
                    Err(error) => return Ok(Err(error.into())),
                };
                let Some(message) = message else { return Ok(Ok(())) };
                stated = true;
                if let Err(error) = self.send(message, link).await? {
                    return Ok(Err(error));
                }
            }
            // The coordinator hangs up when it has the last receipt: hanging up first would lose it.
            let Ok(Some(message)) = receiver.receive::<ToSite>().await else { return Ok(Ok(())) };
            if let Err(error) = self.write_down(&message, link).await? {
                return Ok(Err(error));
            }
        }
    }

    /// Writes down what came before anything follows from it, and answers what the audit logs are to each other.
    async fn write_down(
        &mut self,
        message: &ToSite,
        link: &mut Link<'_>,
    ) -> Result<Result<(), LinkError>, DaemonError> {
        let may_leave = self.house.steward.may_leave();
        let replies = match self.house.auditor.arrived(message, link.connection(), may_leave).await? {
            Ok(replies) => replies,
            Err(error) => return Ok(Err(error.into())),
        };
        self.settle(message).await?;
        for reply in replies {
            if let Err(error) = self.send(reply, link).await? {
                return Ok(Err(error));
            }
        }
        Ok(Ok(()))
    }

    /// Tells the worker and the participant what the hospital's word is by now, once it is written down.
    async fn consider(&mut self) -> Result<(), DaemonError> {
        self.house.steward.look_at_hours();
        self.house.write_decisions().await?;
        let steward = &self.house.steward;
        let held = !steward.may_leave();
        if let Some(worker) = &self.worker {
            worker.let_work(!held);
        }
        if std::mem::replace(&mut self.held, held) != held {
            tracing::info!(held, paused = steward.is_paused(), "work and sending stand still, or go on");
            self.inputs.push_front(if held { Input::Held } else { Input::Released });
        }
        let (Some(study), Some(hash)) = (&self.offered, self.offered_hash) else { return Ok(()) };
        let word = steward.word_on(&hash);
        if self.told.as_ref() == Some(&word) || matches!(self.told, Some(Word::Refused(_))) {
            return Ok(());
        }
        match &word {
            Word::Pending => tracing::warn!(
                %hash, name = study.name,
                "this study waits for a decision: `consilium-client studies`, then `approve` or `decline`"
            ),
            Word::Approved => {
                tracing::info!(%hash, name = study.name, "this site agrees to the study");
                let study = study.clone();
                self.recover(hash).await?;
                self.models.take_up(self.participant.base(), &self.house.store).await;
                self.gate.approve(study);
                self.inputs.push_back(Input::Approved);
            }
            Word::Refused(reason) => {
                tracing::warn!(%hash, name = study.name, reason, "this site takes no part");
                self.worker = None;
                self.inputs.push_front(Input::Declined { reason: reason.clone() });
            }
        }
        self.told = Some(word);
        Ok(())
    }

    /// Looks at a message before the participant does.
    fn hear(&mut self, message: ToSite) {
        if self.house.renewal.hear(&message) {
            return;
        }
        if let ToSite::Delta(offer) = &message {
            self.delta = Some(*offer);
            return;
        }
        if let ToSite::Work(order) = &message
            && let Err(reason) = self.gate.take(order, self.house.steward.policy())
        {
            tracing::warn!(task = %order.task, reason, "an order is refused");
            self.house.steward.held_back(self.offered.as_ref().map(Study::hash), "order");
            self.inputs.push_back(Input::Refused { order: order.clone(), reason });
            return;
        }
        if matches!(message, ToSite::Work(_)) {
            self.pulse.begin();
        }
        self.inputs.push_back(Input::Received(message));
    }

    /// The policy is broken by what the coordinator or the data are like: the site leaves.
    async fn leave(&mut self, objection: &str) -> Result<(), DaemonError> {
        if let Some(study) = &self.offered {
            self.house.steward.refuse(study.hash(), objection)?;
        }
        self.consider().await
    }

    async fn carry_out(
        &mut self,
        action: Action,
        link: &mut Link<'_>,
    ) -> Result<Result<(), LinkError>, DaemonError> {
        if let Action::Upload { order, .. } | Action::Send(ToCoordinator::Answer { order, .. }) = &action {
            self.recall(*order);
        }
        match action {
            Action::Send(message) => return self.send(message, link).await,
            Action::Judge(study) => {
                self.house.steward.offered(&study)?;
                self.house.steward.now_doing().study = Some(study.hash());
                self.pulse.set_deadline(study.federation.deadline_secs);
                self.offered_hash = Some(study.hash());
                self.offered = Some(*study);
            }
            Action::Fingerprint(study) => {
                tracing::info!(study = study.name, hash = %study.hash(), "fingerprinting the site's cases");
                self.give(Job::Fingerprint(study));
            }
            Action::Prepare { study, exclude } => {
                let duplicates = exclude.len();
                if let Err(objection) = self.gate.excluded(duplicates, self.house.steward.policy()) {
                    self.leave(&objection).await?;
                    return Ok(Ok(()));
                }
                tracing::info!(study = study.name, hash = %study.hash(), duplicates, "preparing the site's data");
                self.give(Job::Prepare { study, exclude });
            }
            Action::Fetch(blob) => {
                let offer = self.delta.take_if(|offer| offer.to == blob);
                let recipe = offer
                    .zip(self.offered.as_ref())
                    .and_then(|(offer, study)| Recipe::new(offer, study, self.at_hand.take(offer.from)));
                self.transfers.fetch(blob, recipe, link.connection());
            }
            Action::Execute(order) => {
                tracing::info!(task = %order.task, "working");
                let models = Box::new(self.models(&order).await?);
                self.give(Job::Execute { order, models, packs: self.packs });
            }
            Action::Upload { order, blob } => self.upload(order, blob, link).await?,
            Action::Note(note) => tracing::warn!("{note}"),
            Action::Finish => self.ending = Some(Ending::Finished),
            Action::Withdrawn => {
                let reason = match &self.told {
                    Some(Word::Refused(reason)) => reason.clone(),
                    _ => "this site has withdrawn from the study".to_owned(),
                };
                self.ending = Some(Ending::Stopped { reason });
            }
            Action::Stop { reason } => self.ending = Some(Ending::Stopped { reason }),
        }
        Ok(Ok(()))
    }

    fn give(&self, job: Job) {
        if let Some(worker) = &self.worker {
            worker.give(job);
        }
    }

    async fn send(
        &mut self,
        message: ToCoordinator,
        link: &mut Link<'_>,
    ) -> Result<Result<(), LinkError>, DaemonError> {
        let message = match message {
            // Asked here, for an answer can wait for a connection to a coordinator of another release.
            ToCoordinator::Answer { order, outcome } if !self.reads_details => {
                ToCoordinator::Answer { order, outcome: outcome.without_detail() }
            }
            message => message,
        };
        let House { steward, auditor, .. } = &mut *self.house;
        match self.gate.send(message, steward, auditor, link).await? {
            Ok(Passage::Gone) => {}
            Ok(Passage::NotNow) => self.cut = true,
            Ok(Passage::Never(objection)) => self.leave(&objection).await?,
            Err(error) => return Ok(Err(error)),
        }
        Ok(Ok(()))
    }

    async fn upload(&mut self, order: OrderId, blob: BlobRef, link: &Link<'_>) -> Result<(), DaemonError> {
        let House { steward, auditor, .. } = &mut *self.house;
        match self.gate.upload(order, blob, steward, auditor, &self.transfers, link).await? {
            Passage::Gone => {}
            Passage::NotNow => self.cut = true,
            Passage::Never(reason) => self.inputs.push_back(Input::UploadFailed { order, reason }),
        }
        Ok(())
    }
}
