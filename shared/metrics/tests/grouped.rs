//! Sites that tell scores by groups of patients: what is told of the pooled patients holds for their rows.

use consilium_domain::Seed;
use consilium_metrics::*;
use proptest::prelude::*;

const SITES: usize = 4;

#[derive(Debug, Clone, Copy)]
struct Row {
    score: f32,
    positive: bool,
    site: usize,
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let score = prop_oneof![(0u8..=20).prop_map(|k| f32::from(k) / 20.0), 0.0f32..=1.0];
    let row =
        (score, any::<bool>(), 0..SITES).prop_map(|(score, positive, site)| Row { score, positive, site });
    prop::collection::vec(row, 1..120)
}

fn counted(rows: impl Iterator<Item = Row>, bins: u16) -> ScoreHistogram {
    let mut histogram = ScoreHistogram::new(bins).unwrap();
    rows.for_each(|row| histogram.record(row.score, row.positive).unwrap());
    histogram
}

/// The share of pairs in the right order, ties half.
fn area(rows: &[Row]) -> Option<f64> {
    let of = |positive| rows.iter().filter(move |row| row.positive == positive);
    let pairs = of(true).count() * of(false).count();
    let right: f64 = of(true)
        .flat_map(|high| {
            of(false).map(|low| match high.score.total_cmp(&low.score) {
                std::cmp::Ordering::Greater => 1.0,
                std::cmp::Ordering::Equal => 0.5,
                std::cmp::Ordering::Less => 0.0,
            })
        })
        .sum();
    (pairs > 0).then(|| right / pairs as f64)
}

/// The step sum over the distinct scores, the highest first.
fn precision(rows: &[Row]) -> Option<f64> {
    let positives = rows.iter().filter(|row| row.positive).count() as f64;
    let mut scores: Vec<f32> = rows.iter().map(|row| row.score).collect();
    scores.sort_by(|a, b| b.total_cmp(a));
    scores.dedup();
    let mut sum = 0.0;
    for &score in &scores {
        let called = rows.iter().filter(|row| row.score >= score);
        let (mut all, mut right) = (0.0, 0.0);
        called.for_each(|row| {
            all += 1.0;
            right += f64::from(u8::from(row.positive));
        });
        let gained = rows.iter().filter(|row| row.positive && row.score == score).count() as f64;
        sum += gained * right / all;
    }
    (positives > 0.0).then(|| sum / positives)
}

fn squares(rows: &[Row]) -> f64 {
    let error = |row: &Row| f64::from(u8::from(row.positive)) - f64::from(row.score);
    rows.iter().map(|row| error(row).powi(2)).sum::<f64>() / rows.len() as f64
}

