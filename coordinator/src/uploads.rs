//! Updates that sites have uploaded, or are uploading, and not replied with yet: they must not be swept away.
//!
//! Blobs are named by their content, so one blob can be the update of several sites, or of one site in several lanes.
//! When a round's sum is taken its updates go, and without this record a blob could go that a reply under way names.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use consilium_domain::{Digest, SiteId};
use consilium_transport::{BlobStore, aside};

/// Updates a site may have uploaded without replying to an order: one under way and one cut off by a lost
/// connection, twice over.
pub(crate) const MAX_UNSETTLED_UPDATES: usize = 4;

/// What is uploaded and not settled, by site.
#[derive(Debug, Default)]
pub(crate) struct Uploads(Mutex<BTreeMap<SiteId, BTreeSet<Digest>>>);

impl Uploads {
    /// Notes that `site` uploads `digest`; false where it has piled up too many.
    pub(crate) fn begin(&self, site: &SiteId, digest: Digest) -> bool {
        let mut unsettled = self.lock();
        let digests = unsettled.entry(site.clone()).or_default();
        digests.contains(&digest) || (digests.len() < MAX_UNSETTLED_UPDATES && digests.insert(digest))
    }

    /// Forgets what `site` had uploaded, and returns it.
    pub(crate) fn settle(&self, site: &SiteId) -> BTreeSet<Digest> {
        self.lock().remove(site).unwrap_or_default()
    }

    /// Deletes the blob `digest`, unless a site has it under way or it is `wanted`.
    ///
    /// That is asked second: a reply that names the blob is in the study's state before it stops being under way.
    /// Nobody can begin to upload it meanwhile: who did would find it there and miss it later.
    pub(crate) async fn sweep(
        self: &Arc<Self>,
        digest: Digest,
        store: &BlobStore,
        wanted: impl FnOnce() -> bool + Send + 'static,
    ) {
        let (uploads, store) = (self.clone(), store.clone());
        let sweeping = aside(move || {
            let unsettled = uploads.lock();
            let under_way = unsettled.values().any(|digests| digests.contains(&digest));
            if under_way || wanted() { Ok(()) } else { store.remove_blocking(&digest) }
        });
        if let Ok(Err(error)) = sweeping.await {
            tracing::warn!(%error, "an update that nobody needs stays on the disk");
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<SiteId, BTreeSet<Digest>>> {
        self.0.lock().expect("no panic while the lock is held")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_what_nobody_needs_is_swept() {
        let dir = tempfile::tempdir().unwrap();
        let (uploads, store) = (Arc::new(Uploads::default()), BlobStore::open(dir.path()).unwrap());
        let digest = store.insert(b"an update".to_vec()).await.unwrap().digest;
        uploads.sweep(digest, &store, || true).await;
        assert!(store.contains(&digest).await, "a round waits for it");
        let (a, b): (SiteId, SiteId) = ("a".parse().unwrap(), "b".parse().unwrap());
        assert!(uploads.begin(&a, digest) && uploads.begin(&b, digest));
        uploads.settle(&b);
        uploads.sweep(digest, &store, || false).await;
        assert!(store.contains(&digest).await, "a site has it under way");
        uploads.settle(&a);
        uploads.sweep(digest, &store, || false).await;
        assert!(!store.contains(&digest).await);
        assert!(uploads.begin(&a, digest), "it may come again");
    }
}
