//! A complete report passes; every part that is taken away or contradicted is named.

use serde_json::{Value, json};

use super::check;

fn card(positives: u32, negatives: u32) -> Value {
    let estimate = json!({ "value": 0.8, "interval": { "lower": 0.6, "upper": 0.9 } });
    json!({
        "positives": positives, "negatives": negatives,
        "auc": { "value": 0.7, "interval": { "lower": 0.5, "upper": 0.9 }, "quantisation_bound": 0.01 },
        "average_precision": { "lower": 0.6, "value": 0.7, "upper": 0.8 },
        "threshold": 0.5, "sensitivity": estimate, "specificity": estimate,
    })
}

fn scores() -> Value {
    json!({ "pooled": card(4, 6), "sites": { "a": card(1, 4), "b": card(3, 2) }, "missing": {} })
}

fn contributor(site: &str) -> Value {
    json!({ "site": site, "cases": 5, "update": "c".repeat(64), "norm": 0.1, "saturated": 0, "mean_loss": 0.6 })
}

fn report() -> Value {
    let round = json!({
        "round": 1, "model": "b".repeat(64), "missing": {}, "validation": scores(),
        "contributors": [contributor("a"), contributor("b")],
    });
    let lane = |fold| {
        json!({
            "modality": "t1gd", "fold": fold, "rounds": [round], "chosen_round": 1, "chosen_model": "b".repeat(64),
            "validation": scores(), "holdout": scores(),
        })
    };
    let fold = json!({ "methylated": 2, "unmethylated": 3 });
    let cohort =
        json!({ "modalities": { "t1gd": { "folds": [fold, fold], "holdout": fold } }, "excluded": {} });
    let site = |name| {
        json!({
            "site": name, "cohort": cohort, "bytes_sent": 10, "bytes_received": 20,
            "busy_seconds": { "train": 1.0, "validate": 0.5, "predict_holdout": 0.5, "fuse": 0.1 },
        })
    };
    json!({
        "schema": "consilium-report/2", "study_hash": "a".repeat(64), "base_model": "d".repeat(64), "warnings": [],
        "study": {
            "name": "demo", "modalities": ["t1gd"], "evaluation": { "folds": 2 }, "training": { "rounds": 1 },
            "federation": { "training_sites": [] },
        },
        "outcome": { "status": "finished", "reason": null },
        "seconds": { "enrolment": 1.0, "cross_validation": 2.0, "holdout": 1.0, "fusion": 0.1, "total": 4.1 },
        "sites": [site("a"), site("b")],
        "arms": [{
            "arm": "spottune", "initial_model": "e".repeat(64), "lanes": [lane(0), lane(1)],
            "groups": [{
                "group": { "name": "t1gd", "members": ["t1gd"] }, "threshold": 0.5,
                "validation": scores(), "holdout": scores(),
            }],
        }],
    })
}

/// The complaints about a report whose `pointer` (RFC 6901) was replaced.
fn complaints_with(pointer: &str, value: Value) -> String {
    let mut report = report();
    *report.pointer_mut(pointer).expect("the pointer names a field of the sample") = value;
    let complaints = check(&report).expect_err("the report is damaged");
    complaints.iter().collect::<Vec<_>>().join("\n")
}

#[test]
fn a_complete_report_is_summed_up_in_a_line() {
    let mut report = report();
    report["a field of a later release"] = json!(1);
    assert_eq!(
        check(&report).unwrap().to_string(),
        "study `demo` finished; sites 2, arms 1, lanes 2, rounds 2, models 3"
    );
}

