//! The link's own stream: signs of life, and the goodbye.
//!
//! It is the first stream of a connection and begins with its own tag byte. Its messages are frames of
//! [`crate::frame`]. Each side sends a `Ping` as often as QUIC would keep its connection alive, and counts the other
//! as lost when no byte of any stream arrived for the idle timeout.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::socket::Meter;
use super::{Farewell, Fate};
use crate::closed::{CloseCode, Closed, MAX_REASON_CHARS, printable};
use crate::frame::{self, FrameError};
use crate::refusals::{RefusalCause, Refusals};
use crate::tuning::Tuning;

/// The first byte of the link's own stream.
pub(crate) const LINK_TAG: u8 = 0x11;

/// The longest frame of this stream: a goodbye whose reason has as many characters as are shown, of four bytes each.
const MAX_LINK_FRAME: usize = 4 * MAX_REASON_CHARS + 16;

/// Read at once from this stream: more than any frame.
const READ_BYTES: usize = 2 * 1024;

/// What is said on the link's own stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum LinkFrame {
    /// Are you there?
    Ping,
    /// I am.
    Pong,
    /// The connection ends now, and why.
    Goodbye { code: u32, reason: String },
}

/// Why [`keep`] stopped keeping.
pub(super) enum Ending {
    /// We leave, and have something to say.
    Leaving(Farewell),
    /// It is over; nothing can be said any more, or need be.
    Over(Closed),
}

/// The raw stream.
pub(super) struct LinkStream {
    stream: yamux::Stream,
    arrived: Vec<u8>,
    /// Where the coordinator counts what breaks the rules; on a client nobody looks.
    refusals: Refusals,
}

impl LinkFrame {
    /// The frame that `bytes` begin with, if all of it is there; takes it from them.
    pub(crate) fn take(bytes: &mut Vec<u8>) -> Result<Option<Self>, FrameError> {
        frame::take(bytes, MAX_LINK_FRAME)
    }
}

impl LinkStream {
    pub(super) const fn new(stream: yamux::Stream, refusals: Refusals) -> Self {
        Self { stream, arrived: Vec::new(), refusals }
    }

    /// On the client: says what this stream is.
    pub(super) async fn announce(&mut self) -> std::io::Result<()> {
        self.write(&[LINK_TAG]).await
    }

    /// On the coordinator: whether the client said so.
    pub(super) async fn recognise(&mut self) -> Result<(), String> {
        while self.arrived.is_empty() {
            if self.read().await.map_err(|error| error.to_string())? == 0 {
                return Err("the first stream ended before it began".to_owned());
            }
        }
        match self.arrived.remove(0) {
            LINK_TAG => Ok(()),
            other => Err(format!("the first stream begins with {other:#04x}, not as the link's own")),
        }
    }

    async fn read(&mut self) -> std::io::Result<usize> {
        let Self { stream, arrived, .. } = self;
        std::future::poll_fn(|cx| {
            let mut buffer = [0; READ_BYTES];
            futures_io::AsyncRead::poll_read(std::pin::Pin::new(&mut *stream), cx, &mut buffer).map_ok(
                |read| {
                    arrived.extend_from_slice(&buffer[..read]);
                    read
                },
            )
        })
        .await
    }

    async fn write(&mut self, mut bytes: &[u8]) -> std::io::Result<()> {
        let Self { stream, .. } = self;
        while !bytes.is_empty() {
            let written = std::future::poll_fn(|cx| {
                futures_io::AsyncWrite::poll_write(std::pin::Pin::new(&mut *stream), cx, bytes)
            });
            bytes = &bytes[written.await?..];
        }
        Ok(())
    }

    async fn say(&mut self, message: &LinkFrame) -> std::io::Result<()> {
        let framed = frame::encode_framed(message).expect("a reason is cut to fit a frame");
        self.write(&framed).await
    }

    /// Says goodbye; that it is heard is for the driver to see to.
    pub(super) async fn goodbye(&mut self, (code, reason): Farewell) -> std::io::Result<()> {
        let reason = printable(reason.as_bytes());
        self.say(&LinkFrame::Goodbye { code: code.number(), reason }).await
    }

