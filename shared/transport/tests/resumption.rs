//! Transfers that break off and go on: only what is missing moves, and only what is right counts.

mod consortium;

use std::fs::{self, OpenOptions};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use consilium_certs::Authority;
use consilium_domain::{BlobRef, Digest, Seed, SiteId};
use consilium_transport::{
    BlobAccess, BlobStore, CHUNK_BYTES, Carriage, CloseCode, Connection, Identity, LinkKind, Listener, Pace,
    Refusal, Source, TransferError, Transferred, serve_blobs,
};
use consortium::{connect_over, listen, over_both_links, site, soon, store};

over_both_links!(
    an_upload_goes_on_where_it_broke_off,
    a_fetch_goes_on_where_it_broke_off,
    an_upload_is_taken_over_from_a_connection_that_is_not_known_to_be_dead,
    nobody_goes_on_with_what_another_site_sent,
    a_plain_offer_starts_over,
    what_may_not_be_written_any_more_is_not_kept,
);

/// Of every blob here.
const CHUNKS: u32 = 7;
/// Of them, before the line is cut.
const FIRST: u32 = 3;

/// Lets everything pass, and counts it.
#[derive(Default)]
struct Counting {
    chunks: AtomicU32,
    closed: AtomicBool,
}

impl Counting {
    /// How many chunks were moved since it was last asked. `offers` were not chunks.
    fn take(&self, offers: u32) -> u32 {
        self.chunks.swap(0, Ordering::SeqCst) - offers
    }
}

impl BlobAccess for Counting {
    fn may_read(&self, _: &SiteId, _: &Digest) -> bool {
        self.chunks.fetch_add(1, Ordering::SeqCst);
        true
    }

    fn may_write(&self, _: &SiteId, _: &BlobRef) -> bool {
        self.chunks.fetch_add(1, Ordering::SeqCst);
        !self.closed.load(Ordering::SeqCst)
    }
}

fn content() -> Vec<u8> {
    let mut random = Seed::from_number(7).stream();
    let bytes = (u64::from(CHUNKS) * CHUNK_BYTES - 5) as usize;
    std::iter::repeat_with(|| random.next_u64().to_le_bytes()).flatten().take(bytes).collect()
}

/// A coordinator that keeps its store, and a site that comes again and again.
struct Scene {
    link: LinkKind,
    authority: Authority,
    listener: Listener,
    address: SocketAddr,
    site: Identity,
    access: Arc<Counting>,
    dir: tempfile::TempDir,
}

impl Scene {
    fn new(link: LinkKind) -> Self {
        let authority = Authority::create("North").unwrap();
        let (listener, address) = listen(&authority);
        let site = site(&authority, "st-elsewhere");
        let (access, dir) = (Arc::default(), tempfile::tempdir().unwrap());
        Self { link, authority, listener, address, site, access, dir }
    }

    /// A new connection of the site, and its end at a coordinator that has just been started.
    async fn connect(&mut self) -> (Connection, Connection) {
        let store = BlobStore::open(self.dir.path()).unwrap();
        store.discard_old_partials().unwrap();
        self.connect_to(&store).await
    }

    async fn connect_to(&mut self, store: &BlobStore) -> (Connection, Connection) {
        let client = soon(connect_over(self.link, self.address, &self.site)).await.unwrap();
        let server = soon(self.listener.accept()).await.unwrap().unwrap();
        client.open_control().await.unwrap();
        soon(server.accept_control()).await.unwrap();
        tokio::spawn(serve_blobs(server.clone(), store.clone(), self.access.clone()));
        (client, server)
    }
}

/// Lets so many chunks pass and then none.
fn only_first() -> Carriage {
    let passed = AtomicU32::new(0);
    let closed = move || (passed.fetch_add(1, Ordering::SeqCst) >= FIRST).then_some(Duration::from_secs(60));
    Carriage::at(Pace::new(None, closed)).to(true)
}

fn resuming() -> Carriage {
    Carriage::default().to(true)
}

