//! The audit logs of a whole study: sound, countersigned to the end, and in agreement with each other.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use consilium_audit::command::AUDIT_FOLDER;
use consilium_audit::{AuditLog, Code, Inspection, LOG_FILE, Record};
use consilium_coordinator::Report;
use consilium_domain::Role;
use consilium_signing::Authorities;
use serde_json::Value;

use crate::by_hand::{ByHand, SITES, address, undisturbed};
use crate::process::Process;
use crate::timeless::timeless;

/// Both sides' logs are sound, alone and beside each other. States and identities are folders.
pub(crate) fn assert_sound(coordinator: &Path, sites: &[PathBuf], identity: &Path) {
    let authorities = Authorities::read(&identity.join("ca.pem")).unwrap();
    let inspect = |state: &Path| Inspection::of(&log(state), &authorities).unwrap();
    for site in sites {
        let verdict = inspect(site).beside(&inspect(coordinator));
        assert!(verdict.is_sound(), "{}: {verdict}", site.display());
        assert!(verdict.receipts > 0, "{verdict}");
    }
}

/// The decisions in a log, each `verdict by whom reason`, and with the study where it is about one.
pub(crate) fn decisions(state: &Path) -> Vec<String> {
    let mut decisions = Vec::new();
    for record in records(state).iter().filter(|record| record["event"] == "policy-decision") {
        let word = |key: &str| record["fields"][key].as_str().unwrap_or("everything").to_owned();
        decisions.push(format!("{} by {} {} {}", word("verdict"), word("by"), word("reason"), word("study")));
    }
    decisions
}

/// What admins and observers did: `who command outcome`, with the study where it is about one.
pub(crate) fn asked_for(state: &Path) -> Vec<String> {
    let mut commands = Vec::new();
    for record in records(state).iter().filter(|record| record["event"] == "admin-command") {
        let word = |key: &str| record["fields"][key].as_str().unwrap_or("-").to_owned();
        commands.push(format!("{} {} {} {}", word("admin"), word("command"), word("outcome"), word("study")));
    }
    commands
}

/// How a study went on: the steps in a coordinator's log.
pub(crate) fn steps(state: &Path, study: &str) -> Vec<String> {
    let records = records(state);
    let of_study = |record: &&Value| record["event"] == "study" && record["fields"]["study"] == study;
    let step = |record: &Value| record["fields"]["step"]["kind"].as_str().unwrap().to_owned();
    records.iter().filter(of_study).map(step).collect()
}

fn log(state: &Path) -> PathBuf {
    state.join(AUDIT_FOLDER).join(LOG_FILE)
}

