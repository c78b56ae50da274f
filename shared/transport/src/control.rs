//! The control stream: the one bidirectional stream on which both sides exchange framed messages.
//!
//! It is always the first stream of a connection and begins with its own tag byte, so that it can never be taken
//! for a chunk of a blob. Its messages overtake queued chunks.

use std::sync::atomic::Ordering;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::closed::Closed;
use crate::connection::Connection;
use crate::frame::{self, FrameError, MAX_FRAME, PREFIX_BYTES};
use crate::link::{RecvHalf, SendHalf, StreamFailure};
use crate::refusals::{RefusalCause, Refusals};
use crate::tuning::HANDSHAKE_TIMEOUT;

/// The first byte of the control stream.
const CONTROL_TAG: u8 = 0xC0;

/// Requests for chunks have priority 0, chunks less.
const CONTROL_PRIORITY: i32 = 1;

/// Why the control stream failed. None of them can be mended on the same connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// The connection ended.
    #[error("the connection ended: {0}")]
    Lost(Closed),
    /// The other side gave the stream up.
    #[error("the other side stopped the control stream (code {0}); reconnect")]
    Stopped(u64),
    /// The stream ended in the middle of a message.
    #[error("the control stream ended in the middle of a message; reconnect")]
    CutShort,
    /// A frame broke the rules.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The first stream is not a control stream.
    #[error(
        "the first stream begins with {0:#04x}, not as a control stream: update both sides to the same release"
    )]
    NotControl(u8),
    /// The client opened nothing in time.
    #[error("no control stream within {} s of the handshake", HANDSHAKE_TIMEOUT.as_secs())]
    Silent,
    /// A second control stream was asked for.
    #[error("this connection's control stream was already taken: a connection has one")]
    Taken,
    /// The client opens, the coordinator accepts.
    #[error("the control stream is opened by the client and accepted by the coordinator, never the reverse")]
    WrongSide,
}

/// The sending half of the control stream.
#[derive(Debug)]
pub struct ControlSender {
    stream: SendHalf,
    /// Encoded frames, and how much of them has gone to the link already.
    unsent: Vec<u8>,
    gone: usize,
}

/// The receiving half of the control stream.
#[derive(Debug)]
pub struct ControlReceiver {
    stream: RecvHalf,
    /// The bytes of at most one unfinished frame and what came with it.
    arrived: Vec<u8>,
    /// Where broken frames are counted.
    refusals: Refusals,
}

impl Connection {
    /// On a client: opens the control stream. Must come before any transfer of blobs.
    ///
    /// # Errors
    /// On the coordinator's side, the second time, or where the connection has ended.
    pub async fn open_control(&self) -> Result<(ControlSender, ControlReceiver), ControlError> {
        if !self.is_client() {
            return Err(ControlError::WrongSide);
        }
        self.take_control()?;
        let (mut send, recv) = self.link().open().await.map_err(ControlError::Lost)?;
        send.write_all(&[CONTROL_TAG]).await?;
        Ok(self.halves(send, recv))
    }

    /// On the coordinator: accepts the control stream the client opened.
    ///
    /// # Errors
    /// On a client, the second time, or where the client opens another kind of stream first or none in 10 s.
    pub async fn accept_control(&self) -> Result<(ControlSender, ControlReceiver), ControlError> {
        if self.is_client() {
            return Err(ControlError::WrongSide);
        }
        self.take_control()?;
        let opened = async {
            let (send, mut recv) = self.link().accept().await.map_err(ControlError::Lost)?;
            let mut tag = [0];
            recv.read_exact(&mut tag).await?;
            if tag[0] == CONTROL_TAG {
                Ok(self.halves(send, recv))
            } else {
                Err(ControlError::NotControl(tag[0]))
            }
        };
        let opened = tokio::time::timeout(HANDSHAKE_TIMEOUT, opened).await;
        opened.map_err(|_| ControlError::Silent).flatten().inspect_err(|error| match error {
            ControlError::Silent => self.refusals().count(RefusalCause::SLOW_FIRST_FRAME),
            ControlError::NotControl(_) => self.refusals().count(RefusalCause::BAD_FIRST_STREAM),
            _ => {}
        })
    }

    fn take_control(&self) -> Result<(), ControlError> {
        if self.control_taken().swap(true, Ordering::AcqRel) { Err(ControlError::Taken) } else { Ok(()) }
    }

    fn halves(&self, send: SendHalf, recv: RecvHalf) -> (ControlSender, ControlReceiver) {
        send.hasten(CONTROL_PRIORITY);
        (
            ControlSender { stream: send, unsent: Vec::new(), gone: 0 },
            ControlReceiver { stream: recv, arrived: Vec::new(), refusals: self.refusals().clone() },
        )
    }
}

impl ControlSender {
    /// Sends one message; returns when the link has taken all of it. Cancel safe in this sense: a message whose sending
    /// was cancelled is completed by the next call, never repeated or torn.
    ///
    /// # Errors
    /// A message that is too long is refused before a byte of it is sent, and the stream stays usable.
    pub async fn send<M: Serialize>(&mut self, message: &M) -> Result<(), ControlError> {
        let framed = frame::encode_framed(message)?;
        self.flush().await?;
        self.unsent = framed;
        self.gone = 0;
        self.flush().await
    }

    /// Tells the other side that no more messages will come.
    ///
    /// # Errors
    /// Where the connection has ended.
    pub async fn finish(mut self) -> Result<(), ControlError> {
        self.flush().await?;
        self.stream.finish().await;
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), ControlError> {
        while self.gone < self.unsent.len() {
            self.gone += self.stream.write(&self.unsent[self.gone..]).await?;
        }
        Ok(())
    }
}

impl ControlReceiver {
    /// The next message, or none where the other side has finished. Cancel safe.
    ///
    /// # Errors
    /// After a [`ControlError::Frame`] the place in the stream is lost: close the connection.
    pub async fn receive<M: DeserializeOwned>(&mut self) -> Result<Option<M>, ControlError> {
        loop {
            if let Some(message) = self.take_frame()? {
                return Ok(Some(message));
            }
            if !self.stream.read_into(&mut self.arrived, PREFIX_BYTES + MAX_FRAME).await? {
                return if self.arrived.is_empty() { Ok(None) } else { Err(ControlError::CutShort) };
            }
        }
    }

    /// The first frame of what has arrived, if all of it has.
    fn take_frame<M: DeserializeOwned>(&mut self) -> Result<Option<M>, FrameError> {
        frame::take(&mut self.arrived, MAX_FRAME)
            .inspect_err(|error| self.refusals.count(RefusalCause::of_frame(error)))
    }
}

impl From<StreamFailure> for ControlError {
    fn from(failure: StreamFailure) -> Self {
        match failure {
            StreamFailure::Lost(closed) => Self::Lost(closed),
            StreamFailure::Stopped(code) => Self::Stopped(code),
            StreamFailure::Ended => Self::CutShort,
        }
    }
}
