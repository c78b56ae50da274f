//! The figures against scikit-learn, SciPy, statsmodels, pROC and metafor: `golden/make_golden.py` wrote the
//! file.

use std::sync::LazyLock;

use consilium_domain::Seed;
use consilium_metrics::*;
use serde_json::Value;

static GOLDEN: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../golden/golden.json")).unwrap());

const EXACT: f64 = 1e-9;
const RESAMPLED: f64 = 1e-3;

#[track_caller]
fn close(actual: f64, expected: &Value, tolerance: f64) {
    let expected = expected.as_f64().unwrap_or_else(|| panic!("{expected} is no number"));
    let difference = (actual - expected).abs();
    // Written so that NaN fails. Relative where figures exceed 1.
    assert!(difference <= tolerance * expected.abs().max(1.0), "{actual} is not {expected}");
}

fn all(key: &str) -> impl Iterator<Item = &'static Value> {
    let list = GOLDEN[key].as_array().unwrap();
    assert!(!list.is_empty());
    list.iter()
}

fn numbers(list: &Value) -> Vec<f64> {
    list.as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
}

fn counts(list: &Value) -> Vec<u32> {
    numbers(list).into_iter().map(|value| value as u32).collect()
}

fn histogram(case: &Value) -> ScoreHistogram {
    ScoreHistogram::from_counts(counts(&case["positives"]), counts(&case["negatives"])).unwrap()
}

#[track_caller]
fn interval(actual: Interval, expected: &Value, tolerance: f64) {
    close(actual.lower, &expected[0], tolerance);
    close(actual.upper, &expected[1], tolerance);
}

#[test]
fn areas_and_curves() {
    for case in all("histograms") {
        let histogram = histogram(case);
        let area = auc(&histogram).unwrap();
        close(area.value, &case["auc"], EXACT);
        close(area.variance.unwrap(), &case["auc_variance"], EXACT);
        interval(area.interval, &case["auc_interval"], EXACT);
        close(average_precision(&histogram).unwrap().value, &case["average_precision"], EXACT);
        let partial = partial_area(&histogram, 0.2).unwrap();
        close(partial.standardised, &case["standardised_partial_area"], EXACT);

        let roc = roc_curve(&histogram).unwrap();
        assert_eq!(roc.len(), case["roc"][0].as_array().unwrap().len());
        for (place, point) in roc.iter().enumerate() {
            close(point.false_positive_rate, &case["roc"][0][place], EXACT);
            close(point.true_positive_rate, &case["roc"][1][place], EXACT);
        }
        let curve = precision_recall_curve(&histogram).unwrap();
        assert_eq!(curve.len(), case["precision_recall"][0].as_array().unwrap().len());
        for (place, point) in curve.iter().enumerate() {
            close(point.precision, &case["precision_recall"][0][place], EXACT);
            close(point.recall, &case["precision_recall"][1][place], EXACT);
        }
    }
}

#[test]
fn tests_against_chance() {
    for case in all("histograms") {
        let test = mann_whitney(&histogram(case)).unwrap();
        let expected = &case["mann_whitney"];
        close(test.u, &expected["u"], EXACT);
        close(test.two_sided, &expected["two_sided"], EXACT);
        close(test.greater, &expected["greater"], EXACT);
    }
    for case in all("permutations") {
        let test = permutation_test(&histogram(case), 0, Seed::from_number(1)).unwrap();
        assert_eq!(test.method, ChanceMethod::Exact);
        close(test.greater, &case["greater"], EXACT);
        close(test.two_sided, &case["two_sided"], EXACT);
    }
}

#[test]
fn operating_points() {
    for case in all("histograms") {
        let histogram = histogram(case);
        for expected in case["operating_points"].as_array().unwrap() {
            let bins = histogram.bins() as u16;
            let bin = (expected["threshold"].as_f64().unwrap() * f64::from(bins)).round() as u16;
            let edge = BinEdge::new(bin, bins).unwrap();
            let point = OperatingPoint::at(&histogram, edge, ThresholdRule::Half).unwrap();
            close(point.threshold, &expected["threshold"], EXACT);
            for (name, actual) in [
                ("sensitivity", point.sensitivity),
                ("specificity", point.specificity),
                ("positive_predictive_value", point.positive_predictive_value),
                ("negative_predictive_value", point.negative_predictive_value),
                ("accuracy", point.accuracy),
                ("balanced_accuracy", point.balanced_accuracy),
                ("f1", point.f1),
            ] {
                assert_eq!(actual.is_none(), expected[name].is_null(), "{name}");
                let Some(actual) = actual else { continue };
                close(actual.value, &expected[name][0], EXACT);
                close(actual.interval.lower, &expected[name][1], EXACT);
                close(actual.interval.upper, &expected[name][2], EXACT);
            }
            match point.matthews {
                Some(actual) => close(actual, &expected["matthews"], EXACT),
                None => assert!(expected["matthews"].is_null()),
            }
        }
    }
}

