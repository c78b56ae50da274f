//! A report as it is written, against the schema that the documentation promises (docs/report.schema.json).
//!
//! The check knows what the schema uses of JSON Schema 2020-12 and fails for a keyword it does not know.

use std::fmt::Write as _;

use consilium_domain::{Arm, ClinicalBaseline, Design, Schedule};
use consilium_protocol::Timestamp;
use serde_json::{Map, Value};

use super::{Report, SCHEMA};
use crate::scene::{Scene, study};

const TEXT: &str = include_str!("../../../docs/report.schema.json");

fn schema() -> Value {
    serde_json::from_str(TEXT).unwrap()
}

/// What of `value` contradicts `rule`, with the place of each.
fn complaints(root: &Value, rule: &Value, value: &Value, place: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (keyword, wanted) in rule.as_object().unwrap() {
        match keyword.as_str() {
            "$schema" | "$defs" | "title" | "description" | "properties" => {}
            "$ref" => {
                let name = wanted.as_str().unwrap().strip_prefix("#/$defs/").unwrap();
                found.extend(complaints(root, &root["$defs"][name], value, place));
            }
            "type" if !is_of(wanted.as_str().unwrap(), value) => found.push(format!("{place}: no {wanted}")),
            "enum" if !wanted.as_array().unwrap().contains(value) => {
                found.push(format!("{place}: {value} is none of {wanted}"));
            }
            "anyOf" => {
                let ways = wanted.as_array().unwrap().iter();
                let all: Vec<Vec<String>> = ways.map(|way| complaints(root, way, value, place)).collect();
                if all.iter().all(|complaints| !complaints.is_empty()) {
                    found.extend(all.into_iter().flatten());
                }
            }
            "minimum" if value.as_f64() < wanted.as_f64() => found.push(format!("{place}: below {wanted}")),
            "minLength" if value.as_str().is_some_and(|s| (s.len() as u64) < wanted.as_u64().unwrap()) => {
                found.push(format!("{place}: too short"));
            }
            "maxLength" if value.as_str().is_some_and(|s| (s.len() as u64) > wanted.as_u64().unwrap()) => {
                found.push(format!("{place}: too long"));
            }
            "items" => {
                for (number, item) in value.as_array().into_iter().flatten().enumerate() {
                    found.extend(complaints(root, wanted, item, &format!("{place}/{number}")));
                }
            }
            "required" => {
                let missing = wanted.as_array().unwrap().iter().filter_map(Value::as_str);
                let missing = missing.filter(|name| value.get(name).is_none());
                found.extend(missing.map(|name| format!("{place}: `{name}` is missing")));
            }
            "additionalProperties" => found.extend(fields(root, rule, wanted, value, place)),
            "type" | "enum" | "minimum" | "minLength" | "maxLength" => {}
            unknown => panic!("{place}: this check does not know `{unknown}`"),
        }
    }
    found
}

/// Of an object: fields that the rule names, and the others, which `others` allows, forbids or describes.
fn fields(root: &Value, rule: &Value, others: &Value, value: &Value, place: &str) -> Vec<String> {
    let none = Map::new();
    let named = rule.get("properties").and_then(Value::as_object).unwrap_or(&none);
    let mut found = Vec::new();
    for (name, field) in value.as_object().into_iter().flatten() {
        let place = format!("{place}/{name}");
        match (named.get(name), others) {
            (Some(rule), _) => found.extend(complaints(root, rule, field, &place)),
            (None, Value::Bool(true)) => {}
            (None, Value::Bool(false)) => found.push(format!("{place}: unknown")),
            (None, rule) => found.extend(complaints(root, rule, field, &place)),
        }
    }
    found
}

fn is_of(kind: &str, value: &Value) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_u64() || value.is_i64(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("no type of JSON: {other}"),
    }
}

fn check(report: &Value) -> Vec<String> {
    let schema = schema();
    complaints(&schema, &schema, report, "")
}

fn written(scene: &Scene) -> Value {
    // Through its text, as whoever reads the file sees it.
    let report = Report::of(&scene.state, Timestamp(100_000)).unwrap();
    serde_json::from_str(&serde_json::to_string_pretty(&report).unwrap()).unwrap()
}

#[test]
fn reports_are_what_the_schema_says() {
    let mut several = study();
    several.arms = vec![Arm::Random, Arm::Spottune];
    several.training.schedule = Schedule::default();
    let mut measured = study();
    measured.evaluation.baseline = ClinicalBaseline::AgeSex;
    measured.evaluation.design = Design::LeaveOneSiteOut;
    let finished = [several, measured].map(Scene::finished_with);
    let grouping = super::details::finished_with_a_grouping_site("b");
    let scenes = [Scene::enrolling(), Scene::running(), Scene::finished(), grouping];
    for scene in scenes.into_iter().chain(finished) {
        let found = check(&written(&scene));
        assert!(
            found.is_empty(),
            "{}",
            found.into_iter().fold(String::new(), |mut text, line| {
                let _ = writeln!(text, "{line}");
                text
            })
        );
    }
}

#[test]
fn the_schema_is_of_this_layout_and_every_field_is_explained() {
    let schema = schema();
    assert_eq!(schema["title"], SCHEMA);
    let defs = schema["$defs"].as_object().unwrap().values();
    for object in defs.chain([&schema]) {
        assert!(object["description"].as_str().is_some_and(|text| !text.is_empty()), "{object}");
        for (name, field) in object.get("properties").and_then(Value::as_object).into_iter().flatten() {
            assert!(field["description"].as_str().is_some_and(|text| !text.is_empty()), "{name}");
        }
    }
}

/// The check finds what it should: a field taken away, one too many, a text for a number, a digest cut short.
#[test]
fn what_is_no_report_is_complained_about() {
    let report = written(&Scene::finished());
    for name in report.as_object().unwrap().keys() {
        let mut without = report.clone();
        without.as_object_mut().unwrap().remove(name);
        assert_eq!(check(&without), [format!(": `{name}` is missing")]);
    }
    let broken = |pointer: &str, value: Value| {
        let mut broken = report.clone();
        *broken.pointer_mut(pointer).unwrap() = value;
        check(&broken)
    };
    assert!(!broken("/arms/0/groups/0/holdout/pooled/auc/value", "0.7".into()).is_empty());
    assert!(!broken("/arms/0/lanes/0/rounds/0/contributors/0/update", "abc".into()).is_empty());
    assert!(
        !broken("/arms/0/groups/0/statistics/pooled/settings", serde_json::json!({ "more": 1 })).is_empty()
    );
    assert!(!broken("/schema", "consilium-report/1".into()).is_empty());
    assert!(!broken("/tests", (-1).into()).is_empty());
}
