//! When to stop: Ctrl-C, SIGTERM, or the end of standard input where a parent process holds it open.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// Resolves when the process is asked to stop.
///
/// With `watch_stdin` it also resolves when standard input ends, as it does when the process that started this one
/// dies, however it dies.
pub async fn shutdown_signal(watch_stdin: bool) {
    tokio::select! {
        () = interrupted() => {}
        () = terminated() => {}
        () = stdin_ended(), if watch_stdin => {}
    }
}

async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn terminated() {
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            terminate.recv().await;
        }
        Err(_) => std::future::pending().await,
    }
}

/// Reads on a thread of its own: a read of standard input cannot be cancelled, and must not hold up the runtime's end.
async fn stdin_ended() {
    let (ended, end) = oneshot::channel();
    std::thread::spawn(move || {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        let _ = ended.send(());
    });
    let _ = end.await;
}
