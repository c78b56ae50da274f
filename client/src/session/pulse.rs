//! Signs of life from a site at work: how far it is, told now and then, so that its round waits for it.

use consilium_protocol::{Progress, report_interval_secs};
use consilium_transport::Traffic;
use tokio::time::{Duration, Instant, sleep_until};

use crate::worker::Meter;

const MEBIBYTE: u64 = 1 << 20;

/// What the coordinator was told of the order in hand, and when it is due to hear more.
#[derive(Debug)]
pub(super) struct Pulse {
    interval: Duration,
    due: Instant,
    told: Progress,
    /// Bytes moved for the order.
    moved: u64,
    /// Bytes that the present connection had moved when it was last looked at.
    looked_at: u64,
}

impl Pulse {
    /// Before a study is known nothing is due.
    pub(super) fn new() -> Self {
        let interval = Duration::from_secs(report_interval_secs(u32::MAX).into());
        Self { interval, due: Instant::now(), told: Progress::default(), moved: 0, looked_at: 0 }
    }

    /// In this study a site may be silent for so many seconds.
    pub(super) fn set_deadline(&mut self, deadline_secs: u32) {
        self.interval = Duration::from_secs(report_interval_secs(deadline_secs).into());
        self.due = Instant::now() + self.interval;
    }

    /// An order has come.
    pub(super) fn begin(&mut self) {
        (self.told, self.moved) = (Progress::default(), 0);
        self.due = Instant::now() + self.interval;
    }

    /// The bytes of the next connection are counted from 0.
    pub(super) fn disconnected(&mut self) {
        self.looked_at = 0;
    }

    /// When the coordinator is to hear more. Cancel safe.
    pub(super) async fn due(&self) {
        sleep_until(self.due).await;
    }

    /// What the coordinator is to hear now: none where nothing has moved since it was last told.
    pub(super) fn take(&mut self, meter: &Meter, traffic: Traffic) -> Option<Progress> {
        self.due = Instant::now() + self.interval;
        let total = traffic.bytes_sent + traffic.bytes_received;
        self.moved += total.saturating_sub(std::mem::replace(&mut self.looked_at, total));
        let (steps, of) = meter.seen();
        let mebibytes = u32::try_from(self.moved / MEBIBYTE).unwrap_or(u32::MAX);
        let progress = Progress { steps, of, mebibytes };
        progress.exceeds(self.told).then(|| {
            self.told = progress.furthest(self.told);
            progress
        })
    }

    /// There is nobody to tell; what moves counts for the next time.
    pub(super) fn skip(&mut self) {
        self.due = Instant::now() + self.interval;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traffic(mebibytes: u64) -> Traffic {
        Traffic { bytes_sent: mebibytes * MEBIBYTE / 2, bytes_received: mebibytes * MEBIBYTE / 2 }
    }

    #[tokio::test(start_paused = true)]
    async fn what_moves_is_told_once_and_an_order_begins_at_nothing() {
        let (mut pulse, meter) = (Pulse::new(), Meter::default());
        pulse.set_deadline(80);
        meter.begin(5);
        assert_eq!(pulse.take(&meter, traffic(0)), None);
        meter.step();
        assert_eq!(pulse.take(&meter, traffic(0)), Some(Progress { steps: 1, of: 5, mebibytes: 0 }));
        assert_eq!(pulse.take(&meter, traffic(0)), None, "once");
        assert_eq!(pulse.take(&meter, traffic(3)), Some(Progress { steps: 1, of: 5, mebibytes: 3 }));
        pulse.disconnected();
        assert_eq!(pulse.take(&meter, traffic(2)), Some(Progress { steps: 1, of: 5, mebibytes: 5 }));
        pulse.begin();
        meter.begin(5);
        assert_eq!(pulse.take(&meter, traffic(2)), None, "what moved before was for another order");
        meter.step();
        assert_eq!(pulse.take(&meter, traffic(2)), Some(Progress { steps: 1, of: 5, mebibytes: 0 }));
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_due_several_times_within_a_deadline() {
        let mut pulse = Pulse::new();
        pulse.set_deadline(80);
        let start = Instant::now();
        pulse.due().await;
        assert_eq!(start.elapsed(), Duration::from_secs(10));
        pulse.skip();
        pulse.due().await;
        assert_eq!(start.elapsed(), Duration::from_secs(20));
    }
}
