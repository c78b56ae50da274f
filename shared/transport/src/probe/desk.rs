//! The coordinator's side of probes: few at once, seldom, and each of bounded size and time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use consilium_domain::Role;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use super::{PIECE_BYTES, PROBE_BYTES, PROBE_PATIENCE, PROBE_TAG, PROBE_TIME, ProbeReply, ProbeRequest};
use crate::blobs::{StreamError, read_header, write_header};
use crate::closed::CloseCode;
use crate::connection::Connection;
use crate::link::{RecvHalf, SendHalf};
use crate::refusals::RefusalCause;

/// Connections that measure at once: they use the line that studies need.
const PROBES_AT_ONCE: usize = 2;

/// Connections that one holder may begin within [`PROBE_PAUSE`]: a doctor needs four, and is
/// run again after a mend.
const PROBES_PER_PAUSE: u32 = 12;

/// See [`PROBES_PER_PAUSE`].
const PROBE_PAUSE: Duration = Duration::from_secs(60);

/// Streams on one connection: the clock, both ways, and one more.
const PROBES_PER_CONNECTION: usize = 4;

/// How long one connection may last.
const CONNECTION_TIME: Duration = Duration::from_secs(45);

/// Serves probes and keeps the books about who asked. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct ProbeDesk {
    seats: Arc<Semaphore>,
    /// When the present minute of each holder began, and how often it came. At most one entry a certificate.
    lately: Arc<Mutex<HashMap<Role, (Instant, u32)>>>,
}

impl Default for ProbeDesk {
    fn default() -> Self {
        Self { seats: Arc::new(Semaphore::new(PROBES_AT_ONCE)), lately: Arc::default() }
    }
}

impl ProbeDesk {
    /// Serves the probes of `connection` until it ends.
    pub(crate) async fn serve(&self, connection: Connection) {
        if !self.is_welcome(connection.peer()) {
            connection.refusals().count(RefusalCause::PROBED_TOO_OFTEN);
            let reason = "the network was measured from here several times just now: try again in a minute";
            return connection.close(CloseCode::PROBED_TOO_OFTEN, reason);
        }
        let served = async {
            let _seat = self.seats.acquire().await.expect("the semaphore is never closed");
            for _ in 0..PROBES_PER_CONNECTION {
                // No connection, no more probes.
                let Ok((send, recv)) = connection.link().accept().await else { return };
                if let Err(error) = answer(&connection, send, recv).await {
                    tracing::debug!(peer = %connection.peer(), %error, "a probe was given up");
                    return connection
                        .close(CloseCode::PROTOCOL, "a probe was not understood or took too long");
                }
            }
            // The last answer is on its way: it is the client that hangs up.
            connection.closed().await;
        };
        if timeout(CONNECTION_TIME, served).await.is_err() {
            connection.close(CloseCode::DONE, "measuring took too long");
        }
    }

    fn is_welcome(&self, peer: &Role) -> bool {
        let mut lately = self.lately.lock().unwrap_or_else(PoisonError::into_inner);
        lately.retain(|_, (began, _)| began.elapsed() < PROBE_PAUSE);
        let (_, count) = lately.entry(peer.clone()).or_insert((Instant::now(), 0));
        *count += 1;
        *count <= PROBES_PER_PAUSE
    }
}

async fn answer(connection: &Connection, send: SendHalf, recv: RecvHalf) -> Result<(), StreamError> {
    match timeout(PROBE_PATIENCE, answer_in_time(connection, send, recv)).await {
        Ok(answered) => answered.inspect_err(|error| {
            if let StreamError::Frame(error) = error {
                connection.refusals().count(RefusalCause::of_frame(error));
            }
        }),
        Err(_) => Err(StreamError::Broken("it took too long".to_owned())),
    }
}

async fn answer_in_time(
    connection: &Connection,
    mut send: SendHalf,
    mut recv: RecvHalf,
) -> Result<(), StreamError> {
    let mut tag = [0];
    recv.read_exact(&mut tag).await?;
    if tag[0] != PROBE_TAG {
        connection.refusals().count(RefusalCause::UNKNOWN_STREAM);
        return Err(StreamError::Broken(format!("a stream began with {:#04x}, not as a probe", tag[0])));
    }
    match read_header(&mut recv).await? {
        ProbeRequest::Clock => {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            let unix_millis = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
            write_header(&mut send, &ProbeReply::Clock { unix_millis }).await?;
        }
        ProbeRequest::Up => {
            let bytes = swallow(&mut recv).await?;
            write_header(&mut send, &ProbeReply::Arrived { bytes }).await?;
        }
        ProbeRequest::Down => {
            write_header(&mut send, &ProbeReply::Padding).await?;
            pad(&mut send).await?;
        }
    }
    send.finish().await;
    Ok(())
}

/// Reads to the end of the stream, the limit or the time.
pub(super) async fn swallow(recv: &mut RecvHalf) -> Result<u64, StreamError> {
    let began = Instant::now();
    let (mut bytes, mut buffer) = (0, vec![0; PIECE_BYTES]);
    while bytes < PROBE_BYTES && began.elapsed() < PROBE_TIME + PROBE_TIME {
        match recv.read(&mut buffer).await? {
            0 => break,
            read => bytes += read as u64,
        }
    }
    recv.stop();
    Ok(bytes)
}

/// Sends padding up to the limit or the time.
pub(super) async fn pad(send: &mut SendHalf) -> Result<u64, StreamError> {
    let began = Instant::now();
    let (mut bytes, piece) = (0, vec![0x5a; PIECE_BYTES]);
    while bytes < PROBE_BYTES && began.elapsed() < PROBE_TIME {
        let left = usize::try_from(PROBE_BYTES - bytes).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
        bytes += send.write(&piece[..left]).await? as u64;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_measures_too_often_waits_and_others_do_not() {
        let desk = ProbeDesk::default();
        let site = |name: &str| Role::Site(name.parse().unwrap());
        assert!((0..PROBES_PER_PAUSE).all(|_| desk.is_welcome(&site("a"))));
        assert!(!desk.is_welcome(&site("a")));
        assert!(desk.is_welcome(&site("b")));
        tokio::time::advance(PROBE_PAUSE).await;
        assert!(desk.is_welcome(&site("a")));
        assert_eq!(desk.lately.lock().unwrap().len(), 1, "who is gone is forgotten");
    }
}
