//! A client's side of probes.

use std::time::{Duration, SystemTime};

use tokio::time::{Instant, timeout};

use super::desk::{pad, swallow};
use super::{PROBE_PATIENCE, PROBE_TAG, ProbeReply, ProbeRequest};
use crate::blobs::{StreamError, read_header, write_header};
use crate::closed::{CloseCode, Closed};
use crate::connection::Connection;
use crate::link::{RecvHalf, SendHalf};

/// A connection to the coordinator that measures and does nothing else.
#[derive(Debug)]
pub struct Probe(Connection);

/// What was measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Bytes that arrived.
    pub bytes: u64,
    /// In which time.
    pub elapsed: Duration,
}

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The connection ended: for instance because the coordinator does not accept our certificate.
    #[error("{0}")]
    Lost(Closed),
    /// The other side does not answer as agreed.
    #[error("the coordinator's answer makes no sense ({0}): update both sides to the same release")]
    Garbled(String),
    /// It took too long.
    #[error("no answer within {} s", PROBE_PATIENCE.as_secs())]
    Slow,
}

impl Rate {
    /// Megabits a second.
    pub fn mbit_per_s(self) -> f64 {
        self.bytes as f64 * 8.0 / 1e6 / self.elapsed.as_secs_f64().max(1e-6)
    }
}

impl Probe {
    pub(crate) const fn new(connection: Connection) -> Self {
        Self(connection)
    }

    /// The connection that measures.
    pub const fn connection(&self) -> &Connection {
        &self.0
    }

    /// The coordinator's time, and how long asking took. That it answers is also the proof that it accepted our
    /// certificate.
    ///
    /// # Errors
    /// With the coordinator's reason, where it refused us.
    pub async fn clock(&self) -> Result<(SystemTime, Duration), ProbeError> {
        let began = Instant::now();
        let reply = self.ask(ProbeRequest::Clock, async |mut send, mut recv| {
            send.end_request();
            Ok(read_header(&mut recv).await?)
        });
        match reply.await? {
            ProbeReply::Clock { unix_millis } => {
                let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(unix_millis));
                let time =
                    time.ok_or_else(|| ProbeError::Garbled("a time beyond all calendars".to_owned()))?;
                Ok((time, began.elapsed()))
            }
            other => Err(unexpected(other)),
        }
    }

    /// How fast we can send.
    ///
    /// # Errors
    /// As [`Probe::clock`].
    pub async fn upload(&self) -> Result<Rate, ProbeError> {
        let began = Instant::now();
        let reply = self.ask(ProbeRequest::Up, async |mut send, mut recv| {
            // The coordinator stops reading at its limit, and its reply says how far it came.
            let _ = pad(&mut send).await;
            send.finish().await;
            Ok(read_header(&mut recv).await?)
        });
        match reply.await? {
            ProbeReply::Arrived { bytes } => Ok(Rate { bytes, elapsed: began.elapsed() }),
            other => Err(unexpected(other)),
        }
    }

    /// How fast we can receive.
    ///
    /// # Errors
    /// As [`Probe::clock`].
    pub async fn download(&self) -> Result<Rate, ProbeError> {
        let began = Instant::now();
        let bytes = self.ask(ProbeRequest::Down, async |mut send, mut recv| {
            send.end_request();
            match read_header(&mut recv).await? {
                ProbeReply::Padding => Ok(swallow(&mut recv).await?),
                other => Err(unexpected(other)),
            }
        });
        Ok(Rate { bytes: bytes.await?, elapsed: began.elapsed() })
    }

    /// Hangs up.
    pub async fn end(self) {
        self.0.close(CloseCode::DONE, "measured");
        self.0.drained().await;
    }

    async fn ask<T>(
        &self,
        request: ProbeRequest,
        then: impl AsyncFnOnce(SendHalf, RecvHalf) -> Result<T, ProbeError>,
    ) -> Result<T, ProbeError> {
        let asked = async {
            let (mut send, recv) = self.0.link().open().await.map_err(ProbeError::Lost)?;
            send.write_all(&[PROBE_TAG]).await.map_err(StreamError::from)?;
            write_header(&mut send, &request).await?;
            then(send, recv).await
        };
        match timeout(PROBE_PATIENCE, asked).await.map_err(|_| ProbeError::Slow)? {
            Err(ProbeError::Garbled(problem)) => {
                Err(self.0.last_word().await.map_or(ProbeError::Garbled(problem), ProbeError::Lost))
            }
            found => found,
        }
    }
}

fn unexpected(reply: ProbeReply) -> ProbeError {
    ProbeError::Garbled(format!("unexpected {reply:?}"))
}

impl From<StreamError> for ProbeError {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::Lost(closed) => Self::Lost(closed),
            StreamError::Frame(error) => Self::Garbled(error.to_string()),
            StreamError::Cut(failure) => Self::Garbled(failure.to_string()),
            StreamError::Broken(problem) => Self::Garbled(problem),
        }
    }
}
