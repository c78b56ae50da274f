//! How far a site is with its work: what tells one that is slow from one that hangs.

use serde::{Deserialize, Serialize};

/// The first version of the conversation that knows [`crate::ToCoordinator::Progress`].
pub const PROGRESS_SINCE: u16 = 4;

/// Reports of progress within a deadline, so that losing several of them costs nobody their place in a round.
const REPORTS_PER_DEADLINE: u32 = 8;
/// Seconds between two reports at most. Each is a line of two audit logs and an event of the study, and an admin who looks
/// once in a while wants to see that something moves.
const LONGEST_INTERVAL_SECS: u32 = 900;

/// How far a site is with an order. It renews the site's lease where it is further than ever before, so that neither
/// saying the same again nor starting over and over keeps a round waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Progress {
    /// Steps of the training, or inputs scored.
    pub steps: u32,
    /// Of how many, as far as the site knows; 0 where it does not.
    pub of: u32,
    /// Mebibytes of models and updates that have moved for it.
    pub mebibytes: u32,
}

impl Progress {
    /// Whether something moved since `before`.
    pub const fn exceeds(self, before: Self) -> bool {
        self.steps > before.steps || self.mebibytes > before.mebibytes
    }

    /// The furthest of both.
    #[must_use]
    pub fn furthest(self, other: Self) -> Self {
        Self {
            steps: self.steps.max(other.steps),
            of: self.of.max(other.of),
            mebibytes: self.mebibytes.max(other.mebibytes),
        }
    }
}

/// Seconds between two reports of progress, in a study whose sites may be silent for `deadline_secs`.
pub const fn report_interval_secs(deadline_secs: u32) -> u32 {
    match deadline_secs / REPORTS_PER_DEADLINE {
        0 => 1,
        LONGEST_INTERVAL_SECS.. => LONGEST_INTERVAL_SECS,
        interval => interval,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_further_than_ever_before_counts() {
        let at = |steps, mebibytes| Progress { steps, of: 100, mebibytes };
        assert!(at(3, 0).exceeds(at(2, 5)) && at(2, 6).exceeds(at(2, 5)));
        assert!(!at(2, 5).exceeds(at(2, 5)) && !at(1, 5).exceeds(at(2, 5)));
        assert_eq!(at(1, 7).furthest(at(2, 5)), at(2, 7));
        let more = Progress { of: 200, ..at(2, 5) };
        assert!(!more.exceeds(at(2, 5)), "a longer way is no progress");
    }

    #[test]
    fn a_deadline_holds_several_reports() {
        assert_eq!([1, 8, 80, 7_199, 7_200, 86_400].map(report_interval_secs), [1, 1, 10, 899, 900, 900]);
    }
}
