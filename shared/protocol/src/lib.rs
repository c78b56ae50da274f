//! The conversation between coordinator and sites, without input or output.
//!
//! Two state machines: [`coordinator::Coordinator`] folds accepted events into the state of a study and says what
//! must happen next; [`participant::Participant`] is a site's side of the session. Both are deterministic functions
//! of their inputs. There is deliberately no socket, file, clock, thread or randomness here: the daemons bring those,
//! and `tests/simulation` drives the machines through schedules no real network would show in a year.

pub mod admin;
mod audit;
pub mod coordinator;
mod detail;
pub mod duplicates;
mod message;
mod model_delta;
mod outcome;
pub mod participant;
mod progress;
mod rejection;
#[cfg(test)]
mod sample;
mod time;

pub use audit::{
    AuditHead, MAX_HEAD_CERTIFICATE_BYTES, MAX_HEAD_CERTIFICATES, MAX_HEAD_SIGNATURE_BYTES, SignedHead,
};
pub use detail::{ArmComparison, DETAILS_SINCE, FusionDetail, MOST_FOLD_BINS, ScoringDetail};
pub use message::{
    BASELINE_SINCE, FIRST_VERSION_WITH_RENEWAL, Features, MAX_PART_CASES, MAX_REASON_BYTES, OLDEST_VERSION,
    PROTOCOL_VERSION, Standing, ToCoordinator, ToSite, VersionRange, WITHDRAWALS_SINCE, bounded_reason,
};
pub use model_delta::ModelDelta;
pub use outcome::{BaselineOutcome, FusionOutcome, GroupScores, Outcome, ScoringOutcome, TrainingOutcome};
pub use progress::{PROGRESS_SINCE, Progress, report_interval_secs};
pub use rejection::Rejection;
pub use time::Timestamp;
