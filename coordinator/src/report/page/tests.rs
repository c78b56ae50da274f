//! The page of a real study: well formed, reachable without eyes or network, and silent about nothing.

use std::collections::BTreeSet;

use consilium_protocol::Timestamp;
use roxmltree::{Document, Node, ParsingOptions};

use super::*;
use crate::scene::Scene;

fn report() -> Report {
    Report::of(&Scene::finished().state, Timestamp(100_000)).unwrap()
}

fn parsed(page: &str) -> Document<'_> {
    Document::parse_with_options(page, ParsingOptions { allow_dtd: true, ..ParsingOptions::default() })
        .unwrap()
}

fn named<'a>(page: &'a Document<'a>, name: &'a str) -> impl Iterator<Item = Node<'a, 'a>> {
    page.descendants().filter(move |node| node.has_tag_name(name))
}

#[test]
fn the_page_is_well_formed_and_says_its_language() {
    let page = report().to_html();
    let page = parsed(&page);
    assert_eq!(page.root_element().attribute("lang"), Some("en"));
    let ids: Vec<&str> = page.descendants().filter_map(|node| node.attribute("id")).collect();
    assert_eq!(ids.len(), ids.iter().collect::<BTreeSet<_>>().len(), "an id stands twice");
    for link in named(&page, "a") {
        let target = link.attribute("href").unwrap();
        assert!(ids.contains(&target.strip_prefix('#').unwrap()), "{target} leads nowhere");
    }
}

/// No attribute that loads, no script, and no style that names a file.
#[test]
fn nothing_is_loaded_from_anywhere() {
    let page = report().to_html();
    for forbidden in
        ["http:", "https:", "url(", "@import", "<script", "<link", "<img", "<iframe", "src=", "xlink"]
    {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
    let page = parsed(&page);
    for node in page.descendants().filter(Node::is_element) {
        let handlers = node.attributes().filter(|attribute| attribute.name().starts_with("on"));
        assert_eq!(handlers.count(), 0, "{node:?}");
    }
}

#[test]
fn tables_and_pictures_have_words_for_those_who_do_not_see_them() {
    let page = report().to_html();
    let page = parsed(&page);
    for table in named(&page, "table") {
        assert!(table.children().any(|node| node.has_tag_name("caption")));
        let heads = table.descendants().filter(|node| node.has_tag_name("th"));
        assert!(heads.clone().count() > 1 && heads.clone().all(|head| head.attribute("scope").is_some()));
    }
    let ids: BTreeSet<&str> = page.descendants().filter_map(|node| node.attribute("id")).collect();
    let pictures: Vec<Node<'_, '_>> = named(&page, "svg").collect();
    // One group: four figures; one arm and modality: training; participation.
    assert_eq!(pictures.len(), 6);
    for picture in pictures {
        assert_eq!(picture.attribute("role"), Some("img"));
        let words = picture.attribute("aria-labelledby").unwrap();
        assert!(words.split(' ').count() == 2 && words.split(' ').all(|id| ids.contains(id)));
        let description = picture.descendants().find(|node| node.has_tag_name("desc")).unwrap();
        assert!(description.text().is_some_and(|text| text.len() > 40), "{description:?}");
    }
}

/// A reason comes from another hospital: it must not become part of the page's structure.
#[test]
fn texts_from_sites_stay_texts() {
    let mut report = report();
    let hostile = "<script>alert(1)</script>\"'&]]>\u{0}\u{b}";
    report.warnings.push(hostile.into());
    report.sites[0].withdrawn = Some(hostile.into());
    report.study.name = hostile.into();
    report.arms[0].lanes[0].rounds[0].missing.insert("b".parse().unwrap(), hostile.into());
    let page = report.to_html();
    assert!(!page.contains("<script"));
    let page = parsed(&page);
    let warnings = named(&page, "li").filter_map(|node| node.text()).filter(|text| text.contains("alert(1)"));
    assert_eq!(warnings.collect::<Vec<_>>(), ["<script>alert(1)</script>\"'&]]>"]);
}

#[test]
fn a_study_that_has_hardly_begun_has_a_page_too() {
    let report = Report::of(&Scene::enrolling().state, Timestamp(1_000)).unwrap();
    let page = report.to_html();
    let page = parsed(&page);
    assert_eq!(named(&page, "svg").count(), 0);
    assert!(named(&page, "p").any(|node| node.text().is_some_and(|text| text.contains("running"))));
}

#[test]
fn the_checklists_have_all_items_and_leave_the_authors_theirs() {
    let page = report().to_html();
    let page = parsed(&page);
    for (id, items) in [("table-tripod", 52), ("table-claim", 42)] {
        let list = named(&page, "table").find(|node| node.attribute("id") == Some(id)).unwrap();
        let rows = list.descendants().filter(|node| node.has_tag_name("tr")).count();
        assert_eq!(rows, items + 1, "{id}");
        let blank = list.descendants().filter(|node| node.attribute("class") == Some("blank"));
        assert!(blank.clone().count() == items && blank.clone().all(|cell| cell.text().is_none()));
    }
}
