//! What an admin sees of a study, from its state.

use std::collections::BTreeSet;

use consilium_domain::{SiteId, Study};
use consilium_metrics::auc;
use consilium_protocol::Progress;
use consilium_protocol::Timestamp;
use consilium_protocol::admin::{
    ContributorView, InHandView, LaneView, ModelView, PauseView, RoundStage, RoundView, SiteStanding,
    SiteView, StudyState, StudySummary, StudyView,
};
use consilium_protocol::coordinator::{
    Coordinator, Gathering, InHand, LaneState, Member, Phase, PooledScores, Presence, RoundState,
};

use super::carrying::{Entry, Life};
use super::work_left::SiteWork;
use crate::contributors::{Contributor, Contributors};
use crate::notice;
use crate::report::study_warnings;

/// Steps before a pace can be told of: fewer are an accident.
const FEWEST_STEPS: u32 = 5;
/// The share of all steps before that, as one in so many: the first rounds say little about the last.
const FEWEST_SHARE: u32 = 20;

/// A study in one line: as it stands, or as `state` says if that is given.
pub(super) fn summary(entry: &Entry, state: Option<&Coordinator>) -> StudySummary {
    let study = entry.study.as_deref();
    let mut summary = StudySummary {
        number: entry.submission.number,
        hash: entry.name,
        name: study.map_or_else(|| "(unreadable)".to_owned(), |study| study.name.clone()),
        state: StudyState::Submitted,
        reason: None,
        submitted: entry.submission.at,
        by: entry.submission.by.clone(),
        steps_done: 0,
        steps: 0,
        connected: 0,
        enlisted: 0,
        invited: study.map_or(0, |study| study.federation.sites.len() as u32),
    };
    match (state, &entry.life) {
        (Some(state), _) => fill(&mut summary, state),
        (None, Life::Over(last)) => summary = StudySummary::clone(last),
        (None, Life::Running(sessions)) => sessions.desk().read(|state| fill(&mut summary, state)),
        (None, Life::Submitted) => {}
        (None, Life::Failed(reason)) => {
            summary.state = StudyState::Failed;
            summary.reason = Some(reason.clone());
        }
    }
    summary
}

fn fill(summary: &mut StudySummary, state: &Coordinator) {
    let progress = notice::Progress::of(state);
    (summary.state, summary.reason) = standing(state);
    (summary.steps_done, summary.steps) = (progress.done, progress.total);
    (summary.connected, summary.enlisted) = (progress.connected, progress.enlisted);
}

fn standing(state: &Coordinator) -> (StudyState, Option<String>) {
    if let Some(pause) = state.pause() {
        return (StudyState::Paused, Some(format!("paused by {}", pause.by)));
    }
    match state.phase() {
        Phase::Enrolling => (StudyState::Running, Some("sites are enlisting".to_owned())),
        Phase::Running { .. } => (StudyState::Running, None),
        Phase::Finished { .. } => (StudyState::Finished, None),
        Phase::Halted { reason, .. } if state.was_aborted() => (StudyState::Aborted, Some(reason.clone())),
        Phase::Halted { reason, .. } => (StudyState::Halted, Some(reason.clone())),
    }
}

/// Why a submitted study has not begun: the first of the `earlier` ones that needs one of its sites.
pub(super) fn waits_for(study: &Study, earlier: &[Entry]) -> Option<String> {
    let sites: BTreeSet<SiteId> = study.federation.sites.iter().cloned().collect();
    earlier.iter().find_map(|entry| {
        let needed = entry.needed();
        let shared = needed.intersection(&sites).next()?;
        Some(format!("waits for study {}, which needs {shared}", entry.name.short()))
    })
}

/// A study in detail; `state` is `None` before it has begun.
pub(crate) fn view(summary: StudySummary, plan: &Study, state: Option<&Coordinator>) -> StudyView {
    let Some(state) = state else {
        let sites = plan.federation.sites.iter().map(|site| awaited(site.clone())).collect();
        return StudyView {
            summary,
            plan: plan.clone(),
            sites,
            lanes: Vec::new(),
            pauses: Vec::new(),
            expected_end: None,
            warnings: Vec::new(),
        };
    };
    let pauses = state.pauses().iter().map(|pause| PauseView {
        by: pause.by.clone(),
        since: pause.since,
        until: pause.until,
    });
    StudyView {
        summary,
        plan: plan.clone(),
        sites: state.roster().iter().map(|(site, member)| site_view(state, site.clone(), member)).collect(),
        lanes: state.lanes().iter().map(|lane| lane_view(state, lane, plan.training.rounds)).collect(),
        pauses: pauses.collect(),
        expected_end: expected_end(state),
        warnings: study_warnings(state),
    }
}

