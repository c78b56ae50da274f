//! One connection of an admin or an observer: greet, hear a request, answer it, hear the next.
//!
//! Requests come one after another, each within [`SILENCE`], and an answer that is not read ends the connection: what
//! people do can hold up nobody's study.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use consilium_audit::admin_command;
use consilium_domain::StudyHash;
use consilium_protocol::Rejection;
use consilium_protocol::admin::{
    AdminRefusal, AdminReply, AdminRequest, MAX_DOCUMENT_BYTES, MAX_STUDY_BYTES, OLDEST_ADMIN_VERSION, pages,
};
use consilium_transport::{CloseCode, Connection, ControlError, ControlReceiver, RefusalCause};

use super::Service;
use super::caller::Caller;
use super::listing::find;
use crate::auditing::{Command, SessionAudit};
use crate::conductor::Stopped;
use crate::config::parse_study;
use crate::greeting::{FAREWELL_TIMEOUT, Greeting, GreetingError, greet};
use crate::notice::Notice;
use crate::outgoing::{Outgoing, SendError};
use crate::pace::TooOften;
use crate::registry::serial_of;

/// What this program calls itself.
const SOFTWARE: &str = concat!("consilium-coordinator ", env!("CARGO_PKG_VERSION"));
/// How long a person's program may be silent between requests: it asks and leaves.
const SILENCE: Duration = Duration::from_secs(60);
/// How long a page may take to leave: long on the slowest line, short for somebody who does not read.
const PAGE_PATIENCE: Duration = Duration::from_secs(30);
/// Counted where one more admin finds no room.
const TOO_MANY_ADMINS: RefusalCause = RefusalCause::new("too-many-admins");

