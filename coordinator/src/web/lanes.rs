//! Lanes by rounds as a grid, what happens in each, and their curves.

use std::collections::BTreeMap;

use consilium_domain::{Arm, Modality};
use consilium_protocol::admin::{LaneView, RoundStage, RoundView, StudyView};
use consilium_web::grid;
use consilium_web::markup::{Element, tag};

use super::page::words;
use crate::remote::time_of;
use crate::report::{Curve, curves};

/// Side of a round's square, and the width of all of a lane at most: then squares are narrower.
const SIDE: f64 = 14.0;
const WIDEST: f64 = 700.0;
/// The one colour; how far a square is filled tells the stage.
const INK: &str = "#0b4f8a";

/// When it may end, and every lane.
pub(super) fn content(view: &StudyView) -> Vec<Element> {
    let pace = match view.expected_end {
        Some(end) => format!(
            "At the pace of the steps so far it would end about {}. Waiting for sites and pauses to come are not in that.",
            time_of(end)
        ),
        None => "When it may end cannot be told yet.".to_owned(),
    };
    let rows = view.lanes.iter().map(|lane| {
        let (done, all) = (lane.rounds_done, lane.rounds);
        vec![
            words(lane.lane),
            bars(lane),
            words(format!("{done} of {all}")),
            words(happens(lane)),
            words(lane.chosen.map_or_else(|| "not yet".to_owned(), |round| round.to_string())),
            words(if lane.complete { "scored" } else { "not yet" }),
        ]
    });
    let caption = "One square a round: empty before it begins, a quarter filled in training, half while updates are summed, \
                   three quarters in validation, full when validated; the ringed one is chosen";
    let columns = ["lane", "rounds", "models", "now", "chosen round", "hold-out"];
    let name = format!("lanes-{}", view.summary.hash.short());
    let empty = "Lanes begin when the sites have enlisted.";
    vec![tag("p").text(pace), grid(&name, caption, &columns, rows.collect(), empty)]
}

/// The squares of a lane. What they say stands beside them in words.
fn bars(lane: &LaneView) -> Element {
    let width = (WIDEST / f64::from(lane.rounds.max(1))).clamp(3.0, SIDE + 2.0);
    let squares = (1..=lane.rounds).map(|number| {
        let round = lane.progress.iter().find(|round| round.round.0 == number);
        let filled = SIDE * round.map_or(0.0, |round| share(round.stage));
        let x = f64::from(number - 1) * width + 1.0;
        let inside = (width - 2.0).max(1.0);
        let square = |y: f64, height: f64, fill: &str| {
            let square = tag("rect").with("x", x).with("y", y).with("width", inside).with("height", height);
            square.with("fill", fill)
        };
        let mut marks = vec![
            square(1.0, SIDE, "none").with("stroke", "#6a6a6a"),
            square(1.0 + SIDE - filled, filled, INK),
        ];
        if lane.chosen.is_some_and(|chosen| chosen.0 == number) {
            let ring = tag("circle")
                .with("cx", x + inside / 2.0)
                .with("cy", 1.0 + SIDE / 2.0)
                .with("r", inside / 3.0);
            marks.push(ring.with("fill", "none").with("stroke", "#ffffff").with("stroke-width", 2));
        }
        tag("g").children(marks)
    });
    let all = f64::from(lane.rounds) * width + 2.0;
    let svg = tag("svg").with("aria-hidden", "true").with("viewBox", format!("0 0 {all} {}", SIDE + 2.0));
    let svg = svg.with("width", all).with("height", SIDE + 2.0);
    tag("span").with("class", "bars").child(svg.children(squares))
}

const fn share(stage: RoundStage) -> f64 {
    match stage {
        RoundStage::Training => 0.25,
        RoundStage::Summing => 0.5,
        RoundStage::Validating => 0.75,
        RoundStage::Validated => 1.0,
    }
}

/// What happens in the lane now.
fn happens(lane: &LaneView) -> String {
    let open: Vec<String> = lane
        .progress
        .iter()
        .filter(|round| round.stage != RoundStage::Validated)
        .map(|round| format!("round {} {}", round.round, stage(round)))
        .collect();
    match (open.is_empty(), lane.complete, lane.chosen) {
        (false, ..) => open.join("; "),
        (true, true, _) => "all validated, hold-out scored".to_owned(),
        (true, false, Some(_)) => "all validated, hold-out is scored".to_owned(),
        (true, false, None) => "between two rounds".to_owned(),
    }
}

fn stage(round: &RoundView) -> String {
    let RoundView { stage, expected, trained, scored, .. } = round;
    match stage {
        RoundStage::Training => format!("{stage}: {trained} of {expected} sites"),
        RoundStage::Validating => format!("{stage}: answered by {scored} of {expected} sites"),
        RoundStage::Summing | RoundStage::Validated => stage.to_string(),
    }
}

/// Losses and AUC of every lane that has any.
pub(super) fn figures(view: &StudyView) -> Vec<Element> {
    let mut of: BTreeMap<(Arm, Modality), Vec<Curve>> = BTreeMap::new();
    for lane in &view.lanes {
        let told = |round: &RoundView| {
            (round.round, [round.training_loss, round.validation_loss, round.validation_auc])
        };
        let rounds: Vec<_> = lane.progress.iter().map(told).collect();
        if rounds.iter().any(|(_, values)| values.iter().any(Option::is_some)) {
            let curve = Curve { fold: lane.lane.fold, chosen: lane.chosen, rounds };
            of.entry((lane.lane.arm, lane.lane.modality)).or_default().push(curve);
        }
    }
    let study = view.summary.hash.short();
    of.into_iter().map(|((arm, modality), lanes)| curves(&study, arm, modality, &lanes)).collect()
}
