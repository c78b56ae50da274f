//! What an admin sees of a study, from its state.

use std::collections::BTreeSet;

use consilium_domain::{SiteId, Study};
use consilium_protocol::admin::{
    InHandView, LaneView, PauseView, SiteStanding, SiteView, StudyState, StudySummary, StudyView,
};
use consilium_protocol::coordinator::{Coordinator, InHand, LaneState, Member, Phase, Presence};

use super::carrying::{Entry, Life};
use consilium_protocol::Progress;

use crate::notice;

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
pub(super) fn view(summary: StudySummary, plan: &Study, state: Option<&Coordinator>) -> StudyView {
    let Some(state) = state else {
        let sites = plan.federation.sites.iter().map(|site| awaited(site.clone())).collect();
        return StudyView { summary, plan: plan.clone(), sites, lanes: Vec::new(), pauses: Vec::new() };
    };
    let pauses = state.pauses().iter().map(|pause| PauseView {
        by: pause.by.clone(),
        since: pause.since,
        until: pause.until,
    });
    StudyView {
        summary,
        plan: plan.clone(),
        sites: state.roster().iter().map(|(site, member)| site_view(site.clone(), member, state)).collect(),
        lanes: state.lanes().iter().map(|lane| lane_view(lane, plan.training.rounds)).collect(),
        pauses: pauses.collect(),
    }
}

fn awaited(site: SiteId) -> SiteView {
    SiteView {
        site,
        standing: SiteStanding::Awaited,
        reason: None,
        last_heard: None,
        cohort: None,
        in_hand: None,
    }
}

fn site_view(site: SiteId, member: &Member, state: &Coordinator) -> SiteView {
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
    let in_hand = member.in_hand.and_then(|in_hand| {
        let InHand { order, progress: Progress { steps, of, .. }, at } = in_hand;
        Some(InHandView { task: state.task(&order)?.to_string(), steps, of, at })
    });
    let (last_heard, cohort) = (Some(member.last_heard), member.cohort.clone());
    SiteView { site, standing, reason, last_heard, cohort, in_hand }
}

fn lane_view(lane: &LaneState, rounds: u16) -> LaneView {
    let done = lane.rounds.iter().filter(|round| round.model.is_some()).count();
    LaneView {
        lane: lane.lane,
        rounds_done: u16::try_from(done).unwrap_or(u16::MAX),
        rounds,
        chosen: lane.chosen,
        complete: lane.is_complete(),
    }
}

#[cfg(test)]
mod tests {
    use consilium_protocol::Timestamp;
    use consilium_protocol::coordinator::Event;

    use super::*;
    use crate::scene::Scene;

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
        let lanes: Vec<LaneView> = scene.state.lanes().iter().map(|lane| lane_view(lane, 2)).collect();
        assert_eq!(lanes.len(), 2);
        assert!(lanes.iter().all(|lane| lane.rounds_done == 2 && lane.chosen.is_some() && lane.complete));
        let enrolling = Scene::enrolling().state;
        for (site, member) in enrolling.roster().iter() {
            assert_eq!(site_view(site.clone(), member, &enrolling).standing, SiteStanding::Awaited);
        }
        let mut running = Scene::running().state;
        let (a, at) = (crate::scene::site("a"), Timestamp(1_000_000));
        running.handle(at, Event::SiteGone { site: a.clone(), reason: "timed out".into() }).unwrap();
        let view = site_view(a.clone(), running.roster().member(&a).unwrap(), &running);
        assert_eq!((view.standing, view.reason.as_deref()), (SiteStanding::Gone, Some("timed out")));
        assert!(view.cohort.is_some());
    }
}
