//! Intervals by resampling patients within their class.
//!
//! A resample draws as many patients of each class as there are, with replacement, from the histogram of that
//! class: the stratified bootstrap by patient (Efron and Tibshirani, An Introduction to the Bootstrap, 1993,
//! doi:10.1201/9780429246593). Sites are not resampled: the interval speaks of other patients at the same
//! sites.

use consilium_domain::{RandomStream, Seed};
use serde::{Deserialize, Serialize};

use crate::ScoreHistogram;
use crate::distribution::{normal_above, normal_quantile};
use crate::interval::{Interval, TAIL_95, Z_95};

/// The most patients that are resampled or permuted. Beyond it thousands of resamples take many seconds, and
/// say no more than DeLong's interval and the normal test do.
pub const MAX_RESAMPLED: u32 = 1 << 14;

/// Resamples of a report: the ends of an interval are then repeatable to about 2 % of its width.
pub const DEFAULT_REPLICATES: u32 = 2_000;

/// A share of resamples without a figure above which there is no interval: it would be one of the lucky ones.
const MAX_UNDEFINED_SHARE: f64 = 0.05;

/// A figure's interval by resampling.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BootstrapInterval {
    /// The 2.5 and 97.5 percentiles of the resampled figures, interpolated linearly.
    pub percentile: Interval,
    /// Bias-corrected and accelerated (Efron, doi:10.1080/01621459.1987.10478410), with the acceleration of a
    /// stratified jackknife; `None` where the figure is at the end of what resamples give, or does not vary.
    pub bias_corrected: Option<Interval>,
    /// Standard deviation of the resampled figures.
    pub standard_error: f64,
    /// Resamples drawn.
    pub replicates: u32,
    /// Resamples in which the figure was undefined, left out above.
    pub undefined: u32,
}

/// The interval of `figure` over `replicates` resamples of `histogram`.
///
/// `None` where the figure itself is undefined, or is in more than one of twenty resamples, for fewer than two
/// resamples and for more than [`MAX_RESAMPLED`] patients.
pub fn bootstrap(
    histogram: &ScoreHistogram,
    replicates: u32,
    seed: Seed,
    figure: impl Fn(&ScoreHistogram) -> Option<f64>,
) -> Option<BootstrapInterval> {
    let totals = histogram.totals();
    if replicates < 2 || totals.positives + totals.negatives > MAX_RESAMPLED {
        return None;
    }
    let value = figure(histogram)?;
    let mut resampler = Resampler::of(histogram, seed);
    let drawn: Vec<f64> = (0..replicates).filter_map(|_| figure(resampler.draw())).collect();
    let undefined = replicates - drawn.len() as u32;
    if f64::from(undefined) > MAX_UNDEFINED_SHARE * f64::from(replicates) || drawn.len() < 2 {
        return None;
    }
    let mut sorted = drawn;
    sorted.sort_by(f64::total_cmp);
    let interval =
        |low: f64, high: f64| Interval { lower: quantile(&sorted, low), upper: quantile(&sorted, high) };
    let bias_corrected = acceleration(histogram, value, &figure)
        .and_then(|acceleration| corrected_tails(&sorted, value, acceleration))
        .map(|(low, high)| interval(low, high));
    Some(BootstrapInterval {
        percentile: interval(TAIL_95, 1.0 - TAIL_95),
        bias_corrected,
        standard_error: standard_deviation(&sorted),
        replicates,
        undefined,
    })
}

/// Draws patients with replacement, class by class.
pub(crate) struct Resampler {
    positives: Vec<u8>,
    negatives: Vec<u8>,
    drawn: ScoreHistogram,
    stream: RandomStream,
}

impl Resampler {
    pub(crate) fn of(histogram: &ScoreHistogram, seed: Seed) -> Self {
        // A bin's index fits: there are at most 128.
        let list = |counts: &[u32]| -> Vec<u8> {
            let repeat = |(bin, &count): (usize, &u32)| std::iter::repeat_n(bin as u8, count as usize);
            counts.iter().enumerate().flat_map(repeat).collect()
        };
        let (positives, negatives) = (list(&histogram.positives), list(&histogram.negatives));
        Self { positives, negatives, drawn: histogram.clone(), stream: seed.stream() }
    }

    /// As many patients of each class as there are.
    pub(crate) fn draw(&mut self) -> &ScoreHistogram {
        for (patients, counts) in
            [(&self.positives, &mut self.drawn.positives), (&self.negatives, &mut self.drawn.negatives)]
        {
            counts.fill(0);
            for _ in 0..patients.len() {
                counts[usize::from(patients[self.stream.below(patients.len())])] += 1;
            }
        }
        &self.drawn
    }
}

/// Linear interpolation between order statistics (Hyndman and Fan's type 7, NumPy's default).
fn quantile(sorted: &[f64], p: f64) -> f64 {
    let place = p * (sorted.len() - 1) as f64;
    let below = place.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (place - below as f64) * (sorted[above] - sorted[below])
}

fn standard_deviation(values: &[f64]) -> f64 {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
    libm::sqrt(squares / (values.len() - 1) as f64)
}

