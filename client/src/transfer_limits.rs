//! How fast and when a site's blobs travel: the `[transfers]` table of `client.toml`.
//!
//! Only models and updates are held up: the conversation, which is a few kilobytes a round, never is. That a study waits for
//! the site meanwhile is known to nobody but who wrote the table.

use std::num::NonZeroU64;
use std::time::Duration;

use consilium_transport::{Carriage, OpeningHours, Pace};
use serde::{Deserialize, Serialize};

use crate::policy::{Hours, HoursFile};
use crate::steward::Clock;

/// Slower than this, a chunk of 1 MiB takes minutes, and a model of 200 MB days.
const LEAST_MBIT_PER_S: f64 = 0.1;
/// Beyond what any network card does: a mistake of units.
const MOST_MBIT_PER_S: f64 = 1e6;

/// The table as written.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransfersFile {
    /// Megabits a second that models and updates may take together, both ways.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most_mbit_per_s: Option<f64>,
    /// When they may travel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hours: Option<HoursFile>,
}

/// The table, checked. The default limits nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TransferLimits {
    bytes_per_sec: Option<NonZeroU64>,
    hours: Option<Hours>,
}

impl TransfersFile {
    pub(crate) fn limits_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// Checks what is written.
    ///
    /// # Errors
    /// A line with the key for each problem.
    pub(crate) fn check(&self) -> Result<TransferLimits, Vec<String>> {
        let mut problems = Vec::new();
        let sensible = LEAST_MBIT_PER_S..=MOST_MBIT_PER_S;
        if self.most_mbit_per_s.is_some_and(|rate| !sensible.contains(&rate)) {
            problems.push(format!("most_mbit_per_s: must be {LEAST_MBIT_PER_S} to {MOST_MBIT_PER_S}"));
        }
        let hours = self.hours.as_ref().map(Hours::check).transpose().unwrap_or_else(|found| {
            problems.extend(found);
            None
        });
        if !problems.is_empty() {
            return Err(problems.into_iter().map(|problem| format!("transfers.{problem}")).collect());
        }
        let bytes_per_sec = self.most_mbit_per_s.and_then(|rate| NonZeroU64::new((rate * 1e6 / 8.0) as u64));
        Ok(TransferLimits { bytes_per_sec, hours })
    }
}

impl TransferLimits {
    /// What carries blobs within these limits, by the time of `clock`.
    pub(crate) fn carriage(&self, clock: &Clock) -> Carriage {
        if *self == Self::default() {
            return Carriage::default();
        }
        let (hours, clock) = (self.hours.clone(), clock.clone());
        Carriage::at(Pace::new(self.bytes_per_sec, move || closed_for(hours.as_ref()?, &clock)))
    }
}

/// The policy's `hours`, by the time of `clock`: an update that is on its way stands still when they end, and goes on with
/// its next chunk when they begin.
pub(crate) fn leaving_within(hours: &Hours, clock: &Clock) -> OpeningHours {
    let (hours, clock) = (hours.clone(), clock.clone());
    OpeningHours::new(move || closed_for(&hours, &clock))
}

/// How long until `hours` begin; none within them.
fn closed_for(hours: &Hours, clock: &Clock) -> Option<Duration> {
    let now = clock.now();
    (!hours.contain(now)).then(|| Duration::from_millis(hours.next_change(now).0.saturating_sub(now.0)))
}

#[cfg(test)]
mod tests {
    use consilium_protocol::Timestamp;

    use super::*;

    fn checked(text: &str) -> Result<TransferLimits, Vec<String>> {
        toml::from_str::<TransfersFile>(text).unwrap().check()
    }

    #[test]
    fn what_is_left_out_is_not_limited() {
        assert_eq!(checked(""), Ok(TransferLimits::default()));
        let limits = checked("most_mbit_per_s = 20").unwrap();
        assert_eq!(limits.bytes_per_sec.unwrap().get(), 2_500_000);
    }

    #[test]
    fn nonsense_is_told_with_its_keys() {
        let hours = "hours = { from = \"25:00\", to = \"06:00\", utc_offset = \"+01:00\" }";
        let problems = checked(&format!("most_mbit_per_s = 0.0\n{hours}")).unwrap_err();
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[0].starts_with("transfers.most_mbit_per_s: "), "{problems:?}");
        assert!(problems[1].starts_with("transfers.hours.from: "), "{problems:?}");
        assert!(checked("most_mbit_per_s = nan").is_err());
        assert!(checked("most_mbit_per_s = -1").is_err());
    }

    #[test]
    fn closed_hours_say_when_they_end() {
        let text = "hours = { from = \"18:00\", to = \"06:00\", utc_offset = \"+00:00\" }";
        let hours = checked(text).unwrap().hours.unwrap();
        let at = |hour: u64| Clock::new(move || Timestamp((20_000 * 24 + hour) * 3_600_000));
        assert_eq!(closed_for(&hours, &at(20)), None);
        assert_eq!(closed_for(&hours, &at(5)), None);
        assert_eq!(closed_for(&hours, &at(12)), Some(Duration::from_secs(6 * 3600)));
    }
}
