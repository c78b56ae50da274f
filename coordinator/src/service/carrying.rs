//! Carrying studies from their submission to their end: who begins when, who conducts, who is told.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use consilium_audit::StudyStep;
use consilium_domain::{Digest, SiteId, Study};
use consilium_process::describe;
use consilium_protocol::Timestamp;
use consilium_protocol::admin::StudySummary;
use consilium_protocol::coordinator::{Coordinator, Event, Opening, Phase};
use consilium_transport::StoreError;
use tokio::task::JoinHandle;

use super::Service;
use super::overview;
use super::shelf::{Kept, ShelfError, StudyFolder, Submission};
use crate::access::is_wanted;
use crate::conductor::{Conductor, ConductorError, Desk, Stopped};
use crate::event_log::{EventLog, EventLogError};
use crate::farewells::Farewells;
use crate::notice::Notice;
use crate::session::Sessions;
use crate::state_dir::{StateDir, StateDirError};
use crate::surroundings::now;
use crate::taking_up::{self, ReportOfLogError, TakeUpError};

/// How long the sessions of a study that is over may take to end: no site can hold up the report by not reading.
const PARTING: Duration = Duration::from_secs(30);

/// A study of the consortium.
pub(super) struct Entry {
    pub(super) name: Digest,
    pub(super) folder: StudyFolder,
    pub(super) submission: Submission,
    /// The plan; `None` where this release cannot read it.
    pub(super) study: Option<Arc<Study>>,
    pub(super) life: Life,
}

/// What a study does.
pub(super) enum Life {
    /// Waits for its sites.
    Submitted,
    /// Is conducted: enrolling, running or paused.
    Running(Sessions),
    /// Is over. As it was at the end.
    Over(Box<StudySummary>),
    /// Cannot be carried on, and why.
    Failed(String),
}

