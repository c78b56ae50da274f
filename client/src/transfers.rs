//! Blobs on the way: every transfer runs beside the session and tells it what came of it.

use consilium_domain::{BlobRef, OrderId};
use consilium_protocol::participant::Input;
use consilium_transport::{BlobStore, Connection, StoreError, TransferError, Transferred};
use tokio::sync::mpsc;
use tracing::Instrument;

/// What came of a transfer.
pub(crate) struct Ended {
    /// What the participant is told.
    pub(crate) input: Input,
    /// What really came over the network: not what was there already.
    pub(crate) arrived: Option<BlobRef>,
}

/// Starts transfers between the site's stores and the coordinator.
pub(crate) struct Transfers {
    /// Where models come to.
    models: BlobStore,
    /// Where sealed updates wait.
    updates: BlobStore,
    ended: mpsc::UnboundedSender<Ended>,
}

impl Transfers {
    /// Transfers into `models` and from `updates`; what came of them arrives at the receiver.
    pub(crate) fn new(models: BlobStore, updates: BlobStore) -> (Self, mpsc::UnboundedReceiver<Ended>) {
        let (ended, inputs) = mpsc::unbounded_channel();
        (Self { models, updates, ended }, inputs)
    }

    /// Brings `blob` here.
    pub(crate) fn fetch(&self, blob: BlobRef, connection: &Connection) {
        let (connection, store, ended) = (connection.clone(), self.models.clone(), self.ended.clone());
        let span = tracing::debug_span!("fetch", digest = blob.digest.short(), bytes = blob.bytes);
        let fetch = async move {
            let (input, arrived) = match connection.fetch(blob, &store).await {
                Ok(how) => (Input::Fetched(blob), (how == Transferred::Moved).then_some(blob)),
                // A lost connection is not the blob's fault: it is asked for again on the next one.
                Err(_) if connection.close_reason().is_some() => return,
                Err(error) => (Input::FetchFailed { blob, reason: told(&error) }, None),
            };
            let _ = ended.send(Ended { input, arrived });
        };
        tokio::spawn(fetch.instrument(span));
    }

    /// Sends the blob of an answer.
    pub(crate) fn upload(&self, order: OrderId, blob: BlobRef, connection: &Connection) {
        let (connection, store, ended) = (connection.clone(), self.updates.clone(), self.ended.clone());
        let span = tracing::debug_span!("upload", digest = blob.digest.short(), bytes = blob.bytes);
        let upload = async move {
            let input = match connection.upload(blob, &store).await {
                Ok(how) => {
                    let moved = if how == Transferred::Moved { blob.bytes } else { 0 };
                    tracing::info!(%order, bytes = blob.bytes, moved, "the update is with the coordinator");
                    Input::Uploaded(order)
                }
                Err(_) if connection.close_reason().is_some() => return,
                Err(error) => Input::UploadFailed { order, reason: told(&error) },
            };
            let _ = ended.send(Ended { input, arrived: None });
        };
        tokio::spawn(upload.instrument(span));
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
