//! Work that waits for the disk or computes for long, out of the way of everything else.
//!
//! The daemons run on several threads, and such work has threads of its own. In virtual time there is one thread and a clock
//! that jumps whenever nobody has anything to do: there the work is done on the spot. That takes no virtual time, costs no
//! change of threads, and comes in the same order every time. Deliberately not for work that waits for another task.

use std::task::Poll;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::JoinError;

/// Does `work` where it holds nobody up.
///
/// # Errors
/// Where it panicked, or the program is ending.
pub async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, JoinError> {
    if Handle::current().runtime_flavor() != RuntimeFlavor::CurrentThread {
        return tokio::task::spawn_blocking(work).await;
    }
    let done = work();
    others_first().await;
    Ok(done)
}

/// Lets the others have their turn, as they have while a thread waits for the disk. Unlike tokio's own way it does not ask
/// the system for news first, which in virtual time never come.
async fn others_first() {
    let mut waited = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut waited, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests {
    use std::thread::current;

    use super::*;

    #[tokio::test]
    async fn one_thread_does_it_itself() {
        assert_eq!(aside(|| current().id()).await.unwrap(), current().id());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn several_threads_have_others_for_it() {
        let worker = tokio::spawn(async { current().id() }).await.unwrap();
        let done = tokio::spawn(aside(|| current().id())).await.unwrap();
        assert_ne!(done.unwrap(), worker);
    }
}
