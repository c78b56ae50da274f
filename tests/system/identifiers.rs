//! No patient identifier, ever: every frame, blob, log, table and report of a run is searched for the names of its cases.
//!
//! A relay between sites and coordinator keeps what would be on the wire without TLS. That the names can be found at all
//! is shown where they belong: in the sites' own predictions.

use std::fs;
use std::path::Path;

use consilium_data::{Cohort, Layout};

use crate::audit::assert_sound;
use crate::by_hand::{ByHand, SITES, address};
use crate::folder::files;
use crate::process::Process;
use crate::recording::Recording;

const OPTIONS: &str =
    "--arms random --modalities t1gd --sites 2 --cases 12 --folds 2 --rounds 1 --local-epochs 1";

/// What only a name has: shorter than any case id, so that parts of one are found too.
fn needles(phantoms: &Path) -> Vec<String> {
    let mut needles = Vec::new();
    for site in SITES {
        for case in Cohort::open(Layout::UpennGbm, &[phantoms.join(site)]).unwrap().cases {
            let name = case.patient.reveal().to_owned();
            // As it is, and as a table or a query might spell it.
            needles.extend([name.to_lowercase(), name.replace('-', "_"), name]);
        }
    }
    needles.sort();
    needles.dedup();
    assert!(needles.len() >= 24 && needles.iter().all(|needle| needle.len() >= 9), "{needles:?}");
    needles
}

/// The first name in `bytes`.
fn found<'a>(bytes: &[u8], needles: &'a [String]) -> Option<&'a str> {
    let begins = |byte: u8| needles.iter().any(|needle| needle.as_bytes()[0] == byte);
    let firsts: Vec<bool> = (0..=255).map(begins).collect();
    let at = |(at, _): (usize, &u8)| needles.iter().find(|needle| bytes[at..].starts_with(needle.as_bytes()));
    bytes.iter().enumerate().filter(|(_, byte)| firsts[usize::from(**byte)]).find_map(at).map(String::as_str)
}

#[test]
fn the_search_finds_names() {
    let needles = ["UPENN-GBM-00001_11".to_owned()];
    assert_eq!(found(b"\xff\x00UPENN-GBM-00001_11\x00", &needles), Some(needles[0].as_str()));
    assert_eq!(found(b"UPENN-GBM-00002_11", &needles), None);
}

#[test]
fn no_case_id_leaves_a_site_or_is_logged() {
    let folder = tempfile::tempdir().unwrap();
    let simulated = folder.path().join("simulated");
    let options: Vec<&str> = OPTIONS.split_whitespace().chain(["--device", "cpu"]).collect();
    Process::simulate(&simulated, &options).end().successfully();
    let needles = needles(&simulated.join("phantoms"));

    let mut consortium = ByHand::new(folder.path().join("by-hand"), simulated, &SITES);
    consortium.log_level = Some("debug");
    let mut coordinator = consortium.coordinator("127.0.0.1:0".parse().unwrap());
    let blobs = folder.path().join("recorded");
    let recording = Recording::start(address(&mut coordinator), &consortium.folder, &blobs);
    let clients = SITES.map(|site| consortium.client(site, recording.address));
    let ended = [coordinator].into_iter().chain(clients).map(|process| process.end().successfully());
    let ended: Vec<_> = ended.collect();
    let clean = |what: &str, bytes: &[u8]| assert_eq!(found(bytes, &needles), None, "{what}");

    // What crossed the boundary: messages of both directions with updates, scores and fingerprints among them, and blobs.
    let frames = recording.frames.lock().unwrap();
    assert!(frames.len() > 50, "{} frames", frames.len());
    frames.iter().for_each(|frame| clean("a message", frame));
    let blobs = files(&blobs);
    assert!(
        blobs.len() >= 7,
        "{} blobs: a first model, and two updates and a model in each fold",
        blobs.len()
    );
    blobs.iter().for_each(|(path, bytes)| clean(&path.display().to_string(), bytes));

    // What the processes said, at the level where they say most.
    for process in &ended {
        assert!(process.stderr.contains("DEBUG"), "nothing was logged:\n{}", process.stderr);
        clean("standard error", process.stderr.as_bytes());
        clean("standard output", process.stdout.as_bytes());
    }

    // What lies at the coordinator: database, blobs, audit log, report.
    let report = fs::read(consortium.folder.join("report.json")).unwrap();
    clean("the report", &report);
    let state = files(&consortium.folder.join("state"));
    assert!(state.keys().any(|path| path.ends_with("events.sqlite")));
    assert!(state.keys().any(|path| path.ends_with("audit/log.jsonl")));
    state.iter().for_each(|(path, bytes)| clean(&path.display().to_string(), bytes));

    // What lies at the sites, but may be given away: their audit logs. And where the names are.
    let states = SITES.map(|site| consortium.folder.join(site).join("state"));
    for state in &states {
        clean("a site's audit log", &fs::read(state.join("audit/log.jsonl")).unwrap());
        let predictions = files(&state.join("predictions"));
        assert!(
            predictions.values().any(|bytes| found(bytes, &needles).is_some()),
            "the names are not even where they belong, so this search finds nothing"
        );
    }
    assert_sound(&consortium.folder.join("state"), &states, &consortium.folder.join("coordinator-kit"));
}