    /// The next frame. Cancel safe.
    async fn hear(&mut self) -> Result<LinkFrame, Ending> {
        loop {
            match LinkFrame::take(&mut self.arrived) {
                Ok(Some(message)) => return Ok(message),
                Ok(None) => {}
                Err(error) => {
                    self.refusals.count(RefusalCause::of_frame(&error));
                    return Err(Ending::Leaving((CloseCode::PROTOCOL, error.to_string())));
                }
            }
            match self.read().await {
                Ok(1..) => {}
                Ok(0) | Err(_) => return Err(Ending::Over(Closed::without_a_word())),
            }
        }
    }
}

/// Keeps the connection alive and watches over it until it ends. `closing` is the listener's goodbye to everybody.
pub(super) async fn keep(
    link: &mut LinkStream,
    fate: &Fate,
    closing: &mut watch::Receiver<Option<Farewell>>,
    meter: &Meter,
    tuning: Tuning,
) -> Ending {
    let silence = tuning.silence();
    let mut ticks = interval(tuning.keep_alive());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut heard = (meter.received(), Instant::now());
    loop {
        let message = tokio::select! {
            () = fate.leaving.notified() => return Ending::Leaving(fate.farewell_or_done()),
            farewell = everybody_out(closing) => return Ending::Leaving(farewell),
            message = link.hear() => match message {
                Ok(LinkFrame::Goodbye { code, reason }) => {
                    return Ending::Over(Closed::by_them(u64::from(code), reason.as_bytes()));
                }
                Ok(LinkFrame::Pong) => continue,
                Ok(LinkFrame::Ping) => LinkFrame::Pong,
                Err(ending) => return ending,
            },
            _ = ticks.tick() => {
                let received = meter.received();
                if received != heard.0 {
                    heard = (received, Instant::now());
                } else if heard.1.elapsed() >= silence {
                    return Ending::Over(Closed::silent());
                }
                LinkFrame::Ping
            }
        };
        if let Some(ending) = say_in_time(link, &message, silence).await {
            return ending;
        }
    }
}

/// A peer that reads nothing must not keep us from noticing that it is gone.
async fn say_in_time(link: &mut LinkStream, message: &LinkFrame, patience: Duration) -> Option<Ending> {
    match timeout(patience, link.say(message)).await {
        Ok(Ok(())) => None,
        Ok(Err(_)) => Some(Ending::Over(Closed::without_a_word())),
        Err(_) => Some(Ending::Over(Closed::silent())),
    }
}

/// The listener's goodbye; never where there is no listener, or no longer.
async fn everybody_out(closing: &mut watch::Receiver<Option<Farewell>>) -> Farewell {
    if let Ok(farewell) = closing.wait_for(Option::is_some).await
        && let Some(farewell) = farewell.clone()
    {
        return farewell;
    }
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_each_frame() {
        let bytes = |frame: LinkFrame| frame::encode_framed(&frame).unwrap();
        assert_eq!(bytes(LinkFrame::Ping), [4, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(bytes(LinkFrame::Pong), [4, 0, 0, 0, 1, 0, 0, 0]);
        let goodbye = LinkFrame::Goodbye { code: 17, reason: "no".into() };
        let expected = [18, 0, 0, 0, 2, 0, 0, 0, 17, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, b'n', b'o'];
        assert_eq!(bytes(goodbye), expected);
    }

    #[test]
    fn frames_are_taken_one_by_one_and_long_ones_are_refused_by_their_length() {
        let mut bytes = frame::encode_framed(&LinkFrame::Ping).unwrap();
        bytes.extend_from_slice(&frame::encode_framed(&LinkFrame::Pong).unwrap()[..5]);
        assert_eq!(LinkFrame::take(&mut bytes), Ok(Some(LinkFrame::Ping)));
        assert_eq!(LinkFrame::take(&mut bytes), Ok(None));
        assert_eq!(bytes.len(), 5);
        let longest = LinkFrame::Goodbye { code: 0, reason: "\u{10ffff}".repeat(MAX_REASON_CHARS) };
        let mut bytes = frame::encode_framed(&longest).unwrap();
        assert_eq!(LinkFrame::take(&mut bytes), Ok(Some(longest)));
        let mut long = 2_000u32.to_le_bytes().to_vec();
        assert_eq!(LinkFrame::take(&mut long), Err(FrameError::TooLarge { bytes: 2_000 }));
    }
}
