//! Measuring the network: a connection of its own protocol, whose only streams are probes.
//!
//! It never reaches the coordinator's study: whoever shows a certificate of the consortium may measure, little and
//! seldom. A probe is one stream: a tag, a request header, a reply header; padding follows either.

mod desk;
mod measure;

pub(crate) use desk::ProbeDesk;
pub use measure::{Probe, ProbeError, Rate};

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The first byte of a probe.
pub(crate) const PROBE_TAG: u8 = 0xB2;

/// Bytes of one measurement, each way: a second at 64 Mbit/s, which is fast enough for any study.
const PROBE_BYTES: u64 = 8 * 1024 * 1024;

/// Slower links are measured by what has arrived after this long.
const PROBE_TIME: Duration = Duration::from_secs(5);

/// How long one probe may take in all: twice its time, for what is still on its way when the time is over.
const PROBE_PATIENCE: Duration = Duration::from_secs(12);

/// Written and read at once.
const PIECE_BYTES: usize = 64 * 1024;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ProbeRequest {
    /// What time is it?
    Clock,
    /// Padding follows, of any length up to the limit: how much arrives?
    Up,
    /// Send me padding.
    Down,
}

/// What is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ProbeReply {
    /// Milliseconds since 1970.
    Clock { unix_millis: u64 },
    /// So many bytes of padding arrived.
    Arrived { bytes: u64 },
    /// Padding follows until the stream ends.
    Padding,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame;

    #[test]
    fn the_bytes_of_each_header() {
        assert_eq!(frame::encode(&ProbeRequest::Down).unwrap(), [2, 0, 0, 0]);
        let clock = ProbeReply::Clock { unix_millis: 258 };
        assert_eq!(frame::encode(&clock).unwrap(), [0, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(frame::encode(&ProbeReply::Padding).unwrap(), [2, 0, 0, 0]);
    }
}
