//! Reading batches before they are needed, so that the network does not wait for the disk or for augmentation.

use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// Threads that read. One keeps a large network busy; the second is for small ones, and for the moments in which
/// the first does not get a processor.
const READERS: usize = 2;
/// Batches that each thread holds ready while it reads another. With the readers' own: four in memory.
const READY: usize = 1;

/// The batches in their order.
pub(crate) struct ReadAhead<T> {
    readers: Vec<Receiver<T>>,
    next: usize,
    waited: Duration,
}

impl<T> ReadAhead<T> {
    /// The next batch.
    ///
    /// # Panics
    /// Where more are taken than were announced.
    pub(crate) fn take(&mut self) -> T {
        let start = Instant::now();
        let readers = self.readers.len();
        let batch = self.readers[self.next % readers].recv().expect("as many batches as were announced");
        self.next += 1;
        self.waited += start.elapsed();
        batch
    }

    /// How long the batches so far were waited for.
    pub(crate) const fn waited(&self) -> Duration {
        self.waited
    }
}

/// Does `work` while batches `0..count` are read by `read`. `work` may end before it has taken all of them.
pub(crate) fn read_ahead<T: Send, R>(
    count: usize,
    read: impl Fn(usize) -> T + Sync,
    work: impl FnOnce(&mut ReadAhead<T>) -> R,
) -> R {
    let readers = READERS.min(count);
    thread::scope(|scope| {
        let start = |first: usize| {
            let (send, receive) = sync_channel(READY);
            let read = &read;
            // Sending fails when nobody wants further batches.
            scope.spawn(move || (first..count).step_by(readers).all(|batch| send.send(read(batch)).is_ok()));
            receive
        };
        let readers = (0..readers).map(start).collect();
        // Given away whole, so that the receivers are gone, and the threads end, before the scope waits for them.
        let mut batches = ReadAhead { readers, next: 0, waited: Duration::ZERO };
        let result = work(&mut batches);
        drop(batches);
        result
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn batches_come_in_order() {
        for count in 0..9 {
            let taken = read_ahead(
                count,
                |batch| batch * batch,
                |batches| (0..count).map(|_| batches.take()).collect::<Vec<_>>(),
            );
            assert_eq!(taken, (0..count).map(|batch| batch * batch).collect::<Vec<_>>());
        }
    }

    #[test]
    fn work_that_stops_early_leaves_no_reader_behind_and_little_read() {
        let read = AtomicUsize::new(0);
        read_ahead(
            1000,
            |_| read.fetch_add(1, Ordering::Relaxed),
            |batches| {
                batches.take();
                batches.take();
            },
        );
        assert!(read.into_inner() <= 2 + READERS * (READY + 1));
    }

    #[test]
    fn waiting_is_measured() {
        let pause = Duration::from_millis(20);
        let waited = read_ahead(
            1,
            |_| thread::sleep(pause),
            |batches| {
                batches.take();
                batches.waited()
            },
        );
        assert!(waited > pause / 2, "{waited:?}");
    }
}
