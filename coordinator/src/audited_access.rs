//! The rules about blobs, with every blob in the audit log before its first byte leaves or is taken.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};

use consilium_domain::{BlobRef, Digest, SiteId};
use consilium_transport::{BlobAccess, StoreError};

use crate::access::StudyAccess;
use crate::auditing::{SessionAudit, waiting_here};
use crate::conductor::Stopped;

/// The rules for one connection. A later one writes down again what it moves.
pub(crate) struct AuditedAccess {
    access: Arc<StudyAccess>,
    audit: SessionAudit,
    /// What this connection has written down.
    noted: Mutex<BTreeSet<(Way, Digest)>>,
    /// Held while something is written down: no chunk may overtake the record of its blob.
    writing: Mutex<()>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    Out,
    In,
}

impl AuditedAccess {
    /// `access`, written down by `audit`.
    pub(crate) fn new(access: Arc<StudyAccess>, audit: SessionAudit) -> Self {
        Self { access, audit, noted: Mutex::default(), writing: Mutex::default() }
    }

    /// Whether the blob is in the audit log, now if not before.
    fn note(&self, way: Way, digest: Digest, write: impl FnOnce() -> Result<(), Stopped>) -> bool {
        if self.noted().contains(&(way, digest)) {
            return true;
        }
        waiting_here(|| {
            let _turn = self.writing.lock().expect("no panic while the lock is held");
            if self.noted().contains(&(way, digest)) {
                return true;
            }
            let written = write().is_ok();
            written && self.noted().insert((way, digest))
        })
    }

    fn noted(&self) -> MutexGuard<'_, BTreeSet<(Way, Digest)>> {
        self.noted.lock().expect("no panic while the lock is held")
    }
}

impl BlobAccess for AuditedAccess {
    fn may_read(&self, site: &SiteId, digest: &Digest) -> bool {
        let model = self.access.model(digest).filter(|_| self.access.may_read(site, digest));
        model.is_some_and(|blob| self.note(Way::Out, *digest, || self.audit.model_leaves(blob)))
    }

    fn may_write(&self, site: &SiteId, blob: &BlobRef) -> bool {
        self.access.may_write(site, blob)
            && self.note(Way::In, blob.digest, || self.audit.update_comes(*blob))
    }

    fn cannot_keep(&self, error: StoreError) {
        self.access.cannot_keep(error);
    }

    fn is_well(&self) -> bool {
        !self.audit.has_failed()
    }
}
