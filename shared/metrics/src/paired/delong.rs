//! DeLong's comparison of two correlated areas.

use serde::{Deserialize, Serialize};

use super::JointHistogram;
use crate::distribution::normal_two_sided;
use crate::interval::{Interval, Z_95};
use crate::{RecordError, auc};

/// The areas of two arms on the same patients (DeLong, DeLong and Clarke-Pearson, doi:10.2307/2531595).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PairedComparison {
    /// Area of the first arm.
    pub first: f64,
    /// Area of the second arm.
    pub second: f64,
    /// First minus second.
    pub difference: f64,
    /// Variance of the difference; `None` with a single patient in a class.
    pub variance: Option<f64>,
    /// Covariance of the two areas; `None` with a single patient in a class.
    pub covariance: Option<f64>,
    /// 95 % confidence interval of the difference, within [-1, 1]; `None` without a positive variance.
    pub interval: Option<Interval>,
    /// Two-sided probability of a difference as large if the areas were equal; `None` without a positive
    /// variance.
    pub p_value: Option<f64>,
    /// The difference of the scores themselves lies at most this far from `difference`; 0 where they were
    /// compared.
    pub quantisation_bound: f64,
}

/// A patient with the probabilities that two arms predicted. It stays at the site.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PairedScore {
    /// By the first arm.
    pub first: f32,
    /// By the second arm.
    pub second: f32,
    /// Whether the patient is of the positive class.
    pub positive: bool,
}

/// Patients who share their placements: the shares of the other class that each arm ranks on the right side
/// of them.
struct Placed {
    patients: f64,
    first: f64,
    second: f64,
}

/// Compares the arms of a joint histogram; `None` when a class is empty.
pub fn compare_joint(joint: &JointHistogram) -> Option<PairedComparison> {
    let (first, second) = joint.marginals();
    let quantisation_bound = auc(&first)?.quantisation_bound + auc(&second)?.quantisation_bound;
    let placed = |positive: bool| -> Vec<Placed> {
        let [by_first, by_second] = [&first, &second]
            .map(|arm| shares(if positive { arm.negatives() } else { arm.positives() }, positive));
        let cells = joint.cells(positive);
        cells
            .map(|(i, j, count)| Placed { patients: count.into(), first: by_first[i], second: by_second[j] })
            .collect()
    };
    compare(&placed(true), &placed(false), quantisation_bound)
}

/// For each bin, the share of `others` on the right side of it (below for positives), those in it half.
fn shares(others: &[u32], positive: bool) -> Vec<f64> {
    let total: u32 = others.iter().sum();
    let share = |twice: u64| twice as f64 / (2.0 * f64::from(total));
    let mut below = 0;
    let of_bin = |&count: &u32| {
        let twice_below = 2 * below + u64::from(count);
        below += u64::from(count);
        share(if positive { twice_below } else { 2 * u64::from(total) - twice_below })
    };
    others.iter().map(of_bin).collect()
}

/// Compares the arms on a site's own patients, without bins; `None` when a class is empty.
pub fn compare_rows(rows: &[PairedScore]) -> Result<Option<PairedComparison>, RecordError> {
    let scores = rows.iter().flat_map(|row| [row.first, row.second]);
    if let Some(score) = scores.into_iter().find(|score| !(0.0..=1.0).contains(score)) {
        return Err(RecordError::NotAProbability(score));
    }
    let sorted = |positive: bool, arm: fn(&PairedScore) -> f32| -> Vec<f32> {
        let mut scores: Vec<f32> = rows.iter().filter(|row| row.positive == positive).map(arm).collect();
        // Adding 0 makes -0 the 0 that it equals.
        scores.iter_mut().for_each(|score| *score += 0.0);
        scores.sort_by(f32::total_cmp);
        scores
    };
    let placed = |positive: bool| -> Vec<Placed> {
        let [by_first, by_second] = [sorted(!positive, |row| row.first), sorted(!positive, |row| row.second)];
        let placement = |others: &[f32], score: f32| {
            let below = others.partition_point(|&other| other < score);
            let up_to = others.partition_point(|&other| other <= score);
            let share = (below + up_to) as f64 / (2 * others.len()) as f64;
            if positive { share } else { 1.0 - share }
        };
        let own = rows.iter().filter(|row| row.positive == positive);
        let place = |row: &PairedScore| Placed {
            patients: 1.0,
            first: placement(&by_first, row.first),
            second: placement(&by_second, row.second),
        };
        own.map(place).collect()
    };
    let [positives, negatives] =
        [true, false].map(|class| rows.iter().filter(|row| row.positive == class).count());
    if positives == 0 || negatives == 0 { Ok(None) } else { Ok(compare(&placed(true), &placed(false), 0.0)) }
}

