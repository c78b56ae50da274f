//! The clinical baseline: a regression on age and sex, fitted over the sites by sums, scored like an arm.
//!
//! ```text
//! all arms fused -> step 1 -> step 2 -> ... -> every fold is fitted -> scoring -> over
//!                     |         |                                        |
//!                     +---------+------------ absent, and why <----------+
//! ```
//!
//! Each step asks the same sites for likelihood, gradient and information of every fold under its coefficients; one
//! without which the step went on is left out from there, and the fit begins anew, because the likelihood is another.
//! Whatever becomes of it, the study ends: a baseline that cannot be had is absent with its reason, and halts nothing.

use std::collections::{BTreeMap, BTreeSet};

use consilium_domain::{ClassCounts, ClinicalBaseline, Coefficients, SiteId, Task};
use consilium_metrics::{LogisticFit, LogisticSums, NewtonFit, Progress};

use super::admission::is_size;
use super::details::{at_most, check_grouping};
use super::settling::close;
use super::{Coordinator, Effect, Gathering};
use crate::{BaselineOutcome, Outcome, Rejection};

/// Where the baseline stands.
#[derive(Debug, Clone, PartialEq)]
pub struct BaselineState {
    /// Sites without which it went on, and why.
    pub missing: BTreeMap<SiteId, String>,
    /// Why there is none; the reason is for people.
    pub absent: Option<String>,
    /// How often sites were asked for sums.
    pub steps: u16,
    /// Steps that went on without somebody.
    pub incomplete_steps: u16,
    folds: Vec<FoldFit>,
    /// The step under way.
    pub fitting: Option<Gathering<Vec<LogisticSums>>>,
    /// The scores under the fitted coefficients, once every fold is fitted.
    pub scoring: Option<Gathering<BaselineOutcome>>,
}

/// The regression of one fold.
#[derive(Debug, Clone, PartialEq)]
enum FoldFit {
    Asking(NewtonFit),
    Fitted(LogisticFit),
}

impl FoldFit {
    fn begin() -> Self {
        let fit = NewtonFit::new(ClinicalBaseline::FEATURES, ClinicalBaseline::RIDGE);
        Self::Asking(fit.expect("two features and a positive ridge"))
    }

    /// `None` where a fit is beyond what sites are asked about, which its steps were not.
    fn coefficients(&self) -> Option<Coefficients> {
        match self {
            Self::Asking(fit) => Some(fit.coefficients().clone()),
            Self::Fitted(fit) => fit.at(),
        }
    }
}

impl BaselineState {
    fn begin(folds: u8) -> Self {
        Self {
            missing: BTreeMap::new(),
            absent: None,
            steps: 0,
            incomplete_steps: 0,
            folds: Self::unfitted(folds),
            fitting: None,
            scoring: None,
        }
    }

    fn unfitted(folds: u8) -> Vec<FoldFit> {
        (0..folds).map(|_| FoldFit::begin()).collect()
    }

    /// The regressions, in the order of folds; empty until all are fitted.
    pub fn fits(&self) -> Vec<&LogisticFit> {
        let fitted = |fold| match fold {
            &FoldFit::Asking(_) => None,
            FoldFit::Fitted(fit) => Some(fit),
        };
        self.folds.iter().map(fitted).collect::<Option<_>>().unwrap_or_default()
    }

    fn is_over(&self) -> bool {
        self.absent.is_some() || self.scoring.as_ref().is_some_and(|scoring| scoring.closing().is_some())
    }

    fn coefficients(&self) -> Option<Vec<Coefficients>> {
        let all: Option<Vec<Coefficients>> = self.folds.iter().map(FoldFit::coefficients).collect();
        all.filter(|all| all.iter().all(|fold| fold.are_within(ClinicalBaseline::LARGEST)))
    }

    fn give_up(&mut self, reason: String) {
        self.absent = Some(reason);
    }

    fn give_up_as_too_steep(&mut self) {
        let largest = ClinicalBaseline::LARGEST;
        self.give_up(format!("its fit led beyond coefficients of {largest}, under which no site computes"));
    }

    /// Takes the sums of all sites for each fold; whether all are fitted.
    fn absorb(&mut self, answers: &[&Vec<LogisticSums>]) -> Result<bool, String> {
        for (number, fold) in self.folds.iter_mut().enumerate() {
            let FoldFit::Asking(fit) = fold else { continue };
            let mut sums = LogisticSums::new(ClinicalBaseline::FEATURES);
            let told = |error: &dyn std::fmt::Display| format!("the baseline of fold {number}: {error}");
            for answer in answers {
                sums.merge(&answer[number]).map_err(|error| told(&error))?;
            }
            if let Progress::Done(done) = fit.absorb(&sums).map_err(|error| told(&error))? {
                *fold = FoldFit::Fitted(done);
            }
        }
        Ok(self.folds.iter().all(|fold| matches!(fold, FoldFit::Fitted(_))))
    }
}

