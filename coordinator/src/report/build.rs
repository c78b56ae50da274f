//! From a coordinator's state to its report.

use std::collections::BTreeMap;

use consilium_domain::{Arm, ModalityGroup, Selection, SiteId};
use consilium_metrics::{BinEdge, GridMismatch, MergeError, paper_m};
use consilium_protocol::coordinator::{Answered, Coordinator, Gathering, LaneState, Phase, RoundState};
use consilium_protocol::{ScoringOutcome, Timestamp};

use super::comparison::comparisons;
use super::designs::left_out;
use super::health::{fold_spread, label_shift, routing};
use super::published::published;
use super::scores::{missing, scores, threshold};
use super::statistics::GroupStatistics;
use super::{
    ArmReport, BaselinesReport, BusySeconds, ContributorReport, GroupReport, LaneReport, MovementReport,
    PhaseSeconds, Report, RoundReport, SCHEMA, Scores, SiteReport, StudyOutcome,
};

/// The program and its version, as it stands in a report.
const SOFTWARE: &str = concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION"));

/// Admitted histograms always fit the study; when they do not, the log was not written by this program.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// Two sites' histograms differ in their bins.
    #[error("the log holds histograms that cannot be added: {0}")]
    Merge(#[from] MergeError),
    /// A threshold of another grid.
    #[error("the log holds histograms of different grids: {0}")]
    Grid(#[from] GridMismatch),
}

impl Report {
    /// The report of `state` as it stands at `now`. Bytes are added by [`Report::set_traffic`].
    ///
    /// # Errors
    /// When the state holds scores that do not fit together.
    pub fn of(state: &Coordinator, now: Timestamp) -> Result<Self, ReportError> {
        let arms = state.study().arms.iter().map(|&arm| arm_report(state, arm));
        let arms: Vec<ArmReport> = arms.collect::<Result<_, _>>()?;
        let comparisons = comparisons(state);
        let baselines = BaselinesReport::of(state)?;
        let statistics = arms.iter().flat_map(|arm| &arm.groups).map(|group| group.statistics.tests());
        let tested = comparisons.iter().filter(|comparison| comparison.p_value.is_some()).count() as u32;
        Ok(Self {
            schema: SCHEMA.to_owned(),
            software: SOFTWARE.to_owned(),
            study: state.study().clone(),
            study_hash: state.hash(),
            outcome: outcome(state),
            base_model: state.first_models().base.map(|blob| blob.digest),
            seconds: seconds(state, now),
            sites: state.roster().iter().map(|(site, _)| site_report(state, site)).collect(),
            labels: label_shift(state),
            tests: statistics.sum::<u32>() + tested + baselines.tests(),
            warnings: collapsed_policies(&arms).into_iter().chain(study_warnings(state)).collect(),
            left_out: left_out(state.study(), &arms),
            arms,
            comparisons,
            baselines,
        })
    }
}

fn outcome(state: &Coordinator) -> StudyOutcome {
    if let Some(pause) = state.pause() {
        return StudyOutcome { status: "paused".into(), reason: Some(format!("paused by {}", pause.by)) };
    }
    let (status, reason) = match state.phase() {
        Phase::Enrolling | Phase::Running { .. } => ("running", None),
        Phase::Finished { .. } => ("finished", None),
        Phase::Halted { reason, .. } => ("halted", Some(reason.clone())),
    };
    StudyOutcome { status: status.to_owned(), reason }
}

fn seconds(state: &Coordinator, now: Timestamp) -> PhaseSeconds {
    let rounds = || state.lanes().iter().flat_map(|lane| &lane.rounds);
    let pinned = rounds().map(|round| round.training.opened()).min();
    let validated = last_closing(rounds().map(|round| round.validation.as_ref()));
    let scored = last_closing(state.lanes().iter().map(|lane| lane.holdout.as_ref()));
    let fused = last_closing(state.study().arms.iter().map(|arm| state.fusions().get(arm)));
    let span = |from: Option<Timestamp>, to: Option<Timestamp>| Some(to?.secs_since(from?));
    let end = match state.phase() {
        Phase::Finished { at, .. } | Phase::Halted { at, .. } => *at,
        Phase::Enrolling | Phase::Running { .. } => now,
    };
    PhaseSeconds {
        enrolment: span(Some(state.opened()), pinned),
        cross_validation: span(pinned, validated),
        holdout: span(validated, scored),
        fusion: span(scored, fused),
        total: end.secs_since(state.opened()),
    }
}

/// When the last of `gatherings` closed; `None` while one is missing or open.
fn last_closing<'a, T: 'a>(gatherings: impl Iterator<Item = Option<&'a Gathering<T>>>) -> Option<Timestamp> {
    let closings: Option<Vec<Timestamp>> =
        gatherings.map(|gathering| Some(gathering?.closing()?.at)).collect();
    closings?.into_iter().max()
}

fn site_report(state: &Coordinator, site: &SiteId) -> SiteReport {
    let spent =
        |gathering: &Gathering<ScoringOutcome>| answer(gathering, site).map_or(0.0, |a| a.value.seconds);
    let mut busy = BusySeconds::default();
    for lane in state.lanes() {
        for round in &lane.rounds {
            busy.train += answer(&round.training, site).map_or(0.0, |a| a.value.seconds);
            busy.validate += round.validation.as_ref().map_or(0.0, spent);
        }
        busy.predict_holdout += lane.holdout.as_ref().map_or(0.0, spent);
    }
    busy.fuse =
        state.fusions().values().filter_map(|fusion| answer(fusion, site)).map(|a| a.value.seconds).sum();
    let member = state.roster().member(site);
    SiteReport {
        site: site.clone(),
        cohort: member.and_then(|member| member.cohort.clone()),
        duplicates: state.exclusion(site).map(|exclusion| exclusion.cases.len() as u32),
        withdrawn: member.and_then(|member| Some(member.withdrawal.as_ref()?.reason.clone())),
        software: member.map(|member| member.programs.clone()).unwrap_or_default(),
        fewest_per_score: state.fewest_per_score(site),
        bytes_sent: 0,
        bytes_received: 0,
        busy_seconds: busy,
    }
}

fn answer<'a, T>(gathering: &'a Gathering<T>, site: &SiteId) -> Option<&'a Answered<T>> {
    gathering.answers().get(site)
}

