//! The ROC curves of a modality group, one an arm.

use super::plot::{Plot, arm_pen, legend};
use super::{Figure, Fused};

pub(super) fn figure(fused: &Fused<'_>) -> Figure {
    let plot = Plot::UNIT;
    let title = format!("ROC curves, {}", fused.name);
    let mut figure = Figure::new(fused.id("roc"), title, plot.size[0], plot.size[1] + 56.0);
    figure.marks = plot.axes("1 \u{2212} specificity", "sensitivity");
    figure.marks.push(plot.reference([0.0, 0.0], [1.0, 1.0]));
    let (mut entries, mut words) = (Vec::new(), Vec::new());
    for (arm, group) in &fused.arms {
        let Some(curve) = &group.statistics.pooled.roc else { continue };
        let points: Vec<[f64; 2]> =
            curve.iter().map(|point| [point.false_positive_rate, point.true_positive_rate]).collect();
        figure.marks.push(plot.curve(&points, arm_pen(*arm)));
        let Some(auc) = &group.holdout.pooled.auc else { continue };
        let area =
            format!("{arm}: AUC {:.3} ({:.3} to {:.3})", auc.value, auc.interval.lower, auc.interval.upper);
        words.push(area.clone());
        entries.push((area, arm_pen(*arm)));
    }
    figure.marks.extend(legend([56.0, plot.size[1] + 16.0], &entries));
    figure.description = if words.is_empty() {
        "No arm has both classes in the hold-out.".into()
    } else {
        "Pooled hold-out; the dashed diagonal is chance.".into()
    };
    figure.values = words.join("; ");
    figure
}