impl Coordinator {
    /// The clinical baseline, once all arms are fused; `None` before, and in a study without one.
    pub const fn baseline(&self) -> Option<&BaselineState> {
        self.baseline.as_ref()
    }

    /// Carries the baseline forward; whether it keeps the study from its end no longer.
    pub(super) fn settle_baseline(&mut self, effects: &mut Vec<Effect>) -> bool {
        if self.study.evaluation.baseline == ClinicalBaseline::None {
            return true;
        }
        let mut state = self.baseline.take().unwrap_or_else(|| {
            let mut state = BaselineState::begin(self.study.evaluation.folds);
            self.ask_for_sums(&mut state, self.enlisted_where(|site, _| self.study.trains(site)));
            state
        });
        // What is opened may be hopeless at once, and nobody would come back to it.
        while !state.is_over() && self.advance_baseline(&mut state, effects) {}
        let over = state.is_over();
        self.issue_baseline(&state);
        self.baseline = Some(state);
        over
    }

    /// Whether anything was closed.
    fn advance_baseline(&self, state: &mut BaselineState, effects: &mut Vec<Effect>) -> bool {
        let (roster, rules, now) = (&self.roster, &self.study.federation, self.now);
        let closed = match (&mut state.scoring, &mut state.fitting) {
            (Some(scoring), _) => {
                close(scoring, roster, rules, now, || "scoring of the baseline".into(), effects)
            }
            (None, Some(fitting)) => {
                let work = || format!("step {} of the baseline", state.steps);
                close(fitting, roster, rules, now, work, effects)
            }
            (None, None) => Ok(false),
        };
        match closed {
            Ok(closed) => {
                if closed {
                    self.go_on(state);
                }
                closed
            }
            Err(shortage) => {
                state.give_up(shortage);
                true
            }
        }
    }

    /// After a gathering has closed: the next step, or the scoring.
    fn go_on(&self, state: &mut BaselineState) {
        if let Some(scoring) = &state.scoring {
            state.missing.extend(scoring.closing().into_iter().flat_map(|closing| closing.missing.clone()));
            return;
        }
        let Some(fitting) = state.fitting.take() else { return };
        let missing = fitting.closing().map(|closing| closing.missing.clone()).unwrap_or_default();
        let contributors: BTreeSet<SiteId> = fitting.answers().keys().cloned().collect();
        state.incomplete_steps += u16::from(!missing.is_empty());
        let anew = !missing.is_empty() && state.steps > 1;
        state.missing.extend(missing);
        if anew {
            state.folds = BaselineState::unfitted(self.study.evaluation.folds);
            return self.ask_for_sums(state, contributors);
        }
        let answers: Vec<&Vec<LogisticSums>> =
            fitting.answers().values().map(|answer| &answer.value).collect();
        match state.absorb(&answers) {
            Err(reason) => state.give_up(reason),
            Ok(false) => self.ask_for_sums(state, contributors),
            Ok(true) if state.coefficients().is_none() => state.give_up_as_too_steep(),
            Ok(true) => {
                let others = self.enlisted_where(|site, _| !self.study.trains(site));
                let expected: BTreeSet<SiteId> = contributors.into_iter().chain(others).collect();
                let needed = expected.len().min(usize::from(self.study.federation.quorum)).max(1);
                state.scoring = Some(Gathering::open(self.now, expected, needed));
            }
        }
    }

    fn ask_for_sums(&self, state: &mut BaselineState, sites: BTreeSet<SiteId>) {
        let here: BTreeSet<SiteId> =
            sites.into_iter().filter(|site| !self.roster.has_withdrawn(site)).collect();
        if state.steps >= ClinicalBaseline::MOST_STEPS {
            let most = ClinicalBaseline::MOST_STEPS;
            return state.give_up(format!("it was not fitted within {most} steps"));
        }
        if state.coefficients().is_none() {
            return state.give_up_as_too_steep();
        }
        state.steps += 1;
        let needed = usize::from(self.study.federation.quorum);
        state.fitting = Some(Gathering::open(self.now, here, needed));
    }

    fn issue_baseline(&mut self, state: &BaselineState) {
        if let Some(task) = baseline_task(state) {
            self.issue(task);
        }
    }

