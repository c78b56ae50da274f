//! Models that were fetched, oldest first: the disk of a hospital is not an archive.

use std::collections::VecDeque;

use consilium_domain::BlobRef;
use consilium_transport::BlobStore;

/// Models kept beside the backbone: a lane's latest rounds, which training and validation ask for in turn.
const KEPT_MODELS: usize = 8;

/// Forgets all but the models used last.
#[derive(Default)]
pub(crate) struct ModelCache(VecDeque<BlobRef>);

impl ModelCache {
    /// `model` is used now; deletes from `store` what was not used for longest.
    pub(crate) async fn used(&mut self, model: BlobRef, store: &BlobStore) {
        self.0.retain(|kept| *kept != model);
        self.0.push_back(model);
        while self.0.len() > KEPT_MODELS {
            if let Some(oldest) = self.0.pop_front()
                && let Err(error) = store.remove(&oldest.digest).await
            {
                tracing::warn!(%error, "an old model stays on the disk");
            }
        }
    }
}
