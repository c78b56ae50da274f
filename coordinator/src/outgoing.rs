//! The one place through which messages leave for a site. What leaves is in the audit log before its first byte does.

use consilium_protocol::ToSite;
use consilium_transport::{Connection, ControlError, ControlReceiver, ControlSender, frame};

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

    /// Says `message`.
    pub(crate) async fn send(&mut self, message: &ToSite) -> Result<(), SendError> {
        let bytes = frame::encode(message).map_err(ControlError::from)?;
        self.audit.leaving(message, &bytes).await?;
        Ok(self.sender.send(message).await?)
    }
}
