//! The one place through which messages leave for whoever called. What leaves is in the audit log before its first byte does.

use consilium_audit::Content;
use consilium_protocol::ToSite;
use consilium_protocol::admin::AdminReply;
use consilium_transport::{Connection, ControlError, ControlReceiver, ControlSender, frame};
use serde::Serialize;

use crate::auditing::SessionAudit;
use crate::conductor::Stopped;

/// The way out, over one connection.
pub(crate) struct Outgoing {
    sender: ControlSender,
    audit: SessionAudit,
}

/// Why a message did not leave.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    /// The control stream.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The audit log.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl Outgoing {
    /// Accepts the control stream of `connection`. What leaves on it is written down by `audit`.
    pub(crate) async fn accept(
        connection: &Connection,
        audit: SessionAudit,
    ) -> Result<(Self, ControlReceiver), ControlError> {
        let (sender, receiver) = connection.accept_control().await?;
        Ok((Self { sender, audit }, receiver))
    }

    /// The log of this connection.
    pub(crate) const fn audit(&self) -> &SessionAudit {
        &self.audit
    }

    /// Says `message` to a site.
    pub(crate) async fn send(&mut self, message: &ToSite) -> Result<(), SendError> {
        self.say(message, Content::of_coordinator(message)).await
    }

    /// Says `reply` to an admin or an observer.
    pub(crate) async fn reply(&mut self, reply: &AdminReply) -> Result<(), SendError> {
        self.say(reply, Some(Content::of_reply(reply))).await
    }

    async fn say(&mut self, message: &impl Serialize, content: Option<Content>) -> Result<(), SendError> {
        if let Some(content) = content {
            let bytes = frame::encode(message).map_err(ControlError::from)?;
            self.audit.leaving(content, &bytes).await?;
        }
        Ok(self.sender.send(message).await?)
    }
}
