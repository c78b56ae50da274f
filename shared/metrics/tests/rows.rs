//! The figures from histograms against the definitions they abbreviate, on rows of patients.

use consilium_metrics::{ScoreHistogram, auc, average_precision};
use proptest::prelude::*;

#[derive(Debug, Clone, Copy)]
struct Row {
    score: f32,
    positive: bool,
}

/// Scores with few distinct values, so that ties occur within and across bins, and scores with many.
fn rows() -> impl Strategy<Value = Vec<Row>> {
    let score = prop_oneof![(0u8..=20).prop_map(|k| f32::from(k) / 20.0), 0.0f32..=1.0];
    let row = (score, any::<bool>()).prop_map(|(score, positive)| Row { score, positive });
    prop::collection::vec(row, 1..60)
}

fn counted(rows: &[Row], bins: u16) -> ScoreHistogram {
    let mut histogram = ScoreHistogram::new(bins).unwrap();
    for row in rows {
        histogram.record(row.score, row.positive).unwrap();
    }
    histogram
}

/// The score a histogram remembers: the index of its bin.
fn quantised(rows: &[Row], bins: u16) -> Vec<Row> {
    let bin = |score: f32| (f64::from(score) * f64::from(bins)).floor().min(f64::from(bins - 1)) as f32;
    rows.iter().map(|row| Row { score: bin(row.score), ..*row }).collect()
}

fn classes(rows: &[Row]) -> (Vec<f32>, Vec<f32>) {
    let (positives, negatives): (Vec<Row>, Vec<Row>) = rows.iter().partition(|row| row.positive);
    let scores = |rows: Vec<Row>| rows.into_iter().map(|row| row.score).collect();
    (scores(positives), scores(negatives))
}

/// 1 if the positive scores higher, 1/2 for a tie.
fn won(positive: f32, negative: f32) -> f64 {
    match positive.total_cmp(&negative) {
        std::cmp::Ordering::Greater => 1.0,
        std::cmp::Ordering::Equal => 0.5,
        std::cmp::Ordering::Less => 0.0,
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn sample_variance(values: &[f64]) -> f64 {
    let centre = mean(values);
    values.iter().map(|value| (value - centre).powi(2)).sum::<f64>() / (values.len() - 1) as f64
}

fn pairwise_auc(rows: &[Row]) -> f64 {
    let (positives, negatives) = classes(rows);
    let won: f64 = positives.iter().flat_map(|&p| negatives.iter().map(move |&n| won(p, n))).sum();
    won / (positives.len() * negatives.len()) as f64
}

/// DeLong's variance straight from its definition, in O(PN).
fn placement_variance(rows: &[Row]) -> f64 {
    let (positives, negatives) = classes(rows);
    let of_positives: Vec<f64> =
        positives.iter().map(|&p| mean(&negatives.iter().map(|&n| won(p, n)).collect::<Vec<_>>())).collect();
    let of_negatives: Vec<f64> =
        negatives.iter().map(|&n| mean(&positives.iter().map(|&p| won(p, n)).collect::<Vec<_>>())).collect();
    sample_variance(&of_positives) / positives.len() as f64
        + sample_variance(&of_negatives) / negatives.len() as f64
}

/// scikit-learn's `average_precision_score`: the sum of (R_k - R_{k-1}) P_k over distinct scores, falling.
fn step_average_precision(rows: &[Row]) -> f64 {
    let mut thresholds: Vec<f32> = rows.iter().map(|row| row.score).collect();
    thresholds.sort_by(|a, b| b.total_cmp(a));
    thresholds.dedup();
    let positives = rows.iter().filter(|row| row.positive).count() as f64;
    let mut recall_before = 0.0;
    let mut sum = 0.0;
    for threshold in thresholds {
        let called: Vec<&Row> = rows.iter().filter(|row| row.score >= threshold).collect();
        let hits = called.iter().filter(|row| row.positive).count() as f64;
        sum += (hits / positives - recall_before) * hits / called.len() as f64;
        recall_before = hits / positives;
    }
    sum
}

const ROUNDING: f64 = 1e-12;

proptest! {
    #[test]
    fn the_area_is_the_pairwise_one_and_the_bound_holds(rows in rows(), bins in 2u16..=128) {
        let estimate = auc(&counted(&rows, bins));
        let (positives, negatives) = classes(&rows);
        prop_assert_eq!(estimate.is_none(), positives.is_empty() || negatives.is_empty());
        let Some(estimate) = estimate else { return Ok(()) };
        prop_assert!((estimate.value - pairwise_auc(&quantised(&rows, bins))).abs() < ROUNDING);
        let error = (estimate.value - pairwise_auc(&rows)).abs();
        prop_assert!(error <= estimate.quantisation_bound + ROUNDING);
        prop_assert!(estimate.interval.contains(estimate.value));
        prop_assert!((0.0..=1.0).contains(&estimate.interval.lower));
        prop_assert!((0.0..=1.0).contains(&estimate.interval.upper));
        prop_assert!(estimate.interval.lower < estimate.interval.upper);
    }

    #[test]
    fn the_variance_is_delongs(rows in rows(), bins in 2u16..=128) {
        let (positives, negatives) = classes(&rows);
        let variance = auc(&counted(&rows, bins)).and_then(|estimate| estimate.variance);
        prop_assert_eq!(variance.is_some(), positives.len() > 1 && negatives.len() > 1);
        let Some(variance) = variance else { return Ok(()) };
        prop_assert!((variance - placement_variance(&quantised(&rows, bins))).abs() < ROUNDING);
    }

    #[test]
    fn the_bracket_holds_the_average_precision_of_the_rows(rows in rows(), bins in 2u16..=128) {
        let bracket = average_precision(&counted(&rows, bins));
        prop_assert_eq!(bracket.is_some(), rows.iter().any(|row| row.positive));
        let Some(bracket) = bracket else { return Ok(()) };
        let truth = step_average_precision(&rows);
        let possible = bracket.lower - ROUNDING..=bracket.upper + ROUNDING;
        prop_assert!(possible.contains(&truth), "{truth} {bracket:?}");
        prop_assert!((bracket.value - step_average_precision(&quantised(&rows, bins))).abs() < ROUNDING);
        prop_assert!(bracket.lower <= bracket.value && bracket.value <= bracket.upper);
    }

    #[test]
    fn any_split_over_sites_pools_to_the_same(
        rows in prop::collection::vec((0.0f32..=1.0, any::<bool>(), 0usize..5), 0..80),
        bins in 2u16..=128,
    ) {
        let row = |&(score, positive, _): &(f32, bool, usize)| Row { score, positive };
        let pooled = counted(&rows.iter().map(row).collect::<Vec<_>>(), bins);
        let mut merged = ScoreHistogram::new(bins).unwrap();
        for site in 0..5 {
            let own: Vec<Row> = rows.iter().filter(|(_, _, at)| *at == site).map(row).collect();
            merged.merge(&counted(&own, bins)).unwrap();
        }
        prop_assert_eq!(merged.positives(), pooled.positives());
        prop_assert_eq!(merged.negatives(), pooled.negatives());
        prop_assert_eq!(auc(&merged), auc(&pooled));
    }
}