#[test]
fn whatever_is_taken_away_is_named() {
    let needed = [
        "/schema",
        "/study_hash",
        "/base_model",
        "/outcome/status",
        "/seconds/cross_validation",
        "/sites/0/site",
        "/sites/1/bytes_sent",
        "/sites/1/bytes_received",
        "/sites/0/busy_seconds/train",
        "/arms/0/initial_model",
        "/arms/0/groups/0/threshold",
        "/arms/0/groups/0/holdout/pooled/auc/interval",
        "/arms/0/groups/0/holdout/sites/a/sensitivity/interval/lower",
        "/arms/0/lanes/1/chosen_round",
        "/arms/0/lanes/1/holdout",
        "/arms/0/lanes/0/rounds/0/model",
        "/arms/0/lanes/0/rounds/0/missing",
        "/arms/0/lanes/0/rounds/0/contributors/1/update",
        "/arms/0/lanes/0/rounds/0/validation/pooled/specificity",
        "/arms/0/lanes/0/rounds/0/validation/sites/b/auc/quantisation_bound",
    ];
    for pointer in needed {
        let found = complaints_with(pointer, Value::Null);
        let field = pointer.rsplit('/').next().unwrap();
        assert!(found.contains(&format!(".{field}: missing")), "{pointer}: {found}");
    }
}

#[test]
fn empty_lists_are_no_answer() {
    for pointer in
        ["/sites", "/arms", "/arms/0/lanes", "/arms/0/groups", "/arms/0/lanes/0/rounds/0/contributors"]
    {
        assert!(complaints_with(pointer, json!([])).contains("empty"), "{pointer}");
    }
}

#[test]
fn contradictions_are_found() {
    let round = "/arms/0/lanes/0/rounds/0";
    for (pointer, value, expected) in [
        ("/schema".to_owned(), json!("consilium-report/9"), "schema is not"),
        ("/outcome".to_owned(), json!({ "status": "halted", "reason": "no quorum" }), "no quorum"),
        ("/sites/0/bytes_sent".to_owned(), json!(0), "took part"),
        ("/arms/0/lanes/0/chosen_round".to_owned(), json!(2), "none of its rounds"),
        ("/arms/0/lanes/0/chosen_model".to_owned(), json!("f".repeat(64)), "not the model of chosen_round"),
        (format!("{round}/round"), json!(2), "in order"),
        (format!("{round}/model"), json!("short"), "not a digest"),
        (format!("{round}/contributors/1/site"), json!("a"), "counts twice"),
        (format!("{round}/contributors"), json!([contributor("a")]), "b neither contributed nor"),
        (format!("{round}/validation/pooled/positives"), json!(5), "the sites have 4"),
        (format!("{round}/validation/pooled/auc/value"), json!(0.95), "does not lie in its interval"),
        ("/study/training/rounds".to_owned(), json!(3), "the study has 3"),
        ("/study/evaluation/folds".to_owned(), json!(5), "the study has 5"),
    ] {
        let found = complaints_with(&pointer, value);
        assert!(found.contains(expected), "{pointer}: {found}");
    }
}

#[test]
fn a_site_that_is_missing_with_a_reason_is_no_contradiction() {
    let mut report = report();
    let round = &mut report["arms"][0]["lanes"][0]["rounds"][0];
    round["contributors"] = json!([contributor("a")]);
    round["missing"] = json!({ "b": "connection gone: reset" });
    assert!(check(&report).is_ok());
}

#[test]
fn figures_that_are_undefined_may_be_absent() {
    let mut report = report();
    for pool in ["validation", "holdout"] {
        let scores = &mut report["arms"][0]["groups"][0][pool];
        for card in ["/pooled", "/sites/a", "/sites/b"] {
            let card = scores.pointer_mut(card).unwrap();
            for (key, value) in
                [("positives", json!(0)), ("auc", Value::Null), ("average_precision", Value::Null)]
            {
                card[key] = value;
            }
            (card["threshold"], card["sensitivity"], card["specificity"]) =
                (Value::Null, Value::Null, Value::Null);
        }
        report["arms"][0]["groups"][0]["threshold"] = Value::Null;
    }
    assert!(check(&report).is_ok(), "{:?}", check(&report));
}
