//! How the rounds went: training loss, validation loss and validation AUC of each lane.

use consilium_domain::{Arm, Fold, Modality, Round};

use super::Figure;
use super::plot::{Plot, label, legend, pen, range};
use crate::report::tables::training_loss;
use crate::report::{LaneReport, Report, RoundReport};

/// Width of a panel.
const PANEL: f64 = 240.0;
const HEIGHT: f64 = 200.0;

const PANELS: [&str; 3] = ["training loss", "validation loss", "validation AUC"];

/// How the rounds of one lane went.
pub(crate) struct Curve {
    /// Its fold.
    pub(crate) fold: Fold,
    /// The round that represents it.
    pub(crate) chosen: Option<Round>,
    /// Each round with its training loss, validation loss and validation AUC, as far as they are there.
    pub(crate) rounds: Vec<(Round, [Option<f64>; 3])>,
}

impl Curve {
    fn of(lane: &LaneReport) -> Self {
        let shown = |round: &RoundReport| {
            let auc = round.validation.as_ref().and_then(|scores| Some(scores.pooled.auc?.value));
            (round.round, [training_loss(round), round.validation_loss, auc])
        };
        let rounds = lane.rounds.iter().map(shown).collect();
        Self { fold: lane.fold, chosen: lane.chosen_round, rounds }
    }

    /// What the panel numbered `panel` shows.
    fn points(&self, panel: usize) -> impl DoubleEndedIterator<Item = [f64; 2]> {
        self.rounds.iter().filter_map(move |(round, shown)| Some([f64::from(round.0), shown[panel]?]))
    }
}

pub(super) fn figures(report: &Report) -> Vec<Figure> {
    let mut figures = Vec::new();
    for arm in &report.arms {
        for &modality in &report.study.modalities {
            let lanes: Vec<Curve> = arm
                .lanes
                .iter()
                .filter(|lane| lane.modality == modality && !lane.rounds.is_empty())
                .map(Curve::of)
                .collect();
            if !lanes.is_empty() {
                figures.push(figure(arm.arm, modality, &lanes));
            }
        }
    }
    figures
}

pub(super) fn figure(arm: Arm, modality: Modality, lanes: &[Curve]) -> Figure {
    let rows = lanes.len().div_ceil(5) as f64;
    let title = format!("Training of {arm}, {modality}");
    let id = format!("training-{arm}-{modality}");
    let mut figure = Figure::new(id, title, PANELS.len() as f64 * PANEL, HEIGHT + 26.0 + 16.0 * rows);
    for (number, name) in PANELS.into_iter().enumerate() {
        let last = lanes.iter().map(|lane| lane.rounds.len()).max().unwrap_or(1) as f64;
        let plot = Plot {
            x: [0.5, last + 0.5],
            y: range(lanes.iter().flat_map(|lane| lane.points(number).map(|[_, value]| value))),
            origin: [number as f64 * PANEL, 18.0],
            size: [PANEL, HEIGHT],
        };
        figure.marks.extend(plot.axes("round", ""));
        figure.marks.push(label([plot.origin[0] + 52.0, 14.0], "start", name));
        for (fold, lane) in lanes.iter().enumerate() {
            let points: Vec<[f64; 2]> = lane.points(number).collect();
            figure.marks.push(plot.curve(&points, pen(fold)));
            let chosen = points.iter().find(|point| lane.chosen.is_some_and(|r| f64::from(r.0) == point[0]));
            figure.marks.extend(chosen.map(|point| plot.dot(*point, 4.0, pen(fold).colour)));
        }
    }
    for (place, lane) in lanes.iter().enumerate() {
        let at = [10.0 + 130.0 * (place % 5) as f64, HEIGHT + 34.0 + 16.0 * (place / 5) as f64];
        figure.marks.extend(legend(at, &[(format!("fold {}", lane.fold), pen(place))]));
    }
    let words = lanes.iter().map(said);
    figure.description = "One line a fold; the dot is the chosen round.".into();
    figure.values = words.collect::<Vec<_>>().join("; ");
    figure
}

fn said(lane: &Curve) -> String {
    let mut words = format!("fold {}, {} rounds", lane.fold, lane.rounds.len());
    for (number, name) in PANELS.into_iter().enumerate() {
        let mut shown = lane.points(number).map(|[_, value]| value);
        if let Some(first) = shown.next() {
            let last = shown.next_back().unwrap_or(first);
            words.push_str(&format!(", {name} {first:.3} to {last:.3}"));
        }
    }
    words
}
