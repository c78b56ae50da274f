//! Callers who were not let in, as the audit log tells of them: counted, because anybody can knock and each line of the
//! log waits for the disk.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use consilium_transport::AcceptError;

use crate::auditing::Audit;
use crate::conductor::Stopped;

/// Shortest time between two looks at the counters: 144 lines a day for each reason.
const INTERVAL: Duration = Duration::from_secs(600);

/// AuditedRefusals that are not in the log yet, by reason.
#[derive(Default)]
pub(crate) struct AuditedRefusals {
    counts: BTreeMap<&'static str, u64>,
    written: Option<Instant>,
}

impl AuditedRefusals {
    /// One more. It is written down at once or with those that follow.
    pub(crate) async fn count(&mut self, error: &AcceptError, audit: &Audit) -> Result<(), Stopped> {
        *self.counts.entry(error.code()).or_default() += 1;
        if self.written.is_none_or(|written| written.elapsed() >= INTERVAL) {
            self.write(audit).await?;
        }
        Ok(())
    }

    /// Writes down what is not yet.
    pub(crate) async fn write(&mut self, audit: &Audit) -> Result<(), Stopped> {
        self.written = Some(Instant::now());
        for (reason, count) in std::mem::take(&mut self.counts) {
            audit.refused(reason, count).await?;
        }
        Ok(())
    }
}
