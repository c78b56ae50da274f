//! How a connection is tuned: windows, timers, stream limits, congestion control (QUIC's alone).

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use quinn::congestion::{BbrConfig, CubicConfig};
use quinn::{IdleTimeout, TransportConfig, VarInt};

use crate::blobs::{CHUNKS_IN_FLIGHT, TRANSFERS_AT_ONCE};

/// Bytes in flight on one connection: 32 MiB fills 1 Gbit/s over a round trip of 250 ms.
pub(crate) const CONNECTION_WINDOW: u32 = 32 * 1024 * 1024;

/// What a caller can make the coordinator hold before its certificate is known: a request to join, and slack.
const STRANGER_WINDOW: u32 = 64 * 1024;

/// Streams of such a caller: the one on which it asks to join, or the first that it opens as a site.
const STRANGER_STREAMS: u32 = 1;

/// Bytes in flight on one stream: a chunk of 1 MiB and its header, so that a sender never waits for credit, and
/// small enough that loss cannot open the thousand gaps at which QUIC gives the connection up.
const STREAM_WINDOW: u32 = 1024 * 1024 + 256 * 1024;

/// Longest silence of our own: hospital firewalls forget a UDP flow after about 30 s.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Keep-alives in one idle timeout, at least: so many must be lost before the other side counts as gone.
const KEEP_ALIVES: u32 = 4;

/// The default idle timeout.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// Idle timeouts outside this range are brought to its nearer end: shorter ones end healthy connections whose
/// machine was merely busy, longer ones keep a dead site's place warm.
const IDLE_TIMEOUTS: RangeInclusive<Duration> = Duration::from_secs(2)..=Duration::from_secs(600);

/// How long a handshake may take: many round trips on the worst link, and well below [`IDLE_TIMEOUT`].
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Streams a client may have open: one for control, and one for every chunk of every transfer. Bounds what one
/// site can make the coordinator hold to 16 chunks.
pub(crate) const CLIENT_STREAMS: u32 = 1 + (TRANSFERS_AT_ONCE * CHUNKS_IN_FLIGHT) as u32;

/// How fast to send when the network loses packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Congestion {
    /// The internet's default: fair to others, and slow on long links that lose packets.
    #[default]
    Cubic,
    /// Twenty times faster at 100 ms and 0.1 % loss, but wasteful on thin links. quinn calls it experimental.
    Bbr,
}

/// A text that names no congestion control.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no congestion control: use `cubic` or `bbr`")]
pub struct UnknownCongestion(String);

impl fmt::Display for Congestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cubic => "cubic",
            Self::Bbr => "bbr",
        })
    }
}

impl FromStr for Congestion {
    type Err = UnknownCongestion;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "cubic" => Ok(Self::Cubic),
            "bbr" => Ok(Self::Bbr),
            _ => Err(UnknownCongestion(text.chars().take(80).collect())),
        }
    }
}

/// What an administrator may choose about a connection. Each side chooses for what it sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuning {
    /// How fast to send when the network loses packets.
    pub congestion: Congestion,
    /// Silence after which the other side counts as lost, 2 s to 10 min; the shorter of both sides' holds. Keep-alives
    /// are sent four times as often, and every 15 s at least.
    pub idle_timeout: Duration,
}

impl Default for Tuning {
    fn default() -> Self {
        Self { congestion: Congestion::default(), idle_timeout: IDLE_TIMEOUT }
    }
}

/// The side whose transport is configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Coordinator,
}

impl Tuning {
    /// The idle timeout, within its limits.
    pub(crate) fn silence(self) -> Duration {
        self.idle_timeout.clamp(*IDLE_TIMEOUTS.start(), *IDLE_TIMEOUTS.end())
    }

    /// How often to give a sign of life.
    pub(crate) fn keep_alive(self) -> Duration {
        KEEP_ALIVE.min(self.silence() / KEEP_ALIVES)
    }

    pub(crate) fn transport(self, side: Side) -> Arc<TransportConfig> {
        let mut config = TransportConfig::default();
        // Only the client opens streams, and the coordinator lets it open more once it knows who it is.
        let (streams, window) = match side {
            Side::Coordinator => (STRANGER_STREAMS, STRANGER_WINDOW),
            Side::Client => (0, CONNECTION_WINDOW),
        };
        let idle = IdleTimeout::try_from(self.silence()).expect("ten minutes fit QUIC's idle timeout");
        config
            .receive_window(VarInt::from_u32(window))
            .send_window(u64::from(CONNECTION_WINDOW))
            .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
            .max_concurrent_bidi_streams(VarInt::from_u32(streams))
            .max_concurrent_uni_streams(VarInt::from_u32(0))
            .datagram_receive_buffer_size(None)
            .keep_alive_interval(Some(self.keep_alive()))
            .max_idle_timeout(Some(idle));
        // Chunks leave one after the other, not interleaved: on a thin link some chunk finishes every few seconds, which is
        // how progress is told from a stall. Their priorities see to that, not `send_fairness(false)`, under which a
        // message waits for the end of the chunk that is being sent, however much more urgent it is.
        match self.congestion {
            Congestion::Cubic => config.congestion_controller_factory(Arc::new(CubicConfig::default())),
            Congestion::Bbr => config.congestion_controller_factory(Arc::new(BbrConfig::default())),
        };
        Arc::new(config)
    }
}

/// The caller has shown who it is: from here on it may send as much as a site needs.
pub(crate) fn trust(quic: &quinn::Connection) {
    quic.set_receive_window(VarInt::from_u32(CONNECTION_WINDOW));
    quic.set_max_concurrent_bi_streams(VarInt::from_u32(CLIENT_STREAMS));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn congestion_names_round_trip() {
        for choice in [Congestion::Cubic, Congestion::Bbr] {
            assert_eq!(choice.to_string().parse(), Ok(choice));
        }
        assert!("reno".parse::<Congestion>().is_err());
        assert_eq!(Tuning::default().congestion, Congestion::Cubic);
    }

    #[test]
    fn no_idle_timeout_panics_or_disables_itself() {
        for idle_timeout in [Duration::ZERO, IDLE_TIMEOUT, Duration::MAX] {
            let tuning = Tuning { idle_timeout, ..Tuning::default() };
            let shown = format!("{:?}", tuning.transport(Side::Client));
            assert!(
                shown.contains("max_idle_timeout: Some(") && !shown.contains("max_idle_timeout: Some(0)"),
                "{shown}"
            );
        }
    }
}
