//! What the audit logs of a study tell of work and uploads: every message is in them, with the order it is about.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use consilium_domain::Task;
use serde_json::Value;

/// One line of an audit log, as far as it matters here.
struct Line {
    event: String,
    kind: String,
    order: String,
}

fn lines(state: &Path) -> Vec<Line> {
    let text = fs::read_to_string(state.join("audit/log.jsonl")).unwrap();
    let line = |line: &str| -> Line {
        let line: Value = serde_json::from_str(line).unwrap();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let content = &line["fields"]["content"];
        Line { event: text(&line["event"]), kind: text(&content["kind"]), order: text(&content["order"]) }
    };
    text.lines().map(line).collect()
}

/// No order that was accepted was handed out again.
pub(crate) fn assert_nothing_asked_again(site_state: &Path) {
    let mut accepted = BTreeSet::new();
    for Line { event, kind, order } in lines(site_state) {
        if event != "received" {
            continue;
        }
        if kind == "accepted" {
            accepted.insert(order);
        } else if kind == "work-order" {
            assert!(!accepted.contains(&order), "order {order} was accepted, and asked for again");
        }
    }
}

/// No update went twice, as the logs of a site's processes tell: a site says that one is with the coordinator once it has
/// heard so.
pub(crate) fn assert_nothing_uploaded_twice(logs: &[&str]) {
    let mut moved = BTreeSet::new();
    let lines = logs.iter().flat_map(|log| log.lines());
    for line in lines.filter(|line| line.contains("the update is with the coordinator")) {
        let word = |name: &str| line.split_whitespace().find_map(|word| word.strip_prefix(name)).unwrap();
        if word("moved=") != "0" {
            let order = word("order=");
            assert!(moved.insert(order), "the update of order {order} went twice");
        }
    }
}

/// The training tasks whose answers lie in the outbox of a site, as its log names them.
pub(crate) fn finished_trainings(site_state: &Path) -> Vec<String> {
    let answers = fs::read_dir(site_state.join("outbox/answers")).into_iter().flatten();
    let task = |path: &Path| -> Option<Task> {
        let content = fs::read(path).unwrap();
        // The digest of the answer follows it.
        let answer = serde_json::Deserializer::from_slice(&content).into_iter::<Value>().next()?.ok()?;
        serde_json::from_value(answer["order"]["task"].clone()).ok()
    };
    let whole = answers.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_none());
    let tasks = whole.map(|path| task(&path).expect("a whole file holds an answer"));
    tasks.filter(|task| matches!(task, Task::Train { .. })).map(|task| task.to_string()).collect()
}

/// How many trainings lie between two epochs.
pub(crate) fn half_trained(site_state: &Path) -> usize {
    let studies = fs::read_dir(site_state.join("half-trained")).into_iter().flatten();
    let files = studies.flat_map(|study| fs::read_dir(study.unwrap().path()).unwrap());
    files.filter(|file| file.as_ref().unwrap().path().extension().is_none()).count()
}
