//! Answers as tables for people.

use std::fmt::Write as _;

use consilium_protocol::Timestamp;
use consilium_protocol::admin::{
    InHandView, ModelView, RegisteredSite, SiteView, StudyList, StudySummary, StudyView,
};
use time::OffsetDateTime;

/// Warnings that a table of one study shows: all of them are in `--json` and in the report.
const LAST_WARNINGS: usize = 5;

/// All studies, one a line.
pub(super) fn list(list: &StudyList) -> String {
    if list.studies.is_empty() {
        return "no studies: `consilium-coordinator study submit FILE` hands one in".to_owned();
    }
    let width = list.studies.iter().map(|study| study.name.chars().count()).max().unwrap_or(0).max(4);
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{:>3}  {:8}  {:width$}  {:9}  {:>11}  {:>9}  {:16}  by",
        "no", "hash", "name", "state", "steps", "sites", "submitted (UTC)"
    );
    for study in &list.studies {
        let StudySummary { number, name, state, by, .. } = study;
        let steps = format!("{}/{}", study.steps_done, study.steps);
        let sites = format!("{}/{}", study.connected, study.invited);
        let (hash, at) = (study.hash.short(), time_of(study.submitted));
        let _ = writeln!(
            text,
            "{number:>3}  {hash}  {name:width$}  {state:9}  {steps:>11}  {sites:>9}  {at:16}  {by}"
        );
        if let Some(reason) = &study.reason {
            let _ = writeln!(text, "     {reason}");
        }
    }
    if !list.refused.is_empty() {
        let counts: Vec<String> =
            list.refused.iter().map(|(code, count)| format!("{count} {code}")).collect();
        let _ = writeln!(text, "refused since the coordinator started: {}", counts.join(", "));
    }
    text
}

/// All sites, one a line.
pub(super) fn sites(sites: &[RegisteredSite]) -> String {
    if sites.is_empty() {
        return "no sites: `consilium-coordinator site add NAME` invites one".to_owned();
    }
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{:24}  {:8}  {:17}  {:16}  program",
        "site", "state", "certificate until", "last seen (UTC)"
    );
    for RegisteredSite { site, state, certificate_expires, last_seen, software } in sites {
        let time = |at: &Option<Timestamp>| at.map_or("-".to_owned(), time_of);
        let (until, seen) = (time(certificate_expires), time(last_seen));
        let software = software.as_deref().unwrap_or("-");
        let _ = writeln!(text, "{site:24}  {state:8}  {until:17}  {seen:16}  {software}");
    }
    text
}

/// One study.
pub(super) fn view(view: &StudyView) -> String {
    let StudySummary { number, hash, name, state, by, .. } = &view.summary;
    let mut text = String::new();
    let _ = writeln!(text, "study     {number} {name}\nhash      {hash}");
    let reason = view.summary.reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"));
    let _ = writeln!(text, "state     {state}{reason}");
    let _ = writeln!(text, "submitted {} UTC by {by}", time_of(view.summary.submitted));
    let _ = writeln!(text, "steps     {} of {}", view.summary.steps_done, view.summary.steps);
    if let Some(end) = view.expected_end {
        let _ = writeln!(text, "expected  to end {} UTC at the pace so far", time_of(end));
    }
    for pause in &view.pauses {
        let until = pause.until.map_or("now".to_owned(), time_of);
        let _ = writeln!(text, "paused    {} to {until} UTC by {}", time_of(pause.since), pause.by);
    }
    let _ = writeln!(
        text,
        "\n{:24}  {:10}  {:>8}  {:>7}  {:16}  {:13}  works on, or why not",
        "site", "standing", "patients", "answers", "last heard (UTC)", "work left"
    );
    for site in &view.sites {
        let patients = site.cohort.as_ref().map_or("-".to_owned(), |cohort| {
            let totals = cohort.modalities.values().map(|counts| {
                counts.folds.iter().map(|fold| fold.total()).sum::<u32>() + counts.holdout.total()
            });
            totals.max().unwrap_or(0).to_string()
        });
        let heard = site.last_heard.map_or("-".to_owned(), time_of);
        let in_hand = || site.in_hand.as_ref().map(in_hand);
        let why = site.reason.clone().or_else(in_hand).or_else(|| site.order.clone()).unwrap_or_default();
        let left = work_left(site.work_left_secs);
        let SiteView { site, standing, answered, .. } = site;
        let line =
            format!("{site:24}  {standing:10}  {patients:>8}  {answered:>7}  {heard:16}  {left:13}  {why}");
        let _ = writeln!(text, "{}", line.trim_end());
    }
    if !view.lanes.is_empty() {
        let _ = writeln!(text, "\n{:30}  {:>11}  {:>6}  hold-out", "lane", "rounds", "chosen");
    }
    for lane in &view.lanes {
        let rounds = format!("{}/{}", lane.rounds_done, lane.rounds);
        let chosen = lane.chosen.map_or("-".to_owned(), |round| round.to_string());
        let holdout = if lane.complete { "scored" } else { "-" };
        let _ = writeln!(text, "{:30}  {rounds:>11}  {chosen:>6}  {holdout}", lane.lane.to_string());
        text.extend(lane.latest.iter().map(in_model));
    }
    if !view.warnings.is_empty() {
        let _ = writeln!(text, "\nwarnings: {}, the last of them:", view.warnings.len());
        for warning in view.warnings.iter().rev().take(LAST_WARNINGS) {
            let _ = writeln!(text, "  {warning}");
        }
    }
    text
}

