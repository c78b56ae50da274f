//! Predicted against observed, in groups of bins.

use super::plot::{Plot, arm_pen, legend};
use super::{Figure, Fused};

pub(super) fn figure(fused: &Fused<'_>) -> Figure {
    let plot = Plot::UNIT;
    let title = format!("Calibration, {}", fused.name);
    let mut figure = Figure::new(fused.id("calibration"), title, plot.size[0], plot.size[1] + 56.0);
    figure.marks = plot.axes("mean predicted probability", "observed share methylated");
    figure.marks.push(plot.reference([0.0, 0.0], [1.0, 1.0]));
    let (mut entries, mut words) = (Vec::new(), Vec::new());
    for (arm, group) in &fused.arms {
        let pooled = &group.statistics.pooled;
        if pooled.calibration.is_empty() {
            continue;
        }
        let pen = arm_pen(*arm);
        let points: Vec<[f64; 2]> =
            pooled.calibration.iter().map(|group| [group.mean_score.value, group.observed.value]).collect();
        for (point, group) in points.iter().zip(&pooled.calibration) {
            let interval = group.observed.interval;
            figure.marks.push(plot.upright(point[0], [interval.lower, interval.upper], pen.colour));
            figure.marks.push(plot.dot(*point, 3.0, pen.colour));
        }
        figure.marks.push(plot.curve(&points, pen));
        let error = pooled.calibration_error.map_or("\u{2013}".into(), |error| format!("{:.3}", error.value));
        let slope = pooled.recalibration.as_ref().map(|found| found.figures.slope.value);
        let slope = slope.map_or("undefined".into(), |slope| format!("{slope:.2}"));
        let text = format!("{arm}: ECE {error}, slope {slope}");
        words.push(text.clone());
        entries.push((text, pen));
    }
    figure.marks.extend(legend([56.0, plot.size[1] + 16.0], &entries));
    figure.description = if words.is_empty() {
        "The hold-out has no patients.".into()
    } else {
        "Pooled hold-out in groups of equal width, with Wilson's 95 % intervals; the dashed diagonal is perfect.".into()
    };
    figure.values = words.join("; ");
    figure
}