fn records(state: &Path) -> Vec<Value> {
    let text = fs::read_to_string(log(state)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// How often each digest with its length was `event` to or from a party that `matches`. Blobs are moved once or
/// again, as connections come and go, so that they are told apart by kind and not counted.
fn moved(records: &[Value], event: &str, matches: impl Fn(&str) -> bool) -> BTreeMap<String, usize> {
    let mut moved = BTreeMap::new();
    for record in records.iter().filter(|record| record["event"] == event) {
        let fields = &record["fields"];
        let kind = fields["content"]["kind"].as_str().unwrap();
        if matches(fields["peer"].as_str().unwrap()) && !["update", "model"].contains(&kind) {
            *moved.entry(format!("{kind} {} {}", fields["bytes"], fields["blake3"])).or_default() += 1;
        }
    }
    moved
}

#[test]
fn what_one_side_sent_the_other_received_and_both_have_signed() {
    let out = tempfile::tempdir().unwrap();
    let options = "--arms random --modalities t1gd --sites 2 --cases 12 --folds 2 --rounds 1 --local-epochs 1 --device cpu";
    let options: Vec<&str> = options.split_whitespace().collect();
    Process::simulate(out.path(), &options).end().successfully();
    let coordinator = out.path().join("coordinator");
    let site = |number: u8| out.path().join(format!("site-{number}/state"));
    assert_sound(&coordinator, &[site(1), site(2)], &out.path().join("identities/site-1"));

    let (ours, theirs) = (records(&site(1)), records(&coordinator));
    let is_site = |peer: &str| peer == "consilium:site:site-1";
    assert_eq!(moved(&ours, "sent", |_| true), moved(&theirs, "received", is_site));
    assert_eq!(moved(&ours, "received", |_| true), moved(&theirs, "sent", is_site));

    // What left is told by kind and number: two folds trained and scored, a hold-out scored twice, one
    // fusion, the baseline fitted and scored.
    let sent = |kind: &str| {
        let of_kind =
            |record: &&Value| record["event"] == "sent" && record["fields"]["content"]["kind"] == kind;
        ours.iter().filter(of_kind).collect::<Vec<_>>()
    };
    let counts = ["update", "training", "scores", "fused-scores", "enlistment"].map(|kind| sent(kind).len());
    assert_eq!(counts, [2, 2, 4, 2, 1]);
    assert!((3..12).contains(&sent("regression-sums").len()), "as many as Newton's method needs");
    for update in sent("update") {
        let content = &update["fields"]["content"];
        assert!(content["norm"].as_f64().unwrap() > 0.0, "{update}");
        assert!(content["tensors"]["values"].as_u64().unwrap() > 100, "{update}");
        assert!(update["fields"]["bytes"].as_u64().unwrap() > 100, "{update}");
    }
    for scores in sent("scores") {
        let content = &scores["fields"]["content"];
        assert!(
            content["positives"].as_u64().unwrap() > 0 && content["bins"].as_u64().unwrap() > 1,
            "{scores}"
        );
    }

    // The last exchange comes after the farewell: at the site only its own lines about the end follow.
    let last = ours.iter().rposition(|record| record["event"] == "receipt").unwrap();
    let covered = ours[last]["fields"]["head"]["records"].as_u64().unwrap();
    let finished = ours.iter().position(|record| record["fields"]["content"]["kind"] == "finished").unwrap();
    assert!(covered > finished as u64, "the end of the study is not countersigned");
    let after: Vec<&str> = ours[last + 1..].iter().map(|record| record["event"].as_str().unwrap()).collect();
    assert_eq!(after, ["head-received", "connection-closed", "process-stopped"]);

    let events = |name: &str| theirs.iter().filter(|record| record["event"] == name).count();
    assert_eq!(events("receipt"), events("head-stated"), "a receipt was lost");

    // The coordinator's log tells how the study went on.
    let steps: Vec<&str> =
        theirs.iter().filter_map(|record| record["fields"]["step"]["kind"].as_str()).collect();
    assert_eq!(steps, ["opened", "aggregated", "aggregated", "finished"]);
}

/// Lines before the run: longer than any other file of it, so that only the log meets the limit.
const OLD_LINES: usize = 10_000;

#[test]
fn a_client_that_cannot_write_its_log_says_nothing_more() {
    let folder = tempfile::tempdir().unwrap();
    let simulated = folder.path().join("simulated");
    Process::simulate(&simulated, &options()).end().successfully();
    let consortium = ByHand::new(folder.path().join("by-hand"), simulated, &SITES);
    let state = consortium.folder.join(SITES[0]).join("state");
    let old = AuditLog::open(&state.join(AUDIT_FOLDER), &Role::Site(SITES[0].parse().unwrap())).unwrap();
    let line = || Record::ProcessStopped { reason: Code::new("asked-to") };
    old.append_all(&vec![line(); OLD_LINES]).unwrap();
    drop(old);

    let mut coordinator = consortium.coordinator("127.0.0.1:0".parse().unwrap());
    let arguments = consortium.client_arguments(SITES[0], address(&mut coordinator));
    // Room for the greeting, and not for what follows it.
    let blocks = fs::metadata(log(&state)).unwrap().len() / 512 + 5;
    let ended = Process::start_with_short_files(blocks, arguments).end();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("audit log") && ended.stderr.contains("cannot be written"),
        "{}",
        ended.stderr
    );
    coordinator.kill();

    // What the coordinator has heard is all in the log of the site, and it was little.
    let (ours, theirs) = (records_before_the_tear(&state), records(&consortium.folder.join("state")));
    let (sent, heard) = (moved(&ours, "sent", |_| true), moved(&theirs, "received", |_| true));
    assert!(heard.iter().all(|(what, times)| sent.get(what) >= Some(times)), "{heard:?} of {sent:?}");
    assert!(heard.keys().any(|what| what.starts_with("hello")), "{heard:?}");
    assert!(!heard.keys().any(|what| what.starts_with("fused")), "the log was never full: {heard:?}");
}

#[test]
fn a_coordinator_that_cannot_write_its_log_stops_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let simulated = folder.path().join("simulated");
    let study = "--arms random --modalities t1gd --sites 2 --cases 12 --folds 2 --rounds 3 --local-epochs 1";
    let expected = undisturbed(study, &simulated);
    let consortium = ByHand::new(folder.path().join("by-hand"), simulated, &SITES);
    let state = consortium.folder.join("state");
    let old = AuditLog::open(&state.join(AUDIT_FOLDER), &Role::Coordinator).unwrap();
    old.append_all(&vec![Record::ProcessStopped { reason: Code::new("asked-to") }; OLD_LINES]).unwrap();
    drop(old);

    // Room for the first orders, and not for the whole study.
    let blocks = fs::metadata(log(&state)).unwrap().len() / 512 + 60;
    let anywhere = "127.0.0.1:0".parse().unwrap();
    let mut full = Process::start_with_short_files(blocks, consortium.coordinator_arguments(anywhere));
    let address = address(&mut full);
    let clients = SITES.map(|site| consortium.client(site, address));
    let ended = full.end();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    for words in ["audit log", "cannot be written", "make space", "start again"] {
        assert!(ended.stderr.contains(words), "{words} is missing from {}", ended.stderr);
    }
    // What the sites heard stands in the coordinator's log, or was never said.
    let theirs = records_before_the_tear(&state);
    for site in SITES {
        let is_site = |peer: &str| peer == format!("consilium:site:{site}");
        let said = moved(&theirs, "sent", is_site);
        let heard = moved(&records(&consortium.folder.join(site).join("state")), "received", |_| true);
        assert!(heard.iter().all(|(what, times)| said.get(what) >= Some(times)), "{heard:?} of {said:?}");
    }
    assert!(
        !theirs.iter().any(|record| record["fields"]["step"]["kind"] == "finished"),
        "the log was never full"
    );

    // There is space again: the same command goes on, and nothing shows in the result.
    let coordinator = consortium.coordinator(address);
    for process in clients.into_iter().chain([coordinator]) {
        process.end().successfully();
    }
    let sites = SITES.map(|site| consortium.folder.join(site).join("state"));
    assert_sound(&state, &sites, &consortium.folder.join("coordinator-kit"));
    let text = fs::read_to_string(consortium.folder.join("report.json")).unwrap();
    let report: Report = serde_json::from_str(&text).unwrap();
    assert_eq!(report.outcome.status, "finished");
    assert_eq!(timeless(&report), timeless(&expected));
}

