//! Which round represents a lane.

use consilium_domain::Round;
use consilium_metrics::{ScoreHistogram, auc};

use super::{Gathering, LaneState};
use crate::ScoringOutcome;

/// The sum of all sites' histograms and losses. `None` when nobody answered.
pub fn pooled_scores(gathering: &Gathering<ScoringOutcome>) -> Option<(ScoreHistogram, f64)> {
    let mut answers = gathering.answers().values();
    let first = answers.next()?;
    let mut pooled = (first.value.scores.clone(), first.value.loss_sum);
    for answer in answers {
        pooled.0.merge(&answer.value.scores).ok()?;
        pooled.1 += answer.value.loss_sum;
    }
    Some(pooled)
}

/// The round with the highest pooled validation AUC; of equals the one with the lower loss, then the earlier.
/// Without any validation patient: the last round.
pub(super) fn best_round(lane: &LaneState) -> Round {
    let mut best: Option<(Option<f64>, f64, Round)> = None;
    for round in &lane.rounds {
        let Some((scores, loss)) = round.validation.as_ref().and_then(pooled_scores) else { continue };
        let candidate = (auc(&scores).map(|estimate| estimate.value), loss, round.round);
        let better =
            best.is_none_or(|(auc, loss, _)| candidate.0 > auc || (candidate.0 == auc && candidate.1 < loss));
        if better {
            best = Some(candidate);
        }
    }
    best.map_or(Round(lane.rounds.len() as u16), |(_, _, round)| round)
}
