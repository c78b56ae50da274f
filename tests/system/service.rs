//! A coordinator that serves a consortium: studies from another machine, one after another; people with and without
//! the right; a power cut.
//!
//! A client goes on from study to study until it is told to stop.

use std::fs;

use consilium_coordinator::{EventLog, Notice, Report};
use consilium_protocol::admin::StudyState;
use consilium_protocol::coordinator::Event;

use crate::audit::{asked_for, assert_sound, steps};
use crate::consortium::{Consortium, SITES, study};
use crate::process::{Ended, Process};

/// The exit code of a refused request.
const REFUSED: Option<i32> = Some(5);

fn refused(ended: Ended, words: &str) {
    assert_eq!(ended.code, REFUSED, "{}\n{}", ended.stdout, ended.stderr);
    assert!(ended.stderr.contains(words), "`{words}` is missing from\n{}", ended.stderr);
    assert_eq!(ended.stdout, "");
}

#[test]
fn studies_come_from_another_machine_and_run_one_after_another() {
    let consortium = Consortium::new().with_patients();
    let mut serving = consortium.serve(None);
    let at = serving.address;
    // One site is there before any study is, the other comes late: until then the first study cannot train.
    let north = consortium.daemon("north", at);
    assert_eq!(consortium.list(at).studies, []);

    let (first, second) = (study(1, 2), study(2, 1));
    let first = consortium.submit(at, &first);
    assert_eq!((first.number, first.state, first.by.as_str()), (1, StudyState::Running, "alice"));
    let second = consortium.submit(at, &second);
    assert_eq!((second.number, second.state), (2, StudyState::Submitted));
    let listed = consortium.list(at).studies;
    let waits = listed[1].reason.as_deref().unwrap();
    assert!(waits.contains(&first.hash.short()) && waits.contains("north"), "{waits}");

    // What is refused changes nothing, and is counted.
    let file = consortium.path("study-1.toml");
    let submit = ["study", "submit", file.to_str().unwrap()];
    refused(consortium.ask("alice", at, &submit), "submitted before");
    refused(consortium.ask("olga", at, &submit), "an observer may look and change nothing");
    let (hash, other) = (second.hash.to_string(), "0".repeat(64));
    refused(consortium.ask("olga", at, &["study", "abort", &hash, "--reason", "no"]), "observer");
    refused(consortium.ask("alice", at, &["study", "pause", &hash]), "has not begun");
    refused(consortium.ask("alice", at, &["report", &hash]), "has not begun");
    refused(consortium.ask("olga", at, &["study", "show", &other]), "no study has a hash");
    refused(consortium.ask("olga", at, &["study", "show", &hash[..7]]), "at least 8 digits");
    let misspelt = consortium.path("misspelt.toml");
    fs::write(&misspelt, fs::read_to_string(&file).unwrap().replace("quorum", "qorum")).unwrap();
    let ended = consortium.ask("alice", at, &["study", "submit", misspelt.to_str().unwrap()]);
    assert!(ended.code == Some(1) && ended.stderr.contains("qorum"), "{}", ended.stderr);

    let clients = [north, consortium.daemon("south", at)];
    consortium.wait_for(&mut serving, &first, StudyState::Finished);
    consortium.wait_for(&mut serving, &second, StudyState::Finished);
    for client in clients {
        client.signal("TERM");
        let ended = client.end();
        assert_eq!(ended.code, Some(4), "{}", ended.stderr);
    }

    let list = consortium.list(at);
    assert_eq!(list.studies.len(), 2);
    for code in ["read-only", "same-study", "state", "unknown-study", "ambiguous-study"] {
        assert!(list.refused.get(code).is_some_and(|count| *count > 0), "{code} in {:?}", list.refused);
    }
    let view = consortium.show(at, &first);
    assert!(view.lanes.len() == 2 && view.lanes.iter().all(|lane| lane.complete && lane.rounds_done == 2));
    assert!(view.sites.iter().all(|site| site.cohort.is_some()));

    // The same report from anywhere: asked for, in the study's folder, and from its log.
    let asked = consortium.ask("olga", at, &["report", &first.hash.to_string(), "--json"]).successfully();
    let report: Report = serde_json::from_str(&asked.stdout).unwrap();
    assert_eq!(report.outcome.status, "finished");
    assert!(report.sites.iter().all(|site| site.bytes_sent > 0 && site.bytes_received > 0));
    // Nobody's policy says otherwise: no score is told of fewer than three patients, and bounds are those of groups.
    assert!(report.sites.iter().all(|site| site.fewest_per_score == Some(3)));
    assert!(report.arms[0].groups[0].statistics.ends.is_some());
    serving.process.wait_until("both reports are written", |_| {
        [&first, &second].iter().all(|study| consortium.study_folder(study).join("report.json").exists())
    });
    let folder = consortium.study_folder(&first);
    let local = ["report", "--state", folder.to_str().unwrap(), "--json"];
    let local: Report =
        serde_json::from_str(&Process::coordinator(local).end().successfully().stdout).unwrap();
    assert_eq!((local.study_hash, local.arms), (report.study_hash, report.arms));
    let table = consortium.ask("olga", at, &["report", &first.hash.short()]).successfully().stdout;
    assert!(table.contains("Hold-out, pooled over sites"), "{table}");
    for words in [&["study", "list"][..], &["study", "show", &first.hash.to_string()]] {
        let table = consortium.ask("olga", at, words).successfully().stdout;
        assert!(table.contains("study-1") && table.contains("finished"), "{table}");
    }
    // Who did what is told where the coordinator's operator looks.
    let told = serving.process.stdout();
    let commands = told.lines().filter(|line| {
        matches!(serde_json::from_str(line), Ok(Notice::Command { by, command, outcome, .. })
            if by.as_str() == "alice" && command == "study submit" && outcome == "done")
    });
    assert_eq!(commands.count(), 2);
    serving.process.signal("TERM");
    serving.process.end().successfully();

    // One audit log tells of both studies and of everybody who asked, and agrees with the sites'.
    let state = consortium.path("state");
    let sites = SITES.map(|site| consortium.path(&format!("{site}-state")));
    assert_sound(&state, &sites, &consortium.kit("coordinator"));
    let (done, hash) = (asked_for(&state), first.hash.to_string());
    for expected in [
        format!("consilium:admin:alice study-submit done {hash}"),
        format!("consilium:admin:alice study-submit same-study {hash}"),
        format!("consilium:observer:olga study-submit read-only {hash}"),
        format!("consilium:observer:olga study-abort read-only {}", second.hash),
        "consilium:observer:olga study-show unknown-study -".to_owned(),
        format!("consilium:observer:olga report done {hash}"),
    ] {
        assert!(done.contains(&expected), "`{expected}` is missing from {done:#?}");
    }
    let went = steps(&state, &hash);
    assert_eq!((went[0].as_str(), went[went.len() - 1].as_str()), ("opened", "finished"), "{went:?}");
    assert_eq!(went.iter().filter(|step| *step == "aggregated").count(), 4, "2 lanes of 2 rounds: {went:?}");
    assert_eq!(steps(&state, &second.hash.to_string())[0], "opened");
}

