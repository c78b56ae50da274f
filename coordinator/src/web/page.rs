//! The page: studies, lanes, sites, curves, warnings, and the log's end.

use consilium_protocol::admin::{StudyState, StudySummary, StudyView};
use consilium_web::markup::{Element, tag};
use consilium_web::{Page, Section, grid, sentence};

use super::{Shown, lanes, sites};
use crate::remote::time_of;

/// Warnings of one study that are shown: the newest. All of them are in its report.
const MOST_WARNINGS: usize = 50;

/// Everything, from the general to the particular.
pub(super) fn page(shown: &Shown) -> Page {
    let under_way = shown.studies.iter().filter(|(study, _)| study.state == StudyState::Running).count();
    let lead = match shown.studies.len() {
        0 => "No study was submitted yet.".to_owned(),
        all => format!("{under_way} of {all} studies under way. All times are UTC."),
    };
    let section = |id, title, content| Section { id, title, content };
    let each = |draw: fn(&StudyView) -> Vec<Element>, nothing: &str| {
        let mut parts = Vec::new();
        for view in &shown.views {
            let content = draw(view);
            if !content.is_empty() {
                parts.push(tag("h3").text(&view.summary.name).text(" ").child(hash(&view.summary)));
                parts.extend(content);
            }
        }
        if parts.is_empty() { vec![sentence(nothing)] } else { parts }
    };
    Page {
        title: "Consilium coordinator".to_owned(),
        lead,
        sections: vec![
            section("studies", "Studies", vec![studies(shown)]),
            section("lanes", "Lanes and rounds", each(lanes::content, "No study is under way.")),
            section("sites", "Sites", sites::content(shown)),
            section(
                "curves",
                "Training curves",
                each(lanes::figures, "No round of a study that is under way is summed yet."),
            ),
            section(
                "warnings",
                "Warnings",
                each(warnings, "There are none about studies that are under way."),
            ),
            section("log", "Latest lines", log(shown)),
        ],
    }
}

fn studies(shown: &Shown) -> Element {
    let row = |(study, reported): &(StudySummary, bool)| {
        let mut state = state_word(&study.state.to_string());
        if let Some(reason) = &study.reason {
            state = tag("span").child(state).text(": ").text(reason);
        }
        let report = if *reported {
            tag("a")
                .with("href", format!("/reports/{}", study.hash))
                .text(format!("Report of {}", study.name))
        } else {
            words("not yet")
        };
        vec![
            words(&study.name),
            hash(study),
            state,
            words(format!("{} of {}", study.steps_done, study.steps)),
            words(format!("{} of {}", study.connected, study.invited)),
            words(time_of(study.submitted)),
            words(&study.by),
            report,
        ]
    };
    let columns = ["study", "hash", "state", "steps", "sites connected", "submitted", "by", "report"];
    let rows = shown.studies.iter().map(row).collect();
    grid("studies-table", "Studies in the order of submission", &columns, rows, "No study was submitted yet.")
}

fn warnings(view: &StudyView) -> Vec<Element> {
    let older = view.warnings.len().saturating_sub(MOST_WARNINGS);
    let shown = view.warnings.iter().skip(older).map(|warning| tag("li").text(warning));
    let mut parts = Vec::new();
    if !view.warnings.is_empty() {
        parts.push(tag("ul").children(shown));
    }
    if older > 0 {
        parts.push(sentence(format!("{older} older ones are not shown here; the report has all.")));
    }
    parts
}

fn log(shown: &Shown) -> Vec<Element> {
    if shown.told.is_empty() {
        return vec![sentence("Nothing was told since the coordinator started.")];
    }
    let newest_first = shown.told.iter().rev();
    let lines = newest_first.map(|line| tag("li").text(format!("{} {}", time_of(line.at), line.text)));
    vec![tag("ol").with("class", "log").children(lines)]
}

pub(super) fn words(text: impl ToString) -> Element {
    tag("span").text(text)
}

/// A state in its colour and, for those who do not see it, in its word.
pub(super) fn state_word(state: &str) -> Element {
    tag("span").with("class", format!("state state-{state}")).text(state)
}

fn hash(study: &StudySummary) -> Element {
    tag("code").text(study.hash.short())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recent::Told;
    use crate::scene::Scene;
    use crate::service::overview;

    fn shown(scene: &Scene, reported: bool) -> Shown {
        let state = &scene.state;
        let mut view = overview::view(overview::summary_of(state), state.study(), Some(state));
        view.summary.name = "<script>alert(1)</script>".into();
        let told = vec![Told { at: consilium_protocol::Timestamp(0), text: "warning: a & b".into() }];
        Shown { studies: vec![(view.summary.clone(), reported)], views: vec![view], told, ..Shown::default() }
    }

    fn drawn(shown: &Shown) -> String {
        page(shown).sections.iter().flat_map(|section| &section.content).map(Element::render).collect()
    }

    #[test]
    fn a_study_under_way_is_shown_with_its_lanes_sites_and_log() {
        let mut scene = Scene::running();
        scene.answer("a", |outcome| outcome);
        let text = drawn(&shown(&scene, false));
        for wanted in
            ["training: 1 of 2 sites", "state-connected", "1970-01-01 00:00 warning: a &amp; b", "not yet"]
        {
            assert!(text.contains(wanted), "`{wanted}` is missing from {text}");
        }
        assert!(!text.contains("<script>") && text.contains("&lt;script&gt;"));
        assert!(roxmltree::Document::parse(&format!("<all>{text}</all>")).is_ok(), "{text}");
    }

    #[test]
    fn a_finished_study_leads_to_its_report() {
        let scene = Scene::finished();
        let text = drawn(&shown(&scene, true));
        assert!(text.contains(&format!("href=\"/reports/{}\"", scene.state.hash())), "{text}");
        for wanted in ["training loss", "validation AUC", "scored", "validated"] {
            assert!(text.contains(wanted), "`{wanted}` is missing from {text}");
        }
    }

    #[test]
    fn an_empty_consortium_says_so() {
        let page = page(&Shown::default());
        assert_eq!(page.lead, "No study was submitted yet.");
        assert!(page.sections.iter().all(|section| !section.content.is_empty()));
    }
}
