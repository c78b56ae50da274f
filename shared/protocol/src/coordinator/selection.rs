//! Which round represents a lane.

use consilium_domain::{Round, Selection};
use consilium_metrics::{ScoreHistogram, Totals, auc, paper_m};
use serde::{Deserialize, Serialize};

use super::{Gathering, LaneState, RoundState};
use crate::ScoringOutcome;

/// All sites' scores of one model on one set of patients.
#[derive(Debug, Clone, PartialEq)]
pub struct PooledScores {
    /// The sum of the histograms.
    pub scores: ScoreHistogram,
    /// The mean binary cross-entropy over the patients; `None` without patients.
    pub mean_loss: Option<f64>,
}

/// What made a round represent its lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChosenBy {
    /// The largest M of the paper.
    PaperM,
    /// The largest AUC; of equals the smaller mean loss, then the earlier round. Where the validation never saw
    /// both classes, no round has an AUC and the loss decides.
    Auc,
    /// It is the last: no round has validation patients.
    Last,
}

/// The sum of all sites' scores, in site order. `None` when nobody answered.
pub fn pooled_scores(gathering: &Gathering<ScoringOutcome>) -> Option<PooledScores> {
    let mut answers = gathering.answers().values();
    let first = answers.next()?;
    let (mut scores, mut loss_sum) = (first.value.scores.clone(), first.value.loss_sum);
    for answer in answers {
        scores.merge(&answer.value.scores).ok()?;
        loss_sum += answer.value.loss_sum;
    }
    let Totals { positives, negatives } = scores.totals();
    let patients = positives + negatives;
    Some(PooledScores { scores, mean_loss: (patients > 0).then(|| loss_sum / f64::from(patients)) })
}

/// By what rounds compare. The larger is better, except that the loss is negated.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
struct Merit {
    paper_m: Option<f64>,
    auc: Option<f64>,
    negated_loss: f64,
}

impl Merit {
    fn of(round: &RoundState, selection: Selection) -> Option<Self> {
        let PooledScores { scores, mean_loss } = round.pooled_validation()?;
        let paper_m = match selection {
            Selection::Auc => None,
            Selection::PaperM => paper_m(&scores),
        };
        Some(Self { paper_m, auc: auc(&scores).map(|estimate| estimate.value), negated_loss: -mean_loss? })
    }
}

impl RoundState {
    /// The scores of the round's model on the lane's fold, once nobody is waited for. `None` without answers.
    pub fn pooled_validation(&self) -> Option<PooledScores> {
        let validation = self.validation.as_ref()?;
        validation.closing().and_then(|_| pooled_scores(validation))
    }
}

impl LaneState {
    /// The round that represents the lane by its validation so far, and why. Of equal rounds the earliest.
    pub fn best_round(&self, selection: Selection) -> (Round, ChosenBy) {
        let mut best: Option<(Merit, Round)> = None;
        for round in &self.rounds {
            let Some(merit) = Merit::of(round, selection) else { continue };
            if best.is_none_or(|(before, _)| merit > before) {
                best = Some((merit, round.round));
            }
        }
        match best {
            Some((Merit { paper_m: Some(_), .. }, round)) => (round, ChosenBy::PaperM),
            Some((_, round)) => (round, ChosenBy::Auc),
            None => (Round(self.rounds.len() as u16), ChosenBy::Last),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use consilium_domain::{Arm, BlobRef, Fold, Lane, Modality, SiteId};

    use super::*;
    use crate::Timestamp;

    const NOW: Timestamp = Timestamp(1);

    /// A validation of four positives and four negatives by bin, and the sum of their losses; none without sites.
    type Validation = Option<([u32; 4], [u32; 4], f64)>;

    /// A lane whose rounds were validated so. Two sites have the same patients.
    fn lane(validations: &[Validation]) -> LaneState {
        let lane = Lane { arm: Arm::Random, modality: Modality::T1, fold: Fold(0) };
        let rounds = (1..).zip(validations).map(|(number, validation)| {
            let sites: BTreeSet<SiteId> = ["a", "b"].map(|site| site.parse().unwrap()).into();
            let mut gathering = Gathering::open(NOW, sites.clone(), 1);
            if let Some((positives, negatives, loss_sum)) = validation {
                for site in sites {
                    let scores = ScoreHistogram::from_counts(positives.to_vec(), negatives.to_vec()).unwrap();
                    let outcome = ScoringOutcome { scores, loss_sum: *loss_sum, seconds: 1.0 };
                    gathering.answer(site, NOW, outcome);
                }
            }
            gathering.close(NOW, BTreeMap::new());
            RoundState {
                round: Round(number),
                start: BlobRef::of(b"start"),
                classes: None,
                reductions: 0,
                training: Gathering::open(NOW, BTreeSet::new(), 0),
                movement: None,
                delta: None,
                model: Some(BlobRef::of(b"model")),
                validation: Some(gathering),
            }
        });
        LaneState { lane, rounds: rounds.collect(), chosen: None, holdout: None }
    }

    /// Ranks perfectly, and calls everybody positive at 0.5.
    const RANKS: Validation = Some(([0, 0, 0, 4], [0, 0, 4, 0], 4.0));
    /// Ranks worse; sensitivity 0.75 and specificity 0.75 at 0.5.
    const DIVIDES: Validation = Some(([0, 1, 3, 0], [0, 3, 1, 0], 4.0));
    /// The same with one more positive found: sensitivity 1.
    const FINDS: Validation = Some(([0, 0, 4, 0], [0, 3, 1, 0], 4.0));

    #[test]
    fn the_two_rules_choose_by_what_they_say() {
        let rounds = lane(&[DIVIDES, RANKS, FINDS]);
        assert_eq!(rounds.best_round(Selection::Auc), (Round(2), ChosenBy::Auc));
        assert_eq!(rounds.best_round(Selection::PaperM), (Round(3), ChosenBy::PaperM));
    }

    #[test]
    fn without_a_round_that_passes_the_papers_rule_falls_back_on_auc() {
        let none_passes = lane(&[Some(([0, 0, 1, 3], [0, 0, 4, 0], 4.0)), RANKS, RANKS]);
        assert_eq!(none_passes.best_round(Selection::PaperM), (Round(2), ChosenBy::Auc));
    }

    #[test]
    fn of_equals_the_smaller_mean_loss_and_then_the_earlier_round() {
        let cheaper = Some(([0, 1, 3, 0], [0, 3, 1, 0], 3.0));
        for selection in [Selection::Auc, Selection::PaperM] {
            assert_eq!(lane(&[DIVIDES, cheaper, cheaper]).best_round(selection).0, Round(2));
        }
        let one_class = |loss| Some(([0; 4], [1, 1, 1, 1], loss));
        let blind = lane(&[one_class(5.0), one_class(4.0), one_class(6.0)]);
        assert_eq!(blind.best_round(Selection::PaperM), (Round(2), ChosenBy::Auc), "only the loss is left");
    }

    #[test]
    fn without_patients_the_last_round_represents_the_lane() {
        assert_eq!(lane(&[None, None]).best_round(Selection::Auc), (Round(2), ChosenBy::Last));
        assert_eq!(lane(&[None, None]).validation_losses().count(), 0);
    }

    #[test]
    fn losses_are_means_over_the_patients_of_all_sites() {
        let losses: Vec<f64> =
            lane(&[DIVIDES, None, Some(([1; 4], [1; 4], 8.0))]).validation_losses().collect();
        assert_eq!(losses, [0.5, 1.0]);
    }
}
