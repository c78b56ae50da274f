//! The daemon's side of the socket. Requests are handed to the daemon's loop, which alone changes decisions.

use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::AbortHandle;

use super::MAX_REQUEST_BYTES;
use super::address::Address;
use crate::steward::{Answer, Request};

/// Connections at once: a few people and a script.
const MAX_CONNECTIONS: usize = 8;
/// How long a connection may take to ask, and then to be answered. The daemon's loop answers between two messages.
const PATIENCE: Duration = Duration::from_secs(30);
/// Pause after the system refused a connection, so that the loop does not spin.
const AFTER_AN_ERROR: Duration = Duration::from_millis(500);
const ROOT: u32 = 0;

/// The socket cannot be made.
#[derive(Debug, thiserror::Error)]
#[error(
    "the control socket in {path} cannot be made: {source}; the state folder must be on a local \
     disk with space, and writable"
)]
pub struct ControlError {
    path: PathBuf,
    source: io::Error,
}

/// A request, and where its answer goes.
pub(crate) struct Asked {
    pub(crate) request: Request,
    pub(crate) answer: oneshot::Sender<Answer>,
}

/// The socket; it is gone when this is dropped.
pub(crate) struct ControlSocket {
    path: PathBuf,
    serving: AbortHandle,
    asked: mpsc::Sender<Asked>,
}

impl ControlSocket {
    /// Another way to ask, for those within this process.
    pub(crate) fn asker(&self) -> mpsc::Sender<Asked> {
        self.asked.clone()
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        self.serving.abort();
        // What is left is replaced by the next daemon, and answers nobody until then.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Listens in the folder `state`, of which the caller holds the decisions: a socket that is there is a dead one's.
pub(crate) fn serve(state: &Path) -> Result<(ControlSocket, mpsc::Receiver<Asked>), ControlError> {
    let failed = |source| ControlError { path: state.to_owned(), source };
    let address = Address::in_folder(state).map_err(failed)?;
    match std::fs::remove_file(&address.path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let listener = UnixListener::bind(&address.path).map_err(failed)?;
    let private = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(&address.path, private).map_err(failed)?;
    let owner = std::fs::metadata(&address.path).map_err(failed)?.uid();
    let (asked, requests) = mpsc::channel(MAX_CONNECTIONS);
    let serving = tokio::spawn(accept(listener, owner, asked.clone())).abort_handle();
    Ok((ControlSocket { path: state.join("control.sock"), serving, asked }, requests))
}

async fn accept(listener: UnixListener, owner: u32, asked: mpsc::Sender<Asked>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let place = places.clone().acquire_owned().await.expect("the semaphore is never closed");
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "the control socket takes no connection");
                tokio::time::sleep(AFTER_AN_ERROR).await;
                continue;
            }
        };
        // Between `bind` and the permissions another user could connect.
        match stream.peer_cred().map(|peer| peer.uid()) {
            Ok(uid) if uid == owner || uid == ROOT => {}
            other => {
                tracing::warn!(peer = ?other, "a stranger at the control socket was turned away");
                continue;
            }
        }
        let asked = asked.clone();
        tokio::spawn(async move {
            if let Err(error) = tokio::time::timeout(PATIENCE, converse(stream, asked)).await {
                tracing::debug!(%error, "a control connection took too long");
            }
            drop(place);
        });
    }
}

/// One request, one answer.
async fn converse(stream: UnixStream, asked: mpsc::Sender<Asked>) -> io::Result<()> {
    let (reading, mut writing) = stream.into_split();
    let mut line = String::new();
    BufReader::new(reading.take(MAX_REQUEST_BYTES)).read_line(&mut line).await?;
    let answer = match serde_json::from_str(&line) {
        Err(error) => Answer::Refused(format!("this is not a request: {error}")),
        Ok(request) => {
            let (answer, answered) = oneshot::channel();
            let heard = asked.send(Asked { request, answer }).await.is_ok();
            let stopping = || Answer::Refused("the client is stopping; ask again".into());
            if heard { answered.await.unwrap_or_else(|_| stopping()) } else { stopping() }
        }
    };
    let mut text = serde_json::to_vec(&answer).expect("answers are plain data");
    text.push(b'\n');
    writing.write_all(&text).await?;
    writing.shutdown().await
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, Write};

    use super::*;

    /// What the socket in `state` answers to `line`.
    async fn ask(state: &Path, line: Vec<u8>) -> String {
        let state = state.to_owned();
        let talk = move || {
            let address = Address::in_folder(&state).unwrap();
            let mut stream = std::os::unix::net::UnixStream::connect(&address.path).unwrap();
            // It may be hung up on before all is written.
            let _ = stream.write_all(&line);
            let mut answer = String::new();
            let _ = std::io::BufReader::new(stream).read_line(&mut answer);
            answer
        };
        tokio::task::spawn_blocking(talk).await.unwrap()
    }

    #[tokio::test]
    async fn the_socket_is_private_answers_requests_and_refuses_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        // Longer than a socket's path may be.
        let state = folder.path().join("s".repeat(120));
        std::fs::create_dir(&state).unwrap();
        let (socket, mut requests) = serve(&state).unwrap();
        let mode = std::fs::metadata(state.join("control.sock")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let daemon = tokio::spawn(async move {
            while let Some(Asked { request, answer }) = requests.recv().await {
                let _ = answer.send(Answer::Done(format!("{request:?}")));
            }
        });
        let answer = ask(&state, b"{\"command\":\"pause\"}\n".to_vec()).await;
        assert_eq!(answer, "{\"done\":\"Pause\"}\n");
        for wrong in
            ["", "{}", "{\"command\":\"explode\"}", "{\"command\":\"approve\"}", &"x".repeat(100_000)]
        {
            let answer = ask(&state, format!("{wrong}\n").into_bytes()).await;
            assert!(
                answer.starts_with("{\"refused\":\"this is not a request") || answer.is_empty(),
                "{wrong:.20}: {answer}"
            );
        }
        drop(socket);
        daemon.await.unwrap();
        assert!(!state.join("control.sock").exists());
    }

    #[tokio::test]
    async fn a_dead_daemons_socket_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        drop(std::os::unix::net::UnixListener::bind(folder.path().join("control.sock")).unwrap());
        let (_socket, _requests) = serve(folder.path()).unwrap();
    }
}
