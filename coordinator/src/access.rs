//! Which blobs a site may read and write: what the study says, nothing else.

use consilium_domain::{BlobRef, Digest, SiteId};
use consilium_protocol::coordinator::{Coordinator, RoundState};
use consilium_transport::{BlobAccess, BlobStore, Source, StoreError};

use crate::conductor::Desk;

/// The study's rules about blobs.
pub(crate) struct StudyAccess {
    desk: Desk,
}

impl StudyAccess {
    pub(crate) const fn new(desk: Desk) -> Self {
        Self { desk }
    }

    /// The study's model, its backbone, or a delta, with that digest.
    pub(crate) fn model(&self, digest: &Digest) -> Option<BlobRef> {
        self.desk.read(|state| model(state, digest))
    }

    /// The site has replied to the one order it had: what it uploaded is part of a round by now or never will be.
    /// What nobody needs is deleted from `store`.
    pub(crate) async fn settle(&self, site: &SiteId, store: &BlobStore) {
        let uploads = self.desk.uploads();
        for digest in uploads.settle(site) {
            let desk = self.desk.clone();
            uploads.sweep(digest, store, move || desk.read(|state| is_wanted(state, &digest))).await;
        }
    }

    /// Nothing of the order of `site` will be uploaded any more: what has arrived of it is deleted.
    pub(crate) async fn forget_partials(&self, site: &SiteId, store: &BlobStore) {
        if let Err(error) = store.discard_partials_of(Source::Site(site)).await {
            tracing::warn!(%error, "a part of an update stays on the disk until another takes its place");
        }
    }
}

/// Whether the study needs the blob `digest`. Sites name digests, and may name those of blobs that are not theirs.
pub(crate) fn is_wanted(state: &Coordinator, digest: &Digest) -> bool {
    is_model(state, digest) || awaits_sum_of(state, digest)
}

impl BlobAccess for StudyAccess {
    /// Models of the study, for invited sites that have not withdrawn.
    fn may_read(&self, site: &SiteId, digest: &Digest) -> bool {
        self.desk.read(|state| {
            let roster = state.roster();
            roster.member(site).is_some() && !roster.has_withdrawn(site) && is_model(state, digest)
        })
    }

    /// As for an event: what cannot be kept must not be waited for.
    fn cannot_keep(&self, error: StoreError) {
        self.desk.give_up(error);
    }

    /// An update of the right size, from a site that has training to answer.
    fn may_write(&self, site: &SiteId, blob: &BlobRef) -> bool {
        let wanted = self.desk.read(|state| state.awaits_update(site, blob.bytes));
        wanted && self.desk.uploads().begin(site, blob.digest)
    }
}

fn is_model(state: &Coordinator, digest: &Digest) -> bool {
    model(state, digest).is_some()
}

fn model(state: &Coordinator, digest: &Digest) -> Option<BlobRef> {
    let first = state.first_models();
    let of_rounds = rounds(state).flat_map(|round| [Some(round.start), round.model].into_iter().flatten());
    first
        .base
        .iter()
        .chain(first.initial.values())
        .copied()
        .chain(of_rounds)
        .chain(state.deltas())
        .find(|blob| blob.digest == *digest)
}

fn awaits_sum_of(state: &Coordinator, digest: &Digest) -> bool {
    rounds(state)
        .filter(|round| round.model.is_none())
        .flat_map(|round| round.training.answers().values())
        .any(|answer| answer.value.update.digest == *digest)
}

fn rounds(state: &Coordinator) -> impl Iterator<Item = &RoundState> {
    state.lanes().iter().flat_map(|lane| &lane.rounds)
}

#[cfg(test)]
mod tests {
    use consilium_domain::Arm;
    use consilium_protocol::coordinator::{Event, FirstModels};

    use super::*;
    use crate::scene::{Scene, UPDATE_BYTES, site};
    use crate::uploads::MAX_UNSETTLED_UPDATES;

    fn update(content: u8) -> BlobRef {
        BlobRef { digest: Digest::of(&[content]), bytes: UPDATE_BYTES }
    }

    #[tokio::test]
    async fn models_are_for_invited_sites_and_nothing_else_is_for_anybody() {
        let scene = Scene::running();
        let FirstModels { initial, .. } = scene.state.first_models().clone();
        let (access, _dir) = scene.access().await;
        let model = initial[&Arm::Random].digest;
        assert!(access.may_read(&site("a"), &model));
        assert!(!access.may_read(&site("stranger"), &model));
        assert!(!access.may_read(&site("a"), &update(1).digest));
    }

    #[tokio::test]
    async fn only_updates_of_the_right_size_come_in_while_training_is_open() {
        let (access, _dir) = Scene::running().access().await;
        assert!(access.may_write(&site("a"), &update(1)));
        assert!(access.may_write(&site("a"), &update(1)), "asked again for every chunk");
        assert!(!access.may_write(&site("a"), &BlobRef { bytes: UPDATE_BYTES + 1, ..update(1) }));
        assert!(!access.may_write(&site("stranger"), &update(1)));
        let (access, _dir) = Scene::finished().access().await;
        assert!(!access.may_write(&site("a"), &update(1)));
    }

    #[tokio::test]
    async fn a_site_may_pile_up_few_updates_and_a_reply_makes_room() {
        let (access, _dir) = Scene::running().access().await;
        let most = MAX_UNSETTLED_UPDATES as u8;
        assert!((0..most).all(|content| access.may_write(&site("a"), &update(content))));
        assert!(!access.may_write(&site("a"), &update(most)));
        assert!(access.may_write(&site("b"), &update(most)), "every site has its own room");
        assert_eq!(access.desk.uploads().settle(&site("a")).len(), MAX_UNSETTLED_UPDATES);
        assert!(access.may_write(&site("a"), &update(most)));
    }

    #[tokio::test]
    async fn a_reply_makes_no_blob_of_the_study_go() {
        let mut scene = Scene::running();
        let mut accepted = None;
        scene.answer("b", |outcome| {
            accepted = outcome.blob();
            outcome
        });
        let accepted = accepted.expect("the first work is training");
        let model = scene.state.first_models().initial[&Arm::Random].digest;
        let (access, _dir) = scene.access().await;
        for (digest, needed) in [(model, true), (accepted.digest, true), (update(9).digest, false)] {
            assert!(access.may_write(&site("a"), &BlobRef { digest, bytes: UPDATE_BYTES }));
            assert_eq!(access.desk.read(|state| is_wanted(state, &digest)), needed);
        }
        let over = Event::Aborted { reason: "enough".into() };
        assert_eq!(access.desk.submit(over).await, Ok(Ok(())));
        assert!(!access.may_write(&site("a"), &update(1)));
    }
}
