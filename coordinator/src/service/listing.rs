//! What changes nothing: the list of studies, one of them in detail, its report.

use std::sync::Arc;

use consilium_domain::{Digest, Study};
use consilium_process::describe;
use consilium_protocol::admin::{
    AdminRefusal, MIN_STUDY_DIGITS, StudyList, StudyState, StudySummary, StudyView,
};
use consilium_protocol::coordinator::Coordinator;

use super::Service;
use super::carrying::{Entry, Life, reread};
use super::overview;
use super::shelf::StudyFolder;
use crate::report::Report;
use crate::session::Sessions;
use crate::surroundings::now;
use crate::taking_up;

/// What is needed to look at a study, without holding up the others.
struct Looked {
    summary: StudySummary,
    folder: StudyFolder,
    plan: Option<Arc<Study>>,
    running: Option<Sessions>,
}

impl Service {
    pub(crate) async fn list(&self) -> StudyList {
        let entries = self.entries.lock().await;
        let studies = (0..entries.len()).map(|index| summary(&entries, index)).collect();
        let at_the_door = self.refusals.snapshot().into_iter().map(|(cause, count)| (cause.word(), count));
        // Of the registry: who was not let join, and whose certificate was not renewed.
        let counts = at_the_door.chain(self.registry.refusals());
        StudyList { studies, refused: counts.map(|(cause, count)| (cause.to_owned(), count)).collect() }
    }

    pub(crate) async fn show(&self, study: &str) -> Result<StudyView, AdminRefusal> {
        let Looked { summary, folder, plan, running } = self.look(study).await?;
        let Some(plan) = plan else {
            return Err(AdminRefusal::State(summary.reason.unwrap_or_default()));
        };
        if let Some(sessions) = running {
            return Ok(sessions.desk().read(|state| overview::view(summary, &plan, Some(state))));
        }
        if summary.state == StudyState::Submitted {
            return Ok(overview::view(summary, &plan, None));
        }
        let state = match reread(&folder).await {
            Ok((state, _)) => Some(state),
            // The reason why it failed is in the summary; the plan can be shown all the same.
            Err(_) if summary.state == StudyState::Failed => None,
            Err(error) => return Err(AdminRefusal::Failed(describe(&error))),
        };
        Ok(overview::view(summary, &plan, state.as_ref()))
    }

    /// The report as JSON.
    pub(super) async fn report(&self, study: &str) -> Result<String, AdminRefusal> {
        let Looked { summary, folder, running, .. } = self.look(study).await?;
        if let Some(sessions) = running {
            let state = sessions.desk().read(Clone::clone);
            let accounts = sessions.desk().accounts().await;
            let accounts = accounts.map_err(|error| AdminRefusal::Failed(error.to_string()))?;
            return in_the_background(move || {
                let mut report = Report::of(&state, now()).map_err(|error| describe(&error))?;
                report.set_traffic(&accounts);
                Ok(report)
            })
            .await;
        }
        if summary.state == StudyState::Submitted {
            return Err(AdminRefusal::State("the study has not begun: there is nothing to report".into()));
        }
        let written = folder.report();
        if summary.state.is_over() && written.exists() {
            let text = tokio::fs::read_to_string(&written).await;
            return text.map_err(|error| AdminRefusal::Failed(format!("{}: {error}", written.display())));
        }
        let (state, log) = reread(&folder).await.map_err(|error| AdminRefusal::Failed(describe(&error)))?;
        let report = taking_up::report(&state, &log, now()).await;
        let report = report.map_err(|error| AdminRefusal::Failed(describe(&error)))?;
        in_the_background(move || Ok(report)).await
    }

    async fn look(&self, study: &str) -> Result<Looked, AdminRefusal> {
        let entries = self.entries.lock().await;
        let index = find(&entries, study)?;
        let entry = &entries[index];
        let running = match &entry.life {
            Life::Running(sessions) => Some(sessions.clone()),
            Life::Submitted | Life::Over(_) | Life::Failed(_) => None,
        };
        let (folder, plan) = (entry.folder.clone(), entry.study.clone());
        Ok(Looked { summary: summary(&entries, index), folder, plan, running })
    }
}

/// The line of the study at `index`; one that waits says for which.
fn summary(entries: &[Entry], index: usize) -> StudySummary {
    let mut summary = overview::summary(&entries[index], None);
    if let (StudyState::Submitted, Some(study)) = (summary.state, &entries[index].study) {
        summary.reason = overview::waits_for(study, &entries[..index]);
    }
    summary
}

/// A study as its state says, for the answer to whoever changed it.
pub(super) fn summary_now(entry: &Entry, state: &Coordinator) -> StudySummary {
    overview::summary(entry, Some(state))
}

/// The place of the one study whose hash begins with `study`.
pub(super) fn find(entries: &[Entry], study: &str) -> Result<usize, AdminRefusal> {
    one_of(entries.iter().map(|entry| entry.name), study)
}

fn one_of(names: impl Iterator<Item = Digest>, study: &str) -> Result<usize, AdminRefusal> {
    let named = || study.chars().take(64).collect();
    if study.len() < MIN_STUDY_DIGITS {
        return Err(AdminRefusal::AmbiguousStudy(named()));
    }
    let study = study.to_ascii_lowercase();
    let mut found = names.enumerate().filter(|(_, name)| name.to_string().starts_with(&study));
    match (found.next(), found.next()) {
        (Some((index, _)), None) => Ok(index),
        (None, _) => Err(AdminRefusal::UnknownStudy(named())),
        (Some(_), Some(_)) => Err(AdminRefusal::AmbiguousStudy(named())),
    }
}

/// Makes a report and its text on a thread that nobody else waits for.
async fn in_the_background(
    make: impl FnOnce() -> Result<Report, String> + Send + 'static,
) -> Result<String, AdminRefusal> {
    let made = tokio::task::spawn_blocking(move || {
        let report = make()?;
        serde_json::to_string_pretty(&report).map_err(|error| error.to_string())
    });
    made.await.map_err(|error| error.to_string()).and_then(|made| made).map_err(AdminRefusal::Failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_study_is_named_by_enough_digits_of_its_hash() {
        let mut twin = *Digest::of(b"a").as_bytes();
        twin[31] ^= 1;
        let names = [Digest::of(b"a"), Digest::of(b"b"), Digest::from_bytes(twin)];
        let named = |study: &str| one_of(names.into_iter(), study);
        assert_eq!(named(&names[1].short()), Ok(1));
        assert_eq!(named(&names[1].to_string().to_uppercase()), Ok(1));
        assert_eq!(named(&names[2].to_string()), Ok(2));
        assert!(matches!(named(&names[0].short()), Err(AdminRefusal::AmbiguousStudy(_))));
        assert!(matches!(named(&names[1].to_string()[..7]), Err(AdminRefusal::AmbiguousStudy(_))));
        assert!(matches!(named("00000000"), Err(AdminRefusal::UnknownStudy(_))));
        let long = "z".repeat(10_000);
        assert!(matches!(named(&long), Err(AdminRefusal::UnknownStudy(text)) if text.len() == 64));
    }
}