fn compare(positives: &[Placed], negatives: &[Placed], quantisation_bound: f64) -> Option<PairedComparison> {
    let (first, second) = (mean(positives, |placed| placed.first)?, mean(positives, |placed| placed.second)?);
    let variance_of =
        |figure: fn(&Placed) -> f64| Some(spread(positives, figure)? + spread(negatives, figure)?);
    let difference = first - second;
    let variance = variance_of(|placed| placed.first - placed.second);
    // var(a - b) = var(a) + var(b) - 2 cov(a, b).
    let covariance = variance_of(|placed| placed.first)
        .zip(variance_of(|placed| placed.second))
        .zip(variance)
        .map(|((of_first, of_second), of_difference)| 0.5 * (of_first + of_second - of_difference));
    let error = variance.filter(|variance| *variance > 0.0).map(libm::sqrt);
    let interval = error.map(|error| Interval {
        lower: (difference - Z_95 * error).clamp(-1.0, 1.0),
        upper: (difference + Z_95 * error).clamp(-1.0, 1.0),
    });
    let p_value = error.map(|error| normal_two_sided(difference / error));
    Some(PairedComparison {
        first,
        second,
        difference,
        variance,
        covariance,
        interval,
        p_value,
        quantisation_bound,
    })
}

fn mean(placed: &[Placed], figure: impl Fn(&Placed) -> f64) -> Option<f64> {
    let patients: f64 = placed.iter().map(|placed| placed.patients).sum();
    let sum: f64 = placed.iter().map(|placed| placed.patients * figure(placed)).sum();
    (patients > 0.0).then(|| sum / patients)
}

/// The variance of the mean of `figure` over the patients of a class; `None` below two.
fn spread(placed: &[Placed], figure: fn(&Placed) -> f64) -> Option<f64> {
    let patients: f64 = placed.iter().map(|placed| placed.patients).sum();
    let centre = mean(placed, figure)?;
    let square = |placed: &Placed| placed.patients * (figure(placed) - centre) * (figure(placed) - centre);
    let squares: f64 = placed.iter().map(square).sum();
    (patients >= 2.0).then(|| squares / (patients * (patients - 1.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(first: f32, second: f32, positive: bool) -> PairedScore {
        PairedScore { first, second, positive }
    }

    #[test]
    fn an_arm_does_not_differ_from_itself() {
        let rows = [row(0.2, 0.2, false), row(0.6, 0.6, false), row(0.4, 0.4, true), row(0.9, 0.9, true)];
        let comparison = compare_rows(&rows).unwrap().unwrap();
        assert_eq!((comparison.difference, comparison.variance), (0.0, Some(0.0)));
        assert_eq!((comparison.interval, comparison.p_value), (None, None));
    }

    /// First arm perfect, second reversed: both variances are zero, and so is the one of their difference.
    #[test]
    fn opposite_arms() {
        let rows = [row(0.2, 0.9, false), row(0.3, 0.8, false), row(0.8, 0.2, true), row(0.9, 0.1, true)];
        let comparison = compare_rows(&rows).unwrap().unwrap();
        assert_eq!((comparison.first, comparison.second, comparison.difference), (1.0, 0.0, 1.0));
        assert_eq!((comparison.variance, comparison.interval), (Some(0.0), None));
    }

    #[test]
    fn an_empty_class_is_not_compared() {
        assert_eq!(compare_rows(&[]).unwrap(), None);
        assert_eq!(compare_rows(&[row(0.1, 0.2, true)]).unwrap(), None);
        assert_eq!(compare_joint(&JointHistogram::new(4).unwrap()), None);
        assert!(compare_rows(&[row(0.1, f32::NAN, true)]).is_err());
        let single = compare_rows(&[row(0.1, 0.2, true), row(0.0, 0.3, false)]).unwrap().unwrap();
        assert_eq!((single.difference, single.variance, single.covariance), (1.0, None, None));
    }
}