/// The line of a study that was submitted to nobody: `run` has one, and does it.
pub(crate) fn summary_of(state: &Coordinator) -> StudySummary {
    let mut summary = StudySummary {
        number: 1,
        hash: state.hash().digest(),
        name: state.study().name.clone(),
        state: StudyState::Running,
        reason: None,
        submitted: state.opened(),
        by: "this program's command line".to_owned(),
        steps_done: 0,
        steps: 0,
        connected: 0,
        enlisted: 0,
        invited: state.study().federation.sites.len() as u32,
    };
    fill(&mut summary, state);
    summary
}

/// When the study would end at the pace of the steps so far, as of the last sign of life of a site. Steps are not alike (a
/// validation is shorter than a training), but their mixture is about the same all the time.
fn expected_end(state: &Coordinator) -> Option<Timestamp> {
    let Phase::Running { since } = *state.phase() else { return None };
    let notice::Progress { done, total, .. } = notice::Progress::of(state);
    if state.pause().is_some() || done < FEWEST_STEPS.max(total / FEWEST_SHARE) {
        return None;
    }
    let last = state.roster().iter().map(|(_, member)| member.last_heard).max()?;
    let stood_still = state.pauses().iter().filter_map(|pause| {
        let until = pause.until?.0;
        Some(until.saturating_sub(pause.since.0.max(since.0)))
    });
    let worked = last.0.saturating_sub(since.0).saturating_sub(stood_still.sum());
    let left = u128::from(worked) * u128::from(total.saturating_sub(done)) / u128::from(done);
    Some(Timestamp(last.0.saturating_add(u64::try_from(left).ok()?)))
}

fn awaited(site: SiteId) -> SiteView {
    let standing = SiteStanding::Awaited;
    let (last_heard, cohort) = (None, None);
    SiteView {
        site,
        standing,
        reason: None,
        last_heard,
        cohort,
        in_hand: None,
        order: None,
        answered: 0,
        work_left_secs: None,
    }
}

fn site_view(state: &Coordinator, site: SiteId, member: &Member) -> SiteView {
    let (standing, reason) = if let Some(withdrawal) = &member.withdrawal {
        (SiteStanding::Withdrawn, Some(withdrawal.reason.clone()))
    } else {
        match (&member.presence, &member.cohort) {
            (Presence::Awaited, _) => return awaited(site),
            (Presence::Gone { reason, .. }, _) => (SiteStanding::Gone, Some(reason.clone())),
            (Presence::Connected, None) => (SiteStanding::Preparing, None),
            (Presence::Connected, Some(_)) => (SiteStanding::Connected, None),
        }
    };
    let work = SiteWork::of(state, &site, member);
    let in_hand = member.in_hand.and_then(|in_hand| {
        let InHand { order, progress, at } = in_hand;
        let (task, Progress { steps, of, .. }) = (state.task(&order)?, progress);
        let left_secs = work.left_of(task, progress).map(|seconds| seconds.round() as u64);
        Some(InHandView { task: task.to_string(), steps, of, at, left_secs })
    });
    let works = standing == SiteStanding::Connected;
    let under_way = standing != SiteStanding::Withdrawn && matches!(state.phase(), Phase::Running { .. });
    let half_done = member.in_hand.map(|in_hand| (in_hand.order, in_hand.progress));
    let work_left_secs = if under_way { work.left(state, half_done) } else { None };
    SiteView {
        standing,
        reason,
        last_heard: Some(member.last_heard),
        cohort: member.cohort.clone(),
        in_hand,
        order: state.next_order(&site).filter(|_| works).map(|order| order.task.to_string()),
        answered: answered(state, &site),
        work_left_secs,
        site,
    }
}

