//! Blobs over a thin, long or lossy line, in memory and in virtual time: how much of it they fill, and whether a control
//! message waits for them.
//!
//! `cargo test -p consilium-transport --test thin_line -- --nocapture` prints the figures of docs/network.md. They are the
//! same every time but for the order of what happens at one instant.

mod consortium;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use consilium_certs::Authority;
use consilium_domain::{BlobRef, Digest, RandomStream, Seed, SiteId};
use consilium_transport::{
    BlobAccess, BlobStore, CHUNK_BYTES, Carriage, Congestion, Connection, ControlReceiver, ControlSender,
    Dialler, Entrance, Inbox, LinkChoice, LinkMemory, Listener, MemoryNetwork, OpeningHours, Pace,
    ProxyChoice, Sockets, Transferred, Tuning, serve_blobs,
};
use consortium::{coordinator, site, store};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

const COORDINATOR: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), 4433);
const SITE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)), 10_000);
/// The largest payload of an Ethernet frame's UDP datagram: larger ones are dropped.
const MTU: usize = 1_472;
/// What IP and UDP add to each datagram.
const HEADERS: usize = 28;
/// How long a datagram may wait for its turn: the buffer of an ordinary router.
const QUEUE: Duration = Duration::from_millis(200);

/// A line between a site and the coordinator, the same both ways.
#[derive(Clone, Copy)]
struct Line {
    mbit_per_s: f64,
    round_trip: Duration,
    loss: f64,
}

/// The long and lossy line.
const LOSSY: Line = Line { mbit_per_s: 50.0, round_trip: Duration::from_millis(100), loss: 0.01 };
/// A small hospital's.
const THIN: Line = Line { mbit_per_s: 10.0, round_trip: Duration::from_millis(40), loss: 0.0 };

/// One direction of it.
struct Lane {
    free: Instant,
    draws: RandomStream,
    postman: mpsc::UnboundedSender<(Instant, SocketAddr, SocketAddr, Vec<u8>)>,
}

struct Wire {
    line: Line,
    lanes: Mutex<HashMap<IpAddr, Lane>>,
    inboxes: Arc<Mutex<HashMap<SocketAddr, Inbox>>>,
}

impl Wire {
    fn new(line: Line) -> Arc<Self> {
        let inboxes: Arc<Mutex<HashMap<SocketAddr, Inbox>>> = Arc::default();
        let lane = |from: IpAddr| {
            let (postman, mut letters) =
                mpsc::unbounded_channel::<(Instant, SocketAddr, SocketAddr, Vec<u8>)>();
            let inboxes = inboxes.clone();
            tokio::spawn(async move {
                while let Some((at, from, to, datagram)) = letters.recv().await {
                    sleep_until(at).await;
                    let inbox = inboxes.lock().unwrap().get(&to).cloned();
                    if let Some(inbox) = inbox {
                        inbox.put(from, datagram);
                    }
                }
            });
            (
                from,
                Lane {
                    free: Instant::now(),
                    draws: Seed::from_number(7).derive(&from.to_string()).stream(),
                    postman,
                },
            )
        };
        let lanes = Mutex::new([COORDINATOR.ip(), SITE.ip()].map(lane).into_iter().collect());
        Arc::new(Self { line, lanes, inboxes })
    }
}

/// The sockets of one end.
struct End(Arc<Wire>, SocketAddr);

impl MemoryNetwork for End {
    fn plug_in(&self, _: SocketAddr, inbox: Inbox) -> io::Result<SocketAddr> {
        self.0.inboxes.lock().unwrap().insert(self.1, inbox);
        Ok(self.1)
    }

    fn pull_out(&self, address: SocketAddr) {
        self.0.inboxes.lock().unwrap().remove(&address);
    }

    fn carry(&self, from: SocketAddr, to: SocketAddr, datagram: &[u8]) {
        let (line, now) = (self.0.line, Instant::now());
        let mut lanes = self.0.lanes.lock().unwrap();
        let lane = lanes.get_mut(&from.ip()).expect("both ends have a lane");
        let lost = lane.draws.uniform() < line.loss;
        if datagram.len() > MTU || lost || lane.free.saturating_duration_since(now) > QUEUE {
            return;
        }
        let bits = 8.0 * (datagram.len() + HEADERS) as f64;
        lane.free = lane.free.max(now) + Duration::from_secs_f64(bits / (line.mbit_per_s * 1e6));
        let _ = lane.postman.send((lane.free + line.round_trip / 2, from, to, datagram.to_vec()));
    }
}

