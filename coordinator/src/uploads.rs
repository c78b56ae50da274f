//! Updates that sites have uploaded, or are uploading, and not replied with yet: they must not be swept away.
//!
//! Blobs are named by their content, so one blob can be the update of several sites, or of one site in several lanes.
//! When a round's sum is taken its updates go, and without this record a blob could go that a reply under way names.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};

use consilium_domain::{Digest, SiteId};
use consilium_transport::BlobStore;

/// Updates a site may have uploaded without replying to an order: one under way and one cut off by a lost
/// connection, twice over.
pub(crate) const MAX_UNSETTLED_UPDATES: usize = 4;

/// What is uploaded and not settled.
#[derive(Debug, Default)]
pub(crate) struct Uploads(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    unsettled: BTreeMap<SiteId, BTreeSet<Digest>>,
    /// Being deleted at this moment: nobody may count on finding them.
    leaving: BTreeSet<Digest>,
}

impl Uploads {
    /// Notes that `site` uploads `digest`; false where it has piled up too many, or the same blob is just going.
    pub(crate) fn begin(&self, site: &SiteId, digest: Digest) -> bool {
        let mut state = self.lock();
        if state.leaving.contains(&digest) {
            return false;
        }
        let digests = state.unsettled.entry(site.clone()).or_default();
        digests.contains(&digest) || (digests.len() < MAX_UNSETTLED_UPDATES && digests.insert(digest))
    }

    /// Forgets what `site` had uploaded, and returns it.
    pub(crate) fn settle(&self, site: &SiteId) -> BTreeSet<Digest> {
        self.lock().unsettled.remove(site).unwrap_or_default()
    }

    /// Deletes the blob `digest`, unless a site has it under way or it is `wanted`.
    ///
    /// That is asked last: a reply that names the blob is in the study's state before it stops being under way.
    pub(crate) async fn sweep(&self, digest: Digest, store: &BlobStore, wanted: impl FnOnce() -> bool) {
        if !self.may_go(digest) {
            return;
        }
        if !wanted()
            && let Err(error) = store.remove(&digest).await
        {
            tracing::warn!(%error, "an update that nobody needs stays on the disk");
        }
        self.gone(digest);
    }

    /// Announces that `digest` is deleted, until [`Self::gone`]; false where somebody has it under way.
    fn may_go(&self, digest: Digest) -> bool {
        let mut state = self.lock();
        let awaited = state.unsettled.values().any(|digests| digests.contains(&digest));
        !awaited && state.leaving.insert(digest)
    }

    /// `digest` is deleted.
    fn gone(&self, digest: Digest) {
        self.lock().leaving.remove(&digest);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no panic while the lock is held")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_that_somebody_has_under_way_stays() {
        let uploads = Uploads::default();
        let (a, b): (SiteId, SiteId) = ("a".parse().unwrap(), "b".parse().unwrap());
        let digest = Digest::of(b"the same update");
        assert!(uploads.begin(&a, digest) && uploads.begin(&b, digest));
        assert_eq!(uploads.settle(&a), [digest].into());
        assert!(!uploads.may_go(digest), "b has not replied yet");
        uploads.settle(&b);
        assert!(uploads.may_go(digest));
        assert!(!uploads.begin(&a, digest), "it is being deleted");
        uploads.gone(digest);
        assert!(uploads.begin(&a, digest));
    }

    #[tokio::test]
    async fn only_what_nobody_needs_is_swept() {
        let dir = tempfile::tempdir().unwrap();
        let (uploads, store) = (Uploads::default(), BlobStore::open(dir.path()).unwrap());
        let digest = store.insert(b"an update".to_vec()).await.unwrap().digest;
        uploads.sweep(digest, &store, || true).await;
        assert!(store.contains(&digest).await, "a round waits for it");
        let a: SiteId = "a".parse().unwrap();
        assert!(uploads.begin(&a, digest));
        uploads.sweep(digest, &store, || false).await;
        assert!(store.contains(&digest).await, "a site has it under way");
        uploads.settle(&a);
        uploads.sweep(digest, &store, || false).await;
        assert!(!store.contains(&digest).await);
        assert!(uploads.begin(&a, digest), "it may come again");
    }
}