fn arm_report(state: &Coordinator, arm: Arm) -> Result<ArmReport, ReportError> {
    let lanes = state.lanes().iter().filter(|lane| lane.lane.arm == arm);
    let lanes: Vec<LaneReport> = lanes.map(|lane| lane_report(state, lane)).collect::<Result<_, _>>()?;
    Ok(ArmReport {
        arm,
        initial_model: state.first_models().initial.get(&arm).map(|blob| blob.digest),
        groups: groups(state, arm, &lanes)?,
        lanes,
        published: published(state.study(), arm),
    })
}

fn lane_report(state: &Coordinator, lane: &LaneState) -> Result<LaneReport, ReportError> {
    let selection = state.study().evaluation.selection;
    let chosen = lane.chosen.and_then(|round| lane.round(round));
    let (validation, threshold) = match chosen.and_then(|round| round.validation.as_ref()) {
        Some(gathering) => at_own_threshold(state, gathering)?,
        None => (None, None),
    };
    let holdout = match &lane.holdout {
        Some(gathering) => scores(state, gathering, |outcome| &outcome.scores, threshold)?,
        None => None,
    };
    Ok(LaneReport {
        modality: lane.lane.modality,
        fold: lane.lane.fold,
        rounds: lane.rounds.iter().map(|round| round_report(state, lane, round)).collect::<Result<_, _>>()?,
        chosen_round: lane.chosen,
        chosen_by: lane.chosen.map(|_| lane.best_round(selection).1),
        chosen_model: chosen.and_then(|round| round.model).map(|model| model.digest),
        validation,
        holdout,
    })
}

