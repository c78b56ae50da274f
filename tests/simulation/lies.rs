//! Events that are not so. Each must be refused and leave no trace.

use consilium_domain::{
    BlobRef, ClassCounts, ClinicalBaseline, Coefficients, CohortSummary, Digest, OrderId, Round,
};
use consilium_metrics::{LogisticSums, ScoreHistogram};
use consilium_protocol::coordinator::{Event, Phase};
use consilium_protocol::{Outcome, Timestamp};

use crate::invariants::must;
use crate::scene::MODALITY;
use crate::schedule::Lie;
use crate::violation::{Checked, Violation};
use crate::work;
use crate::world::World;

impl World {
    /// Puts `lie` to the coordinator in the name of `site`, if it can be told now.
    pub(crate) fn tell_lie(&mut self, site: usize, lie: Lie) -> Checked {
        let Some(event) = self.lie(site, lie) else { return Ok(()) };
        let refused = self.happen(event.clone())?.is_err();
        must(refused, || Violation::LieAccepted(Box::new(event)))
    }

    fn lie(&mut self, index: usize, lie: Lie) -> Option<Event> {
        let site = self.sites[index].id.clone();
        let now = self.now;
        Some(match lie {
            Lie::Patients | Lie::NotFinite | Lie::Kind | Lie::Length | Lie::Order | Lie::Stranger => {
                return self.false_answer(index, lie);
            }
            Lie::Cohort => {
                let member = self.coordinator.roster().member(&site)?;
                let open = member.cohort.is_none() && *self.coordinator.phase() == Phase::Enrolling;
                let mut cohort = self.scene.cohort(self.sites[index].index, 0, 0);
                if open {
                    cohort.modalities.values_mut().for_each(|counts| counts.folds.truncate(1));
                }
                Event::SiteEnlisted { site, cohort }
            }
            Lie::Crowd => {
                let mut cohort = self.scene.cohort(self.sites[index].index, 0, 0);
                cohort.modalities.values_mut().for_each(|counts| counts.holdout.methylated = u32::MAX);
                Event::SiteEnlisted { site, cohort }
            }
            Lie::Part => {
                let cases = self.scene.fingerprints(self.sites[index].index, 0);
                Event::FingerprintsSent { site, part: u32::MAX, last: true, cases }
            }
            Lie::Departed => {
                let gone = |index: &&u8| self.coordinator.roster().has_withdrawn(&self.scene.site(**index));
                let index = *(0..self.scene.sites).collect::<Vec<_>>().iter().find(gone)?;
                let site = self.scene.site(index);
                match self.coordinator.lanes().first().and_then(|lane| lane.rounds.first()) {
                    None => Event::SiteEnlisted { site, cohort: self.scene.cohort(index, 0, 0) },
                    Some(_) => Event::SiteWithdrew { site, reason: "once more".into() },
                }
            }
            Lie::Model => {
                let lane = *self.coordinator.study().lanes().first()?;
                let rounds = self.coordinator.lane(&lane).map_or(&[][..], |state| &state.rounds);
                let awaited = rounds.iter().filter(|r| r.training.closing().is_some() && r.model.is_none());
                let round = awaited.map(|round| round.round.next()).next().unwrap_or(Round(1));
                Event::RoundAggregated {
                    lane,
                    round,
                    model: BlobRef::of(b"no model"),
                    movement: None,
                    delta: None,
                }
            }
            Lie::Timeout => {
                let due = self.coordinator.next_timeout().unwrap_or(Timestamp(u64::MAX));
                return (due > now).then_some(Event::TimePassed);
            }
            Lie::Opened => Event::Opened(Box::new(work::opening(self.scene.study(), &mut self.store))),
        })
    }

