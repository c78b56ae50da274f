//! Precision by recall of a modality group, drawn as steps: between two thresholds there is none.

use super::plot::{Plot, arm_pen, legend};
use super::{Figure, Fused};

pub(super) fn figure(fused: &Fused<'_>) -> Figure {
    let plot = Plot::UNIT;
    let title = format!("Precision and recall, {}", fused.name);
    let mut figure = Figure::new(fused.id("precision-recall"), title, plot.size[0], plot.size[1] + 56.0);
    figure.marks = plot.axes("recall (sensitivity)", "precision (PPV)");
    let (mut entries, mut words) = (Vec::new(), Vec::new());
    let mut prevalence = None;
    for (arm, group) in &fused.arms {
        let card = &group.holdout.pooled;
        let patients = f64::from(card.positives + card.negatives);
        let (Some(curve), Some(bracket)) =
            (&group.statistics.pooled.precision_recall, &card.average_precision)
        else {
            continue;
        };
        prevalence = Some(f64::from(card.positives) / patients);
        let mut points: Vec<[f64; 2]> = Vec::new();
        for point in curve {
            // Recall grows at this threshold's precision.
            points.push([points.last().map_or(0.0, |[recall, _]| *recall), point.precision]);
            points.push([point.recall, point.precision]);
        }
        figure.marks.push(plot.curve(&points, arm_pen(*arm)));
        let text = format!("{arm}: AP {:.3} ({:.3} to {:.3})", bracket.value, bracket.lower, bracket.upper);
        words.push(text.clone());
        entries.push((text, arm_pen(*arm)));
    }
    if let Some(share) = prevalence {
        figure.marks.push(plot.reference([0.0, share], [1.0, share]));
        words.push(format!("share of methylated patients {share:.3}"));
    }
    figure.marks.extend(legend([56.0, plot.size[1] + 16.0], &entries));
    figure.description = if words.is_empty() {
        "The hold-out has no methylated patient.".into()
    } else {
        "Pooled hold-out; average precision with the bracket that bins leave. The dashed line is the share of methylated \
         patients."
            .into()
    };
    figure.values = words.join("; ");
    figure
}