#[test]
fn daemons_do_not_start_with_a_log_that_was_altered() {
    let folder = tempfile::tempdir().unwrap();
    let simulated = folder.path().join("simulated");
    Process::simulate(&simulated, &options()).end().successfully();
    let consortium = ByHand::new(folder.path().join("by-hand"), simulated, &SITES);
    let nowhere = "127.0.0.1:9".parse().unwrap();
    let states = [consortium.folder.join(SITES[0]).join("state"), consortium.folder.join("state")];
    for state in &states {
        fs::create_dir_all(state.join(AUDIT_FOLDER)).unwrap();
        fs::write(log(state), "{}\n").unwrap();
    }
    for process in
        [consortium.client(SITES[0], nowhere), consortium.coordinator("127.0.0.1:0".parse().unwrap())]
    {
        let ended = process.end();
        assert_eq!(ended.code, Some(1), "{}", ended.stderr);
        assert!(ended.stderr.contains("altered at line 1"), "{}", ended.stderr);
    }
    assert!(states.iter().all(|state| fs::read(log(state)).unwrap() == b"{}\n"));
}

/// The lines of a log whose last one may be unfinished.
fn records_before_the_tear(state: &Path) -> Vec<Value> {
    let text = fs::read_to_string(log(state)).unwrap();
    let whole = text.rsplit_once('\n').map_or("", |(lines, _)| lines);
    whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn options() -> Vec<&'static str> {
    "--arms random --modalities t1gd --sites 2 --cases 12 --folds 2 --rounds 1 --local-epochs 1 --device cpu"
        .split_whitespace()
        .collect()
}
