//! The pictures of a report, drawn from its figures as SVG. Each has a title and a description for those who do not see
//! it, and never tells by colour alone.

mod calibration;
mod forest;
mod participation;
mod plot;
mod precision_recall;
mod roc;
mod routing;
mod routing_over_rounds;
mod training;

use consilium_domain::{Arm, Modality, ModalityGroup};

use super::markup::{Element, tag};
use crate::report::{GroupReport, Report};

pub(crate) use training::Curve;

/// A picture with its words.
pub(super) struct Figure {
    /// Names it in the page.
    id: String,
    title: String,
    /// How to read it.
    description: String,
    /// What is to be seen, in numbers, for those who do not see it: the picture shows them.
    values: String,
    width: f64,
    height: f64,
    marks: Vec<Element>,
}

impl Figure {
    fn new(id: String, title: String, width: f64, height: f64) -> Self {
        Self {
            id,
            title,
            description: String::new(),
            values: String::new(),
            width,
            height,
            marks: Vec::new(),
        }
    }

    /// As an element of the page.
    pub(super) fn element(self) -> Element {
        let (title, description) = (format!("{}-title", self.id), format!("{}-desc", self.id));
        let svg = tag("svg")
            .with("role", "img")
            .with("aria-labelledby", format!("{title} {description}"))
            .with("viewBox", format!("0 0 {} {}", self.width, self.height))
            .with("width", self.width)
            .with("height", self.height)
            .child(tag("title").with("id", &title).text(&self.title))
            .child(tag("desc").with("id", &description).text(format!("{} {}", self.description, self.values)))
            .children(self.marks);
        let caption =
            tag("figcaption").child(tag("strong").text(format!("{}. ", self.title))).text(self.description);
        tag("figure").with("id", self.id).child(svg).child(caption)
    }
}

/// The figures of the results: ROC, precision and recall, calibration, sites; one of each a modality group.
pub(super) fn results(report: &Report) -> Vec<Figure> {
    let groups = ModalityGroup::of_study(&report.study.modalities);
    let mut figures = Vec::new();
    for (number, group) in groups.iter().enumerate() {
        let fused = Fused { number, name: &group.name, arms: fused(report, &group.name) };
        if !fused.arms.is_empty() {
            figures.extend([roc::figure(&fused), precision_recall::figure(&fused)]);
            figures.extend([calibration::figure(&fused), forest::figure(&fused)]);
        }
    }
    figures
}

/// The training curves of each arm and modality, one line a fold.
pub(super) fn training(report: &Report) -> Vec<Figure> {
    training::figures(report)
}

/// The curves of the lanes of an arm and modality that still train, as an element. `study` keeps it apart from the same
/// of another study.
pub(crate) fn curves(study: &str, arm: Arm, modality: Modality, lanes: &[Curve]) -> Element {
    let mut figure = training::figure(arm, modality, lanes);
    figure.id = format!("{}-{study}", figure.id);
    figure.element()
}

/// What the policies chose: two heat maps a lane, the one with numbers and the one of classes and sites over the rounds.
pub(super) fn routing(report: &Report) -> Vec<Figure> {
    let [numbers, rounds] = [routing::figures(report), routing_over_rounds::figures(report)];
    numbers.into_iter().zip(rounds).flat_map(|(numbers, rounds)| [numbers, rounds]).collect()
}

/// When which site contributed.
pub(super) fn participation(report: &Report) -> Option<Figure> {
    participation::figure(report)
}

/// The arms that are fused in one group.
struct Fused<'a> {
    number: usize,
    name: &'a str,
    arms: Vec<(Arm, &'a GroupReport)>,
}

impl Fused<'_> {
    fn id(&self, kind: &str) -> String {
        format!("{kind}-{}", self.number)
    }
}

fn fused<'a>(report: &'a Report, name: &str) -> Vec<(Arm, &'a GroupReport)> {
    report.arms.iter().filter_map(|arm| Some((arm.arm, report.group(arm.arm, name)?))).collect()
}