    pub(super) fn next_of_baseline(&self, site: &SiteId) -> Option<Task> {
        let state = self.baseline.as_ref()?;
        let fitting = state.fitting.as_ref().is_some_and(|fitting| fitting.awaits(site));
        let scoring = state.scoring.as_ref().is_some_and(|scoring| scoring.awaits(site));
        if fitting || scoring { baseline_task(state) } else { None }
    }

    /// The gathering of step number `step`, if it is under way.
    pub(super) fn fitting(&self, step: u16) -> Option<&Gathering<Vec<LogisticSums>>> {
        let state = self.baseline.as_ref().filter(|state| state.steps == step)?;
        state.fitting.as_ref()
    }

    pub(super) fn baseline_scoring(&self) -> Option<&Gathering<BaselineOutcome>> {
        self.baseline.as_ref()?.scoring.as_ref()
    }

    pub(super) fn record_baseline(&mut self, site: SiteId, outcome: Outcome) {
        let at = self.now;
        let Some(state) = &mut self.baseline else { return };
        match outcome {
            Outcome::Regressed(sums) => {
                state.fitting.iter_mut().for_each(|fitting| fitting.answer(site.clone(), at, sums.clone()));
            }
            Outcome::BaselineScored(scored) => {
                self.details.keep_grouping(&site, scored.detail.fewest_per_score);
                state.scoring.iter_mut().for_each(|scoring| scoring.answer(site.clone(), at, scored.clone()));
            }
            _ => {}
        }
    }

    pub(super) fn record_baseline_failure(&mut self, site: SiteId, reason: String) {
        let Some(state) = &mut self.baseline else { return };
        match (&mut state.scoring, &mut state.fitting) {
            (Some(scoring), _) => scoring.fail(site, reason),
            (None, Some(fitting)) => fitting.fail(site, reason),
            (None, None) => {}
        }
    }

    pub(super) fn check_sums(&self, site: &SiteId, sums: &[LogisticSums]) -> Result<(), Rejection> {
        let folds = usize::from(self.study.evaluation.folds);
        let features = ClinicalBaseline::FEATURES;
        if sums.len() != folds || sums.iter().any(|sums| sums.features() != features) {
            return Err(refused(format!("sums of {folds} folds with {features} slopes are expected")));
        }
        let (trained, _) = self.declared(site);
        let ClassCounts { methylated: positives, unmethylated: negatives } = trained;
        let most = consilium_metrics::Totals { positives, negatives };
        if sums.iter().all(|sums| at_most(sums.class_counts(), most)) {
            return Ok(());
        }
        Err(refused("the sums are of more patients than the site declared".into()))
    }

    pub(super) fn check_baseline(&self, site: &SiteId, told: &BaselineOutcome) -> Result<(), Rejection> {
        let (trained, held_out) = self.declared(site);
        self.check_at_most(&told.scores.validation, trained)?;
        self.check_at_most(&told.scores.holdout, held_out)?;
        let holdout = told.scores.holdout.totals();
        let summed = |sums: &Option<consilium_metrics::ScoreSums>| {
            sums.is_none_or(|sums| sums.class_counts() == holdout)
        };
        if !is_size(told.seconds)
            || told.detail.sums.len() != 1
            || !told.detail.folds.is_empty()
            || !told.detail.sums.iter().all(summed)
        {
            return Err(refused("the sums or the time are not what can be beside these histograms".into()));
        }
        check_grouping([&told.scores.validation, &told.scores.holdout], told.detail.fewest_per_score)?;
        self.check_comparisons(None, &told.detail.comparisons, |_| holdout)
    }

    /// No fewer training and hold-out patients than `site` has in all modalities together: one with two counts twice.
    fn declared(&self, site: &SiteId) -> (ClassCounts, ClassCounts) {
        let cohort = self.roster.member(site).and_then(|member| member.cohort.as_ref());
        let counts = || {
            let modalities = self.study.modalities.iter();
            modalities.filter_map(|&modality| Some(cohort?.counts(modality)))
        };
        (counts().flat_map(|counts| counts.folds).sum(), counts().map(|counts| counts.holdout).sum())
    }
}

/// What the state waits for.
fn baseline_task(state: &BaselineState) -> Option<Task> {
    if state.is_over() {
        return None;
    }
    let coefficients = state.coefficients()?;
    Some(match state.scoring {
        Some(_) => Task::ScoreBaseline { coefficients },
        None => Task::FitBaseline { step: state.steps, coefficients },
    })
}

fn refused(why: String) -> Rejection {
    Rejection::Answer(why)
}

#[cfg(test)]
mod tests;
