//! Who was refused, in the log: the first few each minute with their reason, and once a minute the counters.
//!
//! A flood of callers must not become a flood of lines.

use std::collections::BTreeMap;
use std::time::Duration;

use consilium_transport::{AcceptError, RefusalCause, Refusals};
use tokio::time::{Interval, MissedTickBehavior, interval};

/// How often the counters are looked at.
const PERIOD: Duration = Duration::from_secs(60);

/// Callers named in one period: enough to see who is misconfigured.
const NAMED: u32 = 10;

/// What has been told of the refusals of one listener.
pub(crate) struct RefusalLog {
    refusals: Refusals,
    told: BTreeMap<RefusalCause, u64>,
    named: u32,
    ticks: Interval,
}

impl RefusalLog {
    pub(crate) fn new(refusals: Refusals) -> Self {
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { refusals, told: BTreeMap::new(), named: 0, ticks }
    }

    /// Somebody was refused.
    pub(crate) fn note(&mut self, error: &AcceptError) {
        if self.named < NAMED {
            self.named += 1;
            tracing::warn!(%error, "connection refused");
        } else {
            tracing::debug!(%error, "connection refused");
        }
    }

    /// Waits for the end of the period and tells what has grown. Cancel safe.
    pub(crate) async fn minute(&mut self) {
        self.ticks.tick().await;
        self.named = 0;
        if let Some(grown) = self.grown() {
            tracing::warn!(grown, "callers were refused since the last such line; see docs/network.md");
        }
    }

    /// The counters that have grown and by how much, if any has.
    fn grown(&mut self) -> Option<String> {
        let now = self.refusals.snapshot();
        let grown = now.iter().filter_map(|(cause, count)| {
            let more = count - self.told.get(cause).copied().unwrap_or(0);
            (more > 0).then(|| format!("{cause}: {more}"))
        });
        let grown: Vec<String> = grown.collect();
        self.told = now;
        (!grown.is_empty()).then(|| grown.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_what_has_grown_is_told() {
        let refusals = Refusals::default();
        let mut log = RefusalLog::new(refusals.clone());
        assert_eq!(log.grown(), None);
        refusals.count(RefusalCause::EXPIRED);
        refusals.count(RefusalCause::NO_CERTIFICATE);
        refusals.count(RefusalCause::EXPIRED);
        assert_eq!(log.grown().unwrap(), "expired-certificate: 2, no-certificate: 1");
        assert_eq!(log.grown(), None);
        refusals.count(RefusalCause::EXPIRED);
        assert_eq!(log.grown().unwrap(), "expired-certificate: 1");
    }
}
