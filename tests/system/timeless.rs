//! What a report says of its arms but for the times, which no seed decides.

use consilium_coordinator::Report;
use consilium_coordinator::report::ArmReport;

/// The arms without their times, which no seed decides.
pub(crate) fn timeless(report: &Report) -> Vec<ArmReport> {
    let mut arms = report.arms.clone();
    for round in arms.iter_mut().flat_map(|arm| &mut arm.lanes).flat_map(|lane| &mut lane.rounds) {
        round.opened_secs = 0.0;
        (round.trained_secs, round.validated_secs) = (None, None);
        for told in &mut round.contributors {
            (told.answered_secs, told.busy_secs) = (0.0, 0.0);
        }
    }
    arms
}
