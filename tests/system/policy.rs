//! The hospital's word is last: it declines, approves by hand, pauses, goes on, and leaves, while the others work.

use std::fs;
use std::path::Path;

use consilium_coordinator::{Notice, Report};
use consilium_domain::{SiteId, Study};
use serde_json::Value;

use crate::audit::{assert_sound, decisions};
use crate::by_hand::{ByHand, address, notices, progress, undisturbed};
use crate::process::Process;
use crate::timeless::timeless;

fn rounds(coordinator: &Process) -> u32 {
    progress(coordinator).map_or(0, |progress| progress.rounds)
}

fn connected(coordinator: &Process) -> u32 {
    progress(coordinator).map_or(0, |progress| progress.connected)
}

/// Whether the coordinator's admin was told something that holds `words`.
fn warned(coordinator: &Process, words: &str) -> bool {
    notices(coordinator).iter().any(|notice| matches!(notice, Notice::Warning(text) if text.contains(words)))
}

fn json(consortium: &ByHand, site: &str, words: &[&str]) -> Value {
    let words = [words, &["--json"]].concat();
    serde_json::from_str(&consortium.tell(site, &words).stdout).unwrap()
}

fn report(consortium: &ByHand) -> Report {
    serde_json::from_str(&fs::read_to_string(consortium.folder.join("report.json")).unwrap()).unwrap()
}

fn study(simulated: &Path) -> Study {
    toml::from_str(&fs::read_to_string(simulated.join("study.toml")).unwrap()).unwrap()
}

#[test]
fn hospitals_decide_by_rule_and_by_hand_and_leave_and_the_others_finish() {
    let folder = tempfile::tempdir().unwrap();
    let simulated = folder.path().join("simulated");
    undisturbed("--arms random --modalities t1gd --sites 4 --cases 12 --folds 2 --rounds 1", &simulated);
    // The same patients, and a study that takes long enough to leave it, and that two sites can finish.
    let mut study = study(&simulated);
    (study.training.rounds, study.federation.quorum) = (12, 2);
    // A person may take a while.
    study.federation.enrolment_secs = 3_600;
    fs::write(simulated.join("study.toml"), toml::to_string(&study).unwrap()).unwrap();
    let hash = study.hash().to_string();
    let (prefix, names) = (&hash[..8], ["site-1", "site-2", "site-3", "site-4"]);
    let consortium = ByHand::new(folder.path().join("by-hand"), simulated, &names);
    consortium.set_policy("site-2", "approval = \"manual\"\n");
    consortium.set_policy("site-4", "approval = \"rule\"\n[study]\nmost_rounds = 3\narms = [\"spottune\"]\n");

    let mut coordinator = consortium.coordinator("127.0.0.1:0".parse().unwrap());
    let address = address(&mut coordinator);
    let clients = names.map(|site| consortium.client(site, address));

    // Site 4 declines by itself, with every reason, and the admin hears of it.
    let reasons = "arm random is not allowed, allowed are spottune; rounds: 12, at most 3 are allowed";
    coordinator.wait_until("site 4 has declined", |process| warned(process, reasons));

    // Site 2 is connected and silent until a person decides; without its word the others wait.
    let mut offered = Value::Null;
    coordinator.wait_until("site 2 was offered the study", |_| {
        offered = json(&consortium, "site-2", &["studies"]);
        offered["studies"][0].is_object()
    });
    let of = |key: &str| offered["studies"][0][key].as_str().map(str::to_owned);
    assert_eq!(
        (of("hash"), of("policy"), of("decision")),
        (Some(hash.clone()), Some("ask".into()), Some("pending".into()))
    );
    assert_eq!(json(&consortium, "site-2", &["status"])["status"]["connected"], Value::Bool(true));
    assert_eq!(rounds(&coordinator), 0);
    let wrong = consortium.tell("site-2", &["approve", "12345678"]);
    assert_eq!(wrong.code, Some(1), "{}", wrong.stderr);
    let outside = consortium.tell("site-2", &["leave", prefix]);
    assert!(outside.code == Some(1) && outside.stderr.contains("use `decline`"), "{}", outside.stderr);
    consortium.tell("site-2", &["approve", prefix]).successfully();

    // Site 3 has enough after some rounds.
    coordinator.wait_until("some rounds are trained", |process| rounds(process) >= 3);
    consortium.tell("site-3", &["leave", prefix, "--reason", "the ethics board ended it"]).successfully();
    coordinator.wait_until("site 3 has left", |process| warned(process, "site-3 withdrew from the study"));

    coordinator.end().successfully();
    let [first, second, third, fourth] = clients.map(Process::end);
    assert_eq!(
        [&first, &second, &third, &fourth].map(|ended| ended.code),
        [Some(0), Some(0), Some(3), Some(3)]
    );
    assert!(third.stderr.contains("left by this site: the ethics board ended it"), "{}", third.stderr);
    assert!(fourth.stderr.contains(reasons), "{}", fourth.stderr);

    let report = report(&consortium);
    assert_eq!(report.outcome.status, "finished");
    let withdrawn = report.sites.iter().map(|site| site.withdrawn.as_deref());
    let withdrawn: Vec<&str> = withdrawn.map(|reason| reason.unwrap_or_default()).collect();
    assert_eq!((withdrawn[0], withdrawn[1]), ("", ""));
    assert!(withdrawn[2].contains("ethics board") && withdrawn[3].contains(reasons), "{withdrawn:?}");
    assert!(report.warnings.iter().any(|warning| warning.starts_with("site-4 declined the study")));
    assert!(report.warnings.iter().any(|warning| warning.starts_with("site-3 left the study")));
    let (left, declined): (SiteId, SiteId) = ("site-3".parse().unwrap(), "site-4".parse().unwrap());
    let lane = &report.arms[0].lanes[0];
    let with = |site: &SiteId| {
        lane.rounds.iter().filter(|round| round.contributors.iter().any(|c| c.site == *site)).count()
    };
    assert!((1..12).contains(&with(&left)) && with(&declined) == 0, "{} rounds had site 3", with(&left));

    // Every decision is in the site's audit log, and the coordinator has signed that it saw the log.
    let state = |site: &str| consortium.folder.join(site).join("state");
    let kit = consortium.folder.join("coordinator-kit");
    assert_sound(&consortium.folder.join("state"), &names.map(state), &kit);
    for (site, expected) in [
        ("site-1", &["approved by rule policy"][..]),
        ("site-2", &["asked by rule manual-approval", "approved by person by-hand"]),
        ("site-3", &["approved by rule policy", "withdrawn by person by-hand"]),
        ("site-4", &["declined by rule outside-policy"]),
    ] {
        let expected: Vec<String> = expected.iter().map(|words| format!("{words} {hash}")).collect();
        assert_eq!(decisions(&state(site)), expected, "{site}");
    }

    // What was decided is remembered while no client runs, and cannot be taken back.
    let decided = json(&consortium, "site-3", &["studies"]);
    assert_eq!(decided["studies"][0]["decision"], "left");
    assert_eq!(consortium.tell("site-3", &["status"]).code, Some(3));
    assert_eq!(consortium.tell("site-3", &["approve", prefix]).code, Some(1));
}

