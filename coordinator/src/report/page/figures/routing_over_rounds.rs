//! What a policy chose over the rounds, of each class and at each site: a strip of blocks by rounds for each.

use consilium_domain::Arm;

use super::Figure;
use super::plot::{label, round};
use super::routing::shade;
use crate::report::page::markup::tag;
use crate::report::{LaneReport, Report, RoutingReport};

/// A cell's height, and its width where there are few rounds.
const CELL: f64 = 12.0;
/// Of all rounds: with more they become narrower.
const WIDEST: f64 = 480.0;
const NAMES: f64 = 170.0;
/// Between two strips.
const GAP: f64 = 22.0;
/// Strips of sites that are drawn; those of the others are in the table.
const MOST_SITES: usize = 12;

/// Shares by block in each round in which they were told.
type Strip<'a> = Vec<(usize, &'a [f64])>;

pub(super) fn figures(report: &Report) -> Vec<Figure> {
    let lanes = report.arms.iter().flat_map(|arm| arm.lanes.iter().map(move |lane| (arm.arm, lane)));
    lanes.filter_map(|(arm, lane)| figure(arm, lane)).collect()
}

fn figure(arm: Arm, lane: &LaneReport) -> Option<Figure> {
    let told: Vec<(usize, &RoutingReport)> = lane
        .rounds
        .iter()
        .enumerate()
        .filter_map(|(place, round)| Some((place, round.routing.as_ref()?)))
        .collect();
    let blocks = told.first()?.1.pooled.all.len();
    let strips = strips(&told);
    let cell = (WIDEST / lane.rounds.len() as f64).min(CELL);
    let (wide, high) = (NAMES + cell * lane.rounds.len() as f64 + 10.0, CELL * blocks as f64);
    let id = format!("routing-rounds-{arm}-{}-{}", lane.modality, lane.fold);
    let title = format!("Routing over rounds of {arm}, {} fold {}", lane.modality, lane.fold);
    let mut figure = Figure::new(id, title, wide.max(420.0), strips.len() as f64 * (high + GAP) + 8.0);
    for (number, (name, strip)) in strips.iter().enumerate() {
        let top = GAP + number as f64 * (high + GAP);
        figure.marks.push(label([NAMES - 6.0, top + 0.5 * high + 4.0], "end", name));
        for &(place, shares) in strip {
            for (block, share) in shares.iter().enumerate() {
                let (x, y) = (NAMES + cell * place as f64, top + CELL * block as f64);
                let square = tag("rect").with("x", round(x)).with("y", round(y));
                let square = square.with("width", round(cell)).with("height", CELL);
                figure.marks.push(square.with("fill", shade(*share)));
            }
        }
    }
    figure.description = described(blocks, lane.rounds.len(), &strips, told[0].1.sites.len());
    figure.values = values(&strips);
    Some(figure)
}

/// Both classes of all sites, then each site.
fn strips<'a>(told: &[(usize, &'a RoutingReport)]) -> Vec<(String, Strip<'a>)> {
    let of = |pick: &dyn Fn(&'a RoutingReport) -> Option<&'a Vec<f64>>| -> Strip<'a> {
        told.iter().filter_map(|&(place, routing)| Some((place, pick(routing)?.as_slice()))).collect()
    };
    let mut strips = vec![
        ("methylated".to_owned(), of(&|routing| routing.pooled.positives.as_ref())),
        ("unmethylated".to_owned(), of(&|routing| routing.pooled.negatives.as_ref())),
    ];
    let mut sites: Vec<_> = told.iter().flat_map(|(_, routing)| routing.sites.keys()).collect();
    sites.sort_unstable();
    sites.dedup();
    let of_site = |site| (format!("{site}"), of(&|routing| Some(&routing.sites.get(site)?.all)));
    strips.extend(sites.into_iter().take(MOST_SITES).map(of_site));
    strips.retain(|(_, strip)| !strip.is_empty());
    strips
}

fn described(blocks: usize, rounds: usize, strips: &[(String, Strip<'_>)], sites: usize) -> String {
    let all =
        if sites > MOST_SITES { format!(" The first {MOST_SITES} of {sites} sites.") } else { String::new() };
    format!(
        "The share of the fold's patients that was sent through the fine-tuned copy: {} strips, of each class of all sites and of each \
         site, with {blocks} blocks from top to bottom and {rounds} rounds from left to right. White is never, dark blue \
         always; a gap is a round of which nothing was told. Every number is in the table of routing.{all}",
        strips.len()
    )
}

/// The mean over blocks in the first round and the last that were told.
fn values(strips: &[(String, Strip<'_>)]) -> String {
    let mean = |shares: &[f64]| 100.0 * shares.iter().sum::<f64>() / shares.len() as f64;
    let line = |(name, strip): &(String, Strip<'_>)| {
        let [(_, first), .., (_, last)] = strip[..] else { return None };
        Some(format!("{name}: {:.0} % on average at first, {:.0} % at last.", mean(first), mean(last)))
    };
    strips.iter().filter_map(line).collect::<Vec<_>>().join(" ")
}
