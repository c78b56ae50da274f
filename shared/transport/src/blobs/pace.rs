//! How fast and when a client's chunks may travel. Control messages are never held up here.

use std::fmt;
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::CHUNK_BYTES;

/// Closed hours are looked at again after this long at the latest: a machine's clock may be set.
const LONGEST_NAP: Duration = Duration::from_secs(60);

const NANOS_PER_SEC: u128 = 1_000_000_000;

/// How long chunks have to wait now for reasons of the hour; none where they may go.
type ClosedFor = dyn Fn() -> Option<Duration> + Send + Sync;

/// When chunks may begin to travel, apart from any rate.
#[derive(Clone)]
pub struct OpeningHours(Arc<ClosedFor>);

impl OpeningHours {
    /// They are closed while `closed_for` says for how long.
    pub fn new(closed_for: impl Fn() -> Option<Duration> + Send + Sync + 'static) -> Self {
        Self(Arc::new(closed_for))
    }

    /// Waits until they are open.
    pub(super) async fn opened(&self) {
        while let Some(pause) = (self.0)() {
            sleep(nap(pause)).await;
        }
    }
}

impl fmt::Debug for OpeningHours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpeningHours").field("closed_for", &(self.0)()).finish()
    }
}

/// How long to wait before the clock is looked at again.
fn nap(closed_for: Duration) -> Duration {
    closed_for.clamp(Duration::from_millis(1), LONGEST_NAP)
}

/// A token bucket over the bytes of chunks, both ways, of all transfers of a client. It holds one chunk: over any time no
/// more goes than the rate allows, and one chunk.
pub struct Pace {
    bytes_per_sec: Option<NonZeroU64>,
    closed_for: Box<ClosedFor>,
    bucket: Mutex<Bucket>,
}

#[derive(Debug)]
struct Bucket {
    bytes: u64,
    at: Instant,
}

impl Pace {
    /// At most `bytes_per_sec`, and nothing while `closed_for` says how long it is closed.
    pub fn new(
        bytes_per_sec: Option<NonZeroU64>,
        closed_for: impl Fn() -> Option<Duration> + Send + Sync + 'static,
    ) -> Self {
        let bucket = Mutex::new(Bucket { bytes: CHUNK_BYTES, at: Instant::now() });
        Self { bytes_per_sec, closed_for: Box::new(closed_for), bucket }
    }

    /// Waits until `bytes` may go, which are a chunk at most. Cancelled, it has taken nothing.
    pub(super) async fn take(&self, bytes: u64) {
        while let Some(pause) = self.try_take(bytes) {
            sleep(pause).await;
        }
    }

    /// How long to wait before another try; none where the bytes may go now.
    fn try_take(&self, bytes: u64) -> Option<Duration> {
        if let Some(pause) = (self.closed_for)() {
            return Some(nap(pause));
        }
        let rate = u128::from(self.bytes_per_sec?.get());
        let now = Instant::now();
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let gained = now.duration_since(bucket.at).as_nanos() * rate / NANOS_PER_SEC;
        // What makes no whole byte goes on growing.
        if gained > 0 {
            let full = u128::from(bucket.bytes) + gained;
            bucket.bytes = u64::try_from(full).unwrap_or(u64::MAX).min(CHUNK_BYTES);
            bucket.at = now;
        }
        match bytes.min(CHUNK_BYTES).checked_sub(bucket.bytes) {
            None | Some(0) => {
                bucket.bytes -= bytes.min(CHUNK_BYTES);
                None
            }
            Some(lacking) => {
                let nanos = (u128::from(lacking) * NANOS_PER_SEC).div_ceil(rate);
                Some(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
            }
        }
    }
}

impl fmt::Debug for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pace").field("bytes_per_sec", &self.bytes_per_sec).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn chunks_of_all_transfers_share_the_rate() {
        // A chunk in two seconds.
        let pace = Arc::new(Pace::new(NonZeroU64::new(CHUNK_BYTES / 2), || None));
        let began = Instant::now();
        let transfers: Vec<_> = (0..2)
            .map(|_| {
                let pace = pace.clone();
                tokio::spawn(async move {
                    for _ in 0..5 {
                        pace.take(CHUNK_BYTES).await;
                    }
                })
            })
            .collect();
        for transfer in transfers {
            transfer.await.unwrap();
        }
        // The first was in the bucket. A timer's grain is a millisecond.
        let expected = Duration::from_secs(9 * 2);
        assert!((expected..expected + Duration::from_millis(20)).contains(&began.elapsed()));
    }

    #[tokio::test(start_paused = true)]
    async fn idle_time_is_not_saved_up_and_cancelled_waiting_costs_nothing() {
        let pace = Pace::new(NonZeroU64::new(CHUNK_BYTES), || None);
        sleep(Duration::from_secs(100)).await;
        pace.take(CHUNK_BYTES).await;
        let began = Instant::now();
        for _ in 0..10 {
            assert!(tokio::time::timeout(Duration::from_millis(50), pace.take(CHUNK_BYTES)).await.is_err());
        }
        pace.take(CHUNK_BYTES).await;
        let expected = Duration::from_secs(1);
        assert!((expected..expected + Duration::from_millis(20)).contains(&began.elapsed()));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_goes_in_closed_hours_and_then_without_a_limit() {
        let open = Arc::new(AtomicBool::new(false));
        let asked = open.clone();
        let pace = Arc::new(Pace::new(None, move || {
            (!asked.load(Ordering::Relaxed)).then_some(Duration::from_secs(3600))
        }));
        let waiting = tokio::spawn({
            let pace = pace.clone();
            async move { pace.take(CHUNK_BYTES).await }
        });
        sleep(Duration::from_secs(600)).await;
        assert!(!waiting.is_finished());
        open.store(true, Ordering::Relaxed);
        let began = Instant::now();
        waiting.await.unwrap();
        assert!(began.elapsed() <= LONGEST_NAP);
        for _ in 0..1_000 {
            pace.take(CHUNK_BYTES).await;
        }
        assert!(began.elapsed() <= LONGEST_NAP);
    }
}
