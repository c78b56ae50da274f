//! Models that were fetched, oldest first: the disk of a hospital is not an archive.
//!
//! What lies on the disk when a study is taken up, after a restart or at its beginning, counts as used in the order of its
//! arrival, so that it goes like everything else. At the end of a study only the backbone stays: the next one may want it.

use std::collections::VecDeque;

use consilium_domain::{BlobRef, Digest};
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
    /// A study is taken up, with its backbone `base`: what else lies in `store` was used before, by this study or another.
    pub(crate) async fn take_up(&mut self, base: Option<BlobRef>, store: &BlobStore) {
        match store.blobs().await {
            Ok(found) => {
                for model in found.into_iter().filter(|found| Some(*found) != base) {
                    self.used(model, store).await;
                }
            }
            Err(error) => tracing::warn!(%error, "models of before stay on the disk"),
        }
    }

    /// The study is over: deletes everything but its backbone `base` from `store`.
    pub(crate) async fn study_over(&mut self, base: Option<BlobRef>, store: &BlobStore) {
        self.0.clear();
        match store.blobs().await {
            Ok(found) => {
                for BlobRef { digest, .. } in found.into_iter().filter(|found| Some(*found) != base) {
                    forget(&digest, store).await;
                }
            }
            Err(error) => tracing::warn!(%error, "models of a study that is over stay on the disk"),
        }
    }

    /// `model` is used now; deletes from `store` what was not used for longest.
    pub(crate) async fn used(&mut self, model: BlobRef, store: &BlobStore) {
        for forgotten in self.make_room(model) {
            forget(&forgotten.digest, store).await;
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

async fn forget(digest: &Digest, store: &BlobStore) {
    if let Err(error) = store.remove(digest).await {
        tracing::warn!(%error, "an old model stays on the disk");
    }
}

#[cfg(test)]
mod tests {
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
    /// A store with a backbone and `models` others, none of them small: a file has the length that it says, and takes no
    /// room for it.
    async fn scene(models: u64) -> (tempfile::TempDir, BlobStore, BlobRef) {
        let dir = tempfile::tempdir().unwrap();
        let store = BlobStore::open(dir.path()).unwrap();
        let base = store.insert(b"backbone".to_vec()).await.unwrap();
        for number in 0..models {
            let model = store.insert(number.to_le_bytes().to_vec()).await.unwrap();
            let digits = model.digest.to_string();
            let path = dir.path().join(&digits[..2]).join(&digits[2..]);
            let file = std::fs::File::options().write(true).open(path).unwrap();
            file.set_len(KEPT_BYTES).unwrap();
            let at = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1 + number);
            file.set_modified(at).unwrap();
        }
        (dir, store, base)
    }

    #[tokio::test]
    async fn what_was_fetched_before_a_restart_goes_as_if_there_had_been_none() {
        let (_dir, store, base) = scene(10).await;
        let mut cache = ModelCache::default();
        cache.take_up(Some(base), &store).await;
        let left = |number: u64| Digest::of(&number.to_le_bytes());
        let kept = store.blobs().await.unwrap();
        let expected: Vec<Digest> = (2..10).map(left).chain([base.digest]).collect();
        assert_eq!(kept.iter().map(|blob| blob.digest).collect::<Vec<_>>(), expected);
        cache.used(model(10, KEPT_BYTES), &store).await;
        assert!(!store.contains(&left(2)).await && store.contains(&left(3)).await);
    }

    #[tokio::test]
    async fn a_study_leaves_nothing_but_its_backbone() {
        let (_dir, store, base) = scene(3).await;
        let mut cache = ModelCache::default();
        cache.take_up(Some(base), &store).await;
        cache.study_over(Some(base), &store).await;
        assert_eq!(store.blobs().await.unwrap(), [base]);
        cache.study_over(None, &store).await;
        assert_eq!(store.blobs().await.unwrap(), []);
    }
}
