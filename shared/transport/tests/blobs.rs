//! Blobs over a real connection: both ways, verified, refused, corrupted.

mod consortium;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use consilium_domain::{BlobRef, Digest, Seed, SiteId};
use consilium_transport::{
    BlobAccess, BlobStore, CHUNK_BYTES, CloseCode, LinkKind, MAX_BLOB_BYTES, Refusal, ServeError, StoreError,
    TransferError, Transferred, serve_blobs,
};
use consortium::{Pair, over_both_links, pair, soon, store};
use tokio::sync::Notify;

over_both_links!(
    blobs_travel_both_ways_and_only_once,
    many_transfers_take_turns,
    a_corrupted_upload_is_refused_and_nothing_is_kept,
    a_corrupted_fetch_is_noticed_and_nothing_is_kept,
    access_is_asked_for_both_directions,
    a_blob_beyond_the_limit_is_refused_on_its_offer,
    only_the_coordinator_serves_and_only_after_control,
    an_ended_connection_fails_the_transfer_with_its_reason,
    where_the_coordinators_disk_refuses_nothing_is_forbidden,
    a_stream_that_ends_just_before_its_connection_is_a_lost_connection,
);

/// Lets exactly one blob pass, in either direction.
struct Only(BlobRef);

impl BlobAccess for Only {
    fn may_read(&self, site: &SiteId, digest: &Digest) -> bool {
        site.as_str() == "st-elsewhere" && *digest == self.0.digest
    }

    fn may_write(&self, site: &SiteId, blob: &BlobRef) -> bool {
        site.as_str() == "st-elsewhere" && *blob == self.0
    }
}

/// A coordinator that cannot write down what it lets pass, and so lets nothing pass.
struct Unwell;

impl BlobAccess for Unwell {
    fn may_read(&self, _: &SiteId, _: &Digest) -> bool {
        false
    }

    fn may_write(&self, _: &SiteId, _: &BlobRef) -> bool {
        false
    }

    fn is_well(&self) -> bool {
        false
    }
}

/// Tells when the first chunk of an upload is on its way.
struct Watched {
    only: Only,
    asked: AtomicU32,
    chunk: Notify,
}

impl BlobAccess for Watched {
    fn may_read(&self, site: &SiteId, digest: &Digest) -> bool {
        self.only.may_read(site, digest)
    }

    fn may_write(&self, site: &SiteId, blob: &BlobRef) -> bool {
        // First for the offer.
        if self.asked.fetch_add(1, Ordering::Relaxed) > 0 {
            self.chunk.notify_one();
        }
        self.only.may_write(site, blob)
    }
}

fn content(bytes: usize) -> Vec<u8> {
    let mut random = Seed::from_number(bytes as u64).stream();
    std::iter::repeat_with(|| random.next_u64().to_le_bytes()).flatten().take(bytes).collect()
}

fn serve(pair: &Pair, store: &BlobStore, allowed: BlobRef) {
    tokio::spawn(serve_blobs(pair.server.clone(), store.clone(), Arc::new(Only(allowed))));
}

/// Every file below `dir`, however named.
fn files(dir: &Path) -> usize {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { files(&path) } else { 1 }).sum()
}

async fn blobs_travel_both_ways_and_only_once(link: LinkKind) {
    let pair = pair(link).await;
    for bytes in [0, 1, CHUNK_BYTES as usize, 5 * CHUNK_BYTES as usize + 17] {
        let ((_a, theirs), (_b, ours), (_c, third)) = (store(), store(), store());
        let content = content(bytes);
        let blob = ours.insert(content.clone()).await.unwrap();
        let serving = serve_blobs(pair.server.clone(), theirs.clone(), Arc::new(Only(blob)));
        let moving = async {
            assert_eq!(pair.client.upload(blob, &ours).await.unwrap(), Transferred::Moved);
            assert_eq!(theirs.read(&blob).await.unwrap(), content);
            let before = pair.client.traffic().bytes_sent;
            assert_eq!(pair.client.upload(blob, &ours).await.unwrap(), Transferred::AlreadyThere);
            assert!(pair.client.traffic().bytes_sent - before < 5_000, "an offer is all that is sent");
            assert_eq!(pair.client.fetch(blob, &third).await.unwrap(), Transferred::Moved);
            assert_eq!(third.read(&blob).await.unwrap(), content);
            assert_eq!(pair.client.fetch(blob, &third).await.unwrap(), Transferred::AlreadyThere);
        };
        tokio::select! {
            ended = serving => panic!("{ended:?}"),
            () = soon(moving) => {}
        }
    }
}