fn round_report(
    state: &Coordinator,
    lane: &LaneState,
    round: &RoundState,
) -> Result<RoundReport, ReportError> {
    let selection = state.study().evaluation.selection;
    let after = |at: Timestamp| at.secs_since(state.opened());
    let validation = match &round.validation {
        Some(gathering) => at_own_threshold(state, gathering)?.0,
        None => None,
    };
    let validated = round.validation.as_ref().and_then(Gathering::closing);
    let pooled = round.pooled_validation();
    Ok(RoundReport {
        round: round.round,
        reductions: round.reductions,
        opened_secs: after(round.training.opened()),
        trained_secs: round.training.closing().map(|closing| after(closing.at)),
        validated_secs: validated.map(|closing| after(closing.at)),
        model: round.model.map(|model| model.digest),
        contributors: contributors(state, round),
        missing: missing(&round.training),
        validation,
        validation_loss: pooled.as_ref().and_then(|pooled| pooled.mean_loss),
        validation_m: pooled.filter(|_| selection == Selection::PaperM).and_then(|p| paper_m(&p.scores)),
        routing: routing(state, lane.lane, round.round),
        movement: movement(round),
    })
}

fn movement(round: &RoundState) -> Option<MovementReport> {
    let movement = round.movement.as_ref()?;
    let answers = round.training.answers();
    let all: f64 = answers.values().map(|answer| f64::from(answer.value.cases)).sum();
    let weight = |site: &SiteId| answers.get(site).map_or(0.0, |answer| f64::from(answer.value.cases) / all);
    Some(MovementReport { norm: movement.norm, drift: movement.drift(weight) })
}

fn contributors(state: &Coordinator, round: &RoundState) -> Vec<ContributorReport> {
    let answers = round.training.answers();
    let all: f64 = answers.values().map(|answer| f64::from(answer.value.cases)).sum();
    let told = answers.iter().map(|(site, Answered { at, value })| ContributorReport {
        site: site.clone(),
        cases: value.cases,
        weight: f64::from(value.cases) / all,
        answered_secs: at.secs_since(state.opened()),
        busy_secs: value.seconds,
        update: value.update.digest,
        update_bytes: value.update.bytes,
        norm: value.norm,
        cosine: round.movement.as_ref().and_then(|movement| movement.sites.get(site)?.cosine),
        saturated: value.saturated,
        mean_loss: value.mean_loss,
        tuned_share: value.tuned_share,
    });
    told.collect()
}

/// Scores of a validation at the threshold that maximises Youden's J on itself, and that threshold.
fn at_own_threshold(
    state: &Coordinator,
    gathering: &Gathering<ScoringOutcome>,
) -> Result<(Option<Scores>, Option<BinEdge>), ReportError> {
    let threshold = threshold(gathering, |outcome| &outcome.scores)?;
    Ok((scores(state, gathering, |outcome| &outcome.scores, threshold)?, threshold))
}

fn groups(state: &Coordinator, arm: Arm, lanes: &[LaneReport]) -> Result<Vec<GroupReport>, ReportError> {
    let Some(fusion) = state.fusions().get(&arm) else { return Ok(Vec::new()) };
    let mut reports = Vec::new();
    for (index, group) in ModalityGroup::of_study(&state.study().modalities).into_iter().enumerate() {
        let threshold = threshold(fusion, |outcome| &outcome.groups[index].validation)?;
        let validation = scores(state, fusion, |outcome| &outcome.groups[index].validation, threshold)?;
        let holdout = scores(state, fusion, |outcome| &outcome.groups[index].holdout, threshold)?;
        let statistics = GroupStatistics::of(state, arm, index, fusion)?;
        if let (Some(validation), Some(holdout), Some(statistics)) = (validation, holdout, statistics) {
            reports.push(GroupReport {
                folds: fold_spread(state, arm, (index, &group), lanes)?,
                statistics,
                group,
                threshold: threshold.map(BinEdge::threshold),
                validation,
                holdout,
            });
        }
    }
    Ok(reports)
}

