//! The words of the page. Every text from outside goes through [`escaped`].

use std::fmt::Write as _;

use consilium_domain::Modality;

use crate::check::problem::{Problem, Severity};
use crate::check::report::Report;
use crate::check::text::{Listing, place, render_text};

/// Millimetres of the patient become this many pixels of the page: a head is 300 to 400 pixels wide.
const PIXELS_PER_MM: f32 = 1.25;

/// Bounds of a picture's sides on the page, in pixels, whatever a damaged header says.
const SIDE_PIXELS: std::ops::RangeInclusive<f32> = 16.0..=480.0;

/// Black on white for print; pictures keep their proportions and are not torn by page breaks.
const STYLE: &str = "\
body{font:15px/1.45 system-ui,sans-serif;margin:1.5rem auto;max-width:76rem;padding:0 1rem;color:#111;\
background:#fff}.banner{border:3px solid #b00;padding:.6rem 1rem;font-weight:600}\
pre{overflow-x:auto;background:#f4f4f4;padding:1rem;font-size:13px}\
article{border-top:1px solid #999;padding:.8rem 0;break-inside:avoid}h2{font-size:1.1rem;margin:.2rem 0}\
figure{display:inline-block;margin:.4rem .8rem .4rem 0;vertical-align:top}\
figcaption{font-size:.85rem;color:#333}img{background:#000;display:block;print-color-adjust:exact}\
.error{color:#a00000;font-weight:600}.warning{color:#7a4a00;font-weight:600}\
.note{color:#333;font-weight:600}ul{padding-left:1.2rem}";

pub(super) const CLOSING: &str = "</main>\n</body>\n</html>\n";

/// What there is to see of a case.
pub(super) enum Drawn {
    /// Three sections.
    Pictures {
        modality: Modality,
        /// Whether the mask is drawn too.
        outlined: bool,
        pictures: Vec<Picture>,
    },
    /// Nothing, and why.
    Nothing(String),
}

/// One section.
pub(super) struct Picture {
    pub(super) plane: &'static str,
    /// Width and height in the patient, in millimetres.
    pub(super) size_mm: [f32; 2],
    pub(super) data_url: String,
}

/// The cases' indices: those with the gravest problems first.
pub(super) fn order(report: &Report) -> Vec<usize> {
    let worst = |case: usize| of_case(report, case).map(Problem::severity).min();
    let mut order: Vec<usize> = (0..report.cases.len()).collect();
    // A case without problems comes after every severity.
    order.sort_by_key(|&case| (worst(case).is_none(), worst(case)));
    order
}

fn of_case(report: &Report, case: usize) -> impl Iterator<Item = &Problem> {
    report.problems.iter().filter(move |problem| problem.place.case() == Some(case))
}

/// Everything before the cases.
pub(super) fn opening(report: &Report) -> String {
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; \
         style-src 'unsafe-inline'\">\n<meta name=\"referrer\" content=\"no-referrer\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>Data check, layout {}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
         <p class=\"banner\" role=\"alert\">This page names patients and shows their images. It is for this \
         site's own eyes: do not send, upload or attach it.</p>\n<main>\n\
         <h1>Data check</h1>\n<pre>{}</pre>\n",
        escaped(report.layout.name()),
        escaped(&render_text(report, Listing::Short)),
    );
    let apart: Vec<&Problem> =
        report.problems.iter().filter(|problem| problem.place.case().is_none()).collect();
    if !apart.is_empty() {
        page.push_str("<h1>Problems outside the cases</h1>\n");
        problem_list(&mut page, report, apart.into_iter());
    }
    page.push_str("<h1>Cases, problems first</h1>\n");
    page
}

/// One case.
pub(super) fn article(report: &Report, case: usize, drawn: &Drawn) -> String {
    let checked = &report.cases[case];
    let patient = escaped(checked.case.patient.reveal());
    let scan = escaped(checked.case.scan.reveal());
    let label = match checked.case.label {
        consilium_domain::Label::Methylated => "methylated",
        consilium_domain::Label::Unmethylated => "unmethylated",
    };
    let state = if checked.is_usable() { "usable" } else { "not usable" };
    let mut text = format!("<article>\n<h2>Patient {patient}, scan {scan}</h2>\n<p>{label}, {state}</p>\n");
    problem_list(&mut text, report, of_case(report, case));
    match drawn {
        Drawn::Nothing(reason) => {
            let _ = writeln!(text, "<p>No picture: {}.</p>", escaped(reason));
        }
        Drawn::Pictures { modality, outlined, pictures } => {
            let mask = if *outlined { "with the outline of the mask" } else { "without a mask on its grid" };
            for picture in pictures {
                figure(
                    &mut text,
                    picture,
                    &format!("{} section of {modality}, {mask}", picture.plane),
                    &patient,
                );
            }
        }
    }
    text.push_str("</article>\n");
    text
}

/// `patient` is escaped already.
fn figure(text: &mut String, picture: &Picture, caption: &str, patient: &str) {
    let caption = escaped(caption);
    let [width, height] = sides(picture.size_mm);
    let _ = writeln!(
        text,
        "<figure><img src=\"{}\" width=\"{width:.0}\" height=\"{height:.0}\" \
         alt=\"Patient {patient}: {caption}\">\
         <figcaption>{caption}</figcaption></figure>",
        picture.data_url
    );
}

/// Width and height on the page, in proportion.
fn sides(size_mm: [f32; 2]) -> [f32; 2] {
    let pixels = size_mm.map(|mm| mm * PIXELS_PER_MM);
    let longest = pixels[0].max(pixels[1]).max(f32::MIN_POSITIVE);
    let shrink = (SIDE_PIXELS.end() / longest).min(1.0);
    pixels.map(|side| (side * shrink).clamp(*SIDE_PIXELS.start(), *SIDE_PIXELS.end()))
}

fn problem_list<'a>(text: &mut String, report: &Report, problems: impl Iterator<Item = &'a Problem>) {
    let mut items = String::new();
    for problem in problems {
        let severity = match problem.severity() {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        };
        let _ = writeln!(
            items,
            "<li><span class=\"{severity}\">{severity}: {}</span> {}<br>{}. Remedy: {}.</li>",
            problem.kind.title(),
            escaped(&place(problem, report)),
            escaped(&problem.reason),
            escaped(&problem.remedy),
        );
    }
    if !items.is_empty() {
        let _ = writeln!(text, "<ul>\n{items}</ul>");
    }
}

/// Text that can stand in an element or a quoted attribute.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' | '\t' => escaped.push(c),
            c if c.is_control() => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_becomes_markup() {
        assert_eq!(
            escaped("<img src='x' onerror=\"a&b\">\0"),
            "&lt;img src=&#39;x&#39; onerror=&quot;a&amp;b&quot;&gt;\u{fffd}"
        );
    }

    #[test]
    fn pictures_keep_their_proportions_within_bounds() {
        assert_eq!(sides([200.0, 100.0]), [250.0, 125.0]);
        assert_eq!(sides([2000.0, 1000.0]), [480.0, 240.0]);
        assert_eq!(sides([1e9, 1e-9]), [480.0, 16.0]);
    }
}