#[test]
fn a_pause_changes_nothing_but_the_time() {
    let folder = tempfile::tempdir().unwrap();
    let simulated = folder.path().join("simulated");
    let options =
        "--arms random --modalities t1gd --sites 2 --cases 16 --folds 2 --rounds 8 --local-epochs 2";
    let expected = undisturbed(options, &simulated);
    let consortium = ByHand::new(folder.path().join("by-hand"), simulated, &["site-1", "site-2"]);
    let mut coordinator = consortium.coordinator("127.0.0.1:0".parse().unwrap());
    let address = address(&mut coordinator);
    let [first, second] = ["site-1", "site-2"].map(|site| consortium.client(site, address));

    coordinator.wait_until("some rounds are trained", |process| rounds(process) >= 2);
    consortium.tell("site-1", &["pause"]).successfully();
    coordinator.wait_until("site 1 has hung up", |process| connected(process) == 1);
    consortium.tell("site-1", &["resume"]).successfully();
    let before = rounds(&coordinator);
    coordinator.wait_until("it goes on", |process| rounds(process) >= before + 2);

    // A pause survives the client's death.
    consortium.tell("site-1", &["pause"]).successfully();
    coordinator.wait_until("site 1 has hung up again", |process| connected(process) == 1);
    first.kill();
    let mut first = consortium.client("site-1", address);
    first.wait_until("it runs again", |_| consortium.tell("site-1", &["status"]).code == Some(0));
    let status = json(&consortium, "site-1", &["status"]);
    assert!(status["status"]["paused_since"].is_u64() && status["status"]["connected"] == false, "{status}");
    assert_eq!(connected(&coordinator), 1);
    consortium.tell("site-1", &["resume"]).successfully();

    for process in [first, second, coordinator] {
        process.end().successfully();
    }
    let decided = decisions(&consortium.folder.join("site-1/state"));
    let by_hand = decided.iter().filter_map(|words| words.strip_suffix(" by person by-hand everything"));
    assert_eq!(by_hand.collect::<Vec<_>>(), ["paused", "resumed", "paused", "resumed"]);
    let report = report(&consortium);
    assert_eq!((report.outcome.status.as_str(), report.study_hash), ("finished", expected.study_hash));
    assert_eq!(report.warnings, [""; 0]);
    assert_eq!(timeless(&report), timeless(&expected));
}