/// What went otherwise than planned.
pub(crate) fn study_warnings(state: &Coordinator) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut note = |work: String, missing: BTreeMap<SiteId, String>| {
        warnings.extend(
            missing.into_iter().map(|(site, reason)| format!("{work} went on without {site}: {reason}")),
        );
    };
    for lane in state.lanes() {
        for round in &lane.rounds {
            note(format!("training of {} round {}", lane.lane, round.round), missing(&round.training));
            if let Some(validation) = &round.validation {
                note(format!("validation of {} round {}", lane.lane, round.round), missing(validation));
            }
        }
        if let Some(holdout) = &lane.holdout {
            note(format!("hold-out of {}", lane.lane), missing(holdout));
        }
    }
    for (arm, fusion) in state.fusions() {
        note(format!("fusion of {arm}"), missing(fusion));
    }
    if let Some(baseline) = state.baseline() {
        note("the baseline on age and sex".into(), baseline.missing.clone());
        warnings
            .extend(baseline.absent.iter().map(|why| format!("there is no baseline on age and sex: {why}")));
    }
    for pause in state.pauses() {
        let until = pause.until.map_or("not continued".to_owned(), |until| {
            format!("stood still for {:.0} s", until.secs_since(pause.since))
        });
        warnings.push(format!("the study was paused by {}: {until}", pause.by));
    }
    for (site, member) in state.roster().iter() {
        if let Some(withdrawal) = &member.withdrawal {
            let verb = if member.cohort.is_some() { "left" } else { "declined" };
            warnings.push(format!("{site} {verb} the study: {}", withdrawal.reason));
        } else if member.cohort.is_none() && !state.lanes().is_empty() {
            warnings.push(format!("{site} was invited and never enlisted"));
        }
    }
    warnings
}

/// Chosen models whose policy sends nearly everybody the same way: they are no better than the one path they use.
fn collapsed_policies(arms: &[ArmReport]) -> Vec<String> {
    let lanes = arms.iter().flat_map(|arm| arm.lanes.iter().map(move |lane| (arm.arm, lane)));
    let chosen = lanes.filter_map(|(arm, lane)| {
        let round = lane.rounds.iter().find(|round| Some(round.round) == lane.chosen_round)?;
        round.routing.as_ref().filter(|routing| routing.pooled.collapsed)?;
        let (modality, fold, round) = (lane.modality, lane.fold, round.round);
        Some(format!(
            "the policy of {arm} {modality} fold {fold} has collapsed in its chosen round {round}: every block sends \
             nearly everybody through the same copy"
        ))
    });
    chosen.collect()
}

#[cfg(test)]
mod tests {
    use consilium_domain::{Plateau, Schedule};
    use consilium_protocol::Outcome;
    use consilium_protocol::coordinator::ChosenBy;

    use super::*;
    use crate::scene::{Scene, site, study};

    fn report(scene: &Scene) -> Report {
        Report::of(&scene.state, Timestamp(100_000)).unwrap()
    }

    #[test]
    fn a_complete_study_reports_every_lane_round_and_group() {
        let report = report(&Scene::finished());
        assert_eq!((report.outcome.status.as_str(), report.warnings.len()), ("finished", 0));
        let arm = &report.arms[0];
        assert_eq!((arm.lanes.len(), arm.groups.len()), (2, 1));
        for lane in &arm.lanes {
            assert_eq!(lane.rounds.len(), 2);
            assert!(lane.rounds.iter().all(|round| round.contributors.len() == 2 && round.model.is_some()));
            // All rounds score alike: the earliest represents the lane.
            assert_eq!(
                (lane.chosen_round, lane.chosen_model),
                (Some(lane.rounds[0].round), lane.rounds[0].model)
            );
        }
        assert!(arm.lanes.iter().all(|lane| lane.chosen_by == Some(ChosenBy::Auc)));
        // Each of two sites has the loss 1 over three patients of either class.
        let round = &arm.lanes[0].rounds[1];
        assert_eq!((round.reductions, round.validation_loss, round.validation_m), (0, Some(1.0 / 6.0), None));
        // Two updates of norm 1 at a right angle lie √2 apart; of four ordered pairs two are of one site.
        let movement = round.movement.unwrap();
        assert!((movement.drift - 1.0).abs() < 1e-12 && (movement.norm - 0.5f64.sqrt()).abs() < 1e-12);
        assert!(round.contributors.iter().all(|told| told.cosine == Some(0.5f64.sqrt())));
        assert_eq!(
            (report.labels[0].pooled, report.labels[0].sites[&site("a")].distance),
            (Some(0.5), Some(0.0))
        );
        let holdout = &arm.groups[0].holdout;
        assert_eq!((holdout.pooled.positives, holdout.pooled.negatives), (6, 6), "3 of each at two sites");
        assert_eq!(holdout.pooled.auc.as_ref().map(|auc| auc.value), Some(1.0));
        assert_eq!(holdout.sites.len(), 2);
        assert_eq!(report.sites[0].software, ["a 1.0"]);
        let seconds = report.seconds;
        let phases = [seconds.enrolment, seconds.cross_validation, seconds.holdout, seconds.fusion];
        let sum: f64 = phases.into_iter().map(Option::unwrap).sum();
        assert!((sum - seconds.total).abs() < 1e-9, "{seconds:?}");
        // Two rounds of two lanes; two validations of two lanes; two hold-outs; one fusion.
        let busy = report.sites[0].busy_seconds;
        assert_eq!((busy.train, busy.validate, busy.predict_holdout, busy.fuse), (4.0, 8.0, 4.0, 3.0));
    }

