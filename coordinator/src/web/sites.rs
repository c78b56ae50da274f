//! Where every site stands: in each study that is under way, and in the consortium.

use consilium_protocol::Timestamp;
use consilium_protocol::admin::{RegisteredSite, SiteView, StudyView};
use consilium_web::markup::{Element, tag};
use consilium_web::{grid, sentence};

use super::Shown;
use super::page::{state_word, words};
use crate::remote::{in_hand, time_of, work_left};

/// A table of each study, and one of all hospitals.
pub(super) fn content(shown: &Shown) -> Vec<Element> {
    let mut parts = Vec::new();
    for view in &shown.views {
        parts.push(tag("h3").text(&view.summary.name));
        parts.push(of_study(view, &shown.registered));
    }
    let row = |site: &RegisteredSite| {
        vec![
            words(&site.site),
            words(&site.state),
            words(moment(site.last_seen)),
            words(site.software.as_deref().unwrap_or("-")),
            words(moment(site.certificate_expires)),
        ]
    };
    let columns = ["hospital", "state", "last connected", "program", "certificate until"];
    let rows: Vec<_> = shown.registered.iter().map(row).collect();
    if parts.is_empty() && rows.is_empty() {
        return vec![sentence("No hospital was invited or has connected yet.")];
    }
    parts.push(grid("hospitals", "The consortium", &columns, rows, "No hospital has connected yet."));
    parts
}

fn of_study(view: &StudyView, registered: &[RegisteredSite]) -> Element {
    let row = |site: &SiteView| {
        let program = registered.iter().find(|known| known.site == site.site);
        vec![
            words(&site.site),
            state_word(&site.standing.to_string()),
            words(works_on(site)),
            words(site.answered),
            words(work_left(site.work_left_secs)),
            words(moment(site.last_heard)),
            words(program.and_then(|known| known.software.as_deref()).unwrap_or("-")),
            words(site.reason.as_deref().unwrap_or("-")),
        ]
    };
    let columns = [
        "site",
        "state",
        "works on, or is given next",
        "orders answered",
        "work left",
        "last heard",
        "program",
        "why",
    ];
    let name = format!("sites-{}", view.summary.hash.short());
    let caption = format!("Sites of {}", view.summary.name);
    grid(&name, &caption, &columns, view.sites.iter().map(row).collect(), "No site is invited.")
}

/// What it has said of its work, else what it is given.
fn works_on(site: &SiteView) -> String {
    let said = site.in_hand.as_ref().map(in_hand);
    said.or_else(|| site.order.clone()).unwrap_or_else(|| "nothing".to_owned())
}

fn moment(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "-".to_owned(), time_of)
}
