//! A study from its beginning, or from where its log ends; and its report at any time.

use consilium_protocol::Timestamp;
use consilium_protocol::coordinator::{Coordinator, Event, Opening};
use consilium_transport::aside;

use crate::event_log::{EventLog, EventLogError};
use crate::report::{Report, ReportError};

/// Why a study cannot be gone on with.
#[derive(Debug, thiserror::Error)]
pub enum TakeUpError {
    /// The log.
    #[error(transparent)]
    Log(#[from] EventLogError),
    /// The log's events do not follow from each other.
    #[error("the event log cannot be replayed by this release: use the release that wrote it")]
    Replay,
}

/// Writes the first event, at time `at`: from then on the study's sites may enlist.
pub(crate) async fn open(
    opening: Opening,
    log: &mut EventLog,
    at: Timestamp,
) -> Result<Coordinator, EventLogError> {
    log.append(at, &Event::Opened(Box::new(opening.clone()))).await?;
    Ok(Coordinator::open(at, opening))
}

/// The state after `events`.
pub(crate) fn replay(events: Vec<(Timestamp, Event)>) -> Result<Coordinator, TakeUpError> {
    Coordinator::replay(events).ok_or(TakeUpError::Replay)
}

/// Notes in `log` that the study goes on in this process, since `at`.
pub(crate) async fn resume(
    state: &mut Coordinator,
    log: &mut EventLog,
    at: Timestamp,
) -> Result<(), EventLogError> {
    if state.admit(at, &Event::Resumed).is_ok() {
        log.append(at, &Event::Resumed).await?;
        for effect in state.apply(at, Event::Resumed) {
            tracing::info!(?effect, "resumed");
        }
    }
    Ok(())
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReportOfLogError {
    #[error(transparent)]
    Log(#[from] EventLogError),
    #[error(transparent)]
    Report(#[from] ReportError),
    #[error("the report was interrupted: {0}")]
    Interrupted(#[from] tokio::task::JoinError),
}

/// The report of `state` at time `at`, with the bytes the log has accounted for. Its resampling takes seconds for a large
/// study, so it is made on a blocking thread.
pub(crate) async fn report(
    state: &Coordinator,
    log: &EventLog,
    at: Timestamp,
) -> Result<Report, ReportOfLogError> {
    let made = state.clone();
    let mut report = aside(move || Report::of(&made, at)).await??;
    let sites: Vec<_> = state.roster().sites().cloned().collect();
    report.set_traffic(&log.accounts(&sites).await?);
    Ok(report)
}