/// The percentiles that stand for 2.5 and 97.5 after correction.
fn corrected_tails(sorted: &[f64], value: f64, acceleration: f64) -> Option<(f64, f64)> {
    let below = sorted.partition_point(|&drawn| drawn < value);
    let up_to = sorted.partition_point(|&drawn| drawn <= value);
    let share = (below + up_to) as f64 / (2 * sorted.len()) as f64;
    if share <= 0.0 || share >= 1.0 {
        return None;
    }
    let bias = normal_quantile(share);
    let tail = |z: f64| {
        let stretched = 1.0 - acceleration * (bias + z);
        (stretched > 0.0).then(|| 1.0 - normal_above(bias + (bias + z) / stretched))
    };
    Some((tail(-Z_95)?, tail(Z_95)?))
}

/// (1/6) sum of l^3 / (sum of l^2)^(3/2) with l the jackknife influence of each patient divided by the size
/// of the class (Davison and Hinkley, Bootstrap Methods and their Application, section 5.3.2,
/// doi:10.1017/CBO9780511802843).
fn acceleration(
    histogram: &ScoreHistogram,
    value: f64,
    figure: impl Fn(&ScoreHistogram) -> Option<f64>,
) -> Option<f64> {
    let (mut squares, mut cubes) = (0.0, 0.0);
    let mut without = histogram.clone();
    for positive in [true, false] {
        let counts = if positive { &histogram.positives } else { &histogram.negatives };
        let size = f64::from(counts.iter().sum::<u32>());
        for (bin, &count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            side(&mut without, positive)[bin] -= 1;
            let influence = (size - 1.0) * (value - figure(&without)?) / size;
            side(&mut without, positive)[bin] += 1;
            squares += f64::from(count) * influence * influence;
            cubes += f64::from(count) * influence * influence * influence;
        }
    }
    (squares > 0.0).then(|| cubes / (6.0 * squares * libm::sqrt(squares)))
}

fn side(histogram: &mut ScoreHistogram, positive: bool) -> &mut [u32] {
    if positive { &mut histogram.positives } else { &mut histogram.negatives }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BinEdge, Confusion, auc};

    fn histogram() -> ScoreHistogram {
        ScoreHistogram::from_counts(vec![2, 3, 6, 9], vec![8, 6, 4, 2]).unwrap()
    }

    fn area(histogram: &ScoreHistogram) -> Option<f64> {
        auc(histogram).map(|estimate| estimate.value)
    }

    #[test]
    fn a_resample_has_the_same_classes() {
        let histogram = histogram();
        let mut resampler = Resampler::of(&histogram, Seed::from_number(1));
        let mut differ = 0;
        for _ in 0..50 {
            let drawn = resampler.draw();
            assert_eq!(drawn.totals(), histogram.totals());
            differ += u32::from(*drawn != histogram);
        }
        assert!(differ > 40);
    }

    #[test]
    fn the_same_seed_gives_the_same_interval_and_another_a_close_one() {
        let of = |seed| bootstrap(&histogram(), 2_000, Seed::from_number(seed), area).unwrap();
        assert_eq!(of(1), of(1));
        let (one, other) = (of(1), of(2));
        assert_ne!(one.percentile, other.percentile);
        assert!((one.percentile.lower - other.percentile.lower).abs() < 0.03);
        let delong = auc(&histogram()).unwrap().variance.unwrap().sqrt();
        assert!((one.standard_error / delong - 1.0).abs() < 0.1, "{one:?} {delong}");
    }

    #[test]
    fn a_perfect_order_never_varies() {
        let perfect = ScoreHistogram::from_counts(vec![0, 9], vec![9, 0]).unwrap();
        let interval = bootstrap(&perfect, 100, Seed::from_number(1), area).unwrap();
        assert_eq!(interval.percentile, Interval { lower: 1.0, upper: 1.0 });
        assert_eq!(interval.bias_corrected, None);
    }

    #[test]
    fn a_figure_that_is_often_undefined_has_no_interval() {
        // Nobody is called positive in about a third of the resamples.
        let rare = ScoreHistogram::from_counts(vec![9, 1], vec![9, 0]).unwrap();
        let edge = BinEdge::new(1, 2).unwrap();
        let value = |histogram: &ScoreHistogram| Confusion::at(histogram, edge).ok()?.matthews();
        assert!(value(&rare).is_some());
        assert_eq!(bootstrap(&rare, 500, Seed::from_number(1), value), None);
    }

    #[test]
    fn too_little_or_too_much_to_resample() {
        assert_eq!(bootstrap(&histogram(), 1, Seed::from_number(1), area), None);
        let large = ScoreHistogram::from_counts(vec![MAX_RESAMPLED, 0], vec![0, 1]).unwrap();
        assert_eq!(bootstrap(&large, 10, Seed::from_number(1), area), None);
        let empty = ScoreHistogram::new(4).unwrap();
        assert_eq!(bootstrap(&empty, 10, Seed::from_number(1), area), None);
    }
}
