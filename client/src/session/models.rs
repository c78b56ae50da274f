//! The models that orders need: at hand where they were just made or read, else from the disk.

use std::sync::Arc;

use consilium_domain::network::TensorSpec;
use consilium_domain::{BlobRef, WorkOrder};
use consilium_transport::{BlobStore, StoreError, aside};
use consilium_weights::{ReadWeightsError, Weights};

use super::Client;
use crate::worker::{Loaded, Models};

impl Client<'_> {
    /// What `order` needs.
    pub(super) async fn models(&mut self, order: &WorkOrder) -> Result<Models, StoreError> {
        let base = self.base().await?;
        let model = match (order.task.model(), &self.offered, order.task.lane()) {
            (Some(blob), Some(study), Some(lane)) => {
                let manifest = study.trainable_tensors(lane.arm).into();
                self.models.used(blob, &self.house.store).await;
                let loaded = match self.at_hand.find(blob) {
                    Some(weights) => Ok(weights),
                    None => self.read(blob, manifest).await?,
                };
                if let Ok(weights) = &loaded {
                    self.at_hand.keep(blob, weights.clone());
                }
                Some(loaded)
            }
            _ => None,
        };
        Ok(Models { model, base })
    }

    /// The backbone, read once.
    async fn base(&mut self) -> Result<Option<Loaded>, StoreError> {
        let (Some(blob), Some(study)) = (self.participant.base(), &self.offered) else { return Ok(None) };
        if self.base.as_ref().is_none_or(|(read, _)| *read != blob) {
            let manifest = study.network.backbone_tensors().into();
            self.base = Some((blob, self.read(blob, manifest).await?));
        }
        Ok(self.base.as_ref().map(|(_, weights)| weights.clone()))
    }

    /// Weights that were fetched. A damaged file is deleted, so that it is fetched again after the error.
    async fn read(&self, blob: BlobRef, manifest: Arc<[TensorSpec]>) -> Result<Loaded, StoreError> {
        let store = self.house.store.clone();
        let reading = aside(move || read(&store, &blob, manifest)).await;
        let read = reading.map_err(|_| StoreError::Ending)?;
        if let Err(StoreError::Mismatch { .. } | StoreError::Length { .. }) = &read {
            self.house.store.remove(&blob.digest).await?;
        }
        read
    }
}

fn read(store: &BlobStore, blob: &BlobRef, manifest: Arc<[TensorSpec]>) -> Result<Loaded, StoreError> {
    let mut reader = store.reader(blob)?;
    let read = Weights::read(&mut reader, blob.bytes, manifest);
    // What is wrong with the content is only said of the content that was sent.
    reader.verify()?;
    match read {
        Ok(weights) => Ok(Ok(Arc::new(weights))),
        Err(ReadWeightsError::Weights(error)) => Ok(Err(error)),
        Err(ReadWeightsError::Io(source)) => {
            Err(StoreError::Io { action: "read", path: blob.digest.to_string().into(), source })
        }
    }
}