#[test]
fn a_pause_survives_a_power_cut_and_an_abort_is_for_good() {
    let consortium = Consortium::new().with_patients();
    let mut serving = consortium.serve(None);
    let at = serving.address;
    let study = consortium.submit(at, &study(3, 200));
    let clients = SITES.map(|site| consortium.client(site, at));
    serving.process.wait_until("some rounds are done", |_| consortium.list(at).studies[0].steps_done > 2);
    let paused = consortium.change(at, "pause", &study, &[]);
    assert_eq!((paused.state, paused.reason.as_deref()), (StudyState::Paused, Some("paused by alice")));
    let hash = study.hash.to_string();
    refused(consortium.ask("alice", at, &["study", "pause", &hash]), "paused by alice already");
    let report = consortium.ask("olga", at, &["report", &hash]);
    assert!(report.code == Some(4) && report.stdout.contains("PAUSED"), "{}", report.stdout);

    serving.process.kill();
    let mut serving = consortium.serve(Some(at));
    serving.process.wait_until("both sites are back", |_| {
        let listed = &consortium.list(at).studies[0];
        listed.connected == 2 && listed.state == StudyState::Paused
    });
    let before = consortium.list(at).studies[0].steps_done;
    assert_eq!(consortium.change(at, "resume", &study, &[]).state, StudyState::Running);
    refused(consortium.ask("alice", at, &["study", "resume", &hash]), "is not paused");
    serving.process.wait_until("it goes on", |_| consortium.list(at).studies[0].steps_done > before + 2);

    let aborted = consortium.change(at, "abort", &study, &["--reason", "a wrong mask"]);
    let reason = "aborted by alice: a wrong mask";
    assert_eq!((aborted.state, aborted.reason.as_deref()), (StudyState::Aborted, Some(reason)));
    for client in clients {
        let ended = client.end();
        assert!(ended.code == Some(3) && ended.stderr.contains(reason), "{}", ended.stderr);
    }
    refused(consortium.ask("alice", at, &["study", "resume", &hash]), "is aborted already");
    let folder = consortium.study_folder(&study);
    serving.process.wait_until("the report is written", |_| folder.join("report.json").exists());
    let report = consortium.ask("olga", at, &["report", &hash, "--json"]);
    assert_eq!(report.code, Some(3));
    let report: Report = serde_json::from_str(&report.stdout).unwrap();
    assert_eq!(report.outcome.reason.as_deref(), Some(reason));
    assert!(
        report.warnings.iter().any(|line| line.starts_with("the study was paused by alice: stood still"))
    );

    // Nothing was handed out in the pause: between it and its end there are no answers to orders given in it.
    serving.process.kill();
    let log = folder.join("events.sqlite");
    let log = EventLog::open(&log);
    let (_, events) = tokio::runtime::Runtime::new().unwrap().block_on(log).unwrap();
    let place = |wanted: fn(&Event) -> bool| events.iter().position(|(_, event)| wanted(event)).unwrap();
    let (from, to) = (
        place(|event| matches!(event, Event::Paused { .. })),
        place(|event| matches!(event, Event::Continued { .. })),
    );
    let answers =
        events[from..to].iter().filter(|(_, event)| matches!(event, Event::OrderAnswered { .. })).count();
    assert!(answers <= SITES.len(), "{answers} answers: each site had one order at most");

    // It is over for the next coordinator too, and makes room.
    let serving = consortium.serve(Some(at));
    assert_eq!(consortium.list(at).studies[0].state, StudyState::Aborted);
    let withdrawn = consortium.submit(at, &crate::consortium::study(4, 1));
    assert_eq!(withdrawn.state, StudyState::Running);
    let queued = consortium.submit(at, &crate::consortium::study(5, 1));
    let aborted = consortium.change(at, "abort", &queued, &["--reason", "not needed"]);
    assert_eq!((queued.state, aborted.state), (StudyState::Submitted, StudyState::Aborted));
    drop(serving);
}
