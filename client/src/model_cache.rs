//! Models that were fetched, oldest first: the disk of a hospital is not an archive.

use std::collections::VecDeque;

use consilium_domain::BlobRef;
use consilium_transport::BlobStore;

/// Models kept beside the backbone, however large: a lane's latest rounds, which training and validation ask for in turn.
const KEPT_MODELS: usize = 8;
/// Further models are kept within this. The hold-out is scored long after the rounds, with one model of each lane: a study of small
/// models then fetches none of them twice.
const KEPT_BYTES: u64 = 1 << 30;

/// Forgets all but the models used last.
#[derive(Default)]
pub(crate) struct ModelCache(VecDeque<BlobRef>);

impl ModelCache {
    /// `model` is used now; deletes from `store` what was not used for longest.
    pub(crate) async fn used(&mut self, model: BlobRef, store: &BlobStore) {
        for forgotten in self.make_room(model) {
            if let Err(error) = store.remove(&forgotten.digest).await {
                tracing::warn!(%error, "an old model stays on the disk");
            }
        }
    }

    /// Notes that `model` is used; what is to be forgotten for it.
    fn make_room(&mut self, model: BlobRef) -> Vec<BlobRef> {
        self.0.retain(|kept| *kept != model);
        self.0.push_back(model);
        let mut bytes: u64 = self.0.iter().map(|kept| kept.bytes).sum();
        let mut forgotten = Vec::new();
        while self.0.len() > KEPT_MODELS
            && bytes > KEPT_BYTES
            && let Some(oldest) = self.0.pop_front()
        {
            bytes -= oldest.bytes;
            forgotten.push(oldest);
        }
        forgotten
    }
}

#[cfg(test)]
mod tests {
    use consilium_domain::Digest;

    use super::*;

    fn model(number: u64, bytes: u64) -> BlobRef {
        BlobRef { digest: Digest::of(&number.to_le_bytes()), bytes }
    }

    #[test]
    fn small_models_stay_and_of_large_ones_the_last_eight() {
        let mut cache = ModelCache::default();
        assert!((0..1_000).all(|number| cache.make_room(model(number, 1 << 20)).is_empty()));
        let mut cache = ModelCache::default();
        let large = |number| model(number, KEPT_BYTES);
        assert!((0..8).all(|number| cache.make_room(large(number)).is_empty()));
        assert!(cache.make_room(large(0)).is_empty(), "it is there already");
        assert_eq!(cache.make_room(large(8)), [large(1)], "0 was used since");
    }
}