struct Everything;

impl BlobAccess for Everything {
    fn may_read(&self, _: &SiteId, _: &Digest) -> bool {
        true
    }

    fn may_write(&self, _: &SiteId, _: &BlobRef) -> bool {
        true
    }
}

/// A site at one end of a line, and the coordinator's store at the other.
struct Scene {
    client: Connection,
    control: (ControlSender, ControlReceiver),
    theirs: BlobStore,
    ours: BlobStore,
    _listener: Listener,
    _dirs: [tempfile::TempDir; 2],
}

impl Scene {
    /// The coordinator says every control message back.
    async fn new(line: Line, congestion: Congestion) -> Self {
        let authority = Authority::create("North").unwrap();
        let tuning = Tuning { congestion, ..Tuning::default() };
        let wire = Wire::new(line);
        let sockets = |address| Sockets::within(Arc::new(End(wire.clone(), address)));
        let entrance = Entrance::default().over(sockets(COORDINATOR));
        let mut listener =
            Listener::bind_with(COORDINATOR, None, &coordinator(&authority), &entrance, tuning).unwrap();
        let dialler = Dialler {
            host: COORDINATOR.ip().to_string(),
            port: COORDINATOR.port(),
            tcp_port: COORDINATOR.port(),
            link: LinkChoice::Quic,
            proxy: ProxyChoice::None,
            tuning,
        };
        let identity = site(&authority, "st-elsewhere");
        let memory = LinkMemory::of_this_process();
        let client = dialler.connect_over(&sockets(SITE), &identity, &memory).await.unwrap();
        let server = listener.accept().await.unwrap().unwrap();
        let control = client.open_control().await.unwrap();
        let ((ours_dir, ours), (theirs_dir, theirs)) = (store(), store());
        let (echo, served) = (server.clone(), theirs.clone());
        tokio::spawn(async move {
            let (mut sender, mut receiver) = echo.accept_control().await.unwrap();
            let say_back = async {
                while let Ok(Some(message)) = receiver.receive::<u64>().await {
                    sender.send(&message).await.unwrap();
                }
            };
            tokio::join!(say_back, serve_blobs(echo.clone(), served, Arc::new(Everything)))
        });
        Self { client, control, theirs, ours, _listener: listener, _dirs: [ours_dir, theirs_dir] }
    }

    /// Says something every second until `done`, and how long the answers took.
    async fn answers_until<T>(&mut self, done: impl Future<Output = T>) -> Answers {
        let (sender, receiver) = &mut self.control;
        let mut done = std::pin::pin!(done);
        let (mut answers, mut number) = (Vec::new(), 0);
        loop {
            tokio::select! {
                _ = &mut done => return Answers::of(answers),
                () = sleep(Duration::from_secs(1)) => {}
            }
            number += 1;
            let asked = Instant::now();
            let answered = async {
                sender.send(&number).await.unwrap();
                assert_eq!(receiver.receive::<u64>().await.unwrap(), Some(number));
            };
            tokio::select! {
                _ = &mut done => return Answers::of(answers),
                () = answered => answers.push(asked.elapsed()),
            }
        }
    }
}

/// How long answers to control messages took.
#[derive(Debug)]
struct Answers {
    count: usize,
    median: Duration,
    slowest: Duration,
}

impl Answers {
    fn of(mut answers: Vec<Duration>) -> Self {
        answers.sort_unstable();
        let count = answers.len();
        Self { count, median: answers[count / 2], slowest: answers[count - 1] }
    }
}

fn content(megabytes: usize) -> Vec<u8> {
    let mut random = Seed::from_number(7).stream();
    std::iter::repeat_with(|| random.next_u64().to_le_bytes()).flatten().take(megabytes << 20).collect()
}

/// The share of the line that an upload, and a download, of a large model fills.
async fn shares(line: Line, congestion: Congestion) -> [f64; 2] {
    const MEGABYTES: usize = 100;
    let scene = Scene::new(line, congestion).await;
    let share = |began: Instant| {
        let mbit_per_s = (MEGABYTES << 20) as f64 * 8.0 / 1e6 / began.elapsed().as_secs_f64();
        mbit_per_s / line.mbit_per_s
    };
    let blob = scene.ours.insert(content(MEGABYTES)).await.unwrap();
    let began = Instant::now();
    scene.client.upload(blob, &scene.ours).await.unwrap();
    let up = share(began);
    let (_dir, third) = store();
    let began = Instant::now();
    scene.client.fetch(blob, &third).await.unwrap();
    [up, share(began)]
}

