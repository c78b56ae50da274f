//! When which site contributed, and which rounds went on without it.

use std::collections::BTreeMap;

use consilium_domain::SiteId;

use super::Figure;
use super::plot::{label, line, round, ticks};
use crate::report::Report;
use crate::report::page::markup::tag;

const WIDTH: f64 = 720.0;
const NAMES: f64 = 150.0;
const ROW: f64 = 26.0;

/// What happened with a site: the seconds of its contributions, and of the rounds that closed without it.
#[derive(Default)]
struct Part {
    came: Vec<f64>,
    missed: Vec<f64>,
}

pub(super) fn figure(report: &Report) -> Option<Figure> {
    let parts = parts(report);
    let total = report.seconds.total;
    if parts.is_empty() || total <= 0.0 {
        return None;
    }
    let bottom = 10.0 + ROW * parts.len() as f64;
    let mut figure =
        Figure::new("participation".into(), "Participation over time".into(), WIDTH, bottom + 44.0);
    let at = |seconds: f64| NAMES + (WIDTH - NAMES - 20.0) * (seconds / total).clamp(0.0, 1.0);
    for (row, (site, part)) in parts.iter().enumerate() {
        let y = 10.0 + ROW * (row as f64 + 0.5);
        figure.marks.push(label([NAMES - 8.0, y + 4.0], "end", site.as_str()));
        figure.marks.push(line([NAMES, y], [WIDTH - 20.0, y], "#b0b0b0"));
        for seconds in &part.came {
            figure.marks.push(
                line([at(*seconds), y - 7.0], [at(*seconds), y + 7.0], "#0b4f8a").with("stroke-width", 2),
            );
        }
        for seconds in &part.missed {
            let (x, y) = (at(*seconds), y);
            let cross = format!("M{} {}l8 8m0 -8l-8 8", round(x - 4.0), round(y - 4.0));
            figure.marks.push(tag("path").with("d", cross).with("stroke", "#a20000").with("stroke-width", 2));
        }
    }
    for seconds in ticks([0.0, total]) {
        figure.marks.push(line([at(seconds), bottom], [at(seconds), bottom + 4.0], "#1a1a1a"));
        figure.marks.push(label([at(seconds), bottom + 18.0], "middle", &seconds.to_string()));
    }
    figure.marks.push(line([NAMES, bottom], [WIDTH - 20.0, bottom], "#1a1a1a"));
    figure.marks.push(label(
        [0.5 * (NAMES + WIDTH), bottom + 36.0],
        "middle",
        "seconds after the study was opened",
    ));
    let words = parts.iter().map(|(site, part)| {
        format!("{site}: {} contributions, {} rounds without it", part.came.len(), part.missed.len())
    });
    figure.description =
        "A stroke is an admitted update, a cross a round that closed without the site.".into();
    figure.values = words.collect::<Vec<_>>().join("; ");
    Some(figure)
}

fn parts(report: &Report) -> BTreeMap<&SiteId, Part> {
    let mut parts: BTreeMap<&SiteId, Part> = BTreeMap::new();
    let rounds = report.arms.iter().flat_map(|arm| &arm.lanes).flat_map(|lane| &lane.rounds);
    for round in rounds {
        for told in &round.contributors {
            parts.entry(&told.site).or_default().came.push(told.answered_secs);
        }
        for site in round.missing.keys() {
            parts.entry(site).or_default().missed.extend(round.trained_secs);
        }
    }
    parts
}
