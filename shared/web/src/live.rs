//! Who looks on, and what they are sent: the newest snapshot, whenever it is another one.
//!
//! The page is drawn at most once a second however many look, and not at all while nobody does. A listener that does not
//! read is let go; what it missed is in the next snapshot.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Bytes;
use hyper::body::{Body, Frame};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::Instant;

use crate::Source;

/// Listeners at once: a consortium's admins with a few windows each.
const MAX_LISTENERS: usize = 32;
/// Between two looks: what a person follows.
const LOOK: Duration = Duration::from_secs(1);
/// How old a drawing may be that is shown to one more.
const FRESH: Duration = Duration::from_millis(250);
/// Silence after which a listener is told that we are here, so that a dead connection is found.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long a listener may take to read what it was sent.
const PATIENCE: Duration = Duration::from_secs(10);
/// What a listener hears first: how many milliseconds to wait before it comes again.
const GREETING: &str = "retry: 1000\n\n";

/// The page as it was drawn last.
#[derive(Debug, Default)]
pub(crate) struct Drawn {
    pub(crate) html: String,
    snapshot: String,
}

/// The newest drawing and everybody who waits for the next.
pub(crate) struct Live {
    latest: watch::Sender<Arc<Drawn>>,
    /// When it was drawn. Locked while it is, so that many who come at once get one drawing.
    drawn: Mutex<Option<Instant>>,
    places: Arc<Semaphore>,
}

/// There is no place for one more listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

impl Default for Live {
    fn default() -> Self {
        let (latest, places) = (watch::Sender::default(), Arc::new(Semaphore::new(MAX_LISTENERS)));
        Self { latest, drawn: Mutex::default(), places }
    }
}

impl Live {
    /// The page as it is now.
    pub(crate) async fn now(&self, source: &impl Source) -> Arc<Drawn> {
        self.draw(source).await;
        self.latest.borrow().clone()
    }

    async fn draw(&self, source: &impl Source) {
        let mut drawn = self.drawn.lock().await;
        if drawn.is_some_and(|at| at.elapsed() < FRESH) {
            return;
        }
        let page = source.page().await;
        let fresh = Drawn { html: page.to_html(), snapshot: page.to_snapshot() };
        *drawn = Some(Instant::now());
        self.latest.send_if_modified(|latest| {
            let changed = latest.snapshot != fresh.snapshot;
            if changed {
                *latest = Arc::new(fresh);
            }
            changed
        });
    }

    /// Draws as long as somebody looks. Never ends.
    pub(crate) async fn keep(&self, source: &impl Source) {
        loop {
            tokio::time::sleep(LOOK).await;
            if self.latest.receiver_count() > 0 {
                self.draw(source).await;
            }
        }
    }

    /// One more listener, who hears the present state at once.
    pub(crate) async fn listen(&self, source: &impl Source) -> Result<Feed, Full> {
        let place = self.places.clone().try_acquire_owned().map_err(|_| Full)?;
        self.draw(source).await;
        let (sender, receiver) = mpsc::channel(1);
        let mut latest = self.latest.subscribe();
        latest.mark_changed();
        tokio::spawn(feed(latest, sender, place));
        Ok(Feed(receiver))
    }
}

/// Sends `listener` every new drawing until it is gone or does not read.
async fn feed(
    mut latest: watch::Receiver<Arc<Drawn>>,
    listener: mpsc::Sender<Bytes>,
    _place: OwnedSemaphorePermit,
) {
    let mut event = Bytes::from_static(GREETING.as_bytes());
    loop {
        if listener.send_timeout(event, PATIENCE).await.is_err() {
            return;
        }
        event = tokio::select! {
            changed = latest.changed() => {
                if changed.is_err() {
                    return;
                }
                let drawn = latest.borrow_and_update().clone();
                format!("data: {}\n\n", drawn.snapshot).into()
            }
            () = tokio::time::sleep(HEARTBEAT) => Bytes::from_static(b":\n\n"),
            () = listener.closed() => return,
        };
    }
}

/// The body of a listener's answer: it ends when the listener is let go.
pub(crate) struct Feed(mpsc::Receiver<Bytes>);

impl Body for Feed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|event| event.map(|bytes| Ok(Frame::data(bytes))))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::Page;

    /// Shows how often it was drawn, or the same for ever.
    #[derive(Default)]
    struct Counting {
        drawn: AtomicU32,
        moves: bool,
    }

    impl Source for Counting {
        async fn page(&self) -> Page {
            let number = self.drawn.fetch_add(1, Ordering::Relaxed);
            let lead = if self.moves { number.to_string() } else { "still".to_owned() };
            Page { title: String::new(), lead, sections: Vec::new() }
        }

        async fn metrics(&self) -> String {
            String::new()
        }

        async fn report(&self, _: String) -> Option<String> {
            None
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_listener_hears_the_state_at_once_and_then_changes_alone() {
        let (live, source) = (Live::default(), Counting { moves: false, ..Counting::default() });
        let mut feed = live.listen(&source).await.unwrap();
        assert_eq!(feed.0.recv().await.unwrap(), GREETING);
        assert!(feed.0.recv().await.unwrap().starts_with(b"data: {"));
        tokio::select! {
            () = live.keep(&source) => {}
            beat = feed.0.recv() => assert_eq!(beat.unwrap(), ":\n\n"),
        }
        assert!(source.drawn.load(Ordering::Relaxed) > 10, "looked at every second");
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_read_is_let_go_and_holds_up_nobody() {
        let (live, source) = (Live::default(), Counting { moves: true, ..Counting::default() });
        let mut slow = live.listen(&source).await.unwrap();
        let mut quick = live.listen(&source).await.unwrap();
        let read = async {
            let mut heard = 0;
            while heard < 30 {
                heard += u32::from(quick.0.recv().await.unwrap().starts_with(b"data: "));
            }
        };
        tokio::select! {
            () = live.keep(&source) => {}
            () = read => {}
        }
        assert_eq!(slow.0.recv().await.unwrap(), GREETING);
        assert!(slow.0.recv().await.is_none(), "its sender is gone");
        assert_eq!(live.places.available_permits(), MAX_LISTENERS - 1);
    }

    #[tokio::test(start_paused = true)]
    async fn there_are_places_for_so_many_and_nothing_is_drawn_for_nobody() {
        let (live, source) = (Live::default(), Counting::default());
        let mut feeds = Vec::new();
        for _ in 0..MAX_LISTENERS {
            feeds.push(live.listen(&source).await.unwrap());
        }
        assert_eq!(source.drawn.load(Ordering::Relaxed), 1, "many who come at once get one drawing");
        assert_eq!(live.listen(&source).await.err(), Some(Full));
        feeds.clear();
        // Their senders notice it.
        tokio::time::sleep(LOOK).await;
        let _ = tokio::time::timeout(10 * LOOK, live.keep(&source)).await;
        assert_eq!(source.drawn.load(Ordering::Relaxed), 1);
        assert_eq!(live.places.available_permits(), MAX_LISTENERS);
    }
}