    #[test]
    fn the_papers_recipe_is_reported_where_the_study_follows_it() {
        let mut study = study();
        study.training.rounds = 4;
        study.training.schedule = Schedule::Plateau(Plateau { factor: 0.1, patience: 0 });
        study.evaluation.selection = Selection::PaperM;
        let report = report(&Scene::finished_with(study));
        let lane = &report.arms[0].lanes[0];
        assert_eq!(lane.chosen_by, Some(ChosenBy::PaperM));
        let reductions: Vec<u16> = lane.rounds.iter().map(|round| round.reductions).collect();
        assert_eq!(reductions, [0, 0, 1, 2], "every round after the first has the same loss");
        assert!(lane.rounds.iter().all(|round| round.validation_m == Some(1.0)));
        let text = serde_json::to_string(&report).unwrap();
        assert!(text.contains(r#""chosen_by":"paper-m""#));
        assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
    }

    #[test]
    fn a_site_that_could_not_train_is_missing_with_its_reason() {
        let mut scene = Scene::running();
        scene.fail("b", "no disk");
        while scene.step() {}
        let report = report(&scene);
        let round = &report.arms[0].lanes[0].rounds[0];
        assert_eq!(round.contributors.len(), 1);
        assert!(round.missing[&site("b")].contains("no disk"), "{:?}", round.missing);
        assert_eq!(report.warnings.len(), 1);
        assert!(report.warnings[0].contains("went on without b"), "{}", report.warnings[0]);
    }

    #[test]
    fn a_site_that_left_is_named_with_its_reason_and_its_work_stays() {
        let mut scene = Scene::running();
        scene.answer("b", |outcome| outcome);
        scene.withdraw("b", "the ethics board ended it");
        while scene.step() {}
        let report = report(&scene);
        assert_eq!(report.sites[1].withdrawn.as_deref(), Some("the ethics board ended it"));
        assert!(report.sites[0].withdrawn.is_none() && report.sites[1].cohort.is_some());
        let left = "b left the study: the ethics board ended it";
        assert!(report.warnings.iter().any(|warning| warning == left), "{:?}", report.warnings);
        let rounds: Vec<_> = report.arms[0].lanes.iter().flat_map(|lane| &lane.rounds).collect();
        let with_it = rounds.iter().filter(|round| round.contributors.len() == 2).count();
        assert_eq!(with_it, 1, "what it had done counts, and no more");
        let text = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
        assert!(report.to_string().contains("b withdrew: the ethics board ended it"));
    }

    #[test]
    fn an_unfinished_study_reports_what_there_is_and_nothing_else() {
        let mut scene = Scene::running();
        scene.answer("a", |outcome| match outcome {
            Outcome::Trained(trained) => Outcome::Trained(trained),
            other => panic!("{other:?}"),
        });
        let report = report(&scene);
        assert_eq!(report.outcome.status, "running");
        assert_eq!(report.seconds.total, 99.0);
        assert_eq!((report.seconds.cross_validation, report.seconds.fusion), (None, None));
        let lane = &report.arms[0].lanes[0];
        assert_eq!((lane.rounds[0].contributors.len(), lane.rounds[0].model), (1, None));
        assert!(lane.chosen_model.is_none() && lane.validation.is_none() && report.arms[0].groups.is_empty());
    }
}