async fn many_transfers_take_turns(link: LinkKind) {
    let pair = pair(link).await;
    let ((_a, theirs), (_b, ours)) = (store(), store());
    let blob = ours.insert(content(3 * CHUNK_BYTES as usize)).await.unwrap();
    serve(&pair, &theirs, blob);
    pair.client.upload(blob, &ours).await.unwrap();
    let mut fetches = tokio::task::JoinSet::new();
    for _ in 0..12 {
        let client = pair.client.clone();
        fetches.spawn(async move { client.fetch(blob, &store().1).await.unwrap() });
    }
    assert_eq!(soon(fetches.join_all()).await, [Transferred::Moved; 12]);
}

async fn a_corrupted_upload_is_refused_and_nothing_is_kept(link: LinkKind) {
    let pair = pair(link).await;
    let ((their_dir, theirs), (our_dir, ours)) = (store(), store());
    let blob = ours.insert(content(2 * CHUNK_BYTES as usize)).await.unwrap();
    serve(&pair, &theirs, blob);
    let digits = blob.digest.to_string();
    let path = our_dir.path().join(&digits[..2]).join(&digits[2..]);
    let mut rotten = std::fs::read(&path).unwrap();
    rotten[1_500_000] ^= 1;
    std::fs::write(&path, rotten).unwrap();
    let refused = soon(pair.client.upload(blob, &ours)).await.unwrap_err();
    assert!(matches!(refused, TransferError::Refused { refusal: Refusal::DigestMismatch, .. }), "{refused}");
    assert!(!theirs.contains(&blob.digest).await);
    assert_eq!(files(their_dir.path()), 0);
}

async fn a_corrupted_fetch_is_noticed_and_nothing_is_kept(link: LinkKind) {
    let pair = pair(link).await;
    let ((their_dir, theirs), (our_dir, ours)) = (store(), store());
    let blob = theirs.insert(content(100)).await.unwrap();
    serve(&pair, &theirs, blob);
    let digits = blob.digest.to_string();
    let path = their_dir.path().join(&digits[..2]).join(&digits[2..]);
    std::fs::write(&path, content(99)).unwrap();
    let shorter = soon(pair.client.fetch(blob, &ours)).await.unwrap_err();
    assert!(matches!(shorter, TransferError::Store(StoreError::Length { .. })), "{shorter}");
    std::fs::write(&path, vec![0; 100]).unwrap();
    let other = soon(pair.client.fetch(blob, &ours)).await.unwrap_err();
    assert!(matches!(other, TransferError::Store(StoreError::Mismatch { .. })), "{other}");
    assert_eq!(files(our_dir.path()), 0);
}

async fn access_is_asked_for_both_directions(link: LinkKind) {
    let pair = pair(link).await;
    let ((their_dir, theirs), (_b, ours)) = (store(), store());
    let allowed = BlobRef::of(b"something else");
    serve(&pair, &theirs, allowed);
    let secret = theirs.insert(b"another site's update".to_vec()).await.unwrap();
    let refused = soon(pair.client.fetch(secret, &ours)).await.unwrap_err();
    assert!(matches!(refused, TransferError::Refused { refusal: Refusal::NotAllowed, .. }), "{refused}");
    let unwanted = ours.insert(content(10)).await.unwrap();
    let refused = soon(pair.client.upload(unwanted, &ours)).await.unwrap_err();
    assert!(matches!(refused, TransferError::Refused { refusal: Refusal::NotAllowed, .. }), "{refused}");
    assert_eq!(files(their_dir.path()), 1, "only what was there before");
    let absent = soon(pair.client.fetch(allowed, &ours)).await.unwrap_err();
    assert!(matches!(absent, TransferError::Refused { refusal: Refusal::NotFound, .. }), "{absent}");
}

