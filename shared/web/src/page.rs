//! A page of sections, whole for a browser that comes and in parts for one that stays.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::markup::{Element, tag};

/// What is to be seen.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// What the page is called.
    pub title: String,
    /// One sentence below it.
    pub lead: String,
    /// From top to bottom, the same ones every time.
    pub sections: Vec<Section>,
}

/// A part that is replaced as a whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Section {
    /// Its name in links.
    pub id: &'static str,
    /// Its heading.
    pub title: &'static str,
    /// What is in it.
    pub content: Vec<Element>,
}

/// What a listener is sent: the insides of every section.
#[derive(Serialize)]
struct Snapshot {
    title: String,
    lead: String,
    sections: BTreeMap<&'static str, String>,
}

impl Page {
    /// The page as a document.
    pub(crate) fn to_html(&self) -> String {
        let status =
            tag("p").with("id", "status").with("role", "status").text("As of the moment it was loaded.");
        let links = self.sections.iter().map(|section| {
            tag("li").child(tag("a").with("href", format!("#{}", section.id)).text(section.title))
        });
        let header = tag("header")
            .child(tag("h1").with("id", "title").text(&self.title))
            .child(tag("p").with("id", "lead").text(&self.lead))
            .child(status)
            .child(
                tag("noscript")
                    .child(tag("p").text("Without its script this page stands still: load it again.")),
            )
            .child(tag("nav").with("aria-label", "Contents").child(tag("ul").children(links)));
        let sections = self.sections.iter().map(|section| {
            let heading = format!("{}-heading", section.id);
            let live = tag("div").with("id", format!("{}-live", section.id)).with("data-live", section.id);
            tag("section")
                .with("id", section.id)
                .with("aria-labelledby", &heading)
                .child(tag("h2").with("id", &heading).text(section.title))
                .child(live.children(section.content.iter().cloned()))
        });
        let footer = tag("footer").child(tag("p").text(
            "This page only shows: nothing can be changed from it. It loads nothing from anywhere else.",
        ));
        let script = tag("script").with("src", "/page.js").with("defer", "defer");
        let main = tag("main").children(sections);
        document(&self.title, vec![script], vec![header, main, footer])
    }

    /// The page as a listener's snapshot: JSON in one line.
    pub(crate) fn to_snapshot(&self) -> String {
        let inside = |section: &Section| section.content.iter().map(Element::render).collect::<String>();
        let snapshot = Snapshot {
            title: self.title.clone(),
            lead: self.lead.clone(),
            sections: self.sections.iter().map(|section| (section.id, inside(section))).collect(),
        };
        serde_json::to_string(&snapshot).expect("a snapshot has only text keys")
    }
}

/// A document of this site: its own style sheet and nothing of anybody else.
pub(crate) fn document(title: &str, head: Vec<Element>, body: Vec<Element>) -> String {
    let sheet = tag("link").with("rel", "stylesheet").with("href", "/page.css");
    let icon = tag("link").with("rel", "icon").with("type", "image/svg+xml").with("href", "/icon.svg");
    let head = tag("head")
        .child(tag("meta").with("charset", "utf-8"))
        .child(tag("meta").with("name", "viewport").with("content", "width=device-width, initial-scale=1"))
        .child(tag("title").text(title))
        .child(sheet)
        .child(icon)
        .children(head);
    let page = tag("html").with("lang", "en-GB").child(head).child(tag("body").children(body));
    format!("<!DOCTYPE html>\n{}\n", page.render())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(name: &str) -> Page {
        let content = vec![tag("p").text(name)];
        let section = Section { id: "studies", title: "Studies", content };
        Page { title: "Coordinator".into(), lead: name.to_owned(), sections: vec![section] }
    }

    #[test]
    fn hostile_text_stays_text_in_both_forms() {
        let page = page("</p><script>alert(1)</script>\n\ndata: x");
        let html = page.to_html();
        let parsed = roxmltree::Document::parse(html.trim_start_matches("<!DOCTYPE html>\n")).unwrap();
        let scripts: Vec<_> = parsed.descendants().filter(|node| node.has_tag_name("script")).collect();
        assert!(scripts.len() == 1 && scripts[0].text().is_none(), "only our own file: {html}");
        let snapshot = page.to_snapshot();
        assert!(!snapshot.contains('\n'), "it is one line: {snapshot}");
        let snapshot: serde_json::Value = serde_json::from_str(&snapshot).unwrap();
        assert!(!snapshot["sections"].to_string().contains("<script>"), "{snapshot}");
    }

    #[test]
    fn every_section_has_its_place_and_its_insides() {
        let html = page("words").to_html();
        assert!(
            html.contains("data-live=\"studies\"") && html.contains("aria-labelledby=\"studies-heading\"")
        );
        let snapshot: serde_json::Value = serde_json::from_str(&page("words").to_snapshot()).unwrap();
        assert_eq!(snapshot["sections"]["studies"], "<p>words</p>\n");
        assert!(html.contains(snapshot["sections"]["studies"].as_str().unwrap()));
    }
}