/// How many orders `site` has answered.
fn answered(state: &Coordinator, site: &SiteId) -> u32 {
    let mut count = 0;
    for lane in state.lanes() {
        for round in &lane.rounds {
            count += u32::from(round.training.answers().contains_key(site));
            count +=
                u32::from(round.validation.as_ref().is_some_and(|told| told.answers().contains_key(site)));
        }
        count += u32::from(lane.holdout.as_ref().is_some_and(|told| told.answers().contains_key(site)));
    }
    let fused = state.fusions().values().filter(|fusion| fusion.answers().contains_key(site));
    count + fused.count() as u32
}

fn lane_view(state: &Coordinator, lane: &LaneState, rounds: u16) -> LaneView {
    let done = lane.rounds.iter().filter(|round| round.model.is_some()).count();
    LaneView {
        lane: lane.lane,
        rounds_done: u16::try_from(done).unwrap_or(u16::MAX),
        rounds,
        chosen: lane.chosen,
        complete: lane.is_complete(),
        progress: lane.rounds.iter().map(round_view).collect(),
        latest: lane.rounds.iter().rev().find_map(|round| model_view(state, lane, round)),
    }
}

fn model_view(state: &Coordinator, lane: &LaneState, round: &RoundState) -> Option<ModelView> {
    let Contributors { round, model, contributors, missing, .. } =
        Contributors::of(state.hash(), lane.lane, round)?;
    let told = |Contributor { site, cases, update }| ContributorView { site, cases, update };
    Some(ModelView { round, model, contributors: contributors.into_iter().map(told).collect(), missing })
}

fn round_view(round: &RoundState) -> RoundView {
    let RoundState { training, validation, .. } = round;
    let pooled = round.pooled_validation();
    let stage = match (training.closing(), round.model) {
        (None, _) => RoundStage::Training,
        (Some(_), None) => RoundStage::Summing,
        (Some(_), Some(_)) if round.is_validated() => RoundStage::Validated,
        (Some(_), Some(_)) => RoundStage::Validating,
    };
    RoundView {
        round: round.round,
        stage,
        expected: training.expected().len() as u32,
        trained: training.answers().len() as u32,
        scored: validation.as_ref().map_or(0, |scores| scores.answers().len() as u32),
        missing: missing(training) + validation.as_ref().map_or(0, missing),
        training_loss: training_loss(round),
        validation_loss: pooled.as_ref().and_then(|pooled| pooled.mean_loss),
        validation_auc: pooled.as_ref().and_then(|PooledScores { scores, .. }| Some(auc(scores)?.value)),
    }
}

fn missing<T>(gathering: &Gathering<T>) -> u32 {
    gathering.closing().map_or(0, |closing| closing.missing.len() as u32)
}

