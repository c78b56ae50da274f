//! Whether an event may happen. Nothing here changes anything.

use consilium_domain::{ClassCounts, CohortSummary, Lane, ModalityGroup, OrderId, Round, SiteId, Task};
use consilium_metrics::{ScoreHistogram, Totals};

use super::{Coordinator, Event, Gathering, Phase};
use crate::{FusionOutcome, Outcome, Rejection, ScoringOutcome, Timestamp, TrainingOutcome};

/// Reasons of exclusion a cohort summary may list: more than any layout knows, few enough for a table.
const MAX_EXCLUSION_REASONS: usize = 64;
/// Longest text of such a reason.
const MAX_EXCLUSION_BYTES: usize = 120;
/// Patients a site may declare for a modality. The 500 sites of the largest study then fit one histogram
/// (2^24 patients) and one sum (2^32 cases), so no declaration can make a round impossible to close.
const MAX_PATIENTS: u32 = 1 << 15;

impl Coordinator {
    /// Whether `event` may happen at time `at`.
    ///
    /// # Errors
    /// The reason why not, to be told to the peer.
    pub fn admit(&self, at: Timestamp, event: &Event) -> Result<(), Rejection> {
        if self.is_over() {
            return Err(Rejection::Over);
        }
        match event {
            Event::Opened(_) => Err(Rejection::OutOfTurn("the study is open already".into())),
            Event::SiteConnected { site, .. } | Event::SiteGone { site, .. } => {
                self.roster.member(site).map(|_| ()).ok_or(Rejection::NotInvited)
            }
            Event::SiteWithdrew { site, .. } => self.admit_participant(site),
            Event::FingerprintsSent { site, part, last, cases } => {
                self.admit_participant(site)?;
                self.admit_fingerprints(site, *part, *last, cases)
            }
            Event::SiteEnlisted { site, cohort } => {
                self.admit_participant(site)?;
                self.admit_site(site, cohort)
            }
            Event::OrderAnswered { site, order, outcome } => {
                let task = self.admit_reply(site, order)?;
                self.check_outcome(site, task, outcome)
            }
            Event::OrderProgressed { site, order, progress } => {
                self.admit_reply(site, order)?;
                match self.roster.member(site).and_then(|member| member.progress_with(*order)) {
                    Some(before) if !progress.exceeds(before) => {
                        Err(Rejection::OutOfTurn("the site was that far before".into()))
                    }
                    _ => Ok(()),
                }
            }
            Event::OrderFailed { site, order, .. } => self.admit_reply(site, order).map(|_| ()),
            Event::RoundAggregated { lane, round, .. } => self.admit_model(lane, *round),
            Event::TimePassed => match self.next_timeout() {
                Some(due) if due <= at => Ok(()),
                _ => Err(Rejection::OutOfTurn("nothing is due".into())),
            },
            Event::Paused { .. } | Event::Continued { .. } => self.admit_pausing(event),
            Event::Resumed | Event::Aborted { .. } => Ok(()),
        }
    }

    fn admit_site(&self, site: &SiteId, cohort: &CohortSummary) -> Result<(), Rejection> {
        let member = self.roster.member(site).ok_or(Rejection::NotInvited)?;
        if member.cohort.is_some() {
            return Err(Rejection::AlreadyEnlisted);
        }
        if !matches!(self.phase, Phase::Enrolling) {
            return Err(Rejection::RosterPinned);
        }
        self.admit_compared(site, 0)?;
        let folds = usize::from(self.study.evaluation.folds);
        for (modality, counts) in &cohort.modalities {
            if !self.study.modalities.contains(modality) {
                return Err(Rejection::Cohort(format!("{modality} is not in the study")));
            }
            if counts.folds.len() != folds {
                let found = counts.folds.len();
                return Err(Rejection::Cohort(format!("{modality} has {found} folds, the study {folds}")));
            }
            let patients = counts.folds.iter().copied().sum::<ClassCounts>() + counts.holdout;
            if patients.total() > MAX_PATIENTS {
                return Err(Rejection::Cohort(format!("{modality} has more than {MAX_PATIENTS} patients")));
            }
            self.admit_compared(site, patients.total())?;
        }
        let reasons = &cohort.excluded;
        if reasons.len() > MAX_EXCLUSION_REASONS || reasons.keys().any(|key| key.len() > MAX_EXCLUSION_BYTES)
        {
            return Err(Rejection::Cohort("too many or too long reasons of exclusion".into()));
        }
        Ok(())
    }