async fn a_blob_beyond_the_limit_is_refused_on_its_offer(link: LinkKind) {
    let pair = pair(link).await;
    let ((their_dir, theirs), (_b, ours)) = (store(), store());
    let giant = BlobRef { digest: Digest::of(b"giant"), bytes: MAX_BLOB_BYTES + 1 };
    serve(&pair, &theirs, giant);
    let refused = soon(pair.client.upload(giant, &ours)).await.unwrap_err();
    assert!(matches!(refused, TransferError::Refused { refusal: Refusal::TooLarge, .. }), "{refused}");
    assert_eq!(files(their_dir.path()), 0);
}

async fn only_the_coordinator_serves_and_only_after_control(link: LinkKind) {
    let pair = pair(link).await;
    let (_dir, store) = store();
    let access = Arc::new(Only(BlobRef::of(b"")));
    let refused = serve_blobs(pair.client.clone(), store.clone(), access).await;
    assert_eq!(refused, Err(ServeError::WrongSide));
    let refused = pair.server.fetch(BlobRef::of(b"x"), &store).await;
    assert!(matches!(refused, Err(TransferError::WrongSide)));
}

async fn an_ended_connection_fails_the_transfer_with_its_reason(link: LinkKind) {
    let pair = pair(link).await;
    let (_dir, store) = store();
    pair.server.close(CloseCode::new(17), "the site was revoked");
    let lost = soon(pair.client.fetch(BlobRef::of(b"x"), &store)).await.unwrap_err();
    assert!(lost.to_string().contains("the site was revoked"), "{lost}");
}

/// Found by filling the coordinator's disk: a site was told that it may not send its update, gave it up, and the study was
/// halted, although the coordinator could go on once there was space again.
async fn where_the_coordinators_disk_refuses_nothing_is_forbidden(link: LinkKind) {
    let pair = pair(link).await;
    let ((_a, theirs), (_b, ours), (_c, third)) = (store(), store(), store());
    let blob = ours.insert(content(100)).await.unwrap();
    tokio::spawn(serve_blobs(pair.server.clone(), theirs, Arc::new(Unwell)));
    for outcome in [soon(pair.client.upload(blob, &ours)).await, soon(pair.client.fetch(blob, &third)).await]
    {
        let error = outcome.unwrap_err();
        assert!(matches!(error, TransferError::Refused { refusal: Refusal::Disk, .. }), "{error}");
        assert!(error.is_passing());
    }
}

/// Found by killing the coordinator under its clients: over TCP the streams of a cut line end a moment before the line
/// is known to be cut, and a site took that for an answer that makes no sense, and gave up a finished update.
async fn a_stream_that_ends_just_before_its_connection_is_a_lost_connection(link: LinkKind) {
    let pair = pair(link).await;
    let ((_a, theirs), (_b, ours)) = (store(), store());
    let blob = ours.insert(content(5 * CHUNK_BYTES as usize)).await.unwrap();
    let access = Arc::new(Watched { only: Only(blob), asked: AtomicU32::new(0), chunk: Notify::new() });
    let ending = async {
        tokio::select! {
            ended = serve_blobs(pair.server.clone(), theirs, access.clone()) => panic!("{ended:?}"),
            // The requests end with the desk: their streams are dropped, some before a word was said.
            () = access.chunk.notified() => {}
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        pair.server.close(CloseCode::new(17), "the coordinator is restarted");
    };
    let (uploaded, ()) = soon(async { tokio::join!(pair.client.upload(blob, &ours), ending) }).await;
    let lost = uploaded.unwrap_err();
    assert!(matches!(lost, TransferError::Lost(_)), "{lost}");
    assert!(lost.to_string().contains("is restarted"), "{lost}");
}
