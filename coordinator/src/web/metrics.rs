//! The coordinator's metrics. Every family is documented in `docs/metrics.md`, and a test holds both together.

use std::time::{SystemTime, UNIX_EPOCH};

use consilium_process::Memory;
use consilium_protocol::admin::{RoundView, SiteStanding, StudyState, StudyView};
use consilium_web::metrics::Kind::{Counter, Gauge};
use consilium_web::metrics::{Exposition, Family, family};

use super::{Shown, Traffics};

/// Every state of a study.
const STATES: [StudyState; 7] = [
    StudyState::Submitted,
    StudyState::Running,
    StudyState::Paused,
    StudyState::Finished,
    StudyState::Halted,
    StudyState::Aborted,
    StudyState::Failed,
];

/// Every standing of a site.
const STANDINGS: [SiteStanding; 5] = [
    SiteStanding::Awaited,
    SiteStanding::Preparing,
    SiteStanding::Connected,
    SiteStanding::Gone,
    SiteStanding::Withdrawn,
];

const BUILD: Family =
    family("consilium_coordinator_build_info", Gauge, &["version"], "1, with the release as a label.");
const STUDIES: Family =
    family("consilium_coordinator_studies", Gauge, &["state"], "Studies by where they stand.");
const STEPS_DONE: Family =
    family("consilium_coordinator_study_steps_done", Gauge, &["study"], "Steps done of a study.");
const STEPS: Family =
    family("consilium_coordinator_study_steps", Gauge, &["study"], "Steps of a whole study.");
const EXPECTED_END: Family = family(
    "consilium_coordinator_study_expected_end_seconds",
    Gauge,
    &["study"],
    "When a study would end at the pace so far, in seconds since 1970.",
);
const SITES: Family = family(
    "consilium_coordinator_study_sites",
    Gauge,
    &["study", "standing"],
    "Sites of a study under way by where they stand.",
);
const ROUNDS: Family =
    family("consilium_coordinator_rounds_total", Counter, &["study"], "Rounds with a model, over all lanes.");
const LANES: Family =
    family("consilium_coordinator_study_lanes", Gauge, &["study"], "Lanes that have begun.");
const LANES_COMPLETE: Family = family(
    "consilium_coordinator_study_lanes_complete",
    Gauge,
    &["study"],
    "Lanes whose hold-out is scored.",
);
const UPDATES: Family =
    family("consilium_coordinator_updates_total", Counter, &["study"], "Updates of sites that were taken.");
const ANSWERS: Family = family(
    "consilium_coordinator_orders_answered_total",
    Counter,
    &["study", "site"],
    "Orders that a site has answered.",
);
const WORK_LEFT: Family = family(
    "consilium_coordinator_site_work_left_seconds",
    Gauge,
    &["study", "site"],
    "Seconds of a site's own work that are left at its measured speed.",
);
const MISSING: Family = family(
    "consilium_coordinator_answers_missing_total",
    Counter,
    &["study"],
    "Answers to training and validation without which work went on.",
);
const WARNINGS: Family =
    family("consilium_coordinator_study_warnings", Gauge, &["study"], "Warnings that its report will have.");
const BYTES: Family = family(
    "consilium_coordinator_site_bytes_total",
    Counter,
    &["study", "site", "direction"],
    "Bytes of a site's ended connections, sent to it or received from it.",
);
const REFUSALS: Family = family(
    "consilium_coordinator_refusals_total",
    Counter,
    &["cause"],
    "Callers and requests that were refused since the start.",
);
const AUDIT: Family =
    family("consilium_coordinator_audit_lines_total", Counter, &[], "Lines of the audit log.");
const CERTIFICATE: Family = family(
    "consilium_coordinator_certificate_expiry_seconds",
    Gauge,
    &[],
    "When the coordinator's own certificate ends, in seconds since 1970.",
);
const SITE_CERTIFICATE: Family = family(
    "consilium_coordinator_site_certificate_expiry_seconds",
    Gauge,
    &["site"],
    "When a site's present certificate ends, in seconds since 1970.",
);
const LAST_SEEN: Family = family(
    "consilium_coordinator_site_last_seen_seconds",
    Gauge,
    &["site"],
    "When a site was connected last, in seconds since 1970.",
);
const MEMORY: Family =
    family("consilium_coordinator_resident_bytes", Gauge, &[], "Memory that the process has.");

/// The text of one scrape.
pub(super) fn text(shown: &Shown, traffics: &Traffics) -> String {
    let mut told = Exposition::default();
    told.values(&BUILD, [(vec![env!("CARGO_PKG_VERSION").to_owned()], 1.0)]);
    studies(&mut told, shown);
    lanes(&mut told, &shown.views);
    sites(&mut told, shown, traffics);
    told.values(&REFUSALS, shown.refused.iter().map(|(cause, count)| (vec![cause.clone()], *count as f64)));
    told.value(&AUDIT, shown.audit_lines as f64);
    told.values(&CERTIFICATE, shown.certificate_until.map(|until| (Vec::new(), seconds(until))));
    let memory = Memory::of_this_process().map(|memory| (memory.resident_mib * 1024 * 1024) as f64);
    told.values(&MEMORY, memory.map(|bytes| (Vec::new(), bytes)));
    told.text()
}