/// The sites' last losses, each weighted by its cases as in the sum; `None` while sites train.
fn training_loss(round: &RoundState) -> Option<f64> {
    round.training.closing()?;
    let answers = || round.training.answers().values().map(|answer| &answer.value);
    let cases: f64 = answers().map(|told| f64::from(told.cases)).sum();
    let sum: f64 = answers().map(|told| f64::from(told.cases) * told.mean_loss).sum();
    (cases > 0.0).then_some(sum / cases)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use consilium_protocol::coordinator::Event;

    use super::*;
    use crate::scene::{Scene, site};

    #[test]
    fn a_study_shows_its_state_and_who_made_it_so() {
        let mut scene = Scene::running();
        assert_eq!(standing(&Scene::enrolling().state).0, StudyState::Running);
        assert_eq!(standing(&scene.state), (StudyState::Running, None));
        let at = Timestamp(1_000_000);
        scene.state.handle(at, Event::Paused { by: "alice".into() }).unwrap();
        assert_eq!(standing(&scene.state), (StudyState::Paused, Some("paused by alice".into())));
        scene.state.handle(at, Event::Aborted { reason: "aborted by bob: enough".into() }).unwrap();
        let aborted = (StudyState::Aborted, Some("aborted by bob: enough".into()));
        assert_eq!(standing(&scene.state), aborted);
        assert_eq!(standing(&Scene::finished().state).0, StudyState::Finished);
    }

    #[test]
    fn lanes_and_sites_show_how_far_they_are() {
        let scene = Scene::finished();
        let lanes: Vec<LaneView> =
            scene.state.lanes().iter().map(|lane| lane_view(&scene.state, lane, 2)).collect();
        assert_eq!(lanes.len(), 2);
        assert!(lanes.iter().all(|lane| lane.rounds_done == 2 && lane.chosen.is_some() && lane.complete));
        let enrolling = Scene::enrolling().state;
        for (site, member) in enrolling.roster().iter() {
            assert_eq!(site_view(&enrolling, site.clone(), member).standing, SiteStanding::Awaited);
        }
        let mut running = Scene::running().state;
        let (a, at) = (site("a"), Timestamp(1_000_000));
        running.handle(at, Event::SiteGone { site: a.clone(), reason: "timed out".into() }).unwrap();
        let view = site_view(&running, a.clone(), running.roster().member(&a).unwrap());
        assert_eq!((view.standing, view.reason.as_deref()), (SiteStanding::Gone, Some("timed out")));
        assert!(view.cohort.is_some() && view.order.is_none());
    }

    fn view_of(state: &Coordinator) -> StudyView {
        view(summary_of(state), state.study(), Some(state))
    }

    #[test]
    fn rounds_show_what_happens_in_them_and_what_came_of_it() {
        let mut scene = Scene::running();
        let first = |scene: &Scene| view_of(&scene.state).lanes[0].progress[0].clone();
        assert_eq!(
            (first(&scene).stage, first(&scene).expected, first(&scene).trained),
            (RoundStage::Training, 2, 0)
        );
        assert!(view_of(&scene.state).sites[0].order.as_ref().unwrap().starts_with("train "));
        scene.answer("a", |outcome| outcome);
        assert_eq!((first(&scene).trained, first(&scene).training_loss), (1, None));
        scene.answer("b", |outcome| outcome);
        let trained = first(&scene);
        assert_eq!((trained.stage, trained.training_loss), (RoundStage::Validating, Some(0.5)));
        while scene.step() {}
        let done = first(&scene);
        assert_eq!((done.stage, done.scored, done.missing), (RoundStage::Validated, 2, 0));
        assert_eq!((done.validation_auc, done.validation_loss), (Some(1.0), Some(1.0 / 6.0)));
        let view = view_of(&scene.state);
        // 2 lanes of 2 rounds (training, validation) and a hold-out, and one fusion.
        assert!(view.sites.iter().all(|site| site.answered == 11 && site.order.is_none()));
        let old = serde_json::to_value(&view).unwrap();
        assert_eq!(serde_json::from_value::<StudyView>(old).unwrap(), view);
    }

    #[test]
    fn the_latest_model_of_a_lane_names_who_is_in_it_and_who_is_not() {
        let mut scene = Scene::running();
        let latest = |scene: &Scene| view_of(&scene.state).lanes[0].latest.clone();
        assert_eq!(latest(&scene), None);
        let mut updates = BTreeMap::new();
        for name in ["a", "b"] {
            scene.answer(name, |outcome| {
                updates.insert(site(name), outcome.blob().unwrap().digest);
                outcome
            });
        }
        let model = latest(&scene).expect("both have trained");
        let round = scene.state.lanes()[0].round(model.round).unwrap();
        assert_eq!(Some(model.model), round.model.map(|model| model.digest));
        let told = model.contributors.iter().map(|told| (told.site.clone(), told.update));
        assert_eq!(told.collect::<BTreeMap<_, _>>(), updates);
        assert!(model.contributors.iter().all(|told| told.cases > 0) && model.missing.is_empty());
    }

    #[test]
    fn an_end_is_expected_once_there_is_a_pace_and_comes_about_then() {
        let mut scene = Scene::running();
        assert_eq!(view_of(&scene.state).expected_end, None);
        let mut expected = Vec::new();
        while scene.step() {
            expected.extend(view_of(&scene.state).expected_end);
        }
        let Phase::Finished { at, .. } = *scene.state.phase() else { panic!("it is over") };
        assert!(!expected.is_empty() && view_of(&scene.state).expected_end.is_none());
        assert!(expected.iter().all(|end| end.secs_since(at).abs() < 8.0), "{expected:?} and {at:?}");
        let mut paused = Scene::running();
        (0..14).for_each(|_| assert!(paused.step()));
        assert!(view_of(&paused.state).expected_end.is_some());
        paused.state.handle(Timestamp(100_000), Event::Paused { by: "alice".into() }).unwrap();
        assert_eq!(view_of(&paused.state).expected_end, None);
    }
}
