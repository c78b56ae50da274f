//! Predicted against observed, by groups of bins, and the mean distance between the two.

use serde::{Deserialize, Serialize};

use crate::{Bracket, CoarsenError, Estimate, ScoreHistogram, wilson};

/// Patients with similar predictions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CalibrationGroup {
    /// The smallest score of the group.
    pub lower_edge: f64,
    /// The score it ends at.
    pub upper_edge: f64,
    /// Patients of both classes; not zero.
    pub patients: u32,
    /// Their mean predicted probability: from the centres of the bins, between those from the bins' edges.
    pub mean_score: Bracket,
    /// The share of them who are positive, with Wilson's interval.
    pub observed: Estimate,
}

/// The calibration curve over `groups` equal parts of [0, 1], which must divide the number of bins. Empty
/// groups are left out.
pub fn calibration_curve(
    histogram: &ScoreHistogram,
    groups: usize,
) -> Result<Vec<CalibrationGroup>, CoarsenError> {
    let coarse = histogram.coarsen(groups)?;
    let bins_each = histogram.bins() / groups;
    let group = |index: usize| {
        let observed = wilson(coarse.positives()[index].into(), coarse.negatives()[index].into())?;
        let patients = coarse.positives()[index] + coarse.negatives()[index];
        let bins = index * bins_each..(index + 1) * bins_each;
        let count =
            |bin: usize| f64::from(histogram.positives()[bin]) + f64::from(histogram.negatives()[bin]);
        let lower = bins.map(|bin| count(bin) * histogram.lower_edge(bin)).sum::<f64>() / f64::from(patients);
        let width = 1.0 / histogram.bins() as f64;
        let mean_score = Bracket { lower, value: lower + 0.5 * width, upper: lower + width };
        let (lower_edge, upper_edge) = (coarse.lower_edge(index), coarse.upper_edge(index));
        Some(CalibrationGroup { lower_edge, upper_edge, patients, mean_score, observed })
    };
    Ok((0..groups).filter_map(group).collect())
}

/// The expected calibration error: the mean distance between mean prediction and observed share over the
/// groups, weighted by patients (Naeini, Cooper and Hauskrecht, doi:10.1609/aaai.v29i1.9602). `None` without
/// patients.
///
/// The value takes bins at their centres; the bracket holds the error for scores anywhere in their bins and
/// is at most one bin wide. It is biased upwards for few patients a group: compare models on the same groups
/// only.
pub fn expected_calibration_error(
    histogram: &ScoreHistogram,
    groups: usize,
) -> Result<Option<Bracket>, CoarsenError> {
    let curve = calibration_curve(histogram, groups)?;
    let patients: f64 = curve.iter().map(|group| f64::from(group.patients)).sum();
    if patients == 0.0 {
        return Ok(None);
    }
    let mean = |distance: &dyn Fn(&CalibrationGroup) -> f64| {
        curve.iter().map(|group| f64::from(group.patients) * distance(group)).sum::<f64>() / patients
    };
    Ok(Some(Bracket {
        lower: mean(&|group| {
            let Bracket { lower, upper, .. } = group.mean_score;
            (lower - group.observed.value).max(group.observed.value - upper).max(0.0)
        }),
        value: mean(&|group| (group.mean_score.value - group.observed.value).abs()),
        upper: mean(&|group| {
            let Bracket { lower, upper, .. } = group.mean_score;
            (upper - group.observed.value).max(group.observed.value - lower)
        }),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let histogram = ScoreHistogram::from_counts(vec![0, 1, 0, 3], vec![2, 1, 0, 1]).unwrap();
        let curve = calibration_curve(&histogram, 2).unwrap();
        let figures: Vec<_> =
            curve.iter().map(|g| (g.patients, g.mean_score.value, g.observed.value)).collect();
        assert_eq!(figures, [(4, 0.25, 0.25), (4, 0.875, 0.75)]);
        let error = expected_calibration_error(&histogram, 2).unwrap().unwrap();
        assert_eq!((error.lower, error.value, error.upper), (0.0, 0.0625, (0.125 + 0.25) / 2.0));
    }

    #[test]
    fn nobody_and_no_divisor() {
        let empty = ScoreHistogram::new(4).unwrap();
        assert_eq!(expected_calibration_error(&empty, 2), Ok(None));
        assert!(calibration_curve(&empty, 3).is_err());
    }
}
