//! Traces of a simulation's processes: JSON that a viewer opens, with the steps that take time, and no patient.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::process::Process;

const OPTIONS: &str =
    "--arms random --modalities t1gd --sites 2 --cases 12 --folds 2 --rounds 1 --local-epochs 1 --profile";

/// The names of a trace's spans and events. Every span that began has ended.
fn names(trace: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(trace).unwrap();
    let entries: Vec<Value> = serde_json::from_str(&text).unwrap();
    let of = |phase: &str| entries.iter().filter(|entry| entry["ph"] == phase).count();
    assert!(of("b") > 0, "{} has no span", trace.display());
    assert_eq!(of("b"), of("e"), "{}", trace.display());
    assert!(!text.contains("UPENN-GBM-"), "a patient is named in {}", trace.display());
    entries.iter().filter_map(|entry| Some(entry["name"].as_str()?.to_owned())).collect()
}

#[test]
fn every_process_tells_where_its_time_goes() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    Process::simulate(&out, &OPTIONS.split_whitespace().collect::<Vec<_>>()).end().successfully();
    let expected: [(&str, &[&str]); 3] = [
        ("coordinator", &["event", "write event", "aggregate", "memory"]),
        ("site-1", &["prepare", "fetch", "work", "train", "pack", "upload", "memory"]),
        ("site-2", &["prepare", "fetch", "work", "train", "pack", "upload", "memory"]),
    ];
    for (process, expected) in expected {
        let found = names(&out.join("profile").join(format!("{process}.json")));
        for name in expected {
            assert!(found.contains(*name), "{process} has no `{name}`: {found:?}");
        }
    }
}
