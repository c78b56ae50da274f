//! Which blobs a site may read and write: what the study says, nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use consilium_domain::{BlobRef, Digest, SiteId};
use consilium_transport::BlobAccess;

use crate::conductor::Desk;

/// Updates a site may have uploaded that no answer has settled: one under way and one cut off by a lost connection,
/// twice over.
const MAX_UNSETTLED_UPDATES: usize = 4;

/// The study's rules about blobs.
pub(crate) struct StudyAccess {
    desk: Desk,
    unsettled: Mutex<BTreeMap<SiteId, BTreeSet<Digest>>>,
}

impl StudyAccess {
    pub(crate) fn new(desk: Desk) -> Self {
        Self { desk, unsettled: Mutex::default() }
    }

    /// The answer that `digest` belongs to is settled, for better or worse.
    pub(crate) fn settled(&self, site: &SiteId, digest: &Digest) {
        if let Some(digests) = self.lock().get_mut(site) {
            digests.remove(digest);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<SiteId, BTreeSet<Digest>>> {
        self.unsettled.lock().expect("no panic while the lock is held")
    }
}

impl BlobAccess for StudyAccess {
    /// Models of the study, for invited sites.
    fn may_read(&self, site: &SiteId, digest: &Digest) -> bool {
        self.desk.read(|state| {
            let invited = state.roster().member(site).is_some();
            let first = state.first_models();
            let known = first.base.iter().chain(first.initial.values()).any(|blob| blob.digest == *digest)
                || state.lanes().iter().flat_map(|lane| &lane.rounds).any(|round| {
                    round.start.digest == *digest || round.model.is_some_and(|model| model.digest == *digest)
                });
            invited && known
        })
    }

    /// An update of the right size, from a site that has training to answer.
    fn may_write(&self, site: &SiteId, blob: &BlobRef) -> bool {
        let wanted = self.desk.read(|state| state.awaits_update(site, blob.bytes));
        if !wanted {
            return false;
        }
        let mut unsettled = self.lock();
        let digests = unsettled.entry(site.clone()).or_default();
        digests.contains(&blob.digest)
            || (digests.len() < MAX_UNSETTLED_UPDATES && digests.insert(blob.digest))
    }
}
