//! The sites' areas with their intervals, below each arm's combined one.

use consilium_metrics::Interval;

use super::plot::{Plot, arm_pen, label, line, round};
use super::{Figure, Fused};
use crate::report::page::markup::{Element, tag};
use crate::report::{AcrossSites, GroupReport};

const ROW: f64 = 20.0;
/// Names left, numbers right.
const NAMES: f64 = 150.0;
const NUMBERS: f64 = 150.0;
const WIDTH: f64 = 660.0;

/// One line of the figure.
struct Row {
    name: String,
    value: f64,
    interval: Option<Interval>,
    shape: Shape,
}

enum Shape {
    /// A square whose side grows with the weight.
    Site {
        weight: f64,
    },
    Combined,
    Prediction,
}

pub(super) fn figure(fused: &Fused<'_>) -> Figure {
    let parts: Vec<_> = fused
        .arms
        .iter()
        .filter_map(|(arm, group)| Some((*arm, rows(group, group.statistics.across_sites.as_ref()?))))
        .collect();
    let lines: usize = parts.iter().map(|(_, rows)| rows.len() + 1).sum();
    let height = ROW * lines as f64 + 60.0;
    let title = format!("AUC by site, {}", fused.name);
    let mut figure = Figure::new(fused.id("forest"), title, WIDTH, height);
    let plot = Plot {
        x: [0.0, 1.0],
        y: [0.0, lines.max(1) as f64],
        origin: [NAMES - 52.0, 0.0],
        size: [WIDTH - NAMES - NUMBERS + 64.0, height - 8.0],
    };
    figure.marks = plot.across("AUC");
    figure.marks.push(plot.reference([0.5, plot.y[0]], [0.5, plot.y[1]]));
    let mut place = lines as f64;
    for (arm, rows) in &parts {
        place -= 1.0;
        let y = plot.at_y(place + 0.5);
        figure.marks.push(label([4.0, y + 4.0], "start", &arm.to_string()).with("font-weight", "bold"));
        for row in rows {
            place -= 1.0;
            figure.marks.extend(drawn(row, &plot, plot.at_y(place + 0.5), arm_pen(*arm).colour));
        }
    }
    let words: Vec<String> = parts
        .iter()
        .flat_map(|(arm, rows)| rows.iter().map(move |row| format!("{arm} {}", words(row))))
        .collect();
    figure.description = if words.is_empty() {
        "No site has both classes in its hold-out.".into()
    } else {
        "Squares are sites, larger with more weight; the diamond is the random-effects mean; the thin line below it is \
         where further sites' AUC are expected; the dashed line is chance."
            .into()
    };
    figure.values = words.join("; ");
    figure
}

fn rows(group: &GroupReport, across: &AcrossSites) -> Vec<Row> {
    let site = |(site, found): (&consilium_domain::SiteId, &crate::report::SiteInPopulation)| {
        let area = found.area.as_ref()?;
        let counts = group.holdout.sites.get(site).map_or(0, |card| card.positives + card.negatives);
        Some(Row {
            name: format!("{site} (n = {counts})"),
            value: area.area.value,
            interval: Some(area.area.interval),
            shape: Shape::Site { weight: found.weight.unwrap_or_default() },
        })
    };
    let mut rows: Vec<Row> = across.sites.iter().filter_map(site).collect();
    let combined =
        |name: &str, interval, shape| Row { name: name.into(), value: across.area, interval, shape };
    rows.push(combined("combined", across.interval, Shape::Combined));
    if across.prediction.is_some() {
        rows.push(combined("a further site", across.prediction, Shape::Prediction));
    }
    rows
}

fn words(row: &Row) -> String {
    let Row { name, value, interval, .. } = row;
    match interval {
        Some(interval) => format!("{name}: {value:.3} ({:.3} to {:.3})", interval.lower, interval.upper),
        None => format!("{name}: {value:.3}"),
    }
}

fn drawn(row: &Row, plot: &Plot, y: f64, colour: &str) -> Vec<Element> {
    let mut marks = vec![label([16.0, y + 4.0], "start", &row.name)];
    let figures = match row.interval {
        Some(interval) => format!("{:.3} ({:.3} to {:.3})", row.value, interval.lower, interval.upper),
        None => format!("{:.3}", row.value),
    };
    marks.push(label([WIDTH - 4.0, y + 4.0], "end", &figures));
    if let Some(interval) = row.interval {
        let ends = [interval.lower, interval.upper].map(|value| plot.at_x(value));
        marks.push(line([ends[0], y], [ends[1], y], colour));
    }
    let x = plot.at_x(row.value);
    match row.shape {
        Shape::Site { weight } => {
            let half = 3.0 + 5.0 * weight.sqrt();
            let square = tag("rect").with("x", round(x - half)).with("y", round(y - half));
            let square = square.with("width", round(2.0 * half)).with("height", round(2.0 * half));
            marks.push(square.with("fill", colour));
        }
        Shape::Combined => {
            let [left, right] = row.interval.map_or([x - 6.0, x + 6.0], |interval| {
                [plot.at_x(interval.lower), plot.at_x(interval.upper)]
            });
            let points = [[left, y], [x, y - 6.0], [right, y], [x, y + 6.0]];
            let points = points.map(|[x, y]| format!("{},{}", round(x), round(y))).join(" ");
            marks.push(tag("polygon").with("points", points).with("fill", colour));
        }
        Shape::Prediction => {}
    }
    marks
}