    fn admit_model(&self, lane: &Lane, round: Round) -> Result<(), Rejection> {
        let state = self.lane(lane).and_then(|lane| lane.round(round));
        match state {
            Some(state) if state.training.closing().is_some() && state.model.is_none() => Ok(()),
            _ => Err(Rejection::OutOfTurn(format!("{lane} round {round} waits for no model"))),
        }
    }

    /// The task of an order that `site` may still reply to.
    fn admit_reply(&self, site: &SiteId, order: &OrderId) -> Result<&Task, Rejection> {
        let member = self.roster.member(site).ok_or(Rejection::NotInvited)?;
        self.admit_participant(site)?;
        if member.cohort.is_none() {
            return Err(Rejection::NotEnlisted);
        }
        let task = self.orders.get(order).ok_or(Rejection::UnknownOrder)?;
        match task {
            Task::Train { .. } => admit_from(self.training(task), site)?,
            Task::Validate { .. } | Task::PredictHoldout { .. } => admit_from(self.scoring(task), site)?,
            Task::Fuse { arm, .. } => admit_from(self.fusions.get(arm), site)?,
            Task::FitBaseline { step, .. } => admit_from(self.fitting(*step), site)?,
            Task::ScoreBaseline { .. } => admit_from(self.baseline_scoring(), site)?,
        }
        Ok(task)
    }

    fn check_outcome(&self, site: &SiteId, task: &Task, outcome: &Outcome) -> Result<(), Rejection> {
        match (task, outcome) {
            (Task::Train { lane, .. }, Outcome::Trained(training)) => {
                let declared = self.counts(site, lane).training(lane.fold).total();
                let most = self.models.update_bytes.get(&lane.arm).copied().unwrap_or_default();
                check_training(training, declared, most)
            }
            (Task::Validate { lane, .. }, Outcome::Scored(scoring)) => {
                self.check_scoring(scoring, self.counts(site, lane).validation(lane.fold))
            }
            (Task::PredictHoldout { lane, .. }, Outcome::Scored(scoring)) => {
                self.check_scoring(scoring, self.counts(site, lane).holdout)
            }
            (Task::Validate { lane, .. }, Outcome::ScoredInDetail(scoring, detail)) => {
                self.check_scoring(scoring, self.counts(site, lane).validation(lane.fold))?;
                self.check_scoring_detail(lane.arm, scoring, detail)
            }
            (Task::PredictHoldout { lane, .. }, Outcome::ScoredInDetail(scoring, detail)) => {
                self.check_scoring(scoring, self.counts(site, lane).holdout)?;
                self.check_scoring_detail(lane.arm, scoring, detail)
            }
            (Task::Fuse { .. }, Outcome::Fused(fusion)) => self.check_fusion(site, fusion),
            (Task::Fuse { arm, .. }, Outcome::FusedInDetail(fusion, detail)) => {
                self.check_fusion(site, fusion)?;
                self.check_fusion_detail(*arm, fusion, detail)
            }
            (Task::FitBaseline { .. }, Outcome::Regressed(sums)) => self.check_sums(site, sums),
            (Task::ScoreBaseline { .. }, Outcome::BaselineScored(scored)) => {
                self.check_baseline(site, scored)
            }
            _ => Err(Rejection::Answer(format!("it is not the result of {}", task.name()))),
        }
    }

    fn check_scoring(&self, scoring: &ScoringOutcome, declared: ClassCounts) -> Result<(), Rejection> {
        if !scoring.loss_sum.is_finite() || scoring.loss_sum < 0.0 || !is_size(scoring.seconds) {
            return Err(Rejection::Answer("the loss or the time is not a number that can be".into()));
        }
        self.check_exactly(&scoring.scores, declared)
    }

    fn check_fusion(&self, site: &SiteId, fusion: &FusionOutcome) -> Result<(), Rejection> {
        let groups = ModalityGroup::of_study(&self.study.modalities);
        if fusion.groups.len() != groups.len() || !is_size(fusion.seconds) {
            return Err(Rejection::Answer(format!("{} modality groups are expected", groups.len())));
        }
        let cohort = self.roster.member(site).and_then(|member| member.cohort.as_ref());
        for (group, scores) in groups.iter().zip(&fusion.groups) {
            let counts = || group.members.iter().filter_map(|&modality| Some(cohort?.counts(modality)));
            let held_out = counts().map(|counts| counts.holdout).sum();
            self.check_at_most(&scores.holdout, held_out)?;
            self.check_at_most(&scores.validation, counts().flat_map(|counts| counts.folds).sum())?;
        }
        Ok(())
    }

