//! How the rounds went: training loss, validation loss and validation AUC of each lane.

use consilium_domain::{Arm, Modality};

use super::Figure;
use super::plot::{Plot, label, legend, pen, range};
use crate::report::tables::training_loss;
use crate::report::{LaneReport, Report, RoundReport};

/// Width of a panel.
const PANEL: f64 = 240.0;
const HEIGHT: f64 = 200.0;

/// What a panel shows of a round.
type Shows = fn(&RoundReport) -> Option<f64>;

const PANELS: [(&str, Shows); 3] = [
    ("training loss", training_loss),
    ("validation loss", |round| round.validation_loss),
    ("validation AUC", |round| Some(round.validation.as_ref()?.pooled.auc?.value)),
];

pub(super) fn figures(report: &Report) -> Vec<Figure> {
    let mut figures = Vec::new();
    for arm in &report.arms {
        for &modality in &report.study.modalities {
            let lanes: Vec<&LaneReport> = arm
                .lanes
                .iter()
                .filter(|lane| lane.modality == modality && !lane.rounds.is_empty())
                .collect();
            if !lanes.is_empty() {
                figures.push(figure(arm.arm, modality, &lanes));
            }
        }
    }
    figures
}

fn figure(arm: Arm, modality: Modality, lanes: &[&LaneReport]) -> Figure {
    let rows = lanes.len().div_ceil(5) as f64;
    let title = format!("Training of {arm}, {modality}");
    let id = format!("training-{arm}-{modality}");
    let mut figure = Figure::new(id, title, PANELS.len() as f64 * PANEL, HEIGHT + 26.0 + 16.0 * rows);
    for (number, (name, shows)) in PANELS.into_iter().enumerate() {
        let rounds = lanes.iter().flat_map(|lane| &lane.rounds);
        let last = lanes.iter().map(|lane| lane.rounds.len()).max().unwrap_or(1) as f64;
        let plot = Plot {
            x: [0.5, last + 0.5],
            y: range(rounds.filter_map(shows)),
            origin: [number as f64 * PANEL, 18.0],
            size: [PANEL, HEIGHT],
        };
        figure.marks.extend(plot.axes("round", ""));
        figure.marks.push(label([plot.origin[0] + 52.0, 14.0], "start", name));
        for (fold, lane) in lanes.iter().enumerate() {
            let points: Vec<[f64; 2]> = lane
                .rounds
                .iter()
                .filter_map(|round| Some([f64::from(round.round.0), shows(round)?]))
                .collect();
            figure.marks.push(plot.curve(&points, pen(fold)));
            let chosen =
                points.iter().find(|point| lane.chosen_round.is_some_and(|r| f64::from(r.0) == point[0]));
            figure.marks.extend(chosen.map(|point| plot.dot(*point, 4.0, pen(fold).colour)));
        }
    }
    for (place, lane) in lanes.iter().enumerate() {
        let at = [10.0 + 130.0 * (place % 5) as f64, HEIGHT + 34.0 + 16.0 * (place / 5) as f64];
        figure.marks.extend(legend(at, &[(format!("fold {}", lane.fold), pen(place))]));
    }
    let words = lanes.iter().map(|lane| said(lane));
    figure.description = "One line a fold; the dot is the chosen round.".into();
    figure.values = words.collect::<Vec<_>>().join("; ");
    figure
}

fn said(lane: &LaneReport) -> String {
    let ends = |shows: Shows| {
        let mut shown = lane.rounds.iter().filter_map(shows);
        shown.next().map(|first| format!("{first:.3} to {:.3}", shown.next_back().unwrap_or(first)))
    };
    let mut words = format!("fold {}, {} rounds", lane.fold, lane.rounds.len());
    for (name, shows) in PANELS {
        if let Some(ends) = ends(shows) {
            words.push_str(&format!(", {name} {ends}"));
        }
    }
    words
}
