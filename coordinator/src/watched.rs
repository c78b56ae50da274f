//! Says so when something takes long that everything else waits for: a disk that hangs, or a fault of this program, looks
//! like a study that stands still, and whoever reads the log must see which of the two it is.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// A disk that is well needs milliseconds, the sum of a large model seconds.
const LONG: Duration = Duration::from_secs(30);

/// Waits for `done`, and warns again and again as long as `what` does not come.
pub(crate) async fn watched<T>(what: &'static str, done: impl Future<Output = T>) -> T {
    let mut done = std::pin::pin!(done);
    let began = Instant::now();
    loop {
        tokio::select! {
            biased;
            done = &mut done => return done,
            () = sleep(LONG) => {
                let seconds = began.elapsed().as_secs();
                tracing::warn!(what, seconds, "everything waits for this: is the disk busy or broken?");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_takes_long_comes_all_the_same() {
        let began = Instant::now();
        let slow = async {
            sleep(10 * LONG).await;
            7
        };
        assert_eq!(watched("a slow disk", slow).await, 7);
        assert_eq!(began.elapsed(), 10 * LONG);
    }
}
