//! What a policy chose: the share of patients through the fine-tuned copy of each block, by round, and in the chosen
//! round by class and site.

use consilium_metrics::RoutingShares;

use super::Figure;
use super::plot::{label, round};
use crate::report::page::markup::{Element, tag};
use crate::report::{LaneReport, Report, RoutingReport};

const CELL: f64 = 26.0;
const ROW: f64 = 20.0;
const NAMES: f64 = 170.0;
/// Rounds shown: more are thinned out evenly, the last kept.
const MOST_ROUNDS: usize = 30;

pub(super) fn figures(report: &Report) -> Vec<Figure> {
    let lanes = report.arms.iter().flat_map(|arm| arm.lanes.iter().map(move |lane| (arm.arm, lane)));
    lanes
        .filter_map(|(arm, lane)| {
            let title = format!("Routing of {arm}, {} fold {}", lane.modality, lane.fold);
            figure(&format!("routing-{arm}-{}-{}", lane.modality, lane.fold), title, lane)
        })
        .collect()
}

fn figure(id: &str, title: String, lane: &LaneReport) -> Option<Figure> {
    let told: Vec<_> =
        lane.rounds.iter().filter_map(|round| Some((round.round, round.routing.as_ref()?))).collect();
    let blocks = told.first()?.1.pooled.all.len();
    let step = told.len().div_ceil(MOST_ROUNDS);
    let shown = told.iter().enumerate().filter(|(place, _)| (told.len() - 1 - place).is_multiple_of(step));
    let mut rows: Vec<(String, Option<Vec<f64>>)> = shown
        .map(|(_, (round, routing))| (format!("round {round}"), Some(routing.pooled.all.clone())))
        .collect();
    let chosen = told.iter().find(|(round, _)| Some(*round) == lane.chosen_round);
    if let Some((round, routing)) = chosen {
        rows.extend(of_the_chosen(round.0, routing));
    }
    let width = (NAMES + CELL * blocks as f64 + 10.0).max(420.0);
    let mut figure = Figure::new(id.to_owned(), title, width, ROW * rows.len() as f64 + 44.0);
    for block in 0..blocks {
        let x = NAMES + CELL * (block as f64 + 0.5);
        figure.marks.push(label([x, 14.0], "middle", &(block + 1).to_string()));
    }
    for (row, (name, shares)) in rows.iter().enumerate() {
        let y = 20.0 + ROW * row as f64;
        figure.marks.push(label([NAMES - 6.0, y + 14.0], "end", name));
        for (block, share) in shares.iter().flatten().enumerate() {
            figure.marks.extend(cell(NAMES + CELL * block as f64, y, *share));
        }
    }
    figure.description = described(blocks, chosen.map(|(round, routing)| (round.0, *routing)));
    Some(figure)
}

fn of_the_chosen(round: u16, routing: &RoutingReport) -> Vec<(String, Option<Vec<f64>>)> {
    let mut rows = vec![(format!("chosen round {round}:"), None)];
    rows.push(("methylated".into(), routing.pooled.positives.clone()));
    rows.push(("unmethylated".into(), routing.pooled.negatives.clone()));
    rows.extend(routing.sites.iter().map(|(site, shares)| (site.to_string(), Some(shares.all.clone()))));
    rows
}

/// From white, never, to dark blue, always.
pub(super) fn shade(share: f64) -> String {
    let mix = |from: f64, to: f64| (from + (to - from) * share).round() as u8;
    format!("#{:02x}{:02x}{:02x}", mix(255.0, 11.0), mix(255.0, 79.0), mix(255.0, 138.0))
}

/// A shaded square; the number stands in it, in percent.
fn cell(x: f64, y: f64, share: f64) -> [Element; 2] {
    let square = tag("rect").with("x", round(x)).with("y", round(y)).with("width", CELL).with("height", ROW);
    let square = square.with("fill", shade(share)).with("stroke", "#8a8a8a");
    let number = label([x + 0.5 * CELL, y + 14.0], "middle", &format!("{:.0}", 100.0 * share));
    // The middle of the scale is light enough for dark letters up to about 55 %.
    let number = number.with("style", if share > 0.55 { "fill:#ffffff" } else { "fill:#1a1a1a" });
    [square, number]
}

fn described(blocks: usize, chosen: Option<(u16, &RoutingReport)>) -> String {
    let mut words = format!(
        "Percent of the fold's patients that the policy sent through the fine-tuned copy of each of {blocks} blocks (columns)."
    );
    if let Some((round, RoutingReport { pooled, .. })) = chosen {
        let RoutingShares { all, entropy, collapsed, .. } = pooled;
        let mean = 100.0 * all.iter().sum::<f64>() / all.len() as f64;
        words.push_str(&format!(
            " In the chosen round {round}: {mean:.0} % on average, entropy {entropy:.2} bits of 1."
        ));
        if *collapsed {
            words.push_str(" The policy has collapsed: every block sends nearly everybody the same way.");
        }
    }
    words
}
