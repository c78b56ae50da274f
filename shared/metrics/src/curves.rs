//! The ROC and the precision-recall curve of a score histogram, and the area of a part of the former.
//!
//! A point for each lower edge of a bin that holds patients: bins without any would repeat the point before.

use serde::{Deserialize, Serialize};

use crate::{ScoreHistogram, Totals};

/// A point of the ROC curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RocPoint {
    /// The score at and above which a patient is called positive; `None` at the start, where nobody is.
    pub threshold: Option<f64>,
    /// Share of negative patients called positive.
    pub false_positive_rate: f64,
    /// Share of positive patients called positive.
    pub true_positive_rate: f64,
}

/// A point of the precision-recall curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PrecisionRecallPoint {
    /// The score at and above which a patient is called positive.
    pub threshold: f64,
    /// Share of positive patients called positive.
    pub recall: f64,
    /// Share of patients called positive who are.
    pub precision: f64,
}

/// The area under the left end of the ROC curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PartialArea {
    /// The area up to `max_false_positive_rate`, at most that rate.
    pub area: f64,
    /// The area rescaled so that chance is 0.5 and perfection 1 (McClish, doi:10.1177/0272989X8900900307).
    pub standardised: f64,
    /// Where the part ends, in (0, 1].
    pub max_false_positive_rate: f64,
}

/// Patients at or above the lower edge of `bin`.
struct Called {
    bin: usize,
    true_positives: u32,
    false_positives: u32,
}

/// From the highest occupied bin down.
fn called(histogram: &ScoreHistogram) -> impl Iterator<Item = Called> {
    let (mut true_positives, mut false_positives) = (0, 0);
    let counts = histogram.positives().iter().zip(histogram.negatives()).enumerate().rev();
    counts.filter(|(_, (p, n))| **p + **n > 0).map(move |(bin, (positives, negatives))| {
        true_positives += positives;
        false_positives += negatives;
        Called { bin, true_positives, false_positives }
    })
}

/// The ROC curve from (0, 0) to (1, 1); `None` when a class is empty. Join the points by straight lines: the
/// slope within a bin is what ties mean.
pub fn roc_curve(histogram: &ScoreHistogram) -> Option<Vec<RocPoint>> {
    let Totals { positives, negatives } = histogram.totals();
    if positives == 0 || negatives == 0 {
        return None;
    }
    let start = RocPoint { threshold: None, false_positive_rate: 0.0, true_positive_rate: 0.0 };
    let points = called(histogram).map(|at| RocPoint {
        threshold: Some(histogram.lower_edge(at.bin)),
        false_positive_rate: f64::from(at.false_positives) / f64::from(negatives),
        true_positive_rate: f64::from(at.true_positives) / f64::from(positives),
    });
    Some(std::iter::once(start).chain(points).collect())
}

/// The precision-recall curve, recall rising; `None` without positive patients. Draw it as steps: a straight
/// line between two points would promise what no threshold gives (Davis and Goadrich,
/// doi:10.1145/1143844.1143874).
pub fn precision_recall_curve(histogram: &ScoreHistogram) -> Option<Vec<PrecisionRecallPoint>> {
    let positives = histogram.totals().positives;
    let point = |at: Called| PrecisionRecallPoint {
        threshold: histogram.lower_edge(at.bin),
        recall: f64::from(at.true_positives) / f64::from(positives),
        precision: f64::from(at.true_positives) / f64::from(at.true_positives + at.false_positives),
    };
    (positives > 0).then(|| called(histogram).map(point).collect())
}

/// The area under the ROC curve for false positive rates up to `max_false_positive_rate`; `None` when a class
/// is empty or the rate is not in (0, 1].
pub fn partial_area(histogram: &ScoreHistogram, max_false_positive_rate: f64) -> Option<PartialArea> {
    let curve = roc_curve(histogram)?;
    let end = max_false_positive_rate;
    if !(end > 0.0 && end <= 1.0) {
        return None;
    }
    let area: f64 = curve.windows(2).map(|pair| trapezium(pair[0], pair[1], end)).sum();
    let (least, most) = (0.5 * end * end, end);
    // Chance leaves no room only where the part has no width, which is refused above.
    let standardised = 0.5 * (1.0 + (area - least) / (most - least));
    Some(PartialArea { area, standardised, max_false_positive_rate })
}

/// The area under the line between two points, as far as it lies left of `end`.
fn trapezium(from: RocPoint, to: RocPoint, end: f64) -> f64 {
    let width = to.false_positive_rate - from.false_positive_rate;
    let shown = (end - from.false_positive_rate).clamp(0.0, width);
    if shown == 0.0 {
        return 0.0;
    }
    let rise = (to.true_positive_rate - from.true_positive_rate) * shown / width;
    shown * (from.true_positive_rate + 0.5 * rise)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auc;

    fn histogram() -> ScoreHistogram {
        ScoreHistogram::from_counts(vec![1, 0, 0, 3], vec![2, 1, 0, 1]).unwrap()
    }

    #[test]
    fn points_by_hand() {
        let roc = roc_curve(&histogram()).unwrap();
        let rates: Vec<_> = roc.iter().map(|p| (p.false_positive_rate, p.true_positive_rate)).collect();
        assert_eq!(rates, [(0.0, 0.0), (0.25, 0.75), (0.5, 0.75), (1.0, 1.0)]);
        assert_eq!(
            roc.iter().map(|p| p.threshold).collect::<Vec<_>>(),
            [None, Some(0.75), Some(0.25), Some(0.0)]
        );
        let curve = precision_recall_curve(&histogram()).unwrap();
        assert_eq!(
            curve.iter().map(|p| (p.recall, p.precision)).collect::<Vec<_>>(),
            [(0.75, 0.75), (0.75, 0.6), (1.0, 0.5)]
        );
    }

    #[test]
    fn the_whole_part_is_the_area() {
        let whole = partial_area(&histogram(), 1.0).unwrap();
        assert!((whole.area - auc(&histogram()).unwrap().value).abs() < 1e-15);
        assert_eq!(whole.area, whole.standardised);
        // Up to 0.125: the middle of the first line, from (0, 0) to (0.125, 0.375).
        assert_eq!(partial_area(&histogram(), 0.125).unwrap().area, 0.5 * 0.125 * 0.375);
    }

    #[test]
    fn nothing_to_draw() {
        let negatives = ScoreHistogram::from_counts(vec![0, 0], vec![1, 1]).unwrap();
        assert_eq!((roc_curve(&negatives), precision_recall_curve(&negatives)), (None, None));
        for rate in [0.0, -1.0, 1.5, f64::NAN] {
            assert_eq!(partial_area(&histogram(), rate), None);
        }
    }
}