#[test]
fn calibration() {
    for case in all("histograms") {
        let histogram = histogram(case);
        close(brier(&histogram).unwrap().score.value, &case["brier"], EXACT);
        if !case["calibration_error"].is_null() {
            let error = expected_calibration_error(&histogram, histogram.bins() / 8).unwrap().unwrap();
            close(error.value, &case["calibration_error"], EXACT);
        }
        let figures = recalibrate_binned(&histogram).unwrap().figures;
        for (name, actual) in [
            ("intercept", figures.intercept),
            ("slope", figures.slope),
            ("in_the_large", figures.in_the_large),
        ] {
            close(actual.value, &case["recalibration"][name][0], EXACT);
            close(actual.standard_error, &case["recalibration"][name][1], EXACT);
        }
    }
}

#[test]
fn bootstrap_intervals() {
    for case in all("histograms").filter(|case| !case["bootstrap"].is_null()) {
        let area = |drawn: &ScoreHistogram| Some(auc(drawn)?.value);
        let actual = bootstrap(&histogram(case), 400_000, Seed::from_number(2), area).unwrap();
        let expected = &case["bootstrap"];
        interval(actual.percentile, &expected["percentile"], RESAMPLED);
        interval(actual.bias_corrected.unwrap(), &expected["bias_corrected"], RESAMPLED);
        close(actual.standard_error, &expected["standard_error"], RESAMPLED);
    }
}

/// Rows dealt out to three sites, each of which tells sums only.
#[test]
fn regressions() {
    for case in all("regressions") {
        let features: Vec<Vec<f64>> = case["x"].as_array().unwrap().iter().map(numbers).collect();
        let classes = counts(&case["y"]);
        let mut fit = NewtonFit::new(2, case["ridge"].as_f64().unwrap()).unwrap();
        let done = loop {
            let mut sites = vec![LogisticSums::new(2); 3];
            for (row, (x, &y)) in features.iter().zip(&classes).enumerate() {
                sites[row % 3].record(fit.coefficients(), x, 0.0, y == 1).unwrap();
            }
            let mut pooled = sites.pop().unwrap();
            sites.iter().for_each(|site| pooled.merge(site).unwrap());
            if let Progress::Done(done) = fit.absorb(&pooled).unwrap() {
                break done;
            }
        };
        for (place, actual) in done.coefficients.iter().enumerate() {
            close(actual.value, &case["coefficients"][place], EXACT);
            if let Some(errors) = case.get("standard_errors") {
                close(actual.standard_error, &errors[place], EXACT);
                close(actual.p_value.unwrap(), &case["p_values"][place], EXACT);
            }
        }
        if let Some(log_likelihood) = case.get("log_likelihood") {
            close(done.log_likelihood, log_likelihood, EXACT);
        }
    }
}

#[test]
fn paired_arms() {
    for case in all("paired") {
        let (first, second) = (numbers(&case["first"]), numbers(&case["second"]));
        let classes = counts(&case["y"]);
        let rows: Vec<PairedScore> = first
            .iter()
            .zip(&second)
            .zip(&classes)
            .map(|((&a, &b), &y)| PairedScore { first: a as f32, second: b as f32, positive: y == 1 })
            .collect();
        let mut joint = JointHistogram::new(case["bins"].as_u64().unwrap() as u16).unwrap();
        rows.iter().for_each(|row| joint.record(row.first, row.second, row.positive).unwrap());
        for (actual, expected) in [
            (compare_rows(&rows).unwrap().unwrap(), &case["rows"]),
            (compare_joint(&joint).unwrap(), &case["binned"]),
        ] {
            close(actual.variance.unwrap(), &expected["variance"], EXACT);
            close(actual.covariance.unwrap(), &expected["covariance"], EXACT);
            close(actual.p_value.unwrap(), &expected["p_value"], EXACT);
        }
    }
}

#[test]
fn meta_analyses() {
    for case in all("meta") {
        let sites: Vec<Vec<f64>> = case["sites"].as_array().unwrap().iter().map(numbers).collect();
        let effects: Vec<Effect> = sites.iter().map(|site| Effect::new(site[0], site[1]).unwrap()).collect();
        let rule = if case["method"] == "DL" { TauRule::DersimonianLaird } else { TauRule::PauleMandel };
        let actual = random_effects(&effects, rule).unwrap();
        close(actual.estimate, &case["mean"], EXACT);
        close(actual.between_variance, &case["between_variance"], EXACT);
        close(actual.q, &case["q"], EXACT);
        close(actual.q_p_value.unwrap(), &case["q_p_value"], EXACT);
        close(actual.inconsistency.unwrap(), &case["inconsistency"], EXACT);
        interval(actual.interval.unwrap(), &case["interval"], EXACT);
        let adjustment = actual.adjustment.unwrap();
        let plain = actual.standard_error / adjustment.max(1.0).sqrt() * adjustment.sqrt();
        close(plain, &case["knapp_hartung_error"], EXACT);
        match actual.prediction {
            Some(prediction) => interval(prediction, &case["prediction"], EXACT),
            None => assert!(case["prediction"].is_null()),
        }
        for (place, &weight) in actual.weights.iter().enumerate() {
            close(weight, &case["weights"][place], EXACT);
        }
    }
}
