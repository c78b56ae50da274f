//! When to stop: Ctrl-C, SIGTERM, or the end of standard input where a parent process holds it open.

use tokio::io::AsyncReadExt;
use tokio::signal::unix::{SignalKind, signal};

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

async fn stdin_ended() {
    let mut stdin = tokio::io::stdin();
    let mut ignored = [0; 64];
    while matches!(stdin.read(&mut ignored).await, Ok(1..)) {}
}