/// Why a study cannot be carried on.
#[derive(Debug, thiserror::Error)]
enum CarryError {
    #[error(transparent)]
    Folder(#[from] StateDirError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Log(#[from] EventLogError),
    #[error(transparent)]
    TakeUp(#[from] TakeUpError),
    #[error(transparent)]
    Report(#[from] ReportOfLogError),
    #[error(transparent)]
    Shelf(#[from] ShelfError),
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl Entry {
    /// The sites that no later study may have yet.
    pub(super) fn needed(&self) -> BTreeSet<SiteId> {
        match &self.life {
            Life::Over(_) => BTreeSet::new(),
            Life::Running(sessions) => sessions
                .desk()
                .read(|state| state.roster().sites().filter(|site| needs(state, site)).cloned().collect()),
            Life::Submitted | Life::Failed(_) => {
                let sites = self.study.iter().flat_map(|study| &study.federation.sites);
                sites.cloned().collect()
            }
        }
    }
}

/// Whether a study still wants something of `site`.
fn needs(state: &Coordinator, site: &SiteId) -> bool {
    let Some(member) = state.roster().member(site) else { return false };
    !state.is_over()
        && member.withdrawal.is_none()
        && (member.cohort.is_some() || *state.phase() == Phase::Enrolling)
}

/// Where a site that has called belongs.
pub(super) enum Place {
    /// To this study.
    Study(Sessions),
    /// To a study that cannot be carried on at present.
    Failed,
    /// Nowhere yet.
    Nowhere,
}

impl Service {
    /// Where `site` belongs: to the oldest study that needs it.
    pub(super) async fn place_of(&self, site: &SiteId) -> Place {
        for entry in self.entries.lock().await.iter() {
            match &entry.life {
                Life::Running(sessions) if sessions.desk().read(|state| needs(state, site)) => {
                    return Place::Study(sessions.clone());
                }
                Life::Failed(_) if entry.needed().contains(site) => return Place::Failed,
                _ => {}
            }
        }
        Place::Nowhere
    }

    /// Puts a study that was found on the shelf into its place, going on with it where it had begun.
    pub(super) async fn place(self: &Arc<Self>, kept: Kept) {
        let Kept { folder, name, submission, study } = kept;
        let (study, problem) = match study {
            Ok(study) if study.hash().digest() == name => (Some(Arc::new(study)), None),
            Ok(_) => (None, Some("its study.toml is not the one that was submitted".to_owned())),
            Err(error) => (None, Some(describe(&error))),
        };
        let mut entry = Entry { name, folder, submission, study, life: Life::Submitted };
        if let Some(problem) = problem {
            let remedy = "use the release that took it in, or restore the folder from a backup";
            entry.life = Life::Failed(format!("{problem}; {remedy}"));
            self.lament(&entry);
        } else if entry.folder.path().join("events.sqlite").exists() {
            self.carry(&mut entry, false).await;
        }
        self.entries.lock().await.push(entry);
    }

    /// Begins every submitted study whose sites no earlier one needs, and lets waiting sites look again.
    pub(super) async fn advance(self: &Arc<Self>) {
        let mut entries = self.entries.lock().await;
        let mut held = BTreeSet::new();
        for entry in entries.iter_mut() {
            if matches!(entry.life, Life::Submitted) && entry.needed().is_disjoint(&held) {
                self.carry(entry, true).await;
            }
            held.extend(entry.needed());
        }
        drop(entries);
        self.turns.send_modify(|turn| *turn += 1);
    }

    /// Takes up where the study's log ends. One without a beginning is begun if `begin` says so.
    pub(super) async fn carry(self: &Arc<Self>, entry: &mut Entry, begin: bool) {
        entry.life = match self.try_to_carry(entry, begin).await {
            Ok(life) => life,
            Err(error) => Life::Failed(describe(&error)),
        };
        self.lament(entry);
    }

    fn lament(&self, entry: &Entry) {
        if let Life::Failed(reason) = &entry.life {
            tracing::error!(study = %entry.name, reason, "the study cannot be carried on");
            let text = format!("study {} cannot be carried on: {reason}", entry.name.short());
            self.teller.tell(Notice::Warning(text));
        }
    }

    async fn try_to_carry(self: &Arc<Self>, entry: &Entry, begin: bool) -> Result<Life, CarryError> {
        let Some(study) = &entry.study else { return Ok(Life::Failed("its plan cannot be read".into())) };
        let dir = StateDir::open(entry.folder.path())?;
        let store = dir.blobs()?;
        let (mut log, events) = EventLog::open(&dir.event_log()).await?;
        log.check_reaches(self.audit.event_log_of(&study.hash())).await?;
        let step = if events.is_empty() { StudyStep::Opened {} } else { StudyStep::Resumed {} };
        let state = match events.first() {
            None if !begin => return Ok(Life::Submitted),
            None => {
                let models = entry.submission.models.clone();
                taking_up::open(Opening { study: Study::clone(study), models }, &mut log, now()).await?
            }
            Some(_) => {
                let mut state = taking_up::replay(events)?;
                if state.is_over() {
                    // What a crash has kept from going at the end.
                    store.retain(|digest| is_wanted(&state, digest))?;
                    self.conclude(&entry.folder, &state, &log).await?;
                    return Ok(Life::Over(Box::new(overview::summary(entry, Some(&state)))));
                }
                taking_up::resume(&mut state, &mut log, now()).await?;
                state
            }
        };
        let teller = self.teller.of(state.hash());
        self.audit.study(state.hash(), step, log.head()).await?;
        let disk = (store.clone(), entry.folder.path().to_owned());
        let (conductor, desk) = Conductor::new(state, log, self.audit.clone(), disk, teller);
        let conducting = tokio::spawn(conductor.run());
        let sessions = Sessions::new(desk.clone(), store, self.registry.clone(), Farewells::passing());
        tokio::spawn(self.clone().overseer(entry.name, desk, conducting, dir));
        Ok(Life::Running(sessions))
    }

    /// [`Self::see_through`] with a named type: an end begins other studies, which have ends.
    fn overseer(
        self: Arc<Self>,
        name: Digest,
        desk: Desk,
        conducting: JoinHandle<Result<EventLog, ConductorError>>,
        dir: StateDir,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(self.see_through(name, desk, conducting, dir))
    }

    /// Watches over a conducted study to its end, makes room for later ones, and writes its report.
    async fn see_through(
        self: Arc<Self>,
        name: Digest,
        desk: Desk,
        mut conducting: JoinHandle<Result<EventLog, ConductorError>>,
        dir: StateDir,
    ) {
        let mut changes = desk.changes();
        let mut enrolling = true;
        while !desk.read(Coordinator::is_over) {
            if enrolling && desk.read(|state| *state.phase() != Phase::Enrolling) {
                enrolling = false;
                // The roster is pinned: who is not on it is free for other studies.
                self.advance().await;
            }
            if changes.changed().await.is_err() {
                break;
            }
        }
        let state = desk.read(Clone::clone);
        drop((desk, changes));
        if state.is_over() {
            self.set_down(name, |entry| Life::Over(Box::new(overview::summary(entry, Some(&state))))).await;
            self.advance().await;
        }
        let ended = match tokio::time::timeout(PARTING, &mut conducting).await {
            Ok(ended) => ended.map_err(ConductorError::from).and_then(|ended| ended),
            Err(_) => {
                tracing::warn!(study = %name, "cut off: sites of the finished study did not hang up");
                conducting.abort();
                return self.conclude_later(name).await;
            }
        };
        match ended {
            Ok(log) if state.is_over() => self.conclude_as(name, &state, &log).await,
            Ok(_) => {}
            Err(error) => {
                let reason = describe(&error);
                // Whoever hears of the failure may try again at once.
                drop(dir);
                self.set_down(name, |_| Life::Failed(reason)).await;
                self.advance().await;
            }
        }
    }

    async fn set_down(&self, name: Digest, life: impl FnOnce(&Entry) -> Life) {
        let mut entries = self.entries.lock().await;
        if let Some(entry) = entries.iter_mut().find(|entry| entry.name == name) {
            entry.life = life(entry);
            self.lament(entry);
        }
    }

    async fn folder_of(&self, name: Digest) -> Option<StudyFolder> {
        let entries = self.entries.lock().await;
        entries.iter().find(|entry| entry.name == name).map(|entry| entry.folder.clone())
    }

    async fn conclude_as(&self, name: Digest, state: &Coordinator, log: &EventLog) {
        let Some(folder) = self.folder_of(name).await else { return };
        if let Err(error) = self.conclude(&folder, state, log).await {
            tracing::error!(study = %name, %error, "the report is not written; a restart tries again");
        }
    }

    /// As [`Self::conclude_as`], from the log alone.
    async fn conclude_later(&self, name: Digest) {
        let Some(folder) = self.folder_of(name).await else { return };
        match reread(&folder).await {
            Ok((state, log)) => self.conclude_as(name, &state, &log).await,
            Err(error) => tracing::error!(study = %name, %error, "the report is not written"),
        }
    }

    /// Writes the report of a study that is over, unless it is there.
    async fn conclude(
        &self,
        folder: &StudyFolder,
        state: &Coordinator,
        log: &EventLog,
    ) -> Result<(), CarryError> {
        if folder.report().exists() {
            return Ok(());
        }
        let report = taking_up::report(state, log, now()).await?;
        let text = serde_json::to_string_pretty(&report).expect("a report has only text keys");
        // The page first: where there is a report, there is its page.
        folder.write_page(&report.to_html())?;
        folder.write_report(&text)?;
        self.teller.of(state.hash()).tell(Notice::Report(folder.report()));
        Ok(())
    }
}

/// A study's state from its log, for looking at.
pub(super) async fn reread(folder: &StudyFolder) -> Result<(Coordinator, EventLog), TakeUpError> {
    let (log, events): (EventLog, Vec<(Timestamp, Event)>) =
        EventLog::open(&folder.path().join("events.sqlite")).await?;
    Ok((taking_up::replay(events)?, log))
}