proptest! {
    #[test]
    fn the_figures_of_the_rows_lie_within_their_bounds(
        rows in rows(),
        bins in 2u16..=128,
        least in prop::collection::vec(prop_oneof![Just(1u32), 2u32..9], SITES),
    ) {
        const ROUNDING: f64 = 1e-9;
        let of_site = |site: usize| rows.iter().copied().filter(move |row| row.site == site);
        let told: Vec<ScoreHistogram> =
            (0..SITES).map(|site| counted(of_site(site), bins).told_together(least[site])).collect();
        for (site, told) in told.iter().enumerate() {
            let own: Vec<Row> = of_site(site).collect();
            if let (Some(exact), Some(told)) = (area(&own), auc(told)) {
                prop_assert!((exact - told.value).abs() <= told.quantisation_bound + ROUNDING);
            }
        }
        let sites: Vec<SiteScores<'_>> =
            told.iter().zip(&least).map(|(told, &least)| SiteScores { told, grouped: least > 1 }).collect();
        let mut pooled = ScoreHistogram::new(bins).unwrap();
        told.iter().for_each(|told| pooled.merge(told).unwrap());
        let mut card = Scorecard::of(&pooled, None).unwrap();
        let mut squared = brier(&pooled).unwrap().score;
        let ends = ScoreEnds::of(&sites).unwrap();
        prop_assert_eq!(ends.is_some(), least.iter().any(|&least| least > 1));
        if let Some(ends) = &ends {
            let bins_alone = card.auc.map(|auc| auc.quantisation_bound);
            ends.widen(&pooled, &mut card);
            ends.widen_brier(&mut squared);
            prop_assert!(card.auc.map(|auc| auc.quantisation_bound + ROUNDING) >= bins_alone);
        }
        if let (Some(exact), Some(told)) = (area(&rows), card.auc) {
            prop_assert!((exact - told.value).abs() <= told.quantisation_bound + ROUNDING);
        }
        if let (Some(exact), Some(told)) = (precision(&rows), card.average_precision) {
            prop_assert!(told.lower - ROUNDING <= exact && exact <= told.upper + ROUNDING);
        }
        let exact = squares(&rows);
        prop_assert!(squared.lower - ROUNDING <= exact && exact <= squared.upper + ROUNDING);
    }

    /// At any threshold the patients called positive lie between the two ends.
    #[test]
    fn what_is_called_at_a_threshold_lies_between_the_ends(rows in rows(), edge in 1u16..16, least in 2u32..9) {
        let of_site = |site: usize| counted(rows.iter().copied().filter(|row| row.site == site), 16);
        let told: Vec<ScoreHistogram> = (0..SITES).map(|site| of_site(site).told_together(least)).collect();
        let sites: Vec<SiteScores<'_>> = told.iter().map(|told| SiteScores { told, grouped: true }).collect();
        let ends = ScoreEnds::of(&sites).unwrap().unwrap();
        let edge = BinEdge::new(edge, 16).unwrap();
        let exact = Confusion::at(&counted(rows.iter().copied(), 16), edge).unwrap();
        let [best, worst] = [&ends.best, &ends.worst].map(|end| Confusion::at(end, edge).unwrap());
        prop_assert!(worst.true_positives <= exact.true_positives && exact.true_positives <= best.true_positives);
        prop_assert!(worst.true_negatives <= exact.true_negatives && exact.true_negatives <= best.true_negatives);
    }
}

/// The slope of a regression on the rows' own scores, by sums.
fn slope_of_rows(rows: &[Row]) -> WaldEstimate {
    let mut fit = Recalibration::Slope.start();
    loop {
        let mut sums = Recalibration::Slope.sums();
        for row in rows {
            Recalibration::Slope.record(&mut sums, fit.coefficients(), row.score, row.positive).unwrap();
        }
        if let Progress::Done(done) = fit.absorb(&sums).unwrap() {
            return done.coefficients[1];
        }
    }
}

/// Groups are made by the score itself, so that their means do not bend a regression on it: in 1,000 runs of four sites of 25
/// patients whose probabilities are right, the slope from groups of three is that of the rows within a small part of its
/// standard error, and its interval covers 1 as often as it should.
#[test]
fn a_calibration_slope_from_groups_is_about_that_of_the_rows() {
    const RUNS: u32 = 1_000;
    let (mut shifts, mut sizes, mut covered) = (0.0, 0.0, 0);
    for run in 0..RUNS {
        let mut stream = Seed::from_number(30).derive(&run.to_string()).stream();
        let rows: Vec<Row> = (0..100)
            .map(|number| {
                let probability = 1.0 / (1.0 + (-stream.normal()).exp());
                let positive = stream.uniform() < probability;
                Row { score: probability as f32, positive, site: number % SITES }
            })
            .collect();
        let mut pooled = ScoreHistogram::new(64).unwrap();
        for site in 0..SITES {
            let own = rows.iter().copied().filter(|row| row.site == site);
            pooled.merge(&counted(own, 64).told_together(3)).unwrap();
        }
        let (exact, told) = (slope_of_rows(&rows), recalibrate_binned(&pooled).unwrap().figures.slope);
        let shift = (told.value - exact.value) / exact.standard_error;
        shifts += shift;
        sizes += shift.abs();
        covered += u32::from(told.interval.lower <= 1.0 && 1.0 <= told.interval.upper);
    }
    let [shift, size, covered] = [shifts, sizes, f64::from(covered)].map(|sum| sum / f64::from(RUNS));
    println!("mean shift {shift:.3}, mean size {size:.3} standard errors; covered {covered:.3}");
    assert!(shift.abs() < 0.1 && size < 0.2, "{shift} {size}");
    assert!((covered - 0.95).abs() < 0.02, "{covered}");
}
