//! Blobs on the way: every transfer runs beside the session and tells it what came of it.

use consilium_domain::{BlobRef, OrderId};
use consilium_protocol::participant::Input;
use consilium_transport::{BlobStore, Connection, StoreError, TransferError};
use tokio::sync::mpsc;

/// Starts transfers between the site's store and the coordinator.
pub(crate) struct Transfers {
    store: BlobStore,
    ended: mpsc::UnboundedSender<Input>,
}

impl Transfers {
    /// Transfers from and into `store`; what came of them arrives at the receiver.
    pub(crate) fn new(store: BlobStore) -> (Self, mpsc::UnboundedReceiver<Input>) {
        let (ended, inputs) = mpsc::unbounded_channel();
        (Self { store, ended }, inputs)
    }

    /// Brings `blob` here.
    pub(crate) fn fetch(&self, blob: BlobRef, connection: &Connection) {
        let (connection, store, ended) = (connection.clone(), self.store.clone(), self.ended.clone());
        tokio::spawn(async move {
            let input = match connection.fetch(blob, &store).await {
                Ok(_) => Input::Fetched(blob),
                // A lost connection is not the blob's fault: it is asked for again on the next one.
                Err(_) if connection.close_reason().is_some() => return,
                Err(error) => Input::FetchFailed { blob, reason: told(&error) },
            };
            let _ = ended.send(input);
        });
    }

    /// Sends the blob of an answer.
    pub(crate) fn upload(&self, order: OrderId, blob: BlobRef, connection: &Connection) {
        let (connection, store, ended) = (connection.clone(), self.store.clone(), self.ended.clone());
        tokio::spawn(async move {
            let input = match connection.upload(blob, &store).await {
                Ok(_) => Input::Uploaded(order),
                Err(_) if connection.close_reason().is_some() => return,
                Err(error) => Input::UploadFailed { order, reason: told(&error) },
            };
            let _ = ended.send(input);
        });
    }
}

/// What the coordinator may hear of a failed transfer: an error of our disk names folders of the hospital, so that
/// one stays in our log.
fn told(error: &TransferError) -> String {
    tracing::error!(%error, "a transfer failed");
    match error {
        TransferError::Store(StoreError::Io { .. }) => {
            "the site's disk refuses it; see the site's log".to_owned()
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use consilium_domain::Digest;

    use super::*;

    #[test]
    fn no_folder_of_the_hospital_is_told() {
        let source = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let path = "/hospital/ward-7/state".into();
        let disk = TransferError::Store(StoreError::Io { action: "write", path, source });
        assert!(disk.to_string().contains("ward-7"));
        assert!(!told(&disk).contains('/'), "{}", told(&disk));
        let absent = TransferError::Store(StoreError::Absent(Digest::of(b"x")));
        assert_eq!(told(&absent), absent.to_string());
    }
}