#[derive(Debug, thiserror::Error)]
enum AdminSessionError {
    #[error(transparent)]
    Greeting(#[from] GreetingError),
    #[error(transparent)]
    Control(#[from] ControlError),
    #[error(transparent)]
    Stopped(#[from] Stopped),
    #[error(transparent)]
    TooOften(#[from] TooOften),
    #[error("no request within {} s", SILENCE.as_secs())]
    Silent,
    #[error("the answer was not read within {} s a page", PAGE_PATIENCE.as_secs())]
    NotRead,
    #[error("{0}")]
    Refused(AdminRefusal),
}

impl From<SendError> for AdminSessionError {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Control(error) => error.into(),
            SendError::Stopped(stopped) => stopped.into(),
        }
    }
}

impl Service {
    /// Serves one connection of a person to its end.
    pub(super) async fn attend(
        self: Arc<Self>,
        audit: &SessionAudit,
        connection: Connection,
        caller: Caller,
    ) {
        let Ok(_place) = self.admins.try_acquire() else {
            self.refusals.count(TOO_MANY_ADMINS);
            return connection.close(CloseCode::DONE, "too many admins are connected: try again in a minute");
        };
        let ended = self.converse(&connection, audit, &caller).await;
        let reason = ended.map_or_else(|error| error.to_string(), |()| "good-bye".to_owned());
        tracing::info!(admin = %caller.name, reason, "an admin's session ended");
        connection.close(CloseCode::DONE, &reason);
    }

    async fn converse(
        self: &Arc<Self>,
        connection: &Connection,
        audit: &SessionAudit,
        caller: &Caller,
    ) -> Result<(), AdminSessionError> {
        let (mut outgoing, mut receiver) = self.welcome(connection, audit, caller).await?;
        loop {
            let request = receiver.receive::<AdminRequest>();
            let request = tokio::time::timeout(SILENCE, request).await;
            let Some(request) = request.map_err(|_| AdminSessionError::Silent)?? else { return Ok(()) };
            // Who may change things must be able to, however often its scripts have looked.
            if !(request.changes() && caller.may_change) {
                self.pace.wait(connection, &self.refusals).await?;
            }
            for reply in self.answer(audit, caller, request).await? {
                say(&mut outgoing, &reply).await?;
            }
        }
    }

    async fn welcome(
        &self,
        connection: &Connection,
        audit: &SessionAudit,
        caller: &Caller,
    ) -> Result<(Outgoing, ControlReceiver), AdminSessionError> {
        let Greeting { mut outgoing, receiver, agreed, .. } = greet(connection, audit).await?;
        let refusal = match agreed {
            Ok(agreed) if agreed.version >= OLDEST_ADMIN_VERSION => {
                let welcome = AdminReply::Welcome {
                    version: agreed.version,
                    features: agreed.features,
                    name: caller.name.clone(),
                    may_change: caller.may_change,
                    software: SOFTWARE.to_owned(),
                };
                say(&mut outgoing, &welcome).await?;
                return Ok((outgoing, receiver));
            }
            Ok(_) => AdminRefusal::Version { ours: consilium_protocol::PROTOCOL_VERSION },
            Err(Rejection::Version { ours }) => AdminRefusal::Version { ours },
            Err(rejection) => AdminRefusal::OutOfTurn(rejection.to_string()),
        };
        self.refusals.count(RefusalCause::new(refusal.code()));
        say(&mut outgoing, &AdminReply::Refused(refusal.clone())).await?;
        let _ = tokio::time::timeout(FAREWELL_TIMEOUT, connection.closed()).await;
        Err(AdminSessionError::Refused(refusal))
    }

    /// Carries `request` out and tells of it: what admins do is written where the coordinator's operator looks.
    async fn answer(
        self: &Arc<Self>,
        audit: &SessionAudit,
        caller: &Caller,
        request: AdminRequest,
    ) -> Result<Vec<AdminReply>, Stopped> {
        audit.asked(&request).await?;
        let written = self.command(&request).await;
        let (command, about) = (request.name(), about(&request));
        let changes = request.changes();
        let answer = self.carry_out(caller, request).await.and_then(not_too_long);
        let outcome = match &answer {
            Ok(_) => "done",
            Err(refusal) => {
                self.refusals.count(RefusalCause::new(refusal.code()));
                tracing::warn!(admin = %caller.name, command, %refusal, "refused");
                refusal.code()
            }
        };
        audit.commanded(written, outcome).await?;
        if changes || answer.is_err() {
            let (by, command, outcome) = (caller.name.clone(), command.to_owned(), outcome.to_owned());
            self.teller.tell(Notice::Command { by, command, about, outcome });
        } else {
            tracing::info!(admin = %caller.name, command, "answered");
        }
        Ok(match answer {
            Ok(document) => pages(&document),
            Err(refusal) => vec![AdminReply::Refused(refusal)],
        })
    }

    /// What the audit log tells of `request`: the study by its whole hash, where there is one.
    async fn command(&self, request: &AdminRequest) -> Command {
        let study = match request {
            AdminRequest::SubmitStudy { text, .. } => submitted(text),
            AdminRequest::ShowStudy { study }
            | AdminRequest::PauseStudy { study }
            | AdminRequest::ResumeStudy { study }
            | AdminRequest::AbortStudy { study, .. }
            | AdminRequest::Report { study } => {
                let entries = self.entries.lock().await;
                let entry = find(&entries, study).ok().map(|index| &entries[index]);
                entry.and_then(|entry| entry.study.as_ref()).map(|study| study.hash())
            }
            AdminRequest::ListStudies
            | AdminRequest::AddSite { .. }
            | AdminRequest::ListSites
            | AdminRequest::RevokeSite { .. }
            | AdminRequest::RevokeCertificate { .. } => None,
        };
        let subject = match request {
            AdminRequest::AddSite { site, .. } | AdminRequest::RevokeSite { site, .. } => Some(site.clone()),
            _ => None,
        };
        Command { name: admin_command(request), study, subject }
    }
}

async fn say(outgoing: &mut Outgoing, reply: &AdminReply) -> Result<(), AdminSessionError> {
    let sent = tokio::time::timeout(PAGE_PATIENCE, outgoing.reply(reply)).await;
    Ok(sent.map_err(|_| AdminSessionError::NotRead)??)
}

fn submitted(text: &str) -> Option<StudyHash> {
    let bounded = Some(text).filter(|text| text.len() <= MAX_STUDY_BYTES)?;
    parse_study(bounded, Path::new("study.toml")).ok().map(|study| study.hash())
}

fn not_too_long(document: String) -> Result<String, AdminRefusal> {
    if document.len() <= MAX_DOCUMENT_BYTES {
        return Ok(document);
    }
    let what = "the answer (a report lies in the study's folder at the coordinator)".to_owned();
    let (bytes, limit) = (document.len() as u64, MAX_DOCUMENT_BYTES as u64);
    Err(AdminRefusal::TooLong { what, bytes, limit })
}

/// The study or site a request is about, short enough for a line.
fn about(request: &AdminRequest) -> Option<String> {
    match request {
        AdminRequest::ShowStudy { study }
        | AdminRequest::PauseStudy { study }
        | AdminRequest::ResumeStudy { study }
        | AdminRequest::AbortStudy { study, .. }
        | AdminRequest::Report { study } => {
            Some(study.chars().take(16).filter(char::is_ascii_alphanumeric).collect())
        }
        AdminRequest::AddSite { site, .. } | AdminRequest::RevokeSite { site, .. } => Some(site.to_string()),
        AdminRequest::RevokeCertificate { serial, .. } => serial_of(serial),
        AdminRequest::SubmitStudy { .. } | AdminRequest::ListStudies | AdminRequest::ListSites => None,
    }
}
