//! The one place through which everything leaves the hospital: messages on the control stream, and updates.
//!
//! What leaves is in the audit log before its first byte does; a log that cannot be written lets nothing out. Nothing
//! else in this crate holds the sending half of a connection (`tests/architecture` looks), so that a rule about what may
//! leave has to stand here only.

use consilium_audit::WitnessError;
use consilium_domain::{BlobRef, OrderId};
use consilium_protocol::ToCoordinator;
use consilium_transport::{Connection, ControlError, ControlReceiver, ControlSender, FrameError};

use crate::auditing::{AuditError, Auditor};
use crate::transfers::Transfers;

/// The way out, over one connection.
pub(crate) struct Outgoing<'a> {
    connection: &'a Connection,
    sender: ControlSender,
}

/// Why a connection is given up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    /// The control stream.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The other side's signature over our audit log, or over its own.
    #[error(transparent)]
    Witness(#[from] WitnessError),
}

impl From<FrameError> for LinkError {
    fn from(error: FrameError) -> Self {
        Self::Control(error.into())
    }
}

impl<'a> Outgoing<'a> {
    /// Opens the control stream of `connection`.
    pub(crate) async fn open(connection: &'a Connection) -> Result<(Self, ControlReceiver), ControlError> {
        let (sender, receiver) = connection.open_control().await?;
        Ok((Self { connection, sender }, receiver))
    }

    /// Where it goes.
    pub(crate) const fn connection(&self) -> &Connection {
        self.connection
    }

    /// Says `message`. The outer error ends the client, the inner the connection.
    pub(crate) async fn send(
        &mut self,
        message: &ToCoordinator,
        auditor: &Auditor,
    ) -> Result<Result<(), LinkError>, AuditError> {
        if let Err(error) = auditor.leaving(message, self.connection).await? {
            return Ok(Err(error.into()));
        }
        Ok(self.sender.send(message).await.map_err(LinkError::from))
    }

    /// Sends the update of `order`.
    pub(crate) async fn upload(
        &self,
        order: OrderId,
        blob: BlobRef,
        transfers: &Transfers,
        auditor: &Auditor,
    ) -> Result<(), AuditError> {
        auditor.uploading(order, blob, self.connection).await?;
        transfers.upload(order, blob, self.connection);
        Ok(())
    }
}