fn studies(told: &mut Exposition, shown: &Shown) {
    let count = |state: &StudyState| shown.studies.iter().filter(|(study, _)| study.state == *state).count();
    told.values(&STUDIES, STATES.iter().map(|state| (vec![state.to_string()], count(state) as f64)));
    let each = |value: fn(&consilium_protocol::admin::StudySummary) -> u32| {
        shown.studies.iter().map(move |(study, _)| (vec![study.hash.short()], f64::from(value(study))))
    };
    told.values(&STEPS_DONE, each(|study| study.steps_done));
    told.values(&STEPS, each(|study| study.steps));
}

fn lanes(told: &mut Exposition, views: &[StudyView]) {
    fn rounds(view: &StudyView) -> impl Iterator<Item = &RoundView> {
        view.lanes.iter().flat_map(|lane| &lane.progress)
    }
    let each = |value: fn(&StudyView) -> f64| {
        views.iter().map(move |view| (vec![view.summary.hash.short()], value(view)))
    };
    told.values(&ROUNDS, each(|view| view.lanes.iter().map(|lane| f64::from(lane.rounds_done)).sum()));
    told.values(&LANES, each(|view| view.lanes.len() as f64));
    told.values(&LANES_COMPLETE, each(|view| view.lanes.iter().filter(|lane| lane.complete).count() as f64));
    told.values(&UPDATES, each(|view| rounds(view).map(|round| f64::from(round.trained)).sum()));
    told.values(&MISSING, each(|view| rounds(view).map(|round| f64::from(round.missing)).sum()));
    told.values(&WARNINGS, each(|view| view.warnings.len() as f64));
    let ends = views.iter().filter_map(|view| Some((&view.summary.hash, view.expected_end?)));
    told.values(&EXPECTED_END, ends.map(|(study, end)| (vec![study.short()], end.0 as f64 / 1e3)));
}

fn sites(told: &mut Exposition, shown: &Shown, traffics: &Traffics) {
    let (mut standings, mut answers, mut left) = (Vec::new(), Vec::new(), Vec::new());
    for view in &shown.views {
        let study = view.summary.hash.short();
        for standing in STANDINGS {
            let count = view.sites.iter().filter(|site| site.standing == standing).count();
            standings.push((vec![study.clone(), standing.to_string()], count as f64));
        }
        let each = view.sites.iter();
        answers
            .extend(each.map(|site| (vec![study.clone(), site.site.to_string()], f64::from(site.answered))));
        let each = view.sites.iter().filter_map(|site| Some((site, site.work_left_secs?)));
        left.extend(each.map(|(site, secs)| (vec![study.clone(), site.site.to_string()], secs as f64)));
    }
    told.values(&SITES, standings);
    told.values(&ANSWERS, answers);
    told.values(&WORK_LEFT, left);
    let bytes = traffics.iter().flat_map(|(study, site, traffic)| {
        [("sent", traffic.bytes_sent), ("received", traffic.bytes_received)]
            .map(|(way, bytes)| (vec![study.short(), site.to_string(), way.to_owned()], bytes as f64))
    });
    told.values(&BYTES, bytes);
    let known =
        |at: fn(&consilium_protocol::admin::RegisteredSite) -> Option<consilium_protocol::Timestamp>| {
            shown
                .registered
                .iter()
                .filter_map(move |site| Some((vec![site.site.to_string()], at(site)?.0 as f64 / 1e3)))
        };
    told.values(&SITE_CERTIFICATE, known(|site| site.certificate_expires));
    told.values(&LAST_SEEN, known(|site| site.last_seen));
}

fn seconds(moment: SystemTime) -> f64 {
    moment.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64().floor()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use consilium_transport::Traffic;

    use super::*;
    use crate::scene::{Scene, site};
    use crate::service::overview;

    fn exported() -> String {
        let mut scene = Scene::running();
        (0..9).for_each(|_| assert!(scene.step()));
        let state = &scene.state;
        let view = overview::view(overview::summary_of(state), state.study(), Some(state));
        let study = view.summary.hash;
        let shown = Shown {
            studies: vec![(view.summary.clone(), false)],
            views: vec![view],
            refused: [("expired-certificate".to_owned(), 3)].into(),
            audit_lines: 17,
            certificate_until: Some(UNIX_EPOCH + std::time::Duration::from_secs(1_800_000_000)),
            ..Shown::default()
        };
        let traffic = Traffic { bytes_sent: 5, bytes_received: 7 };
        text(&shown, &vec![(study, site("a"), traffic)])
    }

    #[test]
    fn every_name_is_documented_and_every_documented_name_is_exported() {
        let text = exported();
        let names: BTreeSet<&str> =
            text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
        let page = std::fs::read_to_string(page).unwrap();
        let documented: BTreeSet<&str> =
            page.split('`').filter(|word| word.starts_with("consilium_coordinator_")).collect();
        assert_eq!(documented, names);
    }

    #[test]
    fn what_is_counted_is_what_is_there() {
        let text = exported();
        for line in [
            "consilium_coordinator_studies{state=\"running\"} 1",
            "consilium_coordinator_studies{state=\"halted\"} 0",
            "consilium_coordinator_refusals_total{cause=\"expired-certificate\"} 3",
            "consilium_coordinator_audit_lines_total 17",
            "consilium_coordinator_certificate_expiry_seconds 1800000000",
        ] {
            assert!(text.lines().any(|told| told == line), "`{line}` is missing from\n{text}");
        }
        assert!(
            text.contains("direction=\"received\"} 7") && text.contains("standing=\"connected\"} 2"),
            "{text}"
        );
        assert!(!text.contains("_updates_total{study=\"\"}") && text.contains("site=\"a\""));
    }
}