#[tokio::test(start_paused = true)]
async fn bbr_fills_a_long_lossy_line_and_cubic_does_not() {
    let [cubic, bbr] = [shares(LOSSY, Congestion::Cubic).await, shares(LOSSY, Congestion::Bbr).await];
    for (name, [up, down]) in [("cubic", cubic), ("bbr", bbr)] {
        println!("50 Mbit/s, 100 ms, 1 % loss, {name}: {:.0} % up, {:.0} % down", up * 100.0, down * 100.0);
    }
    assert!(bbr.iter().all(|share| *share >= 0.8), "{bbr:?}");
    assert!(cubic.iter().all(|share| *share < 0.5), "{cubic:?}");
}

#[tokio::test(start_paused = true)]
async fn a_control_message_does_not_wait_for_blobs() {
    // A chunk takes 0.84 s, and eight are queued at the sender. A message that overtakes them all waits in the router, and
    // once more where a full router has dropped it.
    let through_the_router = QUEUE + THIN.round_trip + Duration::from_millis(60);
    let mut scene = Scene::new(THIN, Congestion::Cubic).await;
    let blob = scene.ours.insert(content(20)).await.unwrap();
    let (client, ours) = (scene.client.clone(), scene.ours.clone());
    let beside_upload = scene.answers_until(async { client.upload(blob, &ours).await.unwrap() }).await;
    assert!(scene.theirs.contains(&blob.digest).await);
    let (_dir, third) = store();
    let beside_fetch = scene.answers_until(async { client.fetch(blob, &third).await.unwrap() }).await;
    for (what, answers) in [("an upload", beside_upload), ("a download", beside_fetch)] {
        println!("10 Mbit/s, 40 ms, beside {what}: {answers:?}");
        assert!(answers.count >= 10, "{answers:?}");
        assert!(
            answers.median < through_the_router && answers.slowest < 2 * through_the_router,
            "{answers:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_site_takes_no_more_of_its_line_than_it_wants_and_still_talks() {
    let mut scene = Scene::new(THIN, Congestion::Cubic).await;
    let blob = scene.ours.insert(content(10)).await.unwrap();
    let (client, ours) = (scene.client.clone(), scene.ours.clone());
    // A megabit a second, both ways.
    let rate = 125_000;
    let carriage = Carriage::at(Pace::new(NonZeroU64::new(rate), || None));
    let (_dir, third) = store();
    let began = Instant::now();
    let both = async {
        client.upload_by(&carriage, blob, &ours).await.unwrap();
        client.fetch_by(&carriage, blob, &third).await.unwrap();
    };
    let answers = scene.answers_until(both).await;
    let least = Duration::from_secs_f64((20.0 - 1.0) * CHUNK_BYTES as f64 / rate as f64);
    assert!(began.elapsed() >= least, "{:?}", began.elapsed());
    assert!(answers.slowest < Duration::from_millis(300), "{answers:?}");
}

/// A hospital's hours end in the middle of an upload: the chunks on their way arrive, no other begins, and when the hours
/// begin again it goes on with what is missing, over the same connection.
#[tokio::test(start_paused = true)]
async fn an_upload_stands_still_outside_the_hours_and_goes_on_after_them() {
    const HOUR: Duration = Duration::from_secs(3_600);
    let scene = Scene::new(THIN, Congestion::Cubic).await;
    let began = Instant::now();
    // Open for two seconds, closed for ten hours.
    let closed_for = move || {
        let passed = began.elapsed();
        (passed > Duration::from_secs(2)).then(|| (10 * HOUR).checked_sub(passed)).flatten()
    };
    let carriage = Carriage::default().to(true).within(OpeningHours::new(closed_for));
    let blob = scene.ours.insert(content(20)).await.unwrap();
    let (client, store, theirs) = (scene.client.clone(), scene.ours.clone(), carriage.clone());
    let upload = tokio::spawn(async move { client.upload_by(&theirs, blob, &store).await });
    sleep(HOUR).await;
    let moved = carriage.moved();
    assert!(moved > 0 && moved < blob.bytes, "{moved} of {}", blob.bytes);
    sleep(8 * HOUR).await;
    assert_eq!(carriage.moved(), moved, "nothing leaves outside the hours");
    assert_eq!(upload.await.unwrap().unwrap(), Transferred::Moved);
    assert_eq!(carriage.moved(), blob.bytes, "every chunk went once");
    assert!(scene.theirs.contains(&blob.digest).await);
}