    fn false_answer(&mut self, index: usize, lie: Lie) -> Option<Event> {
        let site = self.sites[index].id.clone();
        let order = self.coordinator.next_order(&site)?;
        let cohort: CohortSummary = self.coordinator.roster().member(&site)?.cohort.clone()?;
        let study = self.coordinator.study();
        let mut outcome = work::outcome(study, &site, &cohort, &order.task, &mut self.store);
        let answered = |site, order, outcome| Some(Event::OrderAnswered { site, order, outcome });
        match lie {
            Lie::Order => return answered(site, OrderId(Digest::of(b"no order")), outcome),
            Lie::Stranger => return answered("stranger".parse().ok()?, order.id, outcome),
            Lie::Kind => outcome = another_kind(&outcome)?,
            Lie::Length => match &mut outcome {
                Outcome::Trained(training) => training.update.bytes += 1_000_000,
                Outcome::Scored(scoring) | Outcome::ScoredInDetail(scoring, _) => {
                    scoring.scores = ScoreHistogram::new(2).ok()?;
                }
                Outcome::Fused(fusion) | Outcome::FusedInDetail(fusion, _) => {
                    fusion.groups.push(fusion.groups.first()?.clone());
                }
                Outcome::Regressed(sums) => sums.push(sums.first()?.clone()),
                Outcome::BaselineScored(scored) => scored.detail.sums.push(None),
            },
            Lie::NotFinite => match &mut outcome {
                Outcome::Trained(training) => training.norm = f64::NAN,
                Outcome::Scored(scoring) | Outcome::ScoredInDetail(scoring, _) => {
                    scoring.loss_sum = f64::INFINITY;
                }
                Outcome::Fused(fusion) | Outcome::FusedInDetail(fusion, _) => fusion.seconds = f64::NAN,
                // Sums are whole numbers: there are none that are not finite.
                Outcome::Regressed(_) => return None,
                Outcome::BaselineScored(scored) => scored.seconds = f64::NAN,
            },
            _ => match &mut outcome {
                Outcome::Trained(training) => training.cases += 1,
                Outcome::Scored(scoring) | Outcome::ScoredInDetail(scoring, _) => {
                    scoring.scores.record(0.5, true).ok()?;
                }
                Outcome::Fused(fusion) | Outcome::FusedInDetail(fusion, _) => {
                    fusion.groups.first_mut()?.holdout.record(0.5, true).ok()?;
                }
                Outcome::Regressed(sums) => *sums.first_mut()? = crowd(cohort),
                Outcome::BaselineScored(scored) => {
                    let excess = cohort.counts(MODALITY).holdout.methylated + 1;
                    for _ in 0..excess {
                        scored.scores.holdout.record(0.5, true).ok()?;
                    }
                }
            },
        }
        answered(site, order.id, outcome)
    }
}

/// Sums over one patient more than a site has.
fn crowd(cohort: CohortSummary) -> LogisticSums {
    let at = Coefficients::zero(ClinicalBaseline::FEATURES).expect("two features");
    let mut sums = LogisticSums::new(ClinicalBaseline::FEATURES);
    let all: ClassCounts = cohort.counts(MODALITY).folds.into_iter().sum();
    (0..=all.methylated).for_each(|_| sums.record(&at, &[0.0, 1.0], 0.0, true).expect("an age and a sex"));
    sums
}

/// The answer to a task of another kind.
fn another_kind(outcome: &Outcome) -> Option<Outcome> {
    Some(match outcome {
        Outcome::Trained(_)
        | Outcome::Scored(_)
        | Outcome::ScoredInDetail(..)
        | Outcome::Regressed(_)
        | Outcome::BaselineScored(_) => {
            Outcome::Fused(consilium_protocol::FusionOutcome { groups: Vec::new(), seconds: 1.0 })
        }
        Outcome::Fused(fusion) | Outcome::FusedInDetail(fusion, _) => {
            Outcome::Scored(consilium_protocol::ScoringOutcome {
                scores: fusion.groups.first()?.holdout.clone(),
                loss_sum: 0.0,
                seconds: 1.0,
            })
        }
    })
}
