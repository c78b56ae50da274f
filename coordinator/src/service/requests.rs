//! Carrying out what an admin asks. Whether the caller may ask it was decided before.

use std::sync::Arc;

use consilium_domain::SiteId;
use consilium_protocol::admin::{AdminRefusal, AdminRequest, StudyDone, StudySummary};
use consilium_protocol::coordinator::Event;
use consilium_protocol::{Rejection, bounded_reason};
use serde::Serialize;

use super::caller::Caller;
use super::carrying::{Entry, Life};
use super::listing::{find, summary_now};
use super::submitting::check_lengths;
use super::{Service, overview};
use crate::session::Sessions;

impl Service {
    /// The document that answers `request`.
    pub(super) async fn carry_out(
        self: &Arc<Self>,
        caller: &Caller,
        request: AdminRequest,
    ) -> Result<String, AdminRefusal> {
        caller.admit(&request)?;
        let by = &caller.name;
        match request {
            AdminRequest::SubmitStudy { text, weights } => {
                check_lengths(&text, weights.as_deref())?;
                done(self.submit(by, text, weights).await?)
            }
            AdminRequest::ListStudies => document(&self.list().await),
            AdminRequest::ShowStudy { study } => document(&self.show(&study).await?),
            AdminRequest::PauseStudy { study } => done(self.pause(&study, by).await?),
            AdminRequest::ResumeStudy { study } => done(self.let_continue(&study, by).await?),
            AdminRequest::AbortStudy { study, reason } => done(self.abort(&study, by, &reason).await?),
            AdminRequest::Report { study } => self.report(&study).await,
            AdminRequest::AddSite { site, addresses } => document(&self.add_site(site, addresses, by).await?),
            AdminRequest::ListSites => document(&self.registered().await?),
            AdminRequest::RevokeCertificate { serial, reason } => {
                document(&self.revoke_certificate(&serial, &bounded_reason(&reason), by).await?)
            }
            AdminRequest::RevokeSite { site, reason } => {
                document(&self.revoke_site(&site, &bounded_reason(&reason), by).await?)
            }
        }
    }

    async fn pause(self: &Arc<Self>, study: &str, by: &SiteId) -> Result<StudySummary, AdminRefusal> {
        let mut entries = self.entries.lock().await;
        let index = find(&entries, study)?;
        match &entries[index].life {
            Life::Running(_) => self.happen(&mut entries[index], Event::Paused { by: by.to_string() }).await,
            Life::Submitted => {
                state("the study has not begun: there is nothing to pause; abort it to withdraw it")
            }
            Life::Over(last) => state(&format!("the study is {} already", last.state)),
            Life::Failed(_) => state("the study stands still already: it cannot be carried on"),
        }
    }

    async fn let_continue(self: &Arc<Self>, study: &str, by: &SiteId) -> Result<StudySummary, AdminRefusal> {
        let mut entries = self.entries.lock().await;
        let index = find(&entries, study)?;
        match &entries[index].life {
            Life::Running(_) => {
                self.happen(&mut entries[index], Event::Continued { by: by.to_string() }).await
            }
            Life::Submitted => state("the study has not begun: it begins when its sites are free"),
            Life::Over(last) => state(&format!("the study is {} already", last.state)),
            Life::Failed(_) => {
                self.carry(&mut entries[index], true).await;
                if let Life::Failed(reason) = &entries[index].life {
                    return Err(AdminRefusal::Failed(reason.clone()));
                }
                let summary = overview::summary(&entries[index], None);
                drop(entries);
                self.advance().await;
                Ok(summary)
            }
        }
    }

    async fn abort(
        self: &Arc<Self>,
        study: &str,
        by: &SiteId,
        reason: &str,
    ) -> Result<StudySummary, AdminRefusal> {
        let mut entries = self.entries.lock().await;
        let index = find(&entries, study)?;
        let entry = &mut entries[index];
        match &entry.life {
            Life::Over(last) => return state(&format!("the study is {} already", last.state)),
            Life::Running(_) => {}
            // Its end is an event like others, so its log must begin first.
            Life::Submitted | Life::Failed(_) => self.carry(entry, true).await,
        }
        if let Life::Failed(reason) = &entry.life {
            return Err(AdminRefusal::Failed(reason.clone()));
        }
        let reason = bounded_reason(&format!("aborted by {by}: {reason}"));
        self.happen(entry, Event::Aborted { reason }).await
    }

    /// Makes `event` happen to a study that is conducted; the study as it stands then.
    async fn happen(&self, entry: &mut Entry, event: Event) -> Result<StudySummary, AdminRefusal> {
        let Some(sessions) = conducted(entry) else { return state("the study is over already") };
        match sessions.desk().submit(event).await {
            Ok(Ok(())) => Ok(sessions.desk().read(|now| summary_now(entry, now))),
            Ok(Err(Rejection::OutOfTurn(reason))) => state(&reason),
            Ok(Err(rejection)) => state(&rejection.to_string()),
            Err(stopped) => Err(AdminRefusal::Failed(stopped.to_string())),
        }
    }
}

fn conducted(entry: &Entry) -> Option<Sessions> {
    match &entry.life {
        Life::Running(sessions) => Some(sessions.clone()),
        Life::Submitted | Life::Over(_) | Life::Failed(_) => None,
    }
}

fn state<T>(reason: &str) -> Result<T, AdminRefusal> {
    Err(AdminRefusal::State(reason.to_owned()))
}

fn done(study: StudySummary) -> Result<String, AdminRefusal> {
    document(&StudyDone { study })
}

fn document(answer: &impl Serialize) -> Result<String, AdminRefusal> {
    serde_json::to_string_pretty(answer).map_err(|error| AdminRefusal::Failed(error.to_string()))
}