    /// Fewer than declared are fine: a site that was away for some rounds has not scored all of its patients.
    pub(super) fn check_at_most(
        &self,
        scores: &ScoreHistogram,
        declared: ClassCounts,
    ) -> Result<(), Rejection> {
        self.check_bins(scores)?;
        let Totals { positives, negatives } = scores.totals();
        if positives <= declared.methylated && negatives <= declared.unmethylated {
            return Ok(());
        }
        Err(Rejection::Answer(format!(
            "it scores {positives} methylated and {negatives} unmethylated patients, the site declared no more than \
             {} and {}",
            declared.methylated, declared.unmethylated
        )))
    }

    fn check_exactly(&self, scores: &ScoreHistogram, declared: ClassCounts) -> Result<(), Rejection> {
        self.check_bins(scores)?;
        let Totals { positives, negatives } = scores.totals();
        if (positives, negatives) == (declared.methylated, declared.unmethylated) {
            return Ok(());
        }
        Err(Rejection::Answer(format!(
            "it scores {positives} methylated and {negatives} unmethylated patients, the site declared {} and {}",
            declared.methylated, declared.unmethylated
        )))
    }

    fn check_bins(&self, scores: &ScoreHistogram) -> Result<(), Rejection> {
        let bins = self.study.evaluation.bins;
        if scores.bins() == usize::from(bins) {
            return Ok(());
        }
        Err(Rejection::Answer(format!("histograms of {bins} bins are expected")))
    }

    pub(super) fn counts(&self, site: &SiteId, lane: &Lane) -> consilium_domain::ModalityCounts {
        let cohort = self.roster.member(site).and_then(|member| member.cohort.as_ref());
        cohort.map(|cohort| cohort.counts(lane.modality)).unwrap_or_default()
    }

    pub(super) fn training(&self, task: &Task) -> Option<&Gathering<TrainingOutcome>> {
        let Task::Train { lane, round, .. } = task else { return None };
        Some(&self.lane(lane)?.round(*round)?.training)
    }

    pub(super) fn scoring(&self, task: &Task) -> Option<&Gathering<ScoringOutcome>> {
        match task {
            Task::Validate { lane, round, .. } => self.lane(lane)?.round(*round)?.validation.as_ref(),
            Task::PredictHoldout { lane, .. } => self.lane(lane)?.holdout.as_ref(),
            Task::Train { .. } | Task::Fuse { .. } => None,
            Task::FitBaseline { .. } | Task::ScoreBaseline { .. } => None,
        }
    }
}

fn admit_from<T>(gathering: Option<&Gathering<T>>, site: &SiteId) -> Result<(), Rejection> {
    let gathering = gathering.ok_or(Rejection::UnknownOrder)?;
    if gathering.has_replied(site) {
        return Err(Rejection::Duplicate);
    }
    if !gathering.expected().contains(site) {
        return Err(Rejection::UnknownOrder);
    }
    if gathering.closing().is_some() { Err(Rejection::Late) } else { Ok(()) }
}

fn check_training(training: &TrainingOutcome, declared: u32, most: u64) -> Result<(), Rejection> {
    if training.cases != declared {
        let found = training.cases;
        return Err(Rejection::Answer(format!("it trained on {found} cases, the site declared {declared}")));
    }
    if training.update.bytes > most {
        let found = training.update.bytes;
        return Err(Rejection::Answer(format!(
            "the update has {found} bytes, the model needs at most {most}"
        )));
    }
    let share = training.tuned_share.unwrap_or(0.0);
    let plausible = training.mean_loss.is_finite()
        && is_size(training.norm)
        && is_size(training.seconds)
        && (0.0..=1.0).contains(&share);
    if plausible {
        Ok(())
    } else {
        Err(Rejection::Answer("a reported number is not finite or out of range".into()))
    }
}

/// A norm or a duration.
pub(super) fn is_size(number: f64) -> bool {
    number.is_finite() && number >= 0.0
}
