//! The hours of a hospital's policy end while its client works: what it has in hand waits, and leaves when they begin
//! again. The client is the real one, in this process, because nobody else can set its clock.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use consilium_audit::LOG_FILE;
use consilium_audit::command::AUDIT_FOLDER;
use consilium_client::{Clock, Config, Ending, RunOptions};
use consilium_coordinator::Report;
use consilium_protocol::Timestamp;
use serde_json::Value;

use crate::by_hand::{ByHand, SITES, address, undisturbed};
use crate::timeless::timeless;

const OPTIONS: &str =
    "--arms random --modalities t1gd --sites 2 --cases 12 --folds 2 --rounds 2 --local-epochs 10";
/// Nine to eleven in the morning, in UTC; scores are told as a simulation's are.
const POLICY: &str = "approval = \"rule\"\n[histograms]\nfewest_per_score = 1\n[hours]\nfrom = \"09:00\"\nto = \"11:00\"\nutc_offset = \"+00:00\"\n";
/// Ten in the morning and noon of one day.
const WITHIN: Timestamp = Timestamp(1_790_000_000_000 - 1_790_000_000_000 % 86_400_000 + 10 * 3_600_000);
const AFTER: Timestamp = Timestamp(WITHIN.0 + 2 * 3_600_000);

/// The client looks at its clock when an order comes, and again when something has come of it: the hours end then.
/// Ten passes over the patients take much longer than this.
const A_MOMENT: Duration = Duration::from_millis(10);

/// A clock on which it is ten, noon from when the site has had an order in hand for a moment, and ten again at last.
struct Hands {
    state: PathBuf,
    phase: Mutex<Phase>,
}

#[derive(Clone, Copy)]
enum Phase {
    Before { in_hand_since: Option<Instant> },
    After,
    Over,
}

impl Hands {
    fn read(&self) -> Timestamp {
        let mut phase = self.phase.lock().unwrap();
        if let Phase::Before { in_hand_since } = &mut *phase {
            let records = records(&self.state);
            if orders(&records) <= answers(&records) {
                *in_hand_since = None;
            } else if in_hand_since.get_or_insert_with(Instant::now).elapsed() > A_MOMENT {
                *phase = Phase::After;
            }
        }
        if matches!(*phase, Phase::After) { AFTER } else { WITHIN }
    }
}

/// The whole lines of an audit log.
fn records(state: &Path) -> Vec<Value> {
    let text = fs::read_to_string(state.join(AUDIT_FOLDER).join(LOG_FILE)).unwrap_or_default();
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Where the hours began or ended, by `verdict`.
fn turn(records: &[Value], verdict: &str) -> Option<usize> {
    records.iter().position(|record| {
        record["event"] == "policy-decision"
            && record["fields"]["verdict"] == verdict
            && record["fields"]["reason"] == "hours"
    })
}

fn orders(records: &[Value]) -> usize {
    let is_order = |record: &&Value| record["fields"]["content"]["kind"] == "work-order";
    records.iter().filter(is_order).count()
}

fn answers(records: &[Value]) -> usize {
    let kinds = ["training", "scores", "fused-scores", "regression-sums"].map(Value::from);
    let is_answer =
        |record: &&Value| record["event"] == "sent" && kinds.contains(&record["fields"]["content"]["kind"]);
    records.iter().filter(is_answer).count()
}

#[test]
fn what_is_found_outside_the_hours_waits_for_them() {
    let folder = tempfile::tempdir().unwrap();
    let simulated = folder.path().join("simulated");
    let expected = undisturbed(OPTIONS, &simulated);
    let consortium = ByHand::new(folder.path().join("by-hand"), simulated, &SITES);
    consortium.set_policy(SITES[0], POLICY);
    let mut coordinator = consortium.coordinator("127.0.0.1:0".parse().unwrap());
    let address = address(&mut coordinator);

    let state = consortium.folder.join(SITES[0]).join("state");
    let phase = Mutex::new(Phase::Before { in_hand_since: None });
    let hands = Arc::new(Hands { state: state.clone(), phase });
    let clock = Clock::new({
        let hands = hands.clone();
        move || hands.read()
    });
    let [.., config] = consortium.client_arguments(SITES[0], address);
    let client = std::thread::spawn(move || {
        let config = Config::read(Path::new(&config)).unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let ending = runtime.block_on(consilium_client::run(
            config,
            RunOptions { once: true, clock, ..RunOptions::default() },
            std::future::pending(),
        ));
        runtime.shutdown_background();
        ending.unwrap()
    });
    let other = consortium.client(SITES[1], address);

    coordinator.wait_until("the hours have ended", |_| turn(&records(&state), "paused").is_some());
    // The other site has done its part of the round, which waits for this one alone.
    let other_state = consortium.folder.join(SITES[1]).join("state");
    coordinator.wait_until("the other site waits", |_| {
        let records = records(&other_state);
        let last = |kind: &str| records.iter().rposition(|it| it["fields"]["content"]["kind"] == kind);
        last("ready").is_some_and(|ready| Some(ready) > last("work-order"))
    });
    let silent = records(&state);
    *hands.phase.lock().unwrap() = Phase::Over;

    assert_eq!(client.join().unwrap(), Ending::Finished);
    for process in [other, coordinator] {
        process.end().successfully();
    }
    let records = records(&state);
    let (paused, resumed) = (turn(&records, "paused").unwrap(), turn(&records, "resumed").unwrap());
    let sent = |range: &[Value]| range.iter().filter(|record| record["event"] == "sent").count();
    assert_eq!(sent(&records[paused..resumed]), 0, "{:?}", &records[paused..resumed]);
    assert!(silent.len() > paused && silent.len() <= resumed, "{paused} {} {resumed}", silent.len());
    // It had an order in hand when the hours ended, and answered it when they had begun.
    assert!(
        orders(&records[..paused]) > answers(&records[..paused]),
        "nothing was in hand: the test shows nothing"
    );
    assert_eq!(answers(&records), orders(&records));

    let text = fs::read_to_string(consortium.folder.join("report.json")).unwrap();
    let report: Report = serde_json::from_str(&text).unwrap();
    assert_eq!(report.outcome.status, "finished");
    assert_eq!(report.warnings, [""; 0]);
    assert_eq!(timeless(&report), timeless(&expected));
}
