//! Hospitals together find what one would with all their rows; and what cannot be known is `None`, never NaN.

use consilium_domain::Seed;
use consilium_metrics::*;
use proptest::prelude::*;

const SITES: usize = 4;

#[derive(Debug, Clone, Copy)]
struct Row {
    first: f32,
    second: f32,
    feature: f64,
    positive: bool,
    site: usize,
}

fn rows(sizes: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Row>> {
    let score = || prop_oneof![(0u8..=20).prop_map(|k| f32::from(k) / 20.0), 0.0f32..=1.0];
    let row = (score(), score(), -3.0f64..3.0, any::<bool>(), 0..SITES)
        .prop_map(|(first, second, feature, positive, site)| Row { first, second, feature, positive, site });
    prop::collection::vec(row, sizes)
}

/// What each site sums of its own rows, in any order of sites, merged; and the same of all rows at once.
fn both_ways<S: Clone>(
    rows: &[Row],
    empty: &S,
    record: impl Fn(&mut S, &Row),
    merge: impl Fn(&mut S, &S),
) -> [S; 3] {
    let sites: Vec<S> = (0..SITES)
        .map(|site| {
            let mut sums = empty.clone();
            rows.iter().filter(|row| row.site == site).for_each(|row| record(&mut sums, row));
            sums
        })
        .collect();
    let (mut forwards, mut backwards, mut pooled) = (empty.clone(), empty.clone(), empty.clone());
    sites.iter().for_each(|site| merge(&mut forwards, site));
    sites.iter().rev().for_each(|site| merge(&mut backwards, site));
    rows.iter().rev().for_each(|row| record(&mut pooled, row));
    [forwards, backwards, pooled]
}

fn same<S: PartialEq + std::fmt::Debug>([forwards, backwards, pooled]: [S; 3]) -> Result<S, TestCaseError> {
    prop_assert_eq!(&forwards, &pooled);
    prop_assert_eq!(&backwards, &pooled);
    Ok(pooled)
}

fn counted(rows: &[Row], bins: u16) -> ScoreHistogram {
    let mut histogram = ScoreHistogram::new(bins).unwrap();
    rows.iter().for_each(|row| histogram.record(row.first, row.positive).unwrap());
    histogram
}

/// Maximises the likelihood on rows of floats, without sums, fixed points or sites.
fn plain_regression(rows: &[Row]) -> (f64, f64) {
    let (mut a, mut b) = (0.0f64, 0.0f64);
    for _ in 0..60 {
        let (mut g, mut h) = ([0.0; 2], [0.0; 3]);
        for row in rows {
            let p = 1.0 / (1.0 + (-(a + b * row.feature)).exp());
            let residual = f64::from(u8::from(row.positive)) - p;
            g = [g[0] + residual, g[1] + residual * row.feature];
            let w = p * (1.0 - p);
            h = [h[0] + w, h[1] + w * row.feature, h[2] + w * row.feature * row.feature];
        }
        let determinant = h[0] * h[2] - h[1] * h[1];
        a += (h[2] * g[0] - h[1] * g[1]) / determinant;
        b += (h[0] * g[1] - h[1] * g[0]) / determinant;
    }
    (a, b)
}

fn federated_fit(
    start: NewtonFit,
    mut sums_at: impl FnMut(&Coefficients) -> LogisticSums,
) -> Result<LogisticFit, FitError> {
    let mut fit = start;
    loop {
        let sums = sums_at(fit.coefficients());
        if let Progress::Done(done) = fit.absorb(&sums)? {
            return Ok(done);
        }
    }
}

fn within(bracket: Bracket, truth: f64) -> bool {
    (bracket.lower - 1e-12..=bracket.upper + 1e-12).contains(&truth)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_kind_of_sum_is_that_of_the_pooled_rows(
        rows in rows(0..60), a in -2.0f64..2.0, b in -2.0f64..2.0,
    ) {
        same(both_ways(&rows, &JointHistogram::new(8).unwrap(),
            |joint, row| joint.record(row.first, row.second, row.positive).unwrap(),
            |joint, other| joint.merge(other).unwrap()))?;
        same(both_ways(&rows, &ScoreSums::new(),
            |sums, row| sums.record(row.first, row.positive).unwrap(),
            |sums, other| sums.merge(other).unwrap()))?;
        let at = Coefficients::new(vec![a, b]).unwrap();
        same(both_ways(&rows, &LogisticSums::new(1),
            |sums, row| sums.record(&at, &[row.feature], 0.0, row.positive).unwrap(),
            |sums, other| sums.merge(other).unwrap()))?;
        same(both_ways(&rows, &Recalibration::Slope.sums(),
            |sums, row| Recalibration::Slope.record(sums, &at, row.first, row.positive).unwrap(),
            |sums, other| sums.merge(other).unwrap()))?;
    }

    #[test]
    fn a_federated_regression_is_the_one_of_the_rows(rows in rows(30..120)) {
        let fit = federated_fit(NewtonFit::new(1, 0.0).unwrap(), |at| {
            let [pooled, ..] = both_ways(&rows, &LogisticSums::new(1),
                |sums, row| sums.record(at, &[row.feature], 0.0, row.positive).unwrap(),
                |sums, other| sums.merge(other).unwrap());
            pooled
        });
        let Ok(fit) = fit else { return Ok(()) };
        let (a, b) = plain_regression(&rows);
        for (estimate, truth) in fit.coefficients.iter().zip([a, b]) {
            let bound = estimate.rounding_bound + 1e-11;
            prop_assert!((estimate.value - truth).abs() <= bound, "{estimate:?} {truth}");
        }
    }

    #[test]
    fn brackets_hold_the_figures_of_the_rows(rows in rows(1..80), quarter in 1u16..=16) {
        let histogram = counted(&rows, 4 * quarter);
        let n = rows.len() as f64;
        let class = |row: &Row| f64::from(u8::from(row.positive));
        let score = |row: &Row| f64::from(row.first);
        let truth = rows.iter().map(|row| (score(row) - class(row)).powi(2)).sum::<f64>() / n;
        prop_assert!(within(brier(&histogram).unwrap().score, truth));
        let mut sums = ScoreSums::new();
        rows.iter().for_each(|row| sums.record(row.first, row.positive).unwrap());
        prop_assert!((sums.brier().unwrap() - truth).abs() <= ScoreSums::ROUNDING_BOUND + 1e-15);
        let mean = rows.iter().map(score).sum::<f64>() / n;
        prop_assert!((sums.mean_score().unwrap() - mean).abs() <= ScoreSums::ROUNDING_BOUND + 1e-15);

        let group = |row: &Row| ((score(row) * 4.0) as usize).min(3);
        let gap = |at: usize| {
            let own = rows.iter().filter(|row| group(row) == at);
            own.map(|row| score(row) - class(row)).sum::<f64>().abs()
        };
        let error = (0..4).map(gap).sum::<f64>() / n;
        let bracket = expected_calibration_error(&histogram, 4).unwrap().unwrap();
        prop_assert!(within(bracket, error), "{error} {bracket:?}");
        prop_assert!(bracket.upper - bracket.lower <= 1.0 / f64::from(4 * quarter) + 1e-12);
        for part in calibration_curve(&histogram, 4).unwrap() {
            let place = (part.lower_edge * 4.0) as usize;
            let own: Vec<_> = rows.iter().filter(|row| group(row) == place).collect();
            let mean = own.iter().map(|row| score(row)).sum::<f64>() / own.len() as f64;
            prop_assert!(within(part.mean_score, mean));
        }
    }

    /// To first order, so only where scores keep away from 0 and 1 and bins are fine.
    #[test]
    fn the_slope_of_bins_is_that_of_the_scores_within_its_bound(
        rows in prop::collection::vec((0.08f32..0.92, 0.0f64..1.0), 60..160)
    ) {
        // Classes that follow the scores, so that a slope is to be found.
        let rows: Vec<(f32, bool)> =
            rows.into_iter().map(|(score, u)| (score, u < f64::from(score))).collect();
        let mut histogram = ScoreHistogram::new(64).unwrap();
        rows.iter().for_each(|&(score, positive)| histogram.record(score, positive).unwrap());
        let exact = federated_fit(Recalibration::Slope.start(), |at| {
            let mut sums = Recalibration::Slope.sums();
            for &(score, positive) in &rows {
                Recalibration::Slope.record(&mut sums, at, score, positive).unwrap();
            }
            sums
        });
        let (Ok(exact), Ok(binned)) = (exact, recalibrate_binned(&histogram)) else { return Ok(()) };
        let off = (exact.coefficients[1].value - binned.figures.slope.value).abs();
        prop_assert!(off <= binned.slope_bound.unwrap(), "{off} {binned:?}");
    }

    #[test]
    fn a_joint_histogram_compares_within_its_bound(rows in rows(2..60), bins in 2u16..=32) {
        let mut joint = JointHistogram::new(bins).unwrap();
        rows.iter().for_each(|row| joint.record(row.first, row.second, row.positive).unwrap());
        let paired: Vec<_> = rows.iter()
            .map(|row| PairedScore { first: row.first, second: row.second, positive: row.positive })
            .collect();
        let (binned, exact) = (compare_joint(&joint), compare_rows(&paired).unwrap());
        prop_assert_eq!(binned.is_some(), exact.is_some());
        let Some((binned, exact)) = binned.zip(exact) else { return Ok(()) };
        prop_assert!((binned.difference - exact.difference).abs() <= binned.quantisation_bound + 1e-12);
        let (first, second) = joint.marginals();
        prop_assert!((binned.first - auc(&first).unwrap().value).abs() < 1e-12);
        prop_assert!((binned.second - auc(&second).unwrap().value).abs() < 1e-12);
        prop_assert_eq!(binned.variance.is_some(), auc(&first).unwrap().variance.is_some());
    }

    /// JSON has no word for NaN or infinity: serde_json writes null, which no number can be read from again.
    #[test]
    fn no_figure_is_ever_nan(counts in prop::collection::vec((0u32..4, 0u32..4), 2..20), empty in 0u8..4) {
        let (mut positives, mut negatives): (Vec<u32>, Vec<u32>) = counts.into_iter().unzip();
        if empty & 1 == 1 { positives.fill(0) }
        if empty & 2 == 2 { negatives.fill(0) }
        let histogram = ScoreHistogram::from_counts(positives, negatives).unwrap();
        let edge = BinEdge::new(1, histogram.bins() as u16).unwrap();
        let settings = AppraisalSettings { replicates: 20, permutations: 19, ..AppraisalSettings::default() };
        let thresholds = [(ThresholdRule::Half, edge)];
        let appraisal = Appraisal::of(&histogram, &thresholds, settings, Seed::from_number(1)).unwrap();
        let text = serde_json::to_string(&appraisal).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Appraisal>(&text).unwrap(), &appraisal);
        let ordinary = ScoreHistogram::from_counts(vec![1, 2], vec![2, 1]).unwrap();
        let sites = [histogram.clone(), histogram, ordinary];
        for rule in [TauRule::DersimonianLaird, TauRule::PauleMandel] {
            let combined = meta_analyse_areas(&sites, rule).unwrap();
            let text = serde_json::to_string(&combined).unwrap();
            prop_assert_eq!(serde_json::from_str::<AreasMetaAnalysis>(&text).unwrap(), combined);
        }
    }

    #[test]
    fn the_order_of_sites_does_not_change_a_meta_analysis(
        sites in prop::collection::vec((-2.0f64..2.0, 0.01f64..1.0), 1..8),
    ) {
        let effects: Vec<Effect> =
            sites.iter().map(|&(value, variance)| Effect::new(value, variance).unwrap()).collect();
        let reversed: Vec<Effect> = effects.iter().rev().copied().collect();
        let combine = |effects: Vec<Effect>| random_effects(&effects, TauRule::PauleMandel).unwrap();
        let [one, other] = [effects, reversed].map(combine);
        prop_assert!((one.estimate - other.estimate).abs() < 1e-12);
        prop_assert!((one.between_variance - other.between_variance).abs() < 1e-9);
    }
}
