//! The report as one page of HTML: no script, nothing loaded from anywhere, readable on paper.
//!
//! Everything in it is drawn from [`Report`] alone, so the page can be made again from `report.json` at any time. The
//! page is well-formed XML too, so that programs can read it.

mod checklist;
mod figures;
mod style;

use consilium_web::markup;

use super::tables::{Cell, Kind, Table, tables};
use super::{Report, StudyOutcome};
use figures::Figure;
pub(crate) use figures::{Curve, curves};
use markup::{Element, tag};

impl Report {
    /// The page.
    pub fn to_html(&self) -> String {
        let head = tag("head")
            .child(tag("meta").with("charset", "utf-8"))
            .child(
                tag("meta").with("name", "viewport").with("content", "width=device-width, initial-scale=1"),
            )
            // Nothing may be loaded, even if somebody edits a link into a copy of this page.
            .child(
                tag("meta")
                    .with("http-equiv", "Content-Security-Policy")
                    .with("content", "default-src 'none'; style-src 'unsafe-inline'"),
            )
            .child(tag("title").text(format!("Report of {}", self.study.name)))
            .child(tag("style").style(style::SHEET));
        let body = tag("body").child(header(self)).child(tag("main").children(sections(self)));
        let page = tag("html").with("lang", "en").child(head).child(body);
        format!("<!DOCTYPE html>\n{}\n", page.render())
    }
}

/// The parts of the page.
fn sections(report: &Report) -> Vec<Element> {
    let mut all = tables(report).into_iter();
    let mut next = |count: usize| -> Vec<Element> { all.by_ref().take(count).map(table).collect() };
    let drawn = |figures: Vec<Figure>| figures.into_iter().map(Figure::element);
    let mut results = vec![reading(report)];
    results.extend(next(6));
    results.extend(drawn(figures::results(report)));
    let mut sites = next(3);
    sites.insert(0, tag("p").text(COMPARED));
    let mut federation = next(3);
    federation.extend(drawn(figures::participation(report).into_iter().collect()));
    federation.push(warnings(report));
    let mut training: Vec<Element> = drawn(figures::training(report)).collect();
    training.extend(next(2));
    let mut routing: Vec<Element> = drawn(figures::routing(report)).collect();
    let shares = next(1);
    if routing.is_empty() {
        routing.push(
            tag("p").text("No arm has a policy network, or no site told how its patients were routed."),
        );
    } else {
        routing.extend(shares);
    }
    let provenance = next(2);
    let parts = [results, sites, federation, training, routing, provenance, checklist::elements(report)];
    SECTIONS.into_iter().zip(parts).map(|((id, title), content)| section(id, title, content)).collect()
}

/// A name for links, and a title.
const SECTIONS: [(&str, &str); 7] = [
    ("results", "Results"),
    ("sites", "Arms and sites compared"),
    ("federation", "Who took part"),
    ("training", "Training"),
    ("routing", "What the policies chose"),
    ("provenance", "Provenance"),
    ("checklist", "Reporting checklists"),
];

const COMPARED: &str = "Two arms are compared within sites: each site compares its own patients' scores without bins and tells a \
    difference and its variance. The question is whether an arm is better within hospitals, which differences between \
    hospitals cannot answer for it.";

fn section(id: &'static str, title: &'static str, content: Vec<Element>) -> Element {
    tag("section").with("id", id).child(tag("h2").text(title)).children(content)
}

fn header(report: &Report) -> Element {
    let links = SECTIONS
        .iter()
        .map(|(id, title)| tag("li").child(tag("a").with("href", format!("#{id}")).text(title)));
    let took_part = report.sites.iter().filter(|site| site.cohort.is_some()).count();
    let facts = format!(
        "{took_part} of {} invited sites took part. {:.0} seconds from opening to end. {}; {}.",
        report.sites.len(),
        report.seconds.total,
        report.software,
        report.schema
    );
    tag("header")
        .child(tag("h1").text(format!("Report of {}", report.study.name)))
        .child(tag("p").text("Study ").child(tag("code").text(report.study_hash)))
        .child(tag("p").with("class", "status").text(status(&report.outcome)))
        .child(tag("p").text(facts))
        .child(tag("nav").with("aria-label", "Contents").child(tag("ul").children(links)))
}

fn status(outcome: &StudyOutcome) -> String {
    match &outcome.reason {
        Some(reason) => format!("The study is {}: {reason}", outcome.status),
        None => format!("The study is {}.", outcome.status),
    }
}

/// How to read the figures.
fn reading(report: &Report) -> Element {
    let tests = match report.tests {
        1 => "There is one test in this report.".to_owned(),
        tests => format!(
            "There are {tests} tests of hypotheses in this report and none is corrected for the others: by chance alone, one \
             in twenty is below 0.05."
        ),
    };
    let text = format!(
        "Intervals are 95 %, about patients like these at sites like these; none speaks of the choice of a model on the same \
         data, which the hold-out does. Thresholds were fixed on the out-of-fold validation. {tests} The pooled test takes \
         all patients as exchangeable, and a model that only recognises the hospital can pass it: where it and the test \
         within sites disagree, believe the second. This is a research result and no medical device."
    );
    tag("p").with("class", "caution").text(text)
}

fn warnings(report: &Report) -> Element {
    let list = tag("ul").children(report.warnings.iter().map(|warning| tag("li").text(warning)));
    let title = tag("h3").text(format!("Warnings ({})", report.warnings.len()));
    let part = tag("div").child(title);
    if report.warnings.is_empty() { part.child(tag("p").text("There are none.")) } else { part.child(list) }
}

/// A table with its caption; the first column names the row.
fn table(table: Table) -> Element {
    if table.rows.is_empty() {
        return tag("p").child(tag("strong").text(&table.caption)).text(" There is nothing to show.");
    }
    let heads = table.columns.iter().map(|column| tag("th").with("scope", "col").text(column.title));
    let rows = table.rows.iter().map(|row| {
        tag("tr").children(row.iter().zip(&table.columns).enumerate().map(|(place, (cell, column))| {
            if place == 0 {
                return tag("th").with("scope", "row").text(cell.shown());
            }
            data(cell, column.kind)
        }))
    });
    let grid = tag("table")
        .with("id", format!("table-{}", table.name))
        .child(tag("caption").text(&table.caption))
        .child(tag("thead").child(tag("tr").children(heads)))
        .child(tag("tbody").children(rows));
    // Reachable by keyboard: a table may be wider than the screen.
    let scroll = tag("div").with("class", "scroll").with("role", "region").with("tabindex", "0");
    scroll.with("aria-label", format!("Table: {}", table.name)).child(grid)
}

fn data(cell: &Cell, kind: Kind) -> Element {
    match kind {
        Kind::Text => tag("td").text(cell.shown()),
        Kind::Number | Kind::Estimate => tag("td").with("class", "number").text(cell.shown()),
    }
}

#[cfg(test)]
mod tests;