/// Who is in a model, in a line; who is not, in another.
fn in_model(model: &ModelView) -> String {
    let ModelView { round, model, contributors, missing } = model;
    let sites: Vec<String> =
        contributors.iter().map(|told| format!("{} ({} cases)", told.site, told.cases)).collect();
    let mut text = format!("  model of round {round} {}: {}\n", model.short(), sites.join(", "));
    if !missing.is_empty() {
        let missing: Vec<String> = missing.iter().map(|(site, why)| format!("{site} ({why})")).collect();
        let _ = writeln!(text, "  warning: without {}", missing.join(", "));
    }
    text
}

/// What a site has said of its work.
pub(crate) fn in_hand(order: &InHandView) -> String {
    let InHandView { task, steps, of, at, left_secs } = order;
    let of = if *of > 0 { format!(" of {of}") } else { String::new() };
    let left = left_secs.map_or(String::new(), |secs| format!(", {} to go then", work_left(Some(secs))));
    format!("{task}, step {steps}{of} at {}{left}", time_of(*at))
}

/// Seconds of work as people say them: no finer than what a rule of three is good for.
pub(crate) fn work_left(secs: Option<u64>) -> String {
    match secs {
        None => "unknown".to_owned(),
        Some(0) => "none".to_owned(),
        Some(1..60) => "under 1 min".to_owned(),
        Some(secs @ 60..7_200) => format!("about {} min", secs.div_ceil(60)),
        Some(secs @ 7_200..172_800) => format!("about {} h", secs.div_ceil(3_600)),
        Some(secs) => format!("about {} days", secs.div_ceil(86_400)),
    }
}

/// A time in UTC, to the minute, as `2026-11-23 17:08`.
pub(crate) fn time_of(at: Timestamp) -> String {
    let seconds = i64::try_from(at.0 / 1000).unwrap_or(i64::MAX);
    let Ok(time) = OffsetDateTime::from_unix_timestamp(seconds) else { return "-".to_owned() };
    let (date, hour, minute) = (time.date(), time.hour(), time.minute());
    format!("{:04}-{:02}-{:02} {hour:02}:{minute:02}", date.year(), u8::from(date.month()), date.day())
}

#[cfg(test)]
mod tests {
    use consilium_domain::{Digest, Round};
    use consilium_protocol::admin::{ContributorView, SiteStanding, StudyState};

    use super::*;

    fn summary() -> StudySummary {
        StudySummary {
            number: 2,
            hash: Digest::of(b"a"),
            name: "mgmt-pilot".into(),
            state: StudyState::Paused,
            reason: Some("paused by alice".into()),
            submitted: Timestamp(1_795_000_000_000),
            by: "alice".into(),
            steps_done: 7,
            steps: 90,
            connected: 2,
            enlisted: 3,
            invited: 3,
        }
    }

    #[test]
    fn a_list_shows_every_study_its_reason_and_what_was_refused() {
        let refused = [("read-only".to_owned(), 3)].into();
        let text = list(&StudyList { studies: vec![summary()], refused });
        for words in ["mgmt-pilot  paused", "7/90", "2/3", "2026-11-18", "paused by alice", "3 read-only"] {
            assert!(text.contains(words), "`{words}` is missing from\n{text}");
        }
        let empty = StudyList { studies: Vec::new(), refused: Default::default() };
        assert!(list(&empty).contains("study submit"));
    }

    #[test]
    fn a_model_tells_who_is_in_it_and_who_is_not() {
        let north = ContributorView { site: "north".parse().unwrap(), cases: 40, update: Digest::of(b"u") };
        let missing = [("south".parse().unwrap(), "connection gone: timed out".to_owned())].into();
        let model =
            ModelView { round: Round(3), model: Digest::of(b"m"), contributors: vec![north], missing };
        let lines = format!(
            "  model of round 3 {}: north (40 cases)\n  warning: without south (connection gone: timed out)\n",
            Digest::of(b"m").short()
        );
        assert_eq!(in_model(&model), lines);
    }

    #[test]
    fn a_study_shows_its_sites_and_why_they_are_gone() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/samples/study.toml");
        let site = SiteView {
            site: "north".parse().unwrap(),
            standing: SiteStanding::Gone,
            reason: Some("timed out".into()),
            last_heard: Some(Timestamp(0)),
            cohort: None,
            in_hand: None,
            order: None,
            answered: 0,
            work_left_secs: None,
        };
        let (task, at) = ("training of a lane".into(), Timestamp(0));
        let in_hand = InHandView { task, steps: 3, of: 40, at, left_secs: Some(90) };
        let at_work = SiteView {
            site: "south".parse().unwrap(),
            standing: SiteStanding::Connected,
            reason: None,
            in_hand: Some(in_hand),
            work_left_secs: Some(3_000),
            ..site.clone()
        };
        let plan = crate::read_study(&path).unwrap();
        let view = StudyView {
            summary: summary(),
            plan,
            sites: vec![site, at_work],
            lanes: vec![],
            pauses: vec![],
            expected_end: None,
            warnings: vec!["training went on without north: timed out".into()],
        };
        let text = super::view(&view);
        let at_work = "training of a lane, step 3 of 40 at";
        let left = ["about 2 min to go then", "about 50 min ", "unknown"];
        let expected =
            ["north", "gone", "timed out", "1970-01-01 00:00", "training went on without", at_work];
        for words in expected.into_iter().chain(left) {
            assert!(text.contains(words), "`{words}` is missing from\n{text}");
        }
    }

    #[test]
    fn what_is_left_is_told_in_the_unit_that_it_is_good_for() {
        for (secs, words) in [
            (None, "unknown"),
            (Some(0), "none"),
            (Some(59), "under 1 min"),
            (Some(61), "about 2 min"),
            (Some(7_199), "about 120 min"),
            (Some(7_201), "about 3 h"),
            (Some(200_000), "about 3 days"),
        ] {
            assert_eq!(work_left(secs), words);
        }
    }
}