/// Waits until the first chunks are there.
async fn first_moved(carriage: &Carriage) {
    let there = async {
        while carriage.moved() < u64::from(FIRST) * CHUNK_BYTES {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon(there).await;
}

/// Uploads the first chunks, and the coordinator goes away.
async fn cut_upload(scene: &mut Scene, blob: BlobRef, ours: &BlobStore) {
    let (client, server) = scene.connect().await;
    let carriage = only_first();
    let cut = async {
        first_moved(&carriage).await;
        server.close(CloseCode::new(17), "killed");
    };
    let (uploaded, ()) = soon(async { tokio::join!(client.upload_by(&carriage, blob, ours), cut) }).await;
    assert!(matches!(uploaded, Err(TransferError::Lost(_))), "{uploaded:?}");
    assert_eq!(scene.access.take(1), FIRST);
}

async fn an_upload_goes_on_where_it_broke_off(link: LinkKind) {
    let mut scene = Scene::new(link);
    let (_dir, ours) = store();
    let blob = ours.insert(content()).await.unwrap();
    cut_upload(&mut scene, blob, &ours).await;
    // The second chunk was torn by the end of the coordinator: what its record says is not what is there.
    tear(scene.dir.path(), CHUNK_BYTES + 17);
    let (client, _server) = scene.connect().await;
    let before = client.traffic().bytes_sent;
    assert_eq!(soon(client.upload_by(&resuming(), blob, &ours)).await.unwrap(), Transferred::Moved);
    assert_eq!(scene.access.take(1), CHUNKS - FIRST + 1);
    let sent = client.traffic().bytes_sent - before;
    assert!(sent < u64::from(CHUNKS - 1) * CHUNK_BYTES, "{sent} bytes were sent");
    let theirs = BlobStore::open(scene.dir.path()).unwrap();
    assert_eq!(theirs.read(&blob).await.unwrap(), content());
    assert_eq!(partials(scene.dir.path()), Vec::<PathBuf>::new());
    let again = soon(client.upload_by(&resuming(), blob, &ours)).await.unwrap();
    assert_eq!((again, scene.access.take(1)), (Transferred::AlreadyThere, 0));
}

async fn a_fetch_goes_on_where_it_broke_off(link: LinkKind) {
    let mut scene = Scene::new(link);
    let theirs = BlobStore::open(scene.dir.path()).unwrap();
    let blob = theirs.insert(content()).await.unwrap();
    let (dir, ours) = store();
    let (client, server) = scene.connect_to(&theirs).await;
    let carriage = only_first();
    let cut = async {
        first_moved(&carriage).await;
        server.close(CloseCode::new(17), "killed");
    };
    let (fetched, ()) = soon(async { tokio::join!(client.fetch_by(&carriage, blob, &ours), cut) }).await;
    assert!(matches!(fetched, Err(TransferError::Lost(_))), "{fetched:?}");
    assert_eq!(scene.access.take(0), FIRST);
    assert!(!ours.contains(&blob.digest).await);
    drop(ours);
    tear(dir.path(), 0);
    // The client, too, was started again.
    let ours = BlobStore::open(dir.path()).unwrap();
    ours.discard_old_partials().unwrap();
    let (client, _server) = scene.connect_to(&theirs).await;
    assert_eq!(soon(client.fetch(blob, &ours)).await.unwrap(), Transferred::Moved);
    assert_eq!(scene.access.take(0), CHUNKS - FIRST + 1);
    assert_eq!(ours.read(&blob).await.unwrap(), content());
    assert_eq!(partials(dir.path()), Vec::<PathBuf>::new());
}

/// Over QUIC a client that was killed is not known to be gone for a minute.
async fn an_upload_is_taken_over_from_a_connection_that_is_not_known_to_be_dead(link: LinkKind) {
    let mut scene = Scene::new(link);
    let (_dir, ours) = store();
    let blob = ours.insert(content()).await.unwrap();
    let theirs = BlobStore::open(scene.dir.path()).unwrap();
    let (former, _server) = scene.connect_to(&theirs).await;
    let carriage = only_first();
    let hanging = {
        let (former, carriage, ours) = (former.clone(), carriage.clone(), ours.clone());
        tokio::spawn(async move { former.upload_by(&carriage, blob, &ours).await })
    };
    first_moved(&carriage).await;
    let (client, _server) = scene.connect_to(&theirs).await;
    assert_eq!(soon(client.upload_by(&resuming(), blob, &ours)).await.unwrap(), Transferred::Moved);
    assert_eq!(scene.access.take(2), CHUNKS);
    assert_eq!(theirs.read(&blob).await.unwrap(), content());
    hanging.abort();
}

async fn nobody_goes_on_with_what_another_site_sent(link: LinkKind) {
    let mut scene = Scene::new(link);
    let (_dir, ours) = store();
    let blob = ours.insert(content()).await.unwrap();
    cut_upload(&mut scene, blob, &ours).await;
    scene.site = site(&scene.authority, "general");
    let (client, _server) = scene.connect().await;
    soon(client.upload_by(&resuming(), blob, &ours)).await.unwrap();
    assert_eq!(scene.access.take(1), CHUNKS);
}

/// As clients of the release before do.
async fn a_plain_offer_starts_over(link: LinkKind) {
    let mut scene = Scene::new(link);
    let (_dir, ours) = store();
    let blob = ours.insert(content()).await.unwrap();
    cut_upload(&mut scene, blob, &ours).await;
    let (client, _server) = scene.connect().await;
    soon(client.upload(blob, &ours)).await.unwrap();
    assert_eq!(scene.access.take(1), CHUNKS);
    let theirs = BlobStore::open(scene.dir.path()).unwrap();
    assert_eq!(theirs.read(&blob).await.unwrap(), content());
}

async fn what_may_not_be_written_any_more_is_not_kept(link: LinkKind) {
    let mut scene = Scene::new(link);
    let (_dir, ours) = store();
    let blob = ours.insert(content()).await.unwrap();
    let (client, _server) = scene.connect().await;
    let passed = AtomicU32::new(0);
    let access = scene.access.clone();
    // The round is closed after the first chunks.
    let closing = move || {
        if passed.fetch_add(1, Ordering::SeqCst) == FIRST {
            access.closed.store(true, Ordering::SeqCst);
        }
        None
    };
    let carriage = Carriage::at(Pace::new(None, closing)).to(true);
    let refused = soon(client.upload_by(&carriage, blob, &ours)).await.unwrap_err();
    assert!(matches!(refused, TransferError::Refused { refusal: Refusal::NotAllowed, .. }), "{refused}");
    assert!(!refused.is_passing());
    let gone = async {
        while !partials(scene.dir.path()).is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon(gone).await;
}

#[tokio::test]
async fn partials_are_few_of_each_source_and_those_in_use_stay() {
    let (dir, theirs) = store();
    let [a, b]: [SiteId; 2] = ["a", "b"].map(|name| name.parse().unwrap());
    let blob = |number: u8| BlobRef { digest: Digest::of(&[number]), bytes: 2 * CHUNK_BYTES };
    let begin = async |site: &SiteId, number| {
        let incoming = theirs.resume(Source::Site(site), blob(number)).await.map(Option::unwrap)?;
        incoming.write_chunk(0, vec![number; CHUNK_BYTES as usize]).await?;
        Ok::<_, consilium_transport::StoreError>(incoming)
    };
    let in_use = begin(&a, 0).await.unwrap();
    for number in 1..20 {
        drop(begin(&a, number).await.unwrap());
    }
    drop(begin(&b, 1).await.unwrap());
    assert_eq!(partials(dir.path()).len(), 2 * (4 + 1));
    assert_eq!(in_use.missing(), [1], "the oldest is still written to");
    in_use.write_chunk(1, vec![0; CHUNK_BYTES as usize]).await.unwrap();
    let held: Vec<_> = [begin(&a, 30).await, begin(&a, 31).await, begin(&a, 32).await].into_iter().collect();
    assert!(held.iter().all(Result::is_ok));
    let full = begin(&a, 33).await.unwrap_err();
    assert!(full.is_passing(), "{full}");
    theirs.discard_partials_of(Source::Site(&a)).await.unwrap();
    assert!(in_use.finish().await.unwrap_err().is_passing());
    assert_eq!(partials(dir.path()).len(), 2);
    begin(&a, 33).await.unwrap();
}

#[tokio::test]
async fn old_partials_go_at_the_start_and_fresh_ones_stay() {
    let (dir, theirs) = store();
    let blob = |number: u8| BlobRef { digest: Digest::of(&[number]), bytes: 2 * CHUNK_BYTES };
    for number in [1, 2] {
        let incoming = theirs.resume(Source::Coordinator, blob(number)).await.unwrap().unwrap();
        incoming.write_chunk(1, vec![number; CHUNK_BYTES as usize]).await.unwrap();
    }
    let week = Duration::from_secs(8 * 24 * 3600);
    for path in partials(dir.path()) {
        if path.to_string_lossy().contains(&blob(1).digest.to_string()) {
            let file = OpenOptions::new().write(true).open(&path).unwrap();
            file.set_modified(std::time::SystemTime::now() - week).unwrap();
        }
    }
    theirs.discard_old_partials().unwrap();
    assert_eq!(partials(dir.path()).len(), 2);
    let fresh = theirs.resume(Source::Coordinator, blob(2)).await.unwrap().unwrap();
    assert_eq!(fresh.missing(), [0]);
}

/// The files of unfinished blobs.
fn partials(store: &Path) -> Vec<PathBuf> {
    let folders = fs::read_dir(store.join("incoming")).unwrap().map(|entry| entry.unwrap().path());
    let files = |path: PathBuf| -> Vec<PathBuf> {
        match path.is_dir() {
            true => fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()).collect(),
            false => vec![path],
        }
    };
    folders.flat_map(files).collect()
}

/// Alters the content of the one partial in `store`.
fn tear(store: &Path, at: u64) {
    let content: Vec<_> =
        partials(store).into_iter().filter(|path| path.extension().is_some_and(|it| it == "part")).collect();
    assert_eq!(content.len(), 1, "{content:?}");
    let mut file = OpenOptions::new().write(true).open(&content[0]).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(b"torn").unwrap();
}
